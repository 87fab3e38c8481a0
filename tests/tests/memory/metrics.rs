//! Each metrics hook is called when its event happens, with the right numbers.

mod callbacks;
mod debug;
mod facade;
mod frames;
mod resume;
mod sessions;

use rejoin_server::{Builder, Identity, Metrics, Reject, Server};
use rejoin_tests::harness::{MetricsLog, Recorder};

/// `{"event":"n","payload":1}`
const FRAME: i64 = 25;

/// The same with the WebSocket header.
const FRAMED: i64 = FRAME + 2;

/// A server with these options, and recorders of its callbacks and of its metrics.
fn server(configure: impl FnOnce(Builder) -> Builder) -> (Server, Recorder, MetricsLog) {
    let metrics = MetricsLog::default();
    let (server, log) = crate::server(|builder| configure(builder.metrics(metrics.clone())));
    (server, log, metrics)
}

#[allow(dead_code, reason = "the test is that it compiles")]
fn all_hooks_have_defaults() {
    struct None;
    impl Metrics for None {}
    let _ = Server::builder(async |_| Ok::<_, Reject>(Identity::new().with_room("room"))).metrics(None);
}
