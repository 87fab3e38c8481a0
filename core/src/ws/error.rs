//! [`FrameError`]: violations of RFC 6455 by the peer.

use std::error::Error;
use std::fmt;

/// The peer violated RFC 6455 or exceeded our limit. The connection cannot continue, because the end of the invalid frame is
/// unknown. Close it with [`Self::close_code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A reserved bit is set that no negotiated extension defines (§5.2).
    ReservedBits,
    /// An undefined opcode: 3 to 7, or 11 to 15 (§5.2).
    ReservedOpcode(u8),
    /// A client sent a frame without a mask (§5.1).
    NotMasked,
    /// A server sent a masked frame (§5.1).
    Masked,
    /// A ping, pong or close frame is fragmented (§5.5).
    ControlFragmented,
    /// A ping, pong or close frame has more than 125 bytes (§5.5).
    ControlTooLong,
    /// A length is not encoded in the fewest bytes (§5.2).
    LengthNotMinimal,
    /// A 64-bit length has its most significant bit set (§5.2).
    LengthTooLarge,
    /// A continuation frame arrived outside a fragmented message (§5.4).
    UnexpectedContinuation,
    /// A new message began before the last fragment of the previous one (§5.4).
    ExpectedContinuation,
    /// The body of a close frame has only one byte; a code has two (§5.5.1).
    CloseTooShort,
    /// A close code may not be sent, or is unregistered (§7.4).
    CloseCode(u16),
    /// The reason of a close frame is not UTF-8 (§5.5.1).
    CloseReasonNotUtf8,
    /// A text message is not UTF-8 (§8.1).
    TextNotUtf8,
    /// A message exceeds the limit. If the peer is trusted, a larger limit helps.
    MessageTooBig {
        /// The current limit, in bytes.
        limit: usize,
    },
}

impl FrameError {
    /// The close code for this error (§7.4.1): 1002 for a protocol violation, 1007 for text that is not UTF-8, 1009 for a
    /// message that is too large.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::CloseReasonNotUtf8 | Self::TextNotUtf8 => 1007,
            Self::MessageTooBig { .. } => 1009,
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::NotMasked
            | Self::Masked
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::LengthNotMinimal
            | Self::LengthTooLarge
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::CloseTooShort
            | Self::CloseCode(_) => 1002,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => f.write_str("reserved bits are set"),
            Self::ReservedOpcode(opcode) => write!(f, "reserved opcode {opcode}"),
            Self::NotMasked => f.write_str("a client's frame is not masked"),
            Self::Masked => f.write_str("a server's frame is masked"),
            Self::ControlFragmented => f.write_str("control frame is fragmented"),
            Self::ControlTooLong => f.write_str("control frame is longer than 125 bytes"),
            Self::LengthNotMinimal => f.write_str("payload length is not encoded in the fewest bytes"),
            Self::LengthTooLarge => f.write_str("payload length has its most significant bit set"),
            Self::UnexpectedContinuation => f.write_str("continuation frame without a message to continue"),
            Self::ExpectedContinuation => f.write_str("new message inside a fragmented message"),
            Self::CloseTooShort => f.write_str("close body is shorter than a close code"),
            Self::CloseCode(code) => write!(f, "close code {code} may not be sent"),
            Self::CloseReasonNotUtf8 => f.write_str("close reason is not UTF-8"),
            Self::TextNotUtf8 => f.write_str("text message is not UTF-8"),
            Self::MessageTooBig { limit } => write!(f, "message is larger than {limit} bytes"),
        }
    }
}

impl Error for FrameError {}
