//! [`Driver`]: the task of a connection, from its first socket to its end.

mod log;

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rejoin_core::drive::{Deadline, Detach, SocketDriver, now};
use rejoin_core::{
    AttachError, CloseReason as SessionEnd, DropReason, Mode, Reconnect, Session, SessionState,
};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use crate::backoff::Backoff;
use crate::cookies::Cookies;
use crate::dial::Dialer;
use crate::error::{ConnectError, SavedError};
use crate::event::CloseReason;
use crate::options::ClientOptions;
use crate::refusal::{Refusal, Remedy};
use crate::retries::Retries;
use crate::saved::SavedSession;
use crate::shared::Shared;
use crate::state::ConnectionState;
use crate::stream::BoxIo;
use crate::transport::FORGIVEN;

use log::{log_closed, log_dropped, log_opened};

/// Dials, drives the socket, and dials again, until the session has ended.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    dialer: Arc<Dialer>,
    options: Arc<ClientOptions>,
    backoff: Backoff,
    cookies: Cookies,
    timer: Deadline,
    retries: Retries,
    /// Credentials were refused with 401, and no socket has opened since.
    credentials_refused: bool,
    /// The server may have read the request of a dial that was abandoned, and may still act on it.
    late_request: bool,
    /// Sockets that are being closed. They end before the driver, or with it.
    leaving: JoinSet<()>,
}

/// The time to close the socket after the application has closed, because delivering has already had the close timeout; and after a
/// first dial that failed, whose caller waits.
const LEAVE_AFTER_CLOSE: Duration = Duration::from_secs(1);

impl Driver {
    /// Makes the driver of a new connection, or of a saved session.
    ///
    /// # Errors
    /// Fails if the saved session does not fit the options.
    pub(crate) fn new(
        dialer: Arc<Dialer>,
        options: Arc<ClientOptions>,
        saved: Option<&SavedSession>,
    ) -> Result<Self, SavedError> {
        let session = saved.map(|saved| saved.restore(&options)).transpose()?;
        Ok(Self {
            shared: Arc::new(Shared::new(&options, session)),
            backoff: Backoff::new(options.base_delay, options.max_delay, options.jitter),
            dialer,
            retries: Retries::new(options.max_retries),
            options,
            cookies: saved.map(SavedSession::cookies).unwrap_or_default(),
            timer: Deadline::default(),
            credentials_refused: false,
            late_request: false,
            leaving: JoinSet::new(),
        })
    }

    /// Returns the state that the application's handles share.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Dials, or takes the stream `ready`, and waits until the server has opened the session. Returns `None` if it has, and the
    /// socket is already lost.
    pub(crate) async fn open(
        &mut self,
        ready: Option<BoxIo>,
    ) -> Result<Option<Box<SocketDriver>>, ConnectError> {
        let limit = self.options.handshake_timeout;
        let result = match timeout(limit, self.dial_and_open(ready)).await {
            Ok(result) => result,
            Err(_) => {
                // Cut without a close frame: waiting for its answer would exceed the timeout.
                self.shared.session.drive(|session| session.cut(now()));
                Err(ConnectError::Timeout)
            }
        };
        self.late_request = match &result {
            //= PROTOCOL.md#R5.21: MUST answer one 4000 after such a dial by resuming
            Ok(_) | Err(ConnectError::Closed(DropReason::Io(FORGIVEN))) => false,
            Err(error) => self.late_request || error.may_have_been_read(),
        };
        if let Ok(Some(_)) = &result {
            self.shared.set_state(ConnectionState::Connected);
        }
        result
    }

    async fn dial_and_open(
        &mut self,
        ready: Option<BoxIo>,
    ) -> Result<Option<Box<SocketDriver>>, ConnectError> {
        let shared = self.shared.clone();
        let offer = shared
            .session
            .drive(|session| session.resume_offer().map(|(token, received)| (token.clone(), received)));
        tracing::debug!(resume = offer.is_some(), "dialling");
        let resume = offer.as_ref().map(|(token, received)| (token, *received));
        let dialled = self.dialer.dial(ready, resume, &mut self.cookies).await;
        if self.options.cookies {
            shared.keep_cookies(&self.cookies);
        }
        let mut transport = dialled?;
        transport.forgive_takeover(self.late_request);
        let (before, had) = shared.session.drive(|session| (openings(session), session.identity().cloned()));
        let epoch = shared.session.drive(|session| {
            let epoch = session.reserve();
            session.attach(epoch, None, now()).map(|()| epoch)
        });
        let epoch = epoch.map_err(|error| ConnectError::Closed(gone(error)))?;
        let mut driver: Box<SocketDriver> = Box::new(SocketDriver::new(epoch, transport));
        let end = poll_fn(|cx| match self.poll_link(cx, &mut driver) {
            Poll::Ready(end) => Poll::Ready(Some(end)),
            Poll::Pending if shared.session.drive(|session| session.is_opened()) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let end = end.await;
        let opened = shared.session.drive(openings) != before;
        if opened {
            log_opened(&shared, had.as_deref());
        }
        let Some(end) = end else { return Ok(Some(driver)) };
        self.leave(driver, end);
        if opened {
            log_dropped(&shared);
            return Ok(None);
        }
        Err(shared.session.drive(|session| match session.ended() {
            Some(SessionEnd::Protocol(frame)) => ConnectError::Protocol(frame.clone()),
            Some(SessionEnd::Remote(frame)) => ConnectError::Closed(DropReason::Closed(Some(frame.clone()))),
            Some(reason) => ConnectError::Protocol(reason.close_frame()),
            None => ConnectError::Closed(session.dropped().cloned().unwrap_or(DropReason::Cut)),
        }))
    }

    /// Drives a socket. Ready when the socket is detached from the session.
    fn poll_link(&mut self, cx: &mut Context<'_>, driver: &mut SocketDriver) -> Poll<Detach> {
        let Shared { session, codec, .. } = &*self.shared;
        session.register_driver(cx);
        loop {
            if let Poll::Ready(end) = driver.poll(cx, session, &**codec) {
                return Poll::Ready(end);
            }
            // After the socket: frames that it received may have moved the session's deadline forward.
            if session.poll_timeout(cx, &mut self.timer).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Runs the connection's task, from its first socket on.
    pub(crate) fn run(self, driver: Option<Box<SocketDriver>>) -> impl Future<Output = ()> + Send {
        // Made outside the future: a task may be dropped before its first poll.
        let guard = EndGuard(self.shared.clone());
        async move {
            let _guard = guard;
            self.drive(driver).await;
        }
    }

    async fn drive(mut self, mut driver: Option<Box<SocketDriver>>) {
        loop {
            let mut lasted = false;
            if let Some(mut driver) = driver.take() {
                let since = now();
                let end = poll_fn(|cx| self.poll_link(cx, &mut driver)).await;
                lasted = self.backoff.stood_for(now() - since);
                log_dropped(&self.shared);
                self.leave(driver, end);
            }
            self.shared.session.drive(|session| self.retries.judge(session, lasted));
            match self.reconnect().await {
                Some(next) => driver = next,
                None => break,
            }
        }
        self.shared.set_state(ConnectionState::Closed);
        log_closed(&self.shared);
        self.left().await;
    }

    /// Dials until the session is open again; the inner value is `None` if the socket is already lost. Returns `None` if the
    /// session has ended.
    async fn reconnect(&mut self) -> Option<Option<Box<SocketDriver>>> {
        let shared = self.shared.clone();
        let (state, advice) = shared.session.drive(|session| (session.state(), session.reconnect()));
        if state == SessionState::Closed {
            return None;
        }
        shared.set_state(ConnectionState::Reconnecting);
        if !self.options.reconnect || advice == Reconnect::Never {
            let reason = shared.session.drive(|session| session.dropped().cloned());
            tracing::debug!(?advice, "ending: reconnecting is turned off");
            shared.give_up(CloseReason::ReconnectDisabled(reason.unwrap_or(DropReason::Cut)));
            return None;
        }
        if let Some(attempts) = self.retries.exhausted() {
            let reason = shared.session.drive(|session| session.dropped().cloned());
            give_up(&shared, attempts, ConnectError::ShortLived(reason.unwrap_or(DropReason::Cut)));
            return None;
        }
        let mut wait = self.wait_for(match advice {
            Reconnect::After(hint) => Some(hint),
            _ => None,
        });
        loop {
            tracing::debug!(?wait, failures = self.retries.count(), "waiting to reconnect");
            unless_ended(&shared, wait.done(&shared)).await?;
            self.retries.begin();
            let error = match unless_ended(&shared, self.open(None)).await? {
                Ok(driver) => {
                    self.credentials_refused = false;
                    return Some(driver);
                }
                Err(error) => error,
            };
            if shared.session.drive(|session| session.state()) == SessionState::Closed {
                return None;
            }
            tracing::debug!(%error, "reconnect failed");
            wait = self.after_failure(error)?;
        }
    }

    /// The wait after a failed reconnect; `None` if another attempt cannot help.
    fn after_failure(&mut self, error: ConnectError) -> Option<DialDelay> {
        if let ConnectError::Refused(refusal) = &error {
            self.shared.refused(refusal.clone());
            if self.is_final(refusal) {
                tracing::debug!(status = refusal.status, "giving up: the refusal is final");
                self.shared.give_up(CloseReason::Refused(refusal.clone()));
                return None;
            }
        }
        if let Some(attempts) = self.retries.exhausted() {
            give_up(&self.shared, attempts, error);
            return None;
        }
        // A server that closes before it opens the session can advise a time, too: 1012 instead of 503.
        let advised = match self.shared.session.drive(|session| session.reconnect()) {
            Reconnect::After(hint) if matches!(error, ConnectError::Closed(_)) => Some(hint),
            _ => None,
        };
        let retry_after = match &error {
            ConnectError::Refused(refusal) => refusal.retry_after,
            _ => None,
        };
        Some(self.wait_for(retry_after.max(advised)))
    }

    //= PROTOCOL.md#R7.21: another 401 before a session is open is final
    fn is_final(&mut self, refusal: &Refusal) -> bool {
        match refusal.remedy() {
            Remedy::Retry => false,
            Remedy::FreshCredentials => {
                std::mem::replace(&mut self.credentials_refused, true)
                    || !self.options.has_fresh_credentials()
            }
            Remedy::None => true,
        }
    }

    /// The wait before the next dial, with the time that the server has advised, if any.
    fn wait_for(&mut self, hint: Option<Duration>) -> DialDelay {
        match hint {
            Some(hint) => DialDelay { delay: self.backoff.next_after(hint), asked: true },
            None => DialDelay { delay: self.backoff.next(), asked: false },
        }
    }

    /// Called after a failed first dial, because its close frame has to reach the server.
    pub(crate) async fn part(&mut self) {
        timeout(LEAVE_AFTER_CLOSE, self.left()).await.ok();
    }

    async fn left(&mut self) {
        while self.leaving.join_next().await.is_some() {}
    }

    /// Closes a socket in a task, without waiting for it.
    fn leave(&mut self, driver: Box<SocketDriver>, end: Detach) {
        while self.leaving.try_join_next().is_some() {}
        if end != Detach::Gone {
            let closed =
                self.shared.session.drive(|session| matches!(session.ended(), Some(SessionEnd::Local(_))));
            let limit = if closed { LEAVE_AFTER_CLOSE } else { self.options.close_timeout };
            let closing = async move {
                timeout(limit, driver.close(end)).await.ok();
            };
            self.leaving.spawn(closing.in_current_span());
        }
    }
}

fn give_up(shared: &Shared, attempts: u32, last: ConnectError) {
    tracing::debug!(attempts, "giving up: no more retries");
    shared.give_up(CloseReason::RetriesExhausted { attempts, last: Arc::new(last) });
}

/// The time before a dial.
#[derive(Debug, Clone, Copy)]
struct DialDelay {
    delay: Duration,
    /// The server has asked for this delay.
    asked: bool,
}

/// The longest wait between dials while the application closes: a longer one would use up the close timeout.
const CLOSING_DELAY: Duration = Duration::from_millis(500);

impl DialDelay {
    /// Waits. Shortens the wait if the application closes meanwhile and the server has not asked for the delay.
    async fn done(self, shared: &Shared) {
        let closing = poll_fn(|cx| {
            shared.session.register_driver(cx);
            if shared.session.drive(|session| session.is_open()) { Poll::Pending } else { Poll::Ready(()) }
        });
        let hurried = async {
            closing.await;
            sleep(CLOSING_DELAY).await;
        };
        tokio::select! {
            biased;
            () = sleep(self.delay) => {}
            () = hurried, if !self.asked => {}
        }
    }
}

/// The number of times that a session was opened on a socket. In plain mode every socket opens one.
fn openings(session: &mut Session) -> u64 {
    let plain = session.mode() == Mode::Plain && session.state() != SessionState::New;
    session.counts().resumed + u64::from(plain || session.identity().is_some())
}

fn gone(error: AttachError) -> DropReason {
    tracing::debug!(?error, "session does not take the socket");
    DropReason::Cut
}

/// Runs `work` together with the session's timer. Returns `None` if the session ends first.
async fn unless_ended<T>(shared: &Shared, work: impl Future<Output = T>) -> Option<T> {
    let mut timer = Deadline::default();
    let ended = poll_fn(|cx| {
        shared.session.register_driver(cx);
        while shared.session.poll_timeout(cx, &mut timer).is_ready() {}
        let ended = shared.session.drive(|session| session.state()) == SessionState::Closed;
        if ended { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::select! {
        // Polled first, so that a socket that is opening sees the changes of the timer.
        biased;
        () = ended => None,
        done = work => Some(done),
    }
}

/// Ends the session however its task ends: otherwise the application would wait for its end forever.
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.session.command(|session| session.end(SessionEnd::HandlerPanicked));
        } else {
            self.0.end_locally();
        }
        self.0.set_state(ConnectionState::Closed);
    }
}
