//! Validates JSON text (RFC 8259) without parsing values. Accepts exactly the grammar, at any depth; unpaired surrogates in
//! escapes are valid.
//!
//! All functions take the position where they begin, and return the position after what they skipped, or `None` if the text is
//! invalid. Passing positions by value, so that they stay in registers, is essential for the speed.

/// Skips the value that begins at `at`, where there must be no whitespace.
pub(super) fn skip_value(text: &[u8], mut at: usize) -> Option<usize> {
    let mut open = OpenContainers::default();
    loop {
        let first = *text.get(at)?;
        at += 1;
        match first {
            b'"' => at = skip_string(text, at)?,
            b'-' => at = skip_number(text, at)?,
            b'0'..=b'9' => at = skip_number(text, at - 1)?,
            b'{' => {
                at = skip_space(text, at);
                if text.get(at) != Some(&b'}') {
                    open.push(true);
                    at = skip_name(text, at)?;
                    continue;
                }
                at += 1;
            }
            b'[' => {
                at = skip_space(text, at);
                if text.get(at) != Some(&b']') {
                    open.push(false);
                    continue;
                }
                at += 1;
            }
            b't' => at = skip_word(text, at, b"rue")?,
            b'f' => at = skip_word(text, at, b"alse")?,
            b'n' => at = skip_word(text, at, b"ull")?,
            _ => return None,
        }
        // A value has ended, and with it perhaps the arrays and objects that it was the last member of.
        loop {
            let Some(is_object) = open.innermost() else {
                return Some(at);
            };
            at = skip_space(text, at);
            let next = *text.get(at)?;
            at += 1;
            match (next, is_object) {
                (b',', _) => {
                    at = skip_space(text, at);
                    if is_object {
                        at = skip_name(text, at)?;
                    }
                    break;
                }
                (b'}', true) | (b']', false) => open.pop(),
                _ => return None,
            }
        }
    }
}

/// Skips the member name that begins at `at`, up to the member's value.
#[inline]
fn skip_name(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let at = skip_colon(text, skip_string(text, at + 1)?)?;
    Some(at)
}

/// Skips the colon after a name, with surrounding whitespace.
#[inline]
pub(super) fn skip_colon(text: &[u8], at: usize) -> Option<usize> {
    let at = skip_space(text, at);
    (text.get(at) == Some(&b':')).then(|| skip_space(text, at + 1))
}

/// Skips whitespace, if any.
#[inline]
pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// Skips a string whose opening quote is before `at`.
#[inline]
pub(super) fn skip_string(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = skip_while(text, at, not_plain);
        let byte = *text.get(at)?;
        at += 1;
        match byte {
            b'"' => return Some(at),
            b'\\' => at = skip_escape(text, at)?,
            0..=0x1f => return None,
            _ => {}
        }
    }
}

fn skip_escape(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let digits = text.get(at + 1..at + 5)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 5)
        }
        _ => None,
    }
}

/// Skips a number, beginning after its sign.
#[inline]
fn skip_number(text: &[u8], start: usize) -> Option<usize> {
    let mut at = skip_digits(text, start)?;
    if text[start] == b'0' && at - start > 1 {
        return None;
    }
    if text.get(at) == Some(&b'.') {
        at = skip_digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = skip_digits(text, at)?;
    }
    Some(at)
}

/// Skips one or more digits.
#[inline]
fn skip_digits(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    (at > start).then_some(at)
}

fn skip_word(text: &[u8], at: usize, rest: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(rest).then_some(at + rest.len())
}

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// Skips from `at`, eight bytes at a time, to the first byte whose high bit `stop` sets, or until fewer than eight bytes are
/// left. Bits above that byte's may have any value.
#[inline]
fn skip_while(bytes: &[u8], mut at: usize, stop: impl Fn(u64) -> u64) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let stops = stop(u64::from_le_bytes(*word)) & HIGH;
        at += stops.trailing_zeros() as usize / 8;
        if stops != 0 {
            break;
        }
    }
    at
}

/// Sets the high bit of each byte that is a quote, a backslash or a control character.
#[inline]
fn not_plain(word: u64) -> u64 {
    // Subtracting `n` (at most 0x80) from a smaller byte borrows, which sets its high bit. The borrow can change higher bytes,
    // which do not matter, because `skip_while` uses the lowest.
    let less = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
    let quotes = less(word ^ (ONES * u64::from(b'"')), 1);
    let backslashes = less(word ^ (ONES * u64::from(b'\\')), 1);
    quotes | backslashes | less(word, 0x20)
}

/// The stack of open objects and arrays: one bit for each, without an allocation for the first 64.
#[derive(Default)]
struct OpenContainers {
    depth: usize,
    /// The innermost one is the lowest bit.
    bits: u64,
    /// Words that are full.
    outer: Vec<u64>,
}

impl OpenContainers {
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.bits >>= 1;
        self.depth -= 1;
        if self.depth.is_multiple_of(64) {
            self.bits = self.outer.pop().unwrap_or_default();
        }
    }

    /// Whether the innermost one is an object.
    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.bits & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(bytes: [u8; 8], stop: fn(u64) -> u64) -> usize {
        skip_while(&bytes, 0, stop)
    }

    #[test]
    fn plain_text_ends_at_quote_or_escape() {
        for byte in 0..=u8::MAX {
            let stops = byte < 0x20 || byte == b'"' || byte == b'\\';
            for plain in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                for at in 0..8 {
                    let mut bytes = [plain; 8];
                    bytes[at] = byte;
                    assert_eq!(
                        first(bytes, not_plain),
                        if stops { at } else { 8 },
                        "{byte:#x} in {plain:#x}"
                    );
                    bytes[at..].fill(byte);
                    assert_eq!(
                        first(bytes, not_plain),
                        if stops { at } else { 8 },
                        "{byte:#x} after {plain:#x}"
                    );
                }
            }
        }
    }

    #[test]
    fn distinguishes_arrays_and_objects_at_any_depth() {
        for depth in [1, 63, 64, 65, 127, 128, 129, 1000] {
            let open: String = (0..depth).map(|n| if n % 3 == 0 { "[" } else { r#"{"":"# }).collect();
            let close: String = (0..depth).rev().map(|n| if n % 3 == 0 { "]" } else { "}" }).collect();
            let text = format!("{open}1{close}");
            assert_eq!(skip_value(text.as_bytes(), 0), Some(text.len()));
            for at in 0..depth {
                let mut wrong = close.clone().into_bytes();
                wrong[at] = if wrong[at] == b']' { b'}' } else { b']' };
                let text = format!("{open}1{}", String::from_utf8(wrong).unwrap());
                assert_eq!(skip_value(text.as_bytes(), 0), None, "{at} of {depth}");
            }
        }
    }
}
