//! The basis of the scenarios: a server that records its callbacks, and the events of both sides as values, so that a
//! scenario reads like a script.
//!
//! A scenario that runs [`alone`] must leave nothing behind. The connections that fail are in [`network`](crate::network).

mod alone;
pub use alone::{Baseline, alone};

mod recorder;
pub use recorder::{Happening, Recorder, What, builder, connect, echo, local};

mod codecs;
pub(crate) use codecs::Picked;
pub use codecs::codecs;

mod mortal;
pub use mortal::MortalStore;

mod metrics;
pub use metrics::MetricsLog;

mod heard;
pub use heard::{
    END_OF_STREAM, Ended, Heard, RESET, closed, disconnected, message, next, next_event, number, numbers,
    read_numbers, session_lost,
};

use std::future::Future;
use std::time::Duration;

use rejoin_server::Server;

/// How long any expected event may take. Only a failing scenario waits this long.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for an expected event.
///
/// # Panics
/// Panics when it does not happen within [`PATIENCE`].
pub async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, happens).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing happened"),
    }
}

/// Shuts the server down, and checks that no session had to be dropped.
///
/// # Panics
/// Panics when one had to.
pub async fn shut_down(server: &Server) {
    assert_eq!(server.shutdown(secs(20)).await, 0, "sessions that had to be dropped");
}

/// This many seconds.
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// This many milliseconds.
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
