//! [`Violation`]: a breach of the protocol by the peer.

use std::fmt;

use crate::control::Malformed;

use super::send_buffer::BadAck;

/// A violation of the protocol by the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation(pub(super) &'static str);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Violation {}

impl From<Malformed> for Violation {
    fn from(Malformed(what): Malformed) -> Self {
        Self(what)
    }
}

impl From<BadAck> for Violation {
    fn from(bad: BadAck) -> Self {
        Self(match bad {
            BadAck::Beyond => "acknowledged more than was sent",
            BadAck::Backwards => "acknowledged less than before",
        })
    }
}
