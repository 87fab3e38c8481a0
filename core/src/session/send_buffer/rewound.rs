//! [`RewoundFrames`]: frames of a room's history, which do not count against the limits of a send buffer.

use serde::{Deserialize, Serialize};

/// Frames of a room's history that a session keeps in addition to the limits of its send buffer, until the peer has acknowledged
/// them (session mode) or until they are written (plain mode).
///
/// If newer frames overflow the buffer, the oldest ones are evicted first as always, and the newer ones take their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RewoundFrames {
    /// Number of the last of these frames. Older frames in the buffer count as frames of the history, too.
    pub last: u64,
    /// How many frames the buffer may keep in addition to its limit.
    pub frames: u32,
    /// How many bytes the buffer may keep in addition to its limit.
    pub bytes: usize,
}

impl RewoundFrames {
    /// Notes that the buffer has freed this frame.
    pub(super) fn note_freed(&mut self, number: u64, bytes: usize) {
        if number <= self.last {
            self.frames = self.frames.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        if number >= self.last {
            (self.frames, self.bytes) = (0, 0);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.frames == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_frame_takes_all_places_along() {
        // Evicted frames are freed without their numbers, so frames may be left when the last one goes.
        let mut rewound = RewoundFrames { last: 5, frames: 3, bytes: 30 };
        rewound.note_freed(4, 10);
        assert_eq!(rewound, RewoundFrames { last: 5, frames: 2, bytes: 20 });
        rewound.note_freed(5, 10);
        assert_eq!(rewound, RewoundFrames { last: 5, frames: 0, bytes: 0 });
        assert!(rewound.is_over());
    }
}
