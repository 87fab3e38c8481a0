//! [`pack`] and [`unpack`]: an encoded message as the session keeps it.

use bytes::{BufMut, Bytes, BytesMut};
use rejoin_core::{Message, MessageKind};

/// A message as the bytes that the session keeps: its data, and one byte behind it that says whether it is text.
///
/// The session knows only bytes, and a codec may use text and binary. Behind the data, because adding it there does not copy
/// what the codec has just written, where there is room for it.
pub(crate) fn pack(message: Message) -> Bytes {
    let mut bytes = message.data.try_into_mut().unwrap_or_else(|shared| {
        let mut bytes = BytesMut::with_capacity(shared.len() + 1);
        bytes.put_slice(&shared);
        bytes
    });
    bytes.put_u8(match message.kind {
        MessageKind::Text => TEXT,
        MessageKind::Binary => BINARY,
    });
    bytes.freeze()
}

/// The message that was [packed](pack).
pub(crate) fn unpack(mut bytes: Bytes) -> Message {
    let kind = bytes.split_off(bytes.len().saturating_sub(1));
    let kind = if kind.first() == Some(&TEXT) { MessageKind::Text } else { MessageKind::Binary };
    Message { kind, data: bytes }
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_packed() {
        for message in [Message::text("hello"), Message::text(""), Message::binary(vec![1, 2, 3])] {
            assert_eq!(unpack(pack(message.clone())), message);
        }
    }
}
