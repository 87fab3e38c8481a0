//! Validation of UTF-8 that arrives in pieces (RFC 6455 §8.1).

/// Number of bytes (0 to 3) at the end of `bytes` that begin an incomplete character. `None` if `bytes` cannot become valid
/// UTF-8, whatever follows.
///
/// The standard library distinguishes the two at the earliest possible byte (`ed a0` is invalid without a third byte).
/// Callers check each piece together with the preceding incomplete bytes, and so detect errors as early as possible.
pub(super) fn incomplete_tail(bytes: &[u8]) -> Option<usize> {
    match str::from_utf8(bytes) {
        Ok(_) => Some(0),
        Err(error) if error.error_len().is_none() => Some(bytes.len() - error.valid_up_to()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_cut_short_is_no_error_yet() {
        for whole in ["ä", "€", "𝄞", "\u{10ffff}", "\u{800}", "\u{d7ff}"] {
            for cut in 0..whole.len() {
                let mut bytes = b"abc".to_vec();
                bytes.extend_from_slice(&whole.as_bytes()[..cut]);
                assert_eq!(incomplete_tail(&bytes), Some(cut), "{whole} cut at {cut}");
            }
            assert_eq!(incomplete_tail(whole.as_bytes()), Some(0));
        }
    }

    #[test]
    fn fails_at_the_first_invalid_byte() {
        let wrong: [(&str, &[u8]); 9] = [
            ("a continuation without a start", b"\x80"),
            ("an overlong start", b"\xc0"),
            ("an overlong three", b"\xe0\x9f"),
            ("a surrogate", b"\xed\xa0"),
            ("an overlong four", b"\xf0\x8f"),
            ("beyond U+10FFFF", b"\xf4\x90"),
            ("a start that no character has", b"\xf5"),
            ("a start inside a character", b"\xe2\x82\x41"),
            ("a second byte that is none", b"\xc3\x28"),
        ];
        for (what, bytes) in wrong {
            assert_eq!(incomplete_tail(bytes), None, "{what}");
            assert!(
                incomplete_tail(&bytes[..bytes.len() - 1]).is_some(),
                "{what}: one byte earlier is too early"
            );
        }
    }
}
