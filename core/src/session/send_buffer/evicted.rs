//! [`EvictedInFlight`]: frames that a resume may find missing.

use serde::{Deserialize, Serialize};

use crate::Gap;

/// Frames that were evicted after they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EvictedInFlight {
    /// The range of numbers that contains them.
    pub range: Gap,
    /// How many they are. All other frames in the range were evicted before they were sent.
    pub frames: u64,
}

impl EvictedInFlight {
    /// An upper limit for how many of them come after `received`. Exact positions within the range are not stored.
    pub(super) fn after(&self, received: u64) -> u64 {
        self.frames.min(self.range.to.saturating_sub(received))
    }
}
