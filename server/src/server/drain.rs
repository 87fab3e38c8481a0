//! [`Server::drain`]: sockets leave in waves, and their sessions stay.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use rejoin_core::SessionState;
use rejoin_core::drive::now;

use super::Server;
use crate::connection::Connection;
use crate::context::ServerContext;
use crate::draining::Pace;
use crate::inner::ServerCore;

/// The shortest delay after which a client is asked to come back.
const RETRY: Duration = Duration::from_millis(500);

/// The shortest delay for a client that came back when the server had drained: nothing will change here.
const RETRY_LATER: Duration = Duration::from_secs(5);

/// How long a socket stays that was attached during the last wave or later, so that `$open` and the replay arrive.
const LATE_PAUSE: Duration = Duration::from_secs(1);

/// The number of sockets that are closed before other tasks run: about 100 µs of work.
const CHUNK: usize = 256;

impl Server {
    /// Drains the server before it is shut down: refuses newcomers, and closes the sockets at this pace, with 1012 `retry in N ms`
    /// (PROTOCOL.md §7). Default pace: 100 per second.
    ///
    /// Sessions are suspended, not ended: a client comes back after that delay, wherever the load balancer sends it. Newcomers
    /// get 503 with `Retry-After`. A client that resumes a session of this server is accepted, gets what it has missed, and is
    /// asked to leave again when all others have left.
    ///
    /// Idle connections leave first, those that have been silent the longest before the others. Each wave has a tenth of a
    /// second's sockets, and N spreads their return over that time. A socket of a connection that is [closing](Connection::close)
    /// leaves by itself.
    ///
    /// Begins at once. The returned future yields the number of sockets that were closed, when none is left, or when
    /// [`Self::shutdown`] begins. Dropping it does not stop the drain, which only a shutdown ends. A second call sets
    /// another pace, and waits for the same end.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rejoin_server::{Pace, Server};
    ///
    /// async fn stop(server: Server) {
    ///     // At most as long as the supervisor allows.
    ///     tokio::time::timeout(Duration::from_secs(20), server.drain(Pace::per_second(500))).await.ok();
    ///     server.shutdown(Duration::from_secs(5)).await;
    /// }
    /// # use rejoin_server::{ConnectRequest, Identity, Reject};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rejoin_server::ConfigError> {
    /// # stop(Server::builder(connect).build()?).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain(&self, pace: Pace) -> Drain {
        let context = self.shared.context.clone();
        // Subscribed before it begins, so that it sees the end.
        let mut progress = context.draining.progress();
        if context.draining.begin(pace) && !context.closing.is_cancelled() {
            tracing::info!(sockets = context.sockets.count(), ?pace, "draining");
            self.shared.spawn(drain(context.clone(), Arc::downgrade(&self.shared.core)));
        }
        let closing = context.closing.clone();
        let end = Box::pin(async move {
            tokio::select! {
                biased;
                _ = progress.wait_for(|progress| progress.is_done) => {}
                () = closing.cancelled() => {}
            }
            progress.borrow().closed
        });
        Drain { end }
    }
}

/// A drain under way ([`Server::drain`]): await it to learn when no socket is left, or drop it.
pub struct Drain {
    end: Pin<Box<dyn Future<Output = usize> + Send + Sync>>,
}

impl Future for Drain {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        self.end.as_mut().poll(cx)
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").finish_non_exhaustive()
    }
}

/// Notes the end of a drain, also if it ends with its runtime.
struct Finish(Arc<ServerContext>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.draining.note_done();
    }
}

/// The task of a drain. It does not keep the server alive.
async fn drain(context: Arc<ServerContext>, server: Weak<ServerCore>) {
    let finish = Finish(context.clone());
    tokio::select! {
        biased;
        () = context.closing.cancelled() => {}
        () = close_all(&finish.0, &server) => {}
    }
}

async fn close_all(context: &ServerContext, server: &Weak<ServerCore>) {
    // The next one last.
    let mut waiting = by_idleness(server);
    while !waiting.is_empty() {
        let pace = context.draining.pace();
        let (wave, pause) = pace.wave();
        let rest = waiting.len().saturating_sub(wave);
        close(context, waiting.drain(rest..).rev(), RETRY, pace).await;
        if !waiting.is_empty() {
            tokio::time::sleep(pause).await;
        }
    }
    // The last wave: sockets that were attached meanwhile. Those that come later get time for their replay.
    let mut retry = RETRY;
    loop {
        close(context, by_idleness(server).into_iter().rev(), retry, context.draining.pace()).await;
        let closed = context.draining.progress().borrow().closed;
        // A socket that is attached while others are being closed is one more to close.
        let _ = tokio::time::timeout(LATE_PAUSE, context.sockets.until(|sockets| sockets == 0)).await;
        if context.sockets.count() > 0 {
            continue;
        }
        if retry == RETRY {
            tracing::info!(closed, "drained");
            context.draining.note_done();
            retry = RETRY_LATER;
        }
        context.sockets.until(|sockets| sockets > 0).await;
        tokio::time::sleep(LATE_PAUSE).await;
    }
}

/// The connections that have sockets, the one that has been idle the longest last, and of equals the one that began first.
fn by_idleness(server: &Weak<ServerCore>) -> Vec<Connection> {
    let Some(server) = server.upgrade() else { return Vec::new() };
    let mut found: Vec<_> = server
        .registry
        .running_in_order()
        .into_iter()
        .rev()
        .filter_map(|connection| {
            let (state, idle) = connection.session().drive(|session| (session.state(), session.idle_since()));
            (state == SessionState::Connected).then_some((idle, connection))
        })
        .collect();
    // `None`, for one that is busy, comes before all times.
    found.sort_by(|(one, _), (other, _)| match (one, other) {
        (Some(one), Some(other)) => other.cmp(one),
        _ => one.is_some().cmp(&other.is_some()),
    });
    found.into_iter().map(|(_, connection)| connection).collect()
}

/// Closes the sockets of these connections, and spreads their peers' return at the pace.
async fn close(
    context: &ServerContext,
    connections: impl Iterator<Item = Connection>,
    retry: Duration,
    pace: Pace,
) {
    let mut closed = 0;
    for (index, connection) in connections.enumerate() {
        let retry_in = retry + pace.spread(closed);
        closed += usize::from(connection.session().command(|session| session.dismiss(retry_in, now())));
        if index % CHUNK == CHUNK - 1 {
            tokio::task::yield_now().await;
        }
    }
    context.draining.note_closed(closed);
}
