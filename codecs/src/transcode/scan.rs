//! [`Scanner`]: reads the scalars of JSON.

use rejoin_core::EncodeError;

/// A JSON number as MessagePack represents it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Unsigned(u64),
    Negative(i64),
    /// The nearest float, or infinity, for a number with a fraction or an exponent, for `-0`, and for more than 64 bits.
    Float(f64),
}

/// Reads JSON text (RFC 8259). Accepts exactly the grammar.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// A string with its escapes resolved; its allocation is reused.
    resolved: String,
}

impl<'a> Scanner<'a> {
    /// # Errors
    /// Fails if `json` is not UTF-8.
    pub(super) fn new(json: &'a [u8]) -> Result<Self, EncodeError> {
        let text = str::from_utf8(json).map_err(|_| no_json("text is not UTF-8"))?;
        Ok(Self { text, at: 0, resolved: String::new() })
    }

    /// Consumes whitespace and the next byte.
    pub(super) fn next(&mut self) -> Result<u8, EncodeError> {
        let byte = self.peek().ok_or_else(|| no_json("text is truncated"))?;
        self.at += 1;
        Ok(byte)
    }

    /// Consumes whitespace and returns the next byte without consuming it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Consumes the rest of a literal after its first byte.
    pub(super) fn word(&mut self, rest: &str) -> Result<(), EncodeError> {
        if !self.text.as_bytes()[self.at..].starts_with(rest.as_bytes()) {
            return Err(no_json("invalid literal"));
        }
        self.at += rest.len();
        Ok(())
    }

    /// Parses the number whose first byte was consumed.
    pub(super) fn number(&mut self) -> Result<Number, EncodeError> {
        let start = self.at - 1;
        let bytes = self.text.as_bytes();
        let is_negative = bytes[start] == b'-';
        let first = start + usize::from(is_negative);
        let digits = self.skip_digits(first)?;
        if bytes[first] == b'0' && digits > 1 {
            return Err(no_json("number with a leading 0"));
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.skip_digits(self.at + 1)?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            let has_sign = matches!(bytes.get(self.at + 1), Some(b'+' | b'-'));
            self.skip_digits(self.at + 1 + usize::from(has_sign))?;
        }
        let text = &self.text[start..self.at];
        // Parsing as an integer fails for fractions, exponents, and more than 64 bits.
        let integer = match is_negative {
            false => text.parse().ok().map(Number::Unsigned),
            true if text != "-0" => text.parse().ok().map(Number::Negative),
            true => None,
        };
        // Numbers beyond the range of a float parse as infinity.
        integer.or_else(|| text.parse().ok().map(Number::Float)).ok_or_else(|| no_json("invalid number"))
    }

    /// Moves past the digits that begin at `start`. Returns their number, which is at least 1.
    fn skip_digits(&mut self, start: usize) -> Result<usize, EncodeError> {
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(no_json("number with a missing digit"));
        }
        self.at = start + count;
        Ok(count)
    }

    /// Parses the string whose opening quote was consumed, with its escapes resolved.
    pub(super) fn string(&mut self) -> Result<&str, EncodeError> {
        let plain = self.plain()?;
        if self.taken(b'"') {
            return Ok(plain);
        }
        self.resolved.clear();
        self.resolved.push_str(plain);
        while !self.taken(b'"') {
            let character = self.escape()?;
            self.resolved.push(character);
            let plain = self.plain()?;
            self.resolved.push_str(plain);
        }
        Ok(&self.resolved)
    }

    /// Consumes the characters of a string up to a quote or a backslash.
    fn plain(&mut self) -> Result<&'a str, EncodeError> {
        let rest = &self.text[self.at..];
        let len = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
        let Some(len) = len.filter(|&len| rest.as_bytes()[len] >= b' ') else {
            return Err(no_json("string is unterminated or has a control character"));
        };
        self.at += len;
        Ok(&rest[..len])
    }

    fn taken(&mut self, byte: u8) -> bool {
        let is_next = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Parses an escape; an unpaired surrogate becomes U+FFFD.
    fn escape(&mut self) -> Result<char, EncodeError> {
        let bytes = &self.text.as_bytes()[self.at..];
        let character = match bytes.get(1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte.into(),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = code_unit(bytes).ok_or_else(|| no_json("invalid escape"))?;
                self.at += 6;
                if let (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) = (first, code_unit(&bytes[6..])) {
                    self.at += 6;
                    let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                    return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            _ => return Err(no_json("invalid escape")),
        };
        self.at += 2;
        Ok(character)
    }
}

/// The UTF-16 code unit that is escaped at the start of `bytes`.
fn code_unit(bytes: &[u8]) -> Option<u32> {
    let (b"\\u", digits) = bytes.get(..6)?.split_at(2) else {
        return None;
    };
    digits.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
}

pub(super) fn no_json(why: &str) -> EncodeError {
    EncodeError::new(format!("a malformed JSON payload: {why}"))
}
