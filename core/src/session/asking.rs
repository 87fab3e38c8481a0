//! [`Asking`]: whether the peer is to be asked for an acknowledgement.

use crate::Control;

use super::{Mode, Session, Side, Transmit};

/// How far we are with `$sync` on the attached socket. One at a time is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Asking {
    #[default]
    Idle,
    /// `$sync` is to be written behind the data frames that are due.
    Due,
    /// `$sync` was written, and no `$ack` has brought anything since.
    Sent,
    /// The same, and another is to follow.
    SentAndDue,
}

impl Asking {
    /// An acknowledgement is wanted of everything that was accepted so far.
    pub(super) fn want(&mut self) {
        *self = match self {
            Self::Idle | Self::Due => Self::Due,
            Self::Sent | Self::SentAndDue => Self::SentAndDue,
        };
    }

    /// The same, where any acknowledgement will do: not while one is under way.
    pub(super) fn want_any(&mut self) {
        if *self == Self::Idle {
            *self = Self::Due;
        }
    }

    /// `$ack` has come, with something `new` or not. A peer that has not counted what it has read says so later, unasked: it is
    /// not asked again and again.
    pub(super) fn acknowledged(&mut self, new: bool) {
        *self = match *self {
            Self::Sent if new => Self::Idle,
            Self::SentAndDue => Self::Due,
            state => state,
        };
    }
}

impl Session {
    /// `$sync`, where all data frames that are due were handed out and somebody waits for their acknowledgement.
    pub(super) fn transmit_sync(&mut self) -> Option<Transmit> {
        // A close frame is answered behind an acknowledgement anyway.
        if self.config.mode == Mode::Plain || self.closing.is_some() {
            return None;
        }
        if self.is_half_full() {
            self.asking.want_any();
        }
        if self.asking != Asking::Due {
            return None;
        }
        if !self.send_buffer.awaits_ack() {
            self.asking = Asking::Idle;
            return None;
        }
        self.asking = Asking::Sent;
        Some(Transmit::Control(Control::Sync))
    }

    /// Whether half of what we may keep waits for an acknowledgement, and we keep less than the peer measures its
    /// acknowledgements by.
    //= PROTOCOL.md#R4.26: A sender whose own limits are below `buffer` or `buffer_bytes`
    fn is_half_full(&self) -> bool {
        self.keeps_less()
            && (2 * self.send_buffer.occupied() >= self.buffer as usize
                || self.send_buffer.bytes() >= self.buffer_bytes() / 2)
    }

    /// Whether our own limits are below those by which the peer acknowledges.
    pub(super) fn keeps_less(&self) -> bool {
        // A server announces its own.
        self.config.side == Side::Client
            && (self.buffer < self.peer_buffer || self.config.buffer_bytes < self.peer_buffer_bytes as usize)
    }

    /// The bytes that we keep.
    pub(super) fn buffer_bytes(&self) -> usize {
        match self.config.side {
            Side::Server => self.config.buffer_bytes,
            Side::Client => self.config.buffer_bytes.min(self.peer_buffer_bytes as usize),
        }
    }
}
