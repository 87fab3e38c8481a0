//! [`Frame`]: the unit that applications send and receive.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::payload::{Payload, PayloadError};

/// The unit that applications send and receive: an event name, a payload, and an id for the application's own use.
///
/// All three are optional; an absent id or event reads as the empty string (PROTOCOL.md §2). Events that begin with `$` are
/// reserved: sending one in session mode is an error (PROTOCOL.md §3).
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

    /// Sets the id. rejoin only transports it; applications can use it to match responses to requests.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = id.into();
        self
    }

    /// The application's id; empty if absent.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The event name; empty if absent.
    pub fn event(&self) -> &str {
        &self.event
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
        f.debug_struct("Frame")
            .field("id", &self.id)
            .field("event", &self.event)
            .field("payload", &self.payload)
            .finish()
    }
}
