//! [`Message`]: a WebSocket data message, independent of the codec.

use bytes::Bytes;

/// Whether a WebSocket message is text or binary (RFC 6455 §5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "RFC 6455 defines only these two")]
pub enum MessageKind {
    /// Opcode 1: valid UTF-8.
    Text,
    /// Opcode 2: any bytes.
    Binary,
}

/// A complete WebSocket data message: fragments are joined, the mask is removed, and text is valid UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a message is a kind and its bytes")]
pub struct Message {
    /// Text or binary.
    pub kind: MessageKind,
    /// The application data.
    pub data: Bytes,
}

impl Message {
    /// Creates a text message. A `String` is moved without a copy.
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: MessageKind::Text, data: Bytes::from(text.into()) }
    }

    /// Creates a binary message.
    pub fn binary(data: impl Into<Bytes>) -> Self {
        Self { kind: MessageKind::Binary, data: data.into() }
    }
}
