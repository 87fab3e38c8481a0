//! [`CloseFrame`]: the code and reason that close a WebSocket (RFC 6455 §7.4, PROTOCOL.md §7).

use std::borrow::Cow;
use std::fmt;

/// The code and reason of a close frame.
///
/// ```
/// # use rejoin_core::CloseFrame;
/// assert_eq!(CloseFrame::new(4001, "come back tomorrow").to_string(), "4001 come back tomorrow");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseFrame {
    /// The status code: one of RFC 6455 §7.4.1, or 4000 to 4999 for codes of the application.
    pub code: u16,
    /// A human-readable text of at most 123 bytes of UTF-8.
    pub reason: Cow<'static, str>,
}

impl CloseFrame {
    /// Maximum length of the reason in bytes: a control frame carries 125, two of which are the code (RFC 6455 §5.5).
    pub const MAX_REASON: usize = 123;

    /// Creates a close frame. A reason longer than [`Self::MAX_REASON`] is truncated at a character boundary. The code is not
    /// checked; [`ws::is_close_code`](crate::ws::is_close_code) says whether it may be sent.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > Self::MAX_REASON {
            let end = reason.floor_char_boundary(Self::MAX_REASON);
            reason = Cow::Owned(reason[..end].to_owned());
        }
        Self { code, reason }
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
