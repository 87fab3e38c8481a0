//! [`Frame`]: the unit that applications send and receive.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::payload::{Payload, PayloadError};

/// The unit that applications send and receive: an event name, a payload, and an id.
///
/// All members are optional; an absent text reads as the empty string, and an absent flag as `false` (PROTOCOL.md §2). Events
/// that begin with `$` are reserved: sending one in session mode is an error (PROTOCOL.md §3).
///
/// ```
/// # use rejoin_core::Frame;
/// let frame = Frame::new("chat.message", &["hello", "world"])?.with_id("m-1");
/// assert_eq!(frame.event(), "chat.message");
/// assert_eq!(frame.decode::<Vec<String>>()?, ["hello", "world"]);
/// # Ok::<(), rejoin_core::PayloadError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Frame {
    // A `Box<str>` is two words and does not allocate when empty. Events are short: a copy costs less than sharing would.
    id: Box<str>,
    event: Box<str>,
    payload: Option<Payload>,
    /// The other members; `None` if all are absent, so that equal frames compare equal. Most frames pay one word for them.
    rare: Option<Box<RareMembers>>,
}

/// Members that most frames do not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct RareMembers {
    re: Box<str>,
    room: Box<str>,
    more: bool,
    volatile: bool,
    /// The key of a latest value. Not a member.
    key: Option<Arc<str>>,
    /// The peer no longer wants an answer to this question. Not a member: set while the frame waits for the application.
    cancelled: bool,
}

impl Frame {
    /// Creates a frame with `value` as a JSON payload.
    ///
    /// # Errors
    /// Fails if `value` cannot be represented in JSON ([`Payload::json`]).
    pub fn new<T: Serialize + ?Sized>(event: impl Into<Box<str>>, value: &T) -> Result<Self, PayloadError> {
        Ok(Self::event_only(event).with_payload(Payload::json(value)?))
    }

    /// Creates a frame with `value` as a MessagePack payload. In a room where most members use MessagePack, this avoids
    /// transcoding for them.
    ///
    /// # Errors
    /// Same as [`Payload::msgpack`].
    #[cfg(feature = "msgpack")]
    pub fn msgpack<T: Serialize + ?Sized>(
        event: impl Into<Box<str>>,
        value: &T,
    ) -> Result<Self, PayloadError> {
        Ok(Self::event_only(event).with_payload(Payload::msgpack(value)?))
    }

    /// Creates a frame with a prost message as its payload.
    #[cfg(feature = "prost")]
    pub fn protobuf<M: prost::Message>(event: impl Into<Box<str>>, message: &M) -> Self {
        Self::event_only(event).with_payload(Payload::protobuf(message))
    }

    /// Creates a frame without a payload.
    pub fn event_only(event: impl Into<Box<str>>) -> Self {
        Self { event: event.into(), ..Self::default() }
    }

    /// Sets or replaces the payload.
    #[must_use]
    pub fn with_payload(mut self, payload: Payload) -> Self {
        self.payload = Some(payload);
        self
    }

    /// Sets the id. Answers to this frame refer to it.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = id.into();
        self
    }

    /// Makes this frame an answer to the frame with the id `re`. An empty text makes it no answer.
    #[must_use]
    pub fn with_re(self, re: impl Into<Box<str>>) -> Self {
        let re = re.into();
        self.with_rare(|rare| rare.re = re)
    }

    /// Sets whether further answers follow this one.
    #[must_use]
    pub fn with_more(self, more: bool) -> Self {
        self.with_rare(|rare| rare.more = more)
    }

    /// Makes the frame volatile: for a value that is stale a moment later, such as a cursor or a typing indicator. It keeps its
    /// place among the frames of a socket, or it is dropped: when no socket is attached, when the socket is lost before it takes
    /// the frame, or when as many volatile frames wait as the send buffer has room for. Nobody waits for it, no gap is reported
    /// for it, and it never makes a buffer full (PROTOCOL.md §12).
    ///
    /// ```
    /// # use rejoin_core::Frame;
    /// let typing = Frame::event_only("typing").volatile();
    /// assert!(typing.is_volatile());
    /// ```
    #[must_use]
    pub fn volatile(self) -> Self {
        self.with_volatile(true)
    }

    /// Makes the frame [volatile](Self::volatile), and the latest value of `key`: in each session it replaces the volatile frame
    /// with this key that the socket has not taken. So a slow receiver gets the newest value of each key, and no older ones. The
    /// key is not transmitted.
    ///
    /// ```
    /// # use rejoin_core::Frame;
    /// # fn example(player: &str, position: [f64; 2]) -> Result<Frame, rejoin_core::PayloadError> {
    /// Ok(Frame::new("position", &position)?.latest(player))
    /// # }
    /// ```
    #[must_use]
    pub fn latest(self, key: impl Into<Arc<str>>) -> Self {
        let key = key.into();
        self.with_rare(|rare| (rare.volatile, rare.key) = (true, Some(key)))
    }

    /// Sets whether the frame is volatile.
    #[must_use]
    pub fn with_volatile(self, volatile: bool) -> Self {
        self.with_rare(|rare| {
            rare.volatile = volatile;
            rare.key.take_if(|_| !volatile);
        })
    }

    /// Sets the room that the frame was sent to.
    #[must_use]
    pub fn with_room(self, room: impl Into<Box<str>>) -> Self {
        let room = room.into();
        self.with_rare(|rare| rare.room = room)
    }

    /// Notes that the peer has cancelled this question.
    pub(crate) fn cancel(&mut self) {
        self.rare.get_or_insert_default().cancelled = true;
    }

    /// Whether the peer had cancelled this question before the application took it.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.cancelled)
    }

    fn with_rare(mut self, set: impl FnOnce(&mut RareMembers)) -> Self {
        let mut rare = self.rare.take().unwrap_or_default();
        set(&mut rare);
        self.rare = Some(rare).filter(|rare| **rare != RareMembers::default());
        self
    }

    /// The id; empty if absent.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id of the frame that this one answers; empty if it answers none.
    pub fn re(&self) -> &str {
        self.rare.as_ref().map_or("", |rare| &rare.re)
    }

    /// Whether further answers follow this one.
    pub fn more(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.more)
    }

    /// Whether the frame is volatile.
    pub fn is_volatile(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.volatile)
    }

    /// The key of which the frame is the [latest](Self::latest) value. A received frame has none.
    pub fn latest_key(&self) -> Option<&Arc<str>> {
        self.rare.as_ref()?.key.as_ref()
    }

    /// The room that the frame was sent to; empty if the sender does not name it.
    pub fn room(&self) -> &str {
        self.rare.as_ref().map_or("", |rare| &rare.room)
    }

    /// The event name; empty if absent.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Whether the frame has one of the members that most frames do not have.
    pub(crate) fn has_rare(&self) -> bool {
        self.rare.is_some()
    }

    /// The payload, if present.
    pub fn payload(&self) -> Option<&Payload> {
        self.payload.as_ref()
    }

    /// Deserializes the payload.
    ///
    /// # Errors
    /// Fails if there is no payload, and as [`Payload::decode`] does.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        self.payload.as_ref().ok_or(PayloadError::Missing)?.decode()
    }

    /// Decodes the payload as a prost message.
    ///
    /// # Errors
    /// Fails if there is no payload, and as [`Payload::decode_protobuf`] does.
    #[cfg(feature = "prost")]
    pub fn decode_protobuf<M: prost::Message + Default>(&self) -> Result<M, PayloadError> {
        self.payload.as_ref().ok_or(PayloadError::Missing)?.decode_protobuf()
    }

    /// Whether the event name is reserved for the protocol (PROTOCOL.md §3).
    pub fn is_reserved(&self) -> bool {
        self.event.starts_with('$')
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Frame");
        debug.field("id", &self.id).field("event", &self.event).field("payload", &self.payload);
        if let Some(RareMembers { re, room, more, volatile, key: _, cancelled: _ }) = self.rare.as_deref() {
            debug.field("re", re).field("room", room).field("more", more).field("volatile", volatile);
        }
        debug.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_members_take_no_memory() {
        let frame = Frame::event_only("e").with_re("q").with_room("r").with_more(true).with_volatile(true);
        assert_eq!((frame.re(), frame.room(), frame.more(), frame.is_volatile()), ("q", "r", true, true));
        let frame = frame.with_re("").with_room("").with_more(false).with_volatile(false);
        assert!(frame.rare.is_none());
        assert_eq!(frame, Frame::event_only("e"));
    }

    #[test]
    fn key_goes_with_volatility() {
        let frame = Frame::event_only("e").latest("ada");
        assert_eq!((frame.is_volatile(), frame.latest_key().map(|key| &**key)), (true, Some("ada")));
        assert_eq!(frame.with_volatile(false).latest_key(), None);
    }
}
