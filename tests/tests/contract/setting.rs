//! [`Setting`]: the mode and the medium of a scenario; and `scenario!`, which makes its tests.

use rejoin_tests::harness::{alone, secs};
use rejoin_tests::network::Medium;
use tokio::runtime::{Builder, Handle};

/// The mode of a client (PROTOCOL.md §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Session,
    Plain,
}

/// The mode and the medium of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) mode: Mode,
    pub(crate) medium: Medium,
}

impl Setting {
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.medium, Medium::Memory)
    }
}

/// Makes two tests of the scenario that follows: `NAME::memory` and `NAME::tcp`. Each performs it in both modes, or in the one that
/// is named.
macro_rules! scenario {
    ($name:ident) => {
        scenario!($name, Session, Plain);
    };
    ($name:ident, $($mode:ident),+) => {
        mod $name {
            use crate::setting::{Mode, in_memory, over_tcp};

            #[test]
            fn memory() {
                in_memory(&[$(Mode::$mode),+], super::$name);
            }

            #[test]
            fn tcp() {
                over_tcp(&[$(Mode::$mode),+], super::$name);
            }
        }
    };
}

/// Performs a scenario in memory with paused time.
pub(crate) fn in_memory(modes: &[Mode], scenario: impl AsyncFn(Setting)) {
    for mode in modes {
        println!("{mode:?}");
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            scenario(Setting { mode: *mode, medium: Medium::Memory }).await;
            // Longer than any time-out.
            tokio::time::sleep(secs(120)).await;
            assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "tasks are left behind");
        });
    }
}

/// Performs a scenario over TCP in real time, on several threads.
pub(crate) fn over_tcp(modes: &[Mode], scenario: impl AsyncFn(Setting)) {
    for mode in modes {
        println!("{mode:?}");
        alone(async { scenario(Setting { mode: *mode, medium: Medium::Tcp(Handle::current()) }).await });
    }
}
