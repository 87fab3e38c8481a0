//! Server and client in memory: promises that take paused time, or connections that fail at an exact byte. `contract` has those
//! that also hold over TCP.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod asking;
mod attached;
mod backpressure;
mod big_frames;
mod callbacks;
mod chaos;
mod client;
mod closing;
mod codecs;
mod crashes;
mod credentials;
mod drain;
mod edges;
mod handler;
mod handover;
mod handover_stops;
mod heartbeat;
mod history;
mod hooks;
mod identity;
mod limits;
mod many_codecs;
mod metrics;
mod overflow;
mod own_handlers;
mod page;
mod presence;
mod rates;
mod raw;
mod realms;
mod realms_in_store;
mod receipts;
mod replacing;
mod restored;
mod resume;
mod retained;
mod revived;
mod rooms;
mod router;
mod slow_reader;
mod state;
mod store;
mod store_down;
mod store_shutdown;
mod subscriptions;
mod takeover;
mod texts;
mod volatile;

use rejoin_client::Connection;
use rejoin_server::{Builder, Server};
use rejoin_tests::harness::{self, Recorder, What, millis, secs, shut_down};
use rejoin_tests::network::Line;

/// A server with these options, and a recorder of its callbacks.
fn server(configure: impl FnOnce(Builder) -> Builder) -> (Server, Recorder) {
    let (builder, recorder) = harness::builder();
    (configure(builder).build().unwrap(), recorder)
}

/// A server that echoes messages, without other callbacks.
fn echo_server() -> Server {
    harness::echo(Server::builder(harness::connect)).build().unwrap()
}

/// A client that has connected with this ID, and its line.
async fn client(server: &Server, log: &mut Recorder, id: &str) -> (Connection, Line) {
    let line = Line::to(server);
    let connection = line.client(&format!("/?id={id}")).connect().await.unwrap();
    assert_eq!(log.next().await, (id, What::Connected));
    (connection, line)
}
