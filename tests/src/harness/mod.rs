//! What the scenarios stand on: a server that writes down what it is told, lines that fail on demand, and words for what
//! either side is told, so that a scenario reads as a script.
//!
//! [`Line`] is a network in memory, for paused time, or between sockets; [`Proxy`] stands between sockets. A scenario that runs [`alone`] has
//! to leave nothing behind.

mod alone;
pub use alone::{Baseline, alone};

mod recorder;
pub use recorder::{Happening, Recorder, What, builder, connect};

mod codecs;
pub(crate) use codecs::Picked;
pub use codecs::codecs;

mod metrics;
pub use metrics::MetricsLog;

mod line;
pub use line::{Dials, Direction, Line, Target};

mod relay;

mod wire;
pub use wire::Condition;

mod proxy;
pub use proxy::{Fault, Proxy};

mod words;
pub use words::{describe, next, next_event, number, numbers, read_numbers};

use std::future::Future;
use std::time::Duration;

/// How long anything may take to happen. Only a scenario that fails waits so long.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for what has to happen.
///
/// # Panics
/// Panics when it does not happen within [`PATIENCE`].
pub async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, happens).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing happened"),
    }
}
