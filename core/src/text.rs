//! [`prefix`]: limits a text without cutting a character.

/// The longest beginning of `text` that has at most `max` bytes and ends between two characters.
// `str::floor_char_boundary` needs Rust 1.91, and our oldest is 1.88.
pub fn prefix(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rfind(|&at| text.is_char_boundary(at)).expect("0 is a boundary");
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_longest_that_cuts_no_character() {
        let text = "aé€😀";
        let by_length = ["", "a", "a", "aé", "aé", "aé", "aé€", "aé€", "aé€", "aé€", text, text, text];
        for (max, expected) in by_length.into_iter().enumerate() {
            assert_eq!(prefix(text, max), expected, "{max}");
        }
        assert_eq!(prefix("", 0), "");
    }
}
