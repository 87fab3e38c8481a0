//! Scenarios of the model ([`rejoin_core::drive::model`]): servers with two or three sessions whose sockets are lost and replaced
//! while frames are sent. `scripts/model.sh` runs them.

mod client;
mod ends;
mod memberships;
mod memory;
mod presence;
mod rooms;
mod runtimes;
mod sockets;
mod waiting;

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rejoin_core::drive::model::{self, JoinedTask, Time, idle, live, spawn_on};
use rejoin_core::{CloseReason, Frame};
use tokio::runtime::Handle;

use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::{Builder, ConnectRequest, Identity, Reject, Server};

/// A server, and its recorded callbacks.
struct ScenarioWorld<'a> {
    time: &'a Time,
    server: Server,
    ends: Arc<Mutex<Vec<(String, CloseReason)>>>,
}

const WINDOW: Duration = Duration::from_secs(30);

/// Longer than any scenario takes: its clients answer no pings.
const HEARTBEAT: [Duration; 2] = [Duration::from_secs(540), Duration::from_secs(600)];

impl<'a> ScenarioWorld<'a> {
    fn new(time: &'a Time) -> Self {
        Self::with(time, |builder| builder)
    }

    fn with(time: &'a Time, adjust: impl FnOnce(Builder) -> Builder) -> Self {
        Self::inside(time, Some(time.handle()), adjust)
    }

    /// Creates a world with this runtime as the server's own.
    fn inside(time: &'a Time, runtime: Option<&Handle>, adjust: impl FnOnce(Builder) -> Builder) -> Self {
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
        let ends = Arc::<Mutex<Vec<_>>>::default();
        let seen = ends.clone();
        let builder = Server::builder(connect)
            .resume_window(WINDOW)
            .heartbeat(HEARTBEAT[0], HEARTBEAT[1])
            .on_disconnect(move |connection, reason| {
                seen.lock().unwrap().push((connection.id().to_owned(), reason));
                async {}
            });
        model::enter_runtime(runtime);
        let server = adjust(builder).build().unwrap();
        Self { time, server, ends }
    }

    fn shared(&self) -> &Arc<ServerInner> {
        self.server.shared()
    }

    /// Spawns a task.
    fn task<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinedTask<T> {
        spawn_on(task, self.time.handle())
    }

    /// The recorded calls of `on_disconnect`.
    fn ends(&self) -> Vec<(String, CloseReason)> {
        self.ends.lock().unwrap().clone()
    }

    /// Shuts the server down, and checks that it retains nothing.
    fn finish(self) {
        let server = self.server.clone();
        let shutdown = async move { server.shutdown(Duration::from_secs(20)).await };
        let shutdown = self.task(shutdown);
        for _ in 0..40 {
            idle();
            if shutdown.is_over() {
                break;
            }
            self.time.pass(Duration::from_millis(500));
        }
        assert!(shutdown.is_over(), "still there: {:?}", live());
        let shared = self.shared();
        let budget = &shared.budget;
        assert_eq!((budget.used(), budget.reclaimable()), (0, 0), "bytes in use, bytes to reclaim");
        assert_eq!((shared.registry.running().len(), shared.realm.rooms.len()), (0, 0), "sessions, rooms");
        assert!(shared.ends.is_empty());
        assert!(shared.changes.is_empty(), "joins and leaves to report");
    }
}

fn frame(event: impl Into<String>) -> Frame {
    Frame::event_only(event.into())
}

/// The result of a future that never waits.
fn now_or_never<T>(future: impl IntoFuture<Output = T>) -> T {
    match pin!(future.into_future()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn kick(server: &Server, id: &str) {
    now_or_never(server.kick(id)).ok();
}

/// Broadcasts these events one after the other. Returns the sum of the receivers.
fn broadcast(server: &Server, events: &[&str]) -> usize {
    events.iter().map(|event| server.broadcast("room", &frame(*event)).unwrap()).sum()
}

/// The result of a finished task.
fn joined<T>(task: JoinedTask<T>) -> T {
    assert!(task.is_over(), "it waits for something that has come: {:?}", live());
    match pin!(task).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(output)) => output,
        _ => panic!("it was dropped"),
    }
}

/// Sends these events one after the other.
fn send(connection: &Connection, events: &[&str]) {
    for event in events {
        connection.send(&frame(*event)).unwrap();
    }
}
