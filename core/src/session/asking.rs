//! [`Asking`]: when to ask the peer for an acknowledgement.

/// Progress of `$sync` on the attached socket. At most one is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Asking {
    #[default]
    Idle,
    /// A `$sync` follows the pending data frames.
    Due,
    /// A `$sync` was sent, and no `$ack` has acknowledged anything new since.
    Sent,
    /// Like `Sent`, and another `$sync` has to follow.
    SentAndDue,
}

impl Asking {
    /// Requests an acknowledgement that covers every frame accepted so far.
    pub(super) fn want(&mut self) {
        *self = match self {
            Self::Idle | Self::Due => Self::Due,
            Self::Sent | Self::SentAndDue => Self::SentAndDue,
        };
    }

    /// Requests any acknowledgement; one that is already under way is enough.
    pub(super) fn want_any(&mut self) {
        if *self == Self::Idle {
            *self = Self::Due;
        }
    }

    /// Handles an `$ack`; `new` tells whether it acknowledged anything new. If not, the state stays `Sent`: a peer that has not counted
    /// all frames that it has read sends another `$ack` unasked, and repeated requests would only cost traffic.
    pub(super) fn acknowledged(&mut self, new: bool) {
        *self = match *self {
            Self::Sent if new => Self::Idle,
            Self::SentAndDue => Self::Due,
            state => state,
        };
    }
}
