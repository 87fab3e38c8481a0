//! [`Pace`]: how long a stage takes to come to rest.

use std::time::Duration;

use crate::network::Medium;

/// How a stage comes to rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The time from the last step until the network is repaired.
    pub(super) unhealed: Duration,
    /// After this much silence nothing more will happen: the largest frame takes less on the slowest line.
    pub(super) silence: Duration,
    /// The interval of checks whether anything has happened.
    pub(super) look: Duration,
    /// The number of checks until the silence must be reached.
    pub(super) patience: u32,
}

impl Pace {
    pub(super) fn over(medium: &Medium) -> Self {
        match medium {
            // The first value exceeds the time of a restart.
            Medium::Memory => Self {
                unhealed: Duration::from_secs(15),
                silence: Duration::from_secs(8),
                look: Duration::from_secs(8),
                patience: 30,
            },
            // Lines are fast again, so that a silence only has to outlast a busy machine.
            Medium::Tcp(_) => Self {
                unhealed: Duration::from_millis(200),
                silence: Duration::from_millis(700),
                look: Duration::from_millis(100),
                patience: 900,
            },
        }
    }
}
