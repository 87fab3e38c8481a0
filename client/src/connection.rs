//! [`Connection`]: a session, as its application sees it.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use rejoin_core::drive::{DeliveryError, FrameSink, SendError};
use rejoin_core::{Event as SessionEvent, Frame, InvalidClose, Overflow, Session};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::event::{Closed, Event};
use crate::sender::Sender;
use crate::shared::Shared;
use crate::state::ConnectionState;

/// A connection that outlives its sockets: a session.
///
/// It receives events, by [`Self::recv`] or as a [`Stream`], and sends frames. Other tasks send through a [`Sender`], which has
/// the same methods for that, or through a [sink](Self::sink).
///
/// Dropping the `Connection` aborts it, as [`Self::abort`] does: its task ends at once and without a word to the server, which
/// keeps the session for its resume window. Use [`Self::close`] to part properly.
pub struct Connection {
    sender: Sender,
    /// Number of drops that the application has seen.
    drops: u64,
    /// Whether the session was lost, and the reconnect after it was not reported yet.
    is_fresh: bool,
    /// The last event, once the session has reported it.
    end: Option<Event>,
    /// Whether the last event was returned.
    over: bool,
}

impl Connection {
    /// `seen` is what the application has seen of a session that was [saved](Self::save): the number of drops, and whether a loss
    /// was reported without the reconnect after it.
    pub(crate) fn new(shared: Arc<Shared>, task: JoinHandle<()>, seen: (u64, bool)) -> Self {
        let (drops, is_fresh) = seen;
        Self { sender: Sender::new(shared, task), drops, is_fresh, end: None, over: false }
    }

    /// The state that the application has seen, for [`Self::new`].
    pub(crate) fn seen(&self) -> (u64, bool) {
        (self.drops, self.is_fresh)
    }

    pub(crate) fn sender_ref(&self) -> &Sender {
        &self.sender
    }

    /// Returns the next event, in order. Returns `None` after [`Event::Closed`], and after a close by this side.
    ///
    /// Cancel safe: a call that is dropped takes no event. Up to 64 frames or 1 MiB are read ahead for the application, and then
    /// the server has to wait. While it waits, a lost socket goes unnoticed until the application takes events.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<Event>> {
        if self.over {
            return Poll::Ready(None);
        }
        let event = ready!(self.poll_event(cx));
        self.over = matches!(event, None | Some(Event::Closed(_)));
        Poll::Ready(event)
    }

    fn poll_event(&mut self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let Self { sender, drops, is_fresh, end, .. } = self;
        let shared = sender.shared();
        loop {
            // Read before the events: those that are taken before the application closes must be reported, or they are lost.
            let is_deaf = shared.is_deaf();
            let refusal = if is_deaf { None } else { shared.refusals.pop_due(*drops) };
            if refusal.is_some() {
                return Poll::Ready(refusal.map(Event::Refused));
            }
            let has_refusals = !is_deaf && !shared.refusals.is_empty();
            if end.is_some() {
                let refusal = if has_refusals { shared.refusals.pop() } else { None };
                return Poll::Ready(refusal.map(Event::Refused).or_else(|| end.take()));
            }
            let Poll::Ready(event) = shared.session.poll_event(cx) else {
                if is_deaf {
                    return Poll::Pending;
                }
                if has_refusals && let Some(refusal) = shared.refusals.pop() {
                    // The session had reported every drop when the refusal was queued: the drop before it was merged with
                    // others.
                    return Poll::Ready(Some(Event::Refused(refusal)));
                }
                ready!(shared.refusals.poll_any(cx));
                continue;
            };
            *drops += u64::from(matches!(event, SessionEvent::Dropped(_)));
            let is_last = matches!(event, SessionEvent::Closed(_));
            match shared.translate(event, is_fresh).filter(|_| !is_deaf) {
                Some(event) if is_last => *end = Some(event),
                Some(event) => return Poll::Ready(Some(event)),
                None if is_last => return Poll::Ready(None),
                None => {}
            }
        }
    }

    /// Accepts a frame for the server. In session mode, an accepted frame is delivered exactly once and in order while the
    /// session lives, even if no socket is connected at the moment. If the session does not live on, [`Event::SessionLost`] or
    /// [`Closed`] report the frame.
    ///
    /// Does not wait. Costs one encoding, and memory for the encoded frame until the server has acknowledged it.
    ///
    /// # Errors
    /// [`SendError::Full`] if the send buffer is full (or as [`ClientBuilder::overflow`](crate::ClientBuilder::overflow)
    /// says), [`SendError::Closed`] once the connection is closing, [`SendError::TooBig`] for a frame that exceeds the server's
    /// limit, [`SendError::Reserved`] for an event that begins with `$` in session mode, [`SendError::Encode`] for a frame that
    /// the codec cannot represent. The frame is then not queued.
    pub fn send(&self, frame: &Frame) -> Result<(), SendError> {
        self.sender.send(frame)
    }

    /// Like [`Self::send`], with a policy of its own for a full send buffer. Dropped frames are counted, and in session mode
    /// they are reported to the server.
    ///
    /// # Errors
    /// As [`Self::send`]; but [`SendError::Full`] only with [`Overflow::Reject`], and [`SendError::Closed`] also if
    /// [`Overflow::Disconnect`] ended the connection.
    pub fn send_with(&self, frame: &Frame, overflow: Overflow) -> Result<(), SendError> {
        self.sender.send_with(frame, overflow)
    }

    /// Like [`Self::send`], but waits for capacity in the send buffer, for at most the
    /// [write timeout](crate::ClientBuilder::write_timeout).
    ///
    /// Cancel safe: a call that is dropped has queued nothing.
    ///
    /// # Errors
    /// As [`Self::send`], with [`SendError::Timeout`] instead of [`SendError::Full`].
    pub async fn send_wait(&self, frame: &Frame) -> Result<(), SendError> {
        self.sender.send_wait(frame).await
    }

    /// Like [`Self::send_wait`], then waits until the server has acknowledged the frame: its side of the session has received
    /// it, and delivers it once and in order.
    ///
    /// Takes a round trip (PROTOCOL.md §4, `$sync`), and longer while the server's application is behind. A lost socket only
    /// prolongs the wait. Dropping the future ends the wait; an accepted frame is delivered all the same.
    ///
    /// # Errors
    /// [`DeliveryError::NotSent`] if [`Self::send_wait`] fails, [`DeliveryError::Dropped`] if the frame was evicted from the
    /// send buffer later, [`DeliveryError::Ended`] if the session ended or was lost first, [`DeliveryError::PlainMode`] in plain
    /// mode, which has no acknowledgements.
    pub async fn send_acked(&self, frame: &Frame) -> Result<(), DeliveryError> {
        self.sender.send_acked(frame).await
    }

    /// Returns a sink for this connection's frames: for `forward`, and for libraries that write to sinks. It waits for capacity
    /// as [`Self::send_wait`] does, but without a limit. A flush completes when the frames are accepted, and a close closes the
    /// sink, not the connection. Each call returns another sink; frames of different sinks may mix.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// use futures_util::{SinkExt, StreamExt, stream};
    /// use rejoin_client::{Client, Event, Frame};
    ///
    /// # async fn anyone(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder(anyone)
    /// #     .on_message(|me, frame| async move { me.send_wait(&frame).await.ok(); })
    /// #     .build()?;
    /// # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
    /// let mut connection = Client::builder(url).await?;
    /// let frames = stream::iter(["one", "two"]).map(|text| Ok(Frame::new("chat.message", text)?));
    /// let mut sink = connection.sink().sink_map_err(Box::<dyn std::error::Error>::from);
    /// frames.forward(&mut sink).await?;
    /// while let Some(Event::Message(frame)) = connection.next().await {
    ///     if frame.decode::<String>()? == "two" {
    ///         break;
    ///     }
    /// }
    /// # connection.close().await;
    /// # server.shutdown(std::time::Duration::from_secs(1)).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sink(&self) -> FrameSink<Sender> {
        self.sender.sink()
    }

    /// The connection ID that the server assigned; `None` in plain mode, where the server does not announce it. A fresh session
    /// after [`Event::SessionLost`] may have another ID.
    pub fn id(&self) -> Option<String> {
        self.sender.id()
    }

    /// The room that the server assigned; `None` if it assigned none, and in plain mode.
    pub fn room(&self) -> Option<String> {
        self.sender.room()
    }

    /// The state of the connection at this moment. It is never older than an event that [`Self::recv`] has returned; the event
    /// that reports it may still be queued.
    pub fn state(&self) -> ConnectionState {
        self.sender.state()
    }

    /// Watches [`Self::state`], with a short delay: for an indicator that shows whether the application is online. Of several
    /// changes in quick succession, only the last may be visible.
    pub fn state_changes(&self) -> watch::Receiver<ConnectionState> {
        self.sender.state_changes()
    }

    /// Closes the connection with 1000 and no reason: accepts nothing more, delivers what was accepted, then closes the socket.
    /// Returns when the connection's task has ended. A connection that has ended before returns how.
    ///
    /// Takes at most the [close timeout](crate::ClientBuilder::close_timeout), reconnects included, and a second for the socket.
    /// No event is reported from this call on. If the future is dropped, the close continues.
    ///
    /// [`Closed::unacknowledged`] counts the frames that were not delivered; [`Self::take_unacknowledged`] returns them.
    pub async fn close(&self) -> Closed {
        self.sender.close().await
    }

    /// Like [`Self::close`], with a close code and a reason. Of these codes, rejoin's server ends the session for 1000, 1002,
    /// 1007, 1008 and 1009; for any other code it keeps the session for its resume window (PROTOCOL.md §7).
    ///
    /// # Errors
    /// [`InvalidClose`] for a code that may not be sent, such as 999 or 1005 (RFC 6455 §7.4), and for a reason longer than 123
    /// bytes. The connection then stays open.
    pub async fn close_with(
        &self,
        code: u16,
        reason: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Result<Closed, InvalidClose> {
        self.sender.close_with(code, reason).await
    }

    /// Ends the connection at once and without a word to the server, which keeps the session for its resume window. Does not
    /// wait; [`Self::closed`] does.
    pub fn abort(&self) {
        self.sender.abort();
    }

    /// Waits until the connection and its task have ended. Returns at once if they have; any number of tasks may wait.
    pub async fn closed(&self) -> Closed {
        self.sender.closed().await
    }

    /// Takes the frames that were accepted and never acknowledged, once the connection has ended; returns none before. The frames
    /// that [`Event::SessionLost`] reported are not among them, but those that it would have reported after a close by this side
    /// are. An application that sends them again may repeat some.
    pub fn take_unacknowledged(&mut self) -> Vec<Frame> {
        let shared = self.sender.shared();
        if shared.session.drive(|session| session.ended().is_none()) {
            return Vec::new();
        }
        // Fixes `Closed::unacknowledged` before the frames are gone.
        shared.outcome();
        let kept = shared.session.drive(Session::take_unacknowledged);
        shared.decode(kept)
    }

    /// Returns a handle for other tasks, which sends, closes and watches this connection.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }
}

/// The events of [`Connection::recv`]. It ends after [`Event::Closed`].
impl Stream for Connection {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_recv(cx)
    }
}

impl FusedStream for Connection {
    fn is_terminated(&self) -> bool {
        self.over
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("state", &self.state()).finish_non_exhaustive()
    }
}
