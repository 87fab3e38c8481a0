//! [`SessionTask`]: the one task of a session, while it has a socket or something to tell.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rejoin_core::drive::{Deadline, yield_now};
use rejoin_core::{CloseReason, Event, State};

use crate::connection::{Connection, Loss};
use crate::inner::ServerInner;
use crate::observe::hooks::Stopwatch;
use crate::observe::metrics::CallbackKind;
use crate::session::handlers::Callback;

/// A poll handles so many events before other tasks have their turn: with handlers that take 100 µs it lasts 3 ms. What another poll
/// costs, less than a microsecond, is nothing beside 32 messages.
const EVENTS_PER_POLL: usize = 32;

/// How long the callbacks of a newcomer wait for those of the session that it has replaced: long enough for one that writes to a
/// database, and no client notices that one hangs.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(1);

/// How often a poll reads and writes before other tasks have their turn.
const ROUNDS_PER_POLL: usize = 4;

/// Drives the socket, runs the callbacks one after the other, and the timer. While a callback awaits, the rest goes on.
pub(crate) struct SessionTask {
    shared: Arc<ServerInner>,
    connection: Connection,
    callback: Option<(CallbackKind, Callback)>,
    /// Since when the callback runs, where somebody wants to know.
    stopwatch: Option<Stopwatch>,
    deadline: Deadline,
    /// The application has been told the beginning.
    connected: bool,
    /// The application has been told the end, or is being told.
    over: bool,
    /// The session goes on, and needs no task until it is [revived](Self::revive).
    rests: bool,
    /// Where somebody wants it.
    span: Option<Box<tracing::Span>>,
}

impl SessionTask {
    /// A task for a connection that is registered. Whether it runs or not, dropping it takes the connection back. Its callbacks begin
    /// when those of the connection that it has `replaced` are over, or have taken too long.
    pub(crate) fn new(
        shared: Arc<ServerInner>,
        connection: Connection,
        replaced: Option<Connection>,
    ) -> Self {
        let mut task = Self::after(shared, connection, false);
        task.callback = replaced.map(|replaced| {
            let over: Callback = Box::pin(async move {
                tokio::time::timeout(PREDECESSOR_PATIENCE, replaced.closed()).await.ok();
            });
            (CallbackKind::Connect, over)
        });
        task
    }

    /// The task of a session that has rested goes on: a socket has come for it, or its end.
    pub(crate) fn wake(shared: Arc<ServerInner>, connection: Connection) -> Self {
        Self::after(shared, connection, true)
    }

    fn after(shared: Arc<ServerInner>, connection: Connection, connected: bool) -> Self {
        let span = connection.span();
        let span = (!span.is_disabled()).then(|| Box::new(span));
        Self {
            shared,
            connection,
            callback: None,
            stopwatch: None,
            deadline: Deadline::default(),
            connected,
            over: false,
            rests: false,
            span,
        }
    }

    /// Runs callbacks until one has to wait, nothing is left to tell, or so many `events` have been told, which it counts down. Ready when
    /// the application has been told the end.
    fn poll_callbacks(&mut self, cx: &mut Context<'_>, events: &mut usize) -> Poll<()> {
        loop {
            if let Some((which, callback)) = &mut self.callback {
                let which = *which;
                let failed = match catch_unwind(AssertUnwindSafe(|| callback.as_mut().poll(cx))) {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(())) => false,
                    Err(_) => true,
                };
                self.callback = None;
                self.shared.metrics.stop(self.stopwatch.take());
                if failed {
                    panicked(&self.connection, which.as_str());
                }
            }
            if self.over {
                return Poll::Ready(());
            }
            let Some(left) = events.checked_sub(1) else { return Poll::Pending };
            let Some(event) = self.connection.session().next_event() else { return Poll::Pending };
            *events = left;
            match &event {
                Event::Connected => self.connected = true,
                Event::Closed(_) => {
                    self.over = true;
                    // While somebody else uses the socket, it is reported when the task ends.
                    if let Some(mut socket) = self.connection.try_attachment() {
                        socket.note_closed(&self.shared, &self.connection);
                    }
                    self.shared.forget(&self.connection);
                    if !self.connected {
                        // It ended before its first socket came: there is nothing to take back.
                        continue;
                    }
                }
                Event::Gap(gap) => {
                    tracing::debug!(from = gap.from, to = gap.to, "peer gives frames up");
                }
                _ => {}
            }
            let (handlers, metrics) = (&self.shared.handlers, &self.shared.metrics);
            let Some(which) = kind(&event) else { continue };
            let stopwatch = metrics.start(which);
            match catch_unwind(AssertUnwindSafe(|| handlers.call(&self.connection, event))) {
                Ok(Some(callback)) => (self.callback, self.stopwatch) = (Some((which, callback)), stopwatch),
                Ok(None) => {}
                Err(_) => {
                    metrics.stop(stopwatch);
                    panicked(&self.connection, which.as_str());
                }
            }
        }
    }

    /// A session that waits for a socket may have to give way; one that has a socket again does not. `waits` says since which loss it waits.
    fn queue(&self, waits: Option<Loss>) {
        match waits {
            // Not only where it is not there yet: it may have had a socket for a moment, and its window has begun anew.
            Some(loss) if !self.connection.is_suspended_by(loss) => {
                self.shared.suspended.enter(&self.connection, loss);
            }
            None if self.connection.is_waiting() => self.shared.suspended.leave(&self.connection),
            _ => {}
        }
    }

    /// Ends this task, where nothing is to be done before something comes for the session: a session that waits for a socket
    /// costs no task. Its window is looked after by [`SuspendedSessions`](crate::session::expiry::SuspendedSessions).
    fn hibernate(&mut self) -> bool {
        self.rests = self.connected && self.callback.is_none() && self.connection.hibernate();
        if self.rests && (self.connection.has_pending_socket() || self.shared.is_aborted()) {
            // It came a moment ago, and found nobody to wake.
            self.connection.session().wake_driver();
        }
        self.rests
    }
}

impl Future for SessionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let span = this.span.as_deref().cloned();
        let _entered = span.as_ref().map(tracing::Span::enter);
        if this.shared.is_aborted() {
            return Poll::Ready(());
        }
        let mut events = EVENTS_PER_POLL;
        for _ in 0..ROUNDS_PER_POLL {
            // What the callbacks have to say is written below: they need not wake us for it.
            this.connection.session().unregister_driver();
            // A broadcast uses it at this moment. To wait for it would be to wait for foreign code.
            let Some(mut socket) = this.connection.try_attachment() else { return yield_now(cx) };
            socket.poll_read(cx, &this.shared, &this.connection);
            drop(socket);
            let over = this.poll_callbacks(cx, &mut events).is_ready();
            this.connection.session().register_driver(cx);
            // Again: an abort while the callbacks ran found nobody to wake.
            if this.shared.is_aborted() {
                return Poll::Ready(());
            }
            let Some(mut socket) = this.connection.try_attachment() else { return yield_now(cx) };
            let again = socket.poll_write(cx, &this.shared, &this.connection)
                // One that has come since the socket was read found nobody to wake, either.
                || this.connection.has_pending_socket();
            drop(socket);
            if over {
                return Poll::Ready(());
            }
            let (at, waits, news) = this.connection.session().drive(|session| {
                let waits = (session.state() == State::Suspended).then(|| Loss::last(session));
                (session.poll_timeout(), waits, session.has_events())
            });
            this.queue(waits);
            if waits.is_some() && this.hibernate() {
                return Poll::Ready(());
            }
            let due = this.connection.session().poll_timeout_at(at, cx, &mut this.deadline).is_ready();
            let news = news && this.callback.is_none();
            if !due && !news && !again {
                return Poll::Pending;
            }
            if events == 0 {
                break;
            }
        }
        yield_now(cx)
    }
}

impl Drop for SessionTask {
    fn drop(&mut self) {
        if self.rests {
            return;
        }
        let span = self.span.as_deref().cloned();
        let _entered = span.as_ref().map(tracing::Span::enter);
        // However it ends, by abort too: nothing is left behind.
        self.connection.end(CloseReason::ServerClosed);
        self.queue(None);
        self.connection.attachment().finish(&self.shared, &self.connection);
        self.shared.forget(&self.connection);
        self.shared.retire(&self.connection);
        self.connection.session().forget_driver();
        self.connection.set_gone();
        self.shared.turn_away(&self.connection);
    }
}

/// What panicked is told, and its text is not: it may quote a payload, and the panic hook has told it already.
pub(crate) fn panicked(connection: &Connection, which: &'static str) {
    // With the ID: the span is there only where debug is wanted.
    tracing::error!(id = connection.id(), which, "handler panicked");
    connection.session().drive(|session| session.end(CloseReason::HandlerPanicked));
}

/// Which callback is for this event.
fn kind(event: &Event) -> Option<CallbackKind> {
    match event {
        Event::Connected => Some(CallbackKind::Connect),
        Event::Message(_) => Some(CallbackKind::Message),
        Event::Dropped(_) => Some(CallbackKind::TransportDrop),
        Event::Restored => Some(CallbackKind::TransportRestore),
        Event::Gap(_) => Some(CallbackKind::Gap),
        Event::Closed(_) => Some(CallbackKind::Disconnect),
        // `Lost` is a client's.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rejoin_core::drive::{OptimisticTcp, SocketDriver, Unmasked, WsTransport};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::connection::PendingSocket;
    use crate::testing::dial;
    use crate::{ConnectRequest, Identity, Reject, Server};

    /// A server whose application has another socket come for each session that begins, before the session's task sleeps.
    fn server(taking_over: Arc<Mutex<Option<tokio::io::DuplexStream>>>) -> Server {
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::room("room").with_id("ada"));
        let server = Server::builder(connect).on_connect(move |connection| {
            let (ours, theirs) = tokio::io::duplex(1024);
            let epoch = connection.session().drive(|session| session.reserve());
            let driver = Box::new(SocketDriver::new(epoch, WsTransport::new(ours, Unmasked, &[], 1024)));
            let pending = PendingSocket { driver, received: None, resumes: true };
            assert!(connection.arrive(pending).is_none());
            *taking_over.lock().unwrap() = Some(theirs);
            async {}
        });
        server.build().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_comes_while_callbacks_run_is_attached_at_once() {
        let taking_over = Arc::default();
        let server = server(Arc::clone(&taking_over));
        let (ours, mut first) = tokio::io::duplex(1024);
        let serving = server.clone();
        tokio::spawn(async move { serving.serve_connection(ours).await });
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        first.write_all(request).await.unwrap();
        let since = tokio::time::Instant::now();
        let mut read = Vec::new();
        while !read.ends_with(b"taken over") {
            assert!(first.read_buf(&mut read).await.unwrap() > 0);
        }
        assert!(since.elapsed().is_zero(), "not with the next ping");
        assert!(server.connection("ada").unwrap().is_attached());
        drop(taking_over);
    }

    /// What is told of the sessions of a server in which each newcomer replaces the one before, and when.
    type Told = Arc<Mutex<Vec<(&'static str, u64, Duration)>>>;

    /// Such a server, whose `on_disconnect` takes so long.
    fn replacing(takes: Duration) -> (Server, Told) {
        let told = Told::default();
        let since = tokio::time::Instant::now();
        let [joined, left] = [told.clone(), told.clone()];
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::room("room").with_id("ada"));
        let server = Server::builder(connect)
            .on_connect(move |connection| {
                joined.lock().unwrap().push(("joined", connection.number(), since.elapsed()));
                async {}
            })
            .on_disconnect(move |connection, _| {
                let left = left.clone();
                async move {
                    tokio::time::sleep(takes).await;
                    left.lock().unwrap().push(("left", connection.number(), since.elapsed()));
                }
            });
        (server.build().unwrap(), told)
    }

    #[tokio::test(start_paused = true)]
    async fn the_callbacks_of_a_newcomer_begin_when_those_of_the_session_it_replaces_are_over() {
        let takes = PREDECESSOR_PATIENCE / 2;
        let (server, told) = replacing(takes);
        let _first = dial(&server).await;
        let old = server.connection("ada").unwrap();
        let _second = dial(&server).await;
        let new = server.connection("ada").unwrap();
        assert!(old != new && old == old.clone() && old.number() < new.number());
        assert_eq!(std::collections::HashSet::from([old.clone(), new.clone(), old.clone()]).len(), 2);
        tokio::time::sleep(2 * takes).await;
        let expected = [
            ("joined", old.number(), Duration::ZERO),
            ("left", old.number(), takes),
            ("joined", new.number(), takes),
        ];
        assert_eq!(*told.lock().unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_hangs_holds_a_newcomer_up_for_a_second_and_its_socket_not_at_all() {
        let (server, told) = replacing(Duration::MAX);
        let _first = dial(&server).await;
        let mut second = dial(&server).await;
        let new = server.connection("ada").unwrap();
        new.send(&crate::Frame::event_only("e")).unwrap();
        let since = tokio::time::Instant::now();
        assert_eq!(second.read_u8().await.unwrap(), 0x81);
        assert!(since.elapsed().is_zero() && told.lock().unwrap().len() == 1);
        tokio::time::sleep(2 * PREDECESSOR_PATIENCE).await;
        assert_eq!(told.lock().unwrap()[1..], [("joined", new.number(), PREDECESSOR_PATIENCE)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_without_a_pause_lets_other_tasks_have_their_turn() {
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::room("room"));
        let handled = Arc::new(AtomicUsize::new(0));
        let counts = handled.clone();
        let server = Server::builder(connect).on_message(move |_, _| {
            counts.fetch_add(1, Ordering::Relaxed);
            async {}
        });
        let message = br#"{"event":"e"}"#;
        let mut frame = vec![0x81, 0x80 | u8::try_from(message.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(message);
        let total = 20 * EVENTS_PER_POLL;
        let mut theirs = dial(&server.build().unwrap()).await;
        // All at once, before anybody reads.
        theirs.write_all(&frame.repeat(total)).await.unwrap();
        // Its task and this one take turns, although this one yields as much as it can.
        let (mut turns, mut before) = (0, 0);
        while before < total {
            tokio::task::yield_now().await;
            let now = handled.load(Ordering::Relaxed);
            assert!(now - before <= EVENTS_PER_POLL, "{} in one turn", now - before);
            turns += 1;
            assert!(turns < 1000, "it goes on by itself");
            before = now;
        }
    }

    /// Every connection has one of each: what grows them shows in the memory of all. Bytes on a 64-bit machine.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_idle_connection_stays_small() {
        // With what tokio adds a task of 128 or less takes 256. The allocator of glibc gives 264 bytes to who asks for 256.
        let sizes = [
            size_of::<SessionTask>(),
            Connection::SIZE,
            size_of::<SocketDriver<WsTransport<OptimisticTcp>>>(),
        ];
        assert!(sizes.iter().zip([112, 256, 264]).all(|(size, most)| *size <= most), "{sizes:?}");
    }
}
