//! Another task for a session that has hibernated.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::connection::{Connection, Host};
use crate::context::ServerContext;
use crate::inner::ServerInner;

use super::SessionTask;
use super::calls::Calls;

impl Host for ServerInner {
    fn context(&self) -> &ServerContext {
        &self.context
    }

    /// A socket has arrived for the session, or its end, or something to report.
    fn wake(self: Arc<Self>, connection: Connection) {
        let calls = Calls::of_woken(&connection);
        SessionTask::after(self, connection, calls).begin();
    }
}

impl SessionTask {
    /// Runs in the server's own runtime.
    fn begin(mut self) {
        let runtimes = self.shared.runtimes.clone();
        let own = runtimes.own();
        self.unpolled_in = own.as_ref().map(Handle::id);
        runtimes.spawn_on(own.as_ref(), self);
    }

    /// If the task is dropped because its runtime has ended before it ran, another one begins in the next runtime, and has what
    /// this one was to call. Otherwise the thread that has woken the session would end it here and now, whatever it holds.
    pub(super) fn moves_on(&mut self) -> bool {
        let Some(ended) = self.unpolled_in.take() else { return false };
        self.shared.runtimes.remove(ended);
        let moves_on = self.shared.runtimes.own().is_some();
        if moves_on {
            let calls = std::mem::take(&mut self.calls);
            Self::after(self.shared.clone(), self.connection.clone(), calls).begin();
        }
        moves_on
    }
}
