//! [`CloseFrame`]: the code and reason that close a WebSocket (RFC 6455 §7.4, PROTOCOL.md §7).

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::prefix;

/// The code and reason of a close frame.
///
/// ```
/// use rejoin_core::{CloseFrame, InvalidClose};
///
/// const TOMORROW: CloseFrame = CloseFrame::from_static(4001, "come back tomorrow");
/// assert_eq!(TOMORROW.to_string(), "4001 come back tomorrow");
/// assert_eq!(CloseFrame::new(1005, ""), Err(InvalidClose::Code(1005)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
#[non_exhaustive]
pub struct CloseFrame {
    /// The status code: one of RFC 6455 §7.4.1, or 3000 to 4999 for codes of libraries and applications.
    pub code: u16,
    /// A human-readable text of at most 123 bytes of UTF-8.
    pub reason: Cow<'static, str>,
}

impl CloseFrame {
    /// Maximum length of the reason in bytes: a control frame carries 125, two of which are the code (RFC 6455 §5.5).
    pub const MAX_REASON: usize = 123;

    /// Closes a socket whose client's credentials have ended, and leaves its session suspended: the client gets fresh ones, and
    /// resumes (PROTOCOL.md §7).
    pub const CREDENTIALS_EXPIRED: Self = Self::from_static(3000, "credentials expired");

    /// Creates a close frame that may be sent.
    ///
    /// # Errors
    /// [`InvalidClose::Code`] for a code outside of 1000 to 1003, 1007 to 1014 and 3000 to 4999: the others are undefined,
    /// or reserved for local use (RFC 6455 §7.4). [`InvalidClose::Reason`] for a reason longer than [`Self::MAX_REASON`].
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Result<Self, InvalidClose> {
        let reason = reason.into();
        if !is_close_code(code) {
            return Err(InvalidClose::Code(code));
        }
        if reason.len() > Self::MAX_REASON {
            return Err(InvalidClose::Reason(reason.len()));
        }
        Ok(Self { code, reason })
    }

    /// Creates a close frame from constants. In a `const`, the compiler checks them.
    ///
    /// # Panics
    /// Where [`Self::new`] returns an error.
    pub const fn from_static(code: u16, reason: &'static str) -> Self {
        assert!(is_close_code(code), "close code may not be sent");
        assert!(reason.len() <= Self::MAX_REASON, "close reason is longer than 123 bytes");
        Self { code, reason: Cow::Borrowed(reason) }
    }

    /// Creates a close frame for a code that is known to be valid, and a text of any length: error texts, for example. A reason
    /// longer than [`Self::MAX_REASON`] is truncated at a character boundary.
    pub fn truncated(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > Self::MAX_REASON {
            reason = Cow::Owned(prefix(&reason, Self::MAX_REASON).to_owned());
        }
        Self { code, reason }
    }
}

/// A close frame as it was serialized, which may be any.
#[derive(Deserialize)]
struct Unchecked {
    code: u16,
    reason: String,
}

impl TryFrom<Unchecked> for CloseFrame {
    type Error = InvalidClose;

    fn try_from(Unchecked { code, reason }: Unchecked) -> Result<Self, InvalidClose> {
        Self::new(code, reason)
    }
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        Ok(())
    }
}

/// Whether a close code may be sent: codes that IANA has registered for the wire, and the ranges for libraries and
/// applications. 1004 is undefined; 1005, 1006 and 1015 are for local use only (§7.4.1).
pub const fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A code or reason that a close frame must not carry. Nothing was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidClose {
    /// This code may not be sent (RFC 6455 §7.4).
    Code(u16),
    /// The reason has this length in bytes, which exceeds [`CloseFrame::MAX_REASON`] (RFC 6455 §5.5).
    Reason(usize),
}

impl fmt::Display for InvalidClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => {
                write!(f, "invalid close code: {code} (expected 1000 to 1003, 1007 to 1014, or 3000 to 4999)")
            }
            Self::Reason(len) => {
                write!(f, "invalid close reason: {len} bytes (expected at most {})", CloseFrame::MAX_REASON)
            }
        }
    }
}

impl std::error::Error for InvalidClose {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_close_codes_are_refused() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert_eq!(CloseFrame::new(code, ""), Err(InvalidClose::Code(code)));
        }
        for code in [1000, 1003, 1007, 1014, 3000, 4999] {
            assert_eq!(CloseFrame::new(code, "").map(|frame| frame.code), Ok(code));
        }
    }

    #[test]
    fn close_reason_beyond_123_bytes_is_refused() {
        let reason = "é".repeat(61) + "a";
        assert_eq!(CloseFrame::new(1000, reason.clone()).map(|frame| frame.reason), Ok(reason.into()));
        assert_eq!(CloseFrame::new(1000, "é".repeat(62)), Err(InvalidClose::Reason(124)));
    }

    #[test]
    fn truncated_reason_ends_at_a_character_boundary() {
        for (reason, len) in
            [("a".repeat(122), 122), ("a".repeat(123), 123), ("a".repeat(124), 123), ("é".repeat(62), 122)]
        {
            let frame = CloseFrame::truncated(1000, reason.clone());
            assert_eq!(frame.reason.len(), len);
            assert!(reason.starts_with(&*frame.reason));
        }
    }

    #[test]
    fn close_errors_name_valid_values() {
        assert_eq!(
            InvalidClose::Code(1005).to_string(),
            "invalid close code: 1005 (expected 1000 to 1003, 1007 to 1014, or 3000 to 4999)"
        );
        let long = InvalidClose::Reason(200).to_string();
        assert_eq!(long, "invalid close reason: 200 bytes (expected at most 123)");
    }
}
