//! Starts another task for a session that has hibernated.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::{Handle, Id};

use crate::connection::{Connection, ConnectionHost};
use crate::context::ServerContext;
use crate::durable::DurableLog;
use crate::inner::ServerInner;

use super::SessionTask;
use super::calls::Calls;

impl ConnectionHost for ServerInner {
    fn context(&self) -> &ServerContext {
        &self.context
    }

    fn log(&self) -> Option<&Arc<DurableLog>> {
        self.durable.as_ref()
    }

    fn realm(&self) -> &str {
        &self.realm.name
    }

    /// A socket has arrived for the session, or its end, or something to report.
    fn wake(self: Arc<Self>, connection: Connection) {
        let calls = Calls::of_woken(&connection);
        Woken::begin(SessionTask::after(self, connection, calls));
    }
}

/// The task of a session that was woken, in the server's own runtime.
///
/// A runtime that has ended drops the task before it runs. The next runtime then starts another one, which makes the same calls.
/// Otherwise the thread that has woken the session would end it at once, whichever locks it holds.
struct Woken {
    task: SessionTask,
    /// The runtime that has to run the task, until it does.
    unpolled_in: Option<Id>,
}

impl Woken {
    fn begin(task: SessionTask) {
        let runtimes = task.shared.runtimes.clone();
        let own = runtimes.own();
        let woken = Self { task, unpolled_in: own.as_ref().map(Handle::id) };
        runtimes.spawn_on(own.as_ref(), woken);
    }
}

impl Future for Woken {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.unpolled_in = None;
        Pin::new(&mut self.task).poll(cx)
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        let Some(ended) = self.unpolled_in else { return };
        let Self { task, .. } = self;
        task.shared.runtimes.remove(ended);
        if task.shared.runtimes.own().is_none() {
            return;
        }
        let calls = std::mem::take(&mut task.calls);
        Self::begin(SessionTask::after(task.shared.clone(), task.connection.clone(), calls));
        task.rests = true;
    }
}
