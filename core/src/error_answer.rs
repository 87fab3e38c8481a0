//! [`ErrorAnswer`]: an answer that reports an error.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Frame, Payload};

/// An answer that reports an error to the asker: a code for programs and a message for people (PROTOCOL.md §11).
///
/// A handler of a router returns one as its error to choose what the peer learns. `ask` returns the one that the peer sent.
///
/// ```
/// # use rejoin_core::ErrorAnswer;
/// let error = ErrorAnswer::new("no_such_room", "there is no room of this name");
/// assert_eq!((error.code(), error.to_string().as_str()), ("no_such_room", "no_such_room: there is no room of this name"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorAnswer {
    content: Content,
    frame: Option<Box<Frame>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    code: Box<str>,
    message: Box<str>,
}

impl ErrorAnswer {
    /// The event of such an answer.
    pub const EVENT: &str = "error";

    /// Creates an error. Codes are the application's own; rejoin itself answers with `unknown_event`, `bad_request`, `refused`,
    /// `no_answer` and `internal`.
    pub fn new(code: impl Into<Box<str>>, message: impl Into<Box<str>>) -> Self {
        Self { content: Content { code: code.into(), message: message.into() }, frame: None }
    }

    /// The kind of error, for programs.
    pub fn code(&self) -> &str {
        &self.content.code
    }

    /// A description of the error, for people; may be empty.
    pub fn message(&self) -> &str {
        &self.content.message
    }

    /// The answer as it arrived; `None` for an error that this side has created.
    pub fn frame(&self) -> Option<&Frame> {
        self.frame.as_deref()
    }

    /// The answer as a frame.
    pub fn to_frame(&self) -> Frame {
        let payload = Payload::json(&self.content).expect("two strings can be represented in JSON");
        Frame::event_only(Self::EVENT).with_payload(payload)
    }

    /// Reads an answer; `None` if it does not report an error. A code or message that is missing reads as empty.
    pub fn from_frame(frame: &Frame) -> Option<Self> {
        (frame.event() == Self::EVENT).then(|| Self {
            content: frame.decode().unwrap_or_default(),
            frame: Some(Box::new(frame.clone())),
        })
    }
}

impl fmt::Display for ErrorAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            "" => f.write_str(self.code()),
            message => write!(f, "{}: {message}", self.code()),
        }
    }
}

impl std::error::Error for ErrorAnswer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_answer_round_trips() {
        let error = ErrorAnswer::new("full", "no seat left");
        let frame = error.to_frame();
        assert_eq!(frame.payload().unwrap().data(), r#"{"code":"full","message":"no seat left"}"#);
        let read = ErrorAnswer::from_frame(&frame).unwrap();
        assert_eq!((read.code(), read.message(), read.frame()), ("full", "no seat left", Some(&frame)));
    }

    #[test]
    fn unreadable_payload_has_no_code() {
        for payload in ["null", "1", r#"{"code":7}"#] {
            let payload = Payload::json_text(payload).unwrap();
            let frame = Frame::event_only("error").with_payload(payload);
            assert_eq!(ErrorAnswer::from_frame(&frame).unwrap().code(), "");
        }
        assert_eq!(ErrorAnswer::from_frame(&Frame::event_only("ok")), None);
    }
}
