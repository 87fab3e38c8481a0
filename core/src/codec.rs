//! [`Codec`]: frames to WebSocket messages and back.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use crate::{Frame, Message, Payload, PayloadFormat};

/// A wire format: turns a [`Frame`] into a WebSocket message and back (PROTOCOL.md §2).
///
/// A codec is stateless and shared by all connections; encoding for a room happens once, not once for each receiver.
pub trait Codec: Send + Sync + 'static {
    /// The name by which clients ask for it, in `rejoin.v1.<name>`: 1 to 32 characters of `[a-z0-9_-]`.
    fn name(&self) -> &str;

    /// Turns a frame into a message.
    ///
    /// # Errors
    /// Fails when the payload has no image in this format; the frame is then not delivered to receivers of this codec.
    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError>;

    /// Turns a message into a frame. Input comes from the network: it must not panic whatever it is.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for bytes that are not of the format at all, which closes the socket with 1007;
    /// [`DecodeError::NotAFrame`] for what is well-formed but no frame, 1008.
    fn decode(&self, message: Message) -> Result<Frame, DecodeError>;

    /// Turns a control frame into a message: an event of the protocol's own, and a JSON text.
    ///
    /// The default hands the text to [`Self::encode`] as a JSON payload. A codec that would translate JSON into its own
    /// format overrides it, so that the text travels as bytes (PROTOCOL.md §3).
    ///
    /// # Errors
    /// As [`Self::encode`].
    fn encode_control(&self, event: &str, json: Option<Bytes>) -> Result<Message, EncodeError> {
        let frame = Frame::event_only(event);
        self.encode(&match json {
            Some(text) => frame.with_payload(Payload::from_parts(PayloadFormat::Json, text)),
            None => frame,
        })
    }
}

impl fmt::Debug for dyn Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({})", self.name())
    }
}

/// Whether `name` can stand for a codec in a subprotocol (PROTOCOL.md §1).
pub fn is_codec_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// A frame that a codec cannot represent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodeError {
    /// What has no image in the format.
    pub what: Cow<'static, str>,
}

impl EncodeError {
    /// An error that says what could not be represented.
    pub fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into() }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame cannot be encoded: {}", self.what)
    }
}

impl std::error::Error for EncodeError {}

/// A message that is no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not of the format at all.
    Malformed(Cow<'static, str>),
    /// The bytes are of the format, but no frame: not a map, an `id` or `event` of another type, text for binary.
    NotAFrame(Cow<'static, str>),
}

impl DecodeError {
    /// The code that closes the socket: 1007 or 1008 (PROTOCOL.md §2).
    pub fn close_code(&self) -> u16 {
        match self {
            Self::Malformed(_) => 1007,
            Self::NotAFrame(_) => 1008,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "malformed message: {why}"),
            Self::NotAFrame(why) => write!(f, "not a frame: {why}"),
        }
    }
}

impl std::error::Error for DecodeError {}
