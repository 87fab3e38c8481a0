//! Messages that no codec encodes.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use rejoin_core::Message;

/// Longer messages are not truncated and changed at each byte, because that would take long.
const SHORT: usize = 120;

/// Extreme lengths, other types, ends of strings, and bytes that are not text.
const BYTES: [u8; 7] = [0x00, b'"', 0x7f, 0x80, 0xc7, 0xdd, 0xff];

/// Random data has lengths from 0 up to this number, and each length occurs `RANDOM_ROUNDS` times.
const RANDOM_LENGTHS: u64 = 64;
const RANDOM_ROUNDS: u64 = 32;

/// The messages that are short enough for [`truncated`] and [`changed`].
pub(super) fn short(messages: &[Message]) -> impl Iterator<Item = &Message> {
    messages.iter().filter(|message| message.data.get(SHORT..).is_none())
}

/// Every proper prefix of a message.
pub(super) fn truncated(data: &Bytes) -> impl Iterator<Item = Bytes> {
    (0..data.len()).map(|len| data.slice(..len))
}

/// Copies of a message with one byte removed, replaced or inserted at each position.
pub(super) fn changed(data: &[u8]) -> impl Iterator<Item = Bytes> {
    (0..data.len()).flat_map(|at| {
        let (before, after) = data.split_at(at);
        let (_, behind) = after.split_first().expect("`at` is below the length");
        let with = |inserted: &[u8], after: &[u8]| Bytes::from([before, inserted, after].concat());
        let mut changed = vec![with(&[], behind)];
        changed.extend(BYTES.map(|byte| with(&[byte], behind)));
        changed.extend(BYTES.map(|byte| with(&[byte], after)));
        changed
    })
}

/// Random data, the same at every call.
pub(super) fn random() -> impl Iterator<Item = Bytes> {
    (0..RANDOM_LENGTHS).flat_map(|len| (0..RANDOM_ROUNDS).map(move |round| random_bytes(len, round)))
}

fn random_bytes(len: u64, round: u64) -> Bytes {
    let byte = |at: u64| {
        let mut hasher = DefaultHasher::new();
        (len, round, at).hash(&mut hasher);
        hasher.finish() as u8
    };
    (0..len).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_at_every_byte() {
        let cut: Vec<Bytes> = truncated(&"abc".into()).collect();
        assert_eq!(cut, ["", "a", "ab"]);
    }

    #[test]
    fn each_byte_is_removed_replaced_and_shifted() {
        let changed: Vec<Bytes> = changed(b"ab").collect();
        assert_eq!(changed.len(), 2 * (1 + 2 * BYTES.len()));
        for removed in [&b"b"[..], b"a"] {
            assert!(changed.contains(&Bytes::from_static(removed)));
        }
        for byte in BYTES {
            for data in [&[byte, b'b'][..], &[b'a', byte], &[byte, b'a', b'b'], &[b'a', byte, b'b']] {
                assert!(changed.contains(&Bytes::copy_from_slice(data)), "{}", data.escape_ascii());
            }
        }
    }

    #[test]
    fn only_short_messages_are_mutated() {
        let messages = [SHORT, SHORT - 1, SHORT + 1, 0].map(|len| Message::binary(vec![0; len]));
        let short: Vec<usize> = short(&messages).map(|message| message.data.len()).collect();
        assert_eq!(short, [SHORT - 1, 0]);
    }

    #[test]
    fn random_data_covers_all_lengths_and_bytes() {
        let all: Vec<Bytes> = random().collect();
        assert_eq!(all, random().collect::<Vec<_>>());
        for len in 0..RANDOM_LENGTHS {
            let of_length = all.iter().filter(|data| data.len() as u64 == len);
            assert_eq!(of_length.count() as u64, RANDOM_ROUNDS);
        }
        for byte in 0..=u8::MAX {
            let first = all.iter().filter(|data| data.first() == Some(&byte)).count();
            assert!((1..30).contains(&first), "{first} of {} begin with {byte:#x}", all.len());
        }
    }
}
