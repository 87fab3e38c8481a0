//! The body of a close frame (RFC 6455 §5.5.1), with a code that may be sent (§7.4).

use super::FrameError;
use crate::close::{CloseFrame, is_close_code};

/// Parses the body of a close frame. An empty body is valid.
pub(super) fn parse(body: &[u8]) -> Result<Option<CloseFrame>, FrameError> {
    let Some((code, reason)) = body.split_first_chunk() else {
        return if body.is_empty() { Ok(None) } else { Err(FrameError::CloseTooShort) };
    };
    let code = u16::from_be_bytes(*code);
    if !is_close_code(code) {
        return Err(FrameError::CloseCode(code));
    }
    let reason = str::from_utf8(reason).map_err(|_| FrameError::CloseReasonNotUtf8)?;
    Ok(Some(CloseFrame::truncated(code, reason.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_body_is_no_frame() {
        assert_eq!(parse(b""), Ok(None));
    }

    #[test]
    fn a_code_comes_with_or_without_reason() {
        assert_eq!(parse(b"\x03\xe8"), Ok(Some(CloseFrame::from_static(1000, ""))));
        assert_eq!(parse(b"\x0f\xa0bye"), Ok(Some(CloseFrame::from_static(4000, "bye"))));
    }

    #[test]
    fn half_a_code_is_refused() {
        assert_eq!(parse(b"\x03"), Err(FrameError::CloseTooShort));
    }

    #[test]
    fn codes_that_may_not_be_sent_are_refused() {
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
            assert_eq!(parse(&code.to_be_bytes()), Err(FrameError::CloseCode(code)));
        }
        for code in [
            1000u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
        ] {
            assert!(parse(&code.to_be_bytes()).is_ok(), "{code}");
        }
    }

    #[test]
    fn a_reason_must_be_utf8() {
        assert_eq!(parse(b"\x03\xe8\xff"), Err(FrameError::CloseReasonNotUtf8));
        assert_eq!(parse(b"\x03\xe8\xe2\x82"), Err(FrameError::CloseReasonNotUtf8), "a character cut short");
    }
}
