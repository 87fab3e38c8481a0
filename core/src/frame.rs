//! [`Frame`]: what an application sends and receives.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::payload::{Payload, PayloadError};

/// What an application sends and receives: an event name, a payload, and an id of the application's own.
///
/// All three may be absent; an absent id or event reads as the empty string (PROTOCOL.md §2). An event that begins with
/// `$` belongs to the protocol: sending one in session mode is an error (PROTOCOL.md §3).
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
    // Two words each, and no allocation when empty; events are short, so that copying them costs less than sharing.
    id: Box<str>,
    event: Box<str>,
    payload: Option<Payload>,
}

impl Frame {
    /// A frame whose payload is `value` as JSON.
    ///
    /// # Errors
    /// Fails where `value` has no image in JSON ([`Payload::json`]).
    pub fn new<T: Serialize + ?Sized>(event: impl Into<Box<str>>, value: &T) -> Result<Self, PayloadError> {
        Ok(Self::event_only(event).with_payload(Payload::json(value)?))
    }

    /// A frame whose payload is `value` as MessagePack: for rooms where most speak it, which then need no translation.
    ///
    /// # Errors
    /// As [`Payload::msgpack`].
    #[cfg(feature = "msgpack")]
    pub fn msgpack<T: Serialize + ?Sized>(
        event: impl Into<Box<str>>,
        value: &T,
    ) -> Result<Self, PayloadError> {
        Ok(Self::event_only(event).with_payload(Payload::msgpack(value)?))
    }

    /// A frame whose payload is a prost message.
    #[cfg(feature = "prost")]
    pub fn protobuf<M: prost::Message>(event: impl Into<Box<str>>, message: &M) -> Self {
        Self::event_only(event).with_payload(Payload::protobuf(message))
    }

    /// A frame without a payload: what happened says it all.
    pub fn event_only(event: impl Into<Box<str>>) -> Self {
        Self { event: event.into(), ..Self::default() }
    }

    /// The same frame with this payload, instead of the one that it has.
    #[must_use]
    pub fn with_payload(mut self, payload: Payload) -> Self {
        self.payload = Some(payload);
        self
    }

    /// The same frame with this id. rejoin only carries it: applications match answers with questions by it.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = id.into();
        self
    }

    /// The application's own id; empty when there is none.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The event's name; empty when there is none.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The payload, if there is one.
    pub fn payload(&self) -> Option<&Payload> {
        self.payload.as_ref()
    }

    /// Reads the payload into a type of the application.
    ///
    /// # Errors
    /// Fails when there is no payload, or as [`Payload::decode`] does.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        self.payload.as_ref().ok_or(PayloadError::Missing)?.decode()
    }

    /// Reads the payload as a prost message.
    ///
    /// # Errors
    /// Fails when there is no payload, or as [`Payload::decode_protobuf`] does.
    #[cfg(feature = "prost")]
    pub fn decode_protobuf<M: prost::Message + Default>(&self) -> Result<M, PayloadError> {
        self.payload.as_ref().ok_or(PayloadError::Missing)?.decode_protobuf()
    }

    /// Whether the event's name is one of the protocol's own (PROTOCOL.md §3).
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
