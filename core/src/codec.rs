//! [`Codec`]: converts frames to WebSocket messages and back.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use crate::{Frame, Message, MessageKind, Payload, PayloadFormat, ws};

/// A wire format: converts a [`Frame`] to a WebSocket message and back (PROTOCOL.md §2).
///
/// A codec is stateless and shared by all connections. A broadcast is encoded once per codec, not once per receiver.
///
/// The bytes of messages and frames are dropped while a session is locked. If a codec makes them with [`Bytes::from_owner`], the drop
/// of the owner must not call the server or the client: it would wait for ever.
pub trait Codec: Send + Sync + 'static {
    /// The name by which clients select the codec, in `rejoin.v1.<name>`: 1 to 32 characters of `[a-z0-9_-]`.
    fn name(&self) -> &str;

    /// Encodes a frame as a message.
    ///
    /// # Errors
    /// Fails if the payload cannot be represented in this format. The frame is then not delivered to receivers of this codec.
    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError>;

    /// Encodes a frame as [`Self::encode`] does, behind `headroom` bytes that the caller overwrites with the header of the
    /// WebSocket frame.
    ///
    /// The default implementation copies what [`Self::encode`] returns. A codec that writes into a buffer overrides it to save
    /// that copy, and an allocation.
    ///
    /// # Errors
    /// Same as [`Self::encode`].
    fn encode_behind(&self, headroom: usize, frame: &Frame) -> Result<(MessageKind, Vec<u8>), EncodeError> {
        let Message { kind, data } = self.encode(frame)?;
        let mut buffer = Vec::with_capacity(headroom + data.len());
        buffer.resize(headroom, 0);
        buffer.extend_from_slice(&data);
        Ok((kind, buffer))
    }

    /// Decodes a message into a frame. Messages come from the network: this must not panic on any input.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] if the bytes are not of this format, which closes the socket with 1007;
    /// [`DecodeError::NotAFrame`] if they are well-formed but not a frame, which closes it with 1008.
    fn decode(&self, message: Message) -> Result<Frame, DecodeError>;

    /// Encodes a control frame: an event of the protocol and a JSON text.
    ///
    /// The default implementation passes the text to [`Self::encode`] as a JSON payload. A codec that converts JSON payloads to
    /// another format must override it, so that the text travels as bytes (PROTOCOL.md §3).
    ///
    /// # Errors
    /// Same as [`Self::encode`].
    fn encode_control(&self, event: &str, json: Option<Bytes>) -> Result<Message, EncodeError> {
        let frame = Frame::event_only(event);
        self.encode(&match json {
            Some(text) => frame.with_payload(Payload::from_parts(PayloadFormat::Json, text)),
            None => frame,
        })
    }
}

impl dyn Codec {
    /// Encodes a frame as a message in an unmasked WebSocket frame, the form that sessions and transports take.
    ///
    /// # Errors
    /// Same as [`Codec::encode`].
    pub fn encode_framed(&self, frame: &Frame) -> Result<Bytes, EncodeError> {
        let (kind, buffer) = self.encode_behind(ws::HEADROOM, frame)?;
        ws::frame_in_place(kind, buffer).ok_or_else(|| EncodeError::new("codec left no headroom"))
    }
}

impl fmt::Debug for dyn Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({})", self.name())
    }
}

/// Whether `name` is a valid codec name for a subprotocol (PROTOCOL.md §1).
pub fn is_codec_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// The frame cannot be represented in the codec's format.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodeError {
    /// The part that cannot be represented.
    pub what: Cow<'static, str>,
}

impl EncodeError {
    /// Creates an error that names the part that cannot be represented.
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

/// The message cannot be decoded as a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not of the codec's format.
    Malformed(Cow<'static, str>),
    /// The bytes are well-formed but not a frame: not a map, `id` or `event` of another type, or text for a binary codec.
    NotAFrame(Cow<'static, str>),
}

impl DecodeError {
    /// The close code for the socket: 1007 or 1008 (PROTOCOL.md §2).
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves fewer bytes free than it is asked for.
    struct Careless;

    impl Codec for Careless {
        fn name(&self) -> &str {
            "careless"
        }

        fn encode(&self, _: &Frame) -> Result<Message, EncodeError> {
            Ok(Message::text("x"))
        }

        fn encode_behind(&self, headroom: usize, _: &Frame) -> Result<(MessageKind, Vec<u8>), EncodeError> {
            Ok((MessageKind::Text, vec![b'x'; headroom - 1]))
        }

        fn decode(&self, _: Message) -> Result<Frame, DecodeError> {
            Ok(Frame::default())
        }
    }

    #[test]
    fn missing_headroom_is_an_error() {
        let codec: &dyn Codec = &Careless;
        assert!(codec.encode_framed(&Frame::default()).is_err());
    }
}
