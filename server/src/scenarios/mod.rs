//! Scenarios of the model ([`rejoin_core::drive::model`]): servers with two or three sessions whose sockets come and go while frames
//! are sent. `scripts/model.sh` runs them.

mod client;
mod sockets;

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use rejoin_core::drive::model::{Time, idle, live, spawn_on};
use rejoin_core::{CloseReason, Frame};

use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::{Builder, ConnectRequest, Identity, Reject, Server};

/// A server, and what its application has seen.
struct World<'a> {
    time: &'a Time,
    server: Server,
    ends: Arc<Mutex<Vec<(String, CloseReason)>>>,
}

const WINDOW: Duration = Duration::from_secs(30);

impl<'a> World<'a> {
    fn new(time: &'a Time) -> Self {
        Self::with(time, |builder| builder)
    }

    fn with(time: &'a Time, adjust: impl FnOnce(Builder) -> Builder) -> Self {
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::room("room"));
        let ends = Arc::<Mutex<Vec<_>>>::default();
        let seen = ends.clone();
        let builder =
            Server::builder(connect).resume_window(WINDOW).on_disconnect(move |connection, reason| {
                seen.lock().unwrap().push((connection.id().to_owned(), reason));
                async {}
            });
        rejoin_core::drive::model::enter_runtime(Some(time.handle()));
        let server = adjust(builder).build().unwrap();
        Self { time, server, ends }
    }

    fn shared(&self) -> &Arc<ServerInner> {
        self.server.shared()
    }

    /// The ends of sessions that the application was told of.
    fn ends(&self) -> Vec<(String, CloseReason)> {
        self.ends.lock().unwrap().clone()
    }

    /// Shuts the server down, and checks that it keeps nothing.
    fn finish(self) {
        let server = self.server.clone();
        let shutdown = async move { server.shutdown(Duration::from_secs(20)).await };
        let shutdown = spawn_on(shutdown, self.time.handle());
        for _ in 0..40 {
            idle();
            if shutdown.is_over() {
                break;
            }
            self.time.pass(Duration::from_millis(500));
        }
        assert!(shutdown.is_over(), "still there: {:?}", live());
        let shared = self.shared();
        let budget = shared.suspended.budget();
        assert_eq!((budget.used(), budget.reclaimable()), (0, 0), "bytes in use, bytes to reclaim");
        assert_eq!((shared.registry.running().len(), shared.rooms.len()), (0, 0), "sessions, rooms");
        assert!(shared.ends.is_empty());
    }
}

fn frame(event: impl Into<String>) -> Frame {
    Frame::event_only(event.into())
}

/// [`Server::kick`], which waits for nothing.
fn kick(server: &Server, id: &str) {
    let kicked = pin!(server.kick(id)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(kicked.is_ready());
}

/// Sends these, one after the other.
fn send(connection: &Connection, events: &[&str]) {
    for event in events {
        connection.send(&frame(*event)).unwrap();
    }
}
