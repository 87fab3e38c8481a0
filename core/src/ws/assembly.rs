//! [`Assembly`]: assembles a data message from pieces of frames.

use bytes::Bytes;

use super::{FrameError, utf8};
use crate::{Message, MessageKind};

/// The message that is being received. Allocates only when a piece has to wait for another one.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// The kind, from the first frame; `None` if no message has begun.
    kind: Option<MessageKind>,
    /// The unmasked payload so far. Empty if `kind` is `None`.
    bytes: Vec<u8>,
    /// Number of bytes at the end of a text that begin an incomplete character. All bytes before them are valid UTF-8.
    unfinished: u8,
}

impl Assembly {
    pub(super) fn begin(&mut self, kind: MessageKind) {
        debug_assert!(self.bytes.is_empty() && self.unfinished == 0);
        self.kind = Some(kind);
    }

    /// Appends a piece that is not the last one. `expected` is the largest possible length of the message; it limits how much is
    /// allocated in advance.
    pub(super) fn append(&mut self, piece: &[u8], expected: usize) -> Result<(), FrameError> {
        reserve(&mut self.bytes, piece.len(), expected);
        self.bytes.extend_from_slice(piece);
        if self.kind == Some(MessageKind::Text) {
            let unchecked = usize::from(self.unfinished) + piece.len();
            let tail = utf8::incomplete_tail(&self.bytes[self.bytes.len() - unchecked..]);
            // At most 3 bytes can be incomplete.
            self.unfinished = tail.ok_or(FrameError::TextNotUtf8)? as u8;
        }
        Ok(())
    }

    /// Appends the last piece and returns the message. A message in a single piece is copied once, to its exact size.
    pub(super) fn finish(&mut self, piece: &[u8]) -> Result<Message, FrameError> {
        let kind = self.kind.expect("a data frame begins only after its message");
        let data = if self.bytes.is_empty() {
            if kind == MessageKind::Text && str::from_utf8(piece).is_err() {
                return Err(FrameError::TextNotUtf8);
            }
            Bytes::copy_from_slice(piece)
        } else {
            self.append(piece, self.bytes.len() + piece.len())?;
            if self.unfinished > 0 {
                return Err(FrameError::TextNotUtf8);
            }
            let mut bytes = std::mem::take(&mut self.bytes);
            // The receiver may keep the message for a long time, so free excess capacity of more than a quarter.
            if bytes.capacity() - bytes.len() > bytes.len() / 4 {
                bytes.shrink_to_fit();
            }
            bytes.into()
        };
        *self = Self::default();
        Ok(Message { kind, data })
    }

    /// Whether a message has begun.
    pub(super) fn is_open(&self) -> bool {
        self.kind.is_some()
    }

    /// Length of the message so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Allocated bytes.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Reserves capacity for `additional` bytes. Growth doubles the capacity, so that many small pieces do not copy the message
/// each time, but stops at `expected`: a declared size can save memory, but never cause an allocation by itself.
fn reserve(bytes: &mut Vec<u8>, additional: usize, expected: usize) {
    let needed = bytes.len() + additional;
    if needed > bytes.capacity() {
        let target = bytes.capacity().saturating_mul(2).min(expected).max(needed);
        bytes.reserve_exact(target - bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity_of(message: Message) -> usize {
        Vec::from(message.data).capacity()
    }

    #[test]
    fn a_message_pins_little_more_than_its_length() {
        for pieces in [1, 2, 3, 5, 129, 140, 1000] {
            let mut assembly = Assembly::default();
            assembly.begin(MessageKind::Binary);
            for _ in 1..pieces {
                assembly.append(&[7; 8], usize::MAX).unwrap();
            }
            let message = assembly.finish(&[7; 8]).unwrap();
            assert_eq!(message.data, vec![7; 8 * pieces]);
            assert!(capacity_of(message) <= 8 * pieces * 5 / 4);
            assert_eq!(assembly.capacity(), 0);
        }
    }

    #[test]
    fn excess_capacity_over_a_quarter_is_freed() {
        // The capacity is 100 bytes when the last piece arrives.
        for (len, kept) in [(79, 79), (80, 100), (96, 100)] {
            let mut assembly = Assembly::default();
            assembly.begin(MessageKind::Binary);
            for piece in [50, len - 51] {
                assembly.append(&vec![7; piece], 100).unwrap();
            }
            assert_eq!(assembly.capacity(), 100);
            assert_eq!(capacity_of(assembly.finish(&[7]).unwrap()), kept);
        }
    }

    #[test]
    fn the_last_piece_reserves_its_exact_size() {
        let mut assembly = Assembly::default();
        assembly.begin(MessageKind::Binary);
        assembly.append(&[7; 50], 1000).unwrap();
        assert_eq!(capacity_of(assembly.finish(&[7; 40]).unwrap()), 90);
    }

    #[test]
    fn grows_by_doubling_up_to_the_expected_size() {
        let mut assembly = Assembly::default();
        assembly.begin(MessageKind::Binary);
        let mut seen = Vec::new();
        for _ in 0..10 {
            assembly.append(&[7; 10], 100).unwrap();
            seen.push(assembly.capacity());
        }
        assert_eq!(seen, [10, 20, 40, 40, 80, 80, 80, 80, 100, 100]);
    }
}
