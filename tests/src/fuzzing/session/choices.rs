//! Generates values of the types that the session takes.

use std::io;
use std::time::Duration;

use rejoin_core::{CloseFrame, CloseReason, DropReason, Overflow};

use super::super::Input;

pub(super) fn overflow(input: &mut Input<'_>) -> Overflow {
    input.one_of(&[Overflow::Reject, Overflow::DropOldest, Overflow::DropNewest, Overflow::Disconnect])
}

pub(super) fn close_frame(input: &mut Input<'_>) -> CloseFrame {
    let code = input.one_of(&[1000, 1001, 1002, 1007, 1008, 1009, 1011, 1012, 1013, 4000, 4999]);
    let reason = match input.byte() % 3 {
        0 => String::new(),
        1 => format!("retry in {} ms", input.number()),
        _ => input.text(),
    };
    CloseFrame::truncated(code, reason)
}

pub(super) fn close_reason(input: &mut Input<'_>) -> CloseReason {
    match input.byte() % 8 {
        0 => CloseReason::Local(close_frame(input)),
        1 => CloseReason::Kicked,
        2 => CloseReason::Duplicate,
        3 => CloseReason::ServerClosed,
        4 => CloseReason::HandlerPanicked,
        5 => CloseReason::Evicted,
        6 => CloseReason::TransportLost(drop_reason(input)),
        _ => CloseReason::Normal,
    }
}

pub(super) fn drop_reason(input: &mut Input<'_>) -> DropReason {
    match input.byte() % 3 {
        0 => DropReason::Cut,
        1 => DropReason::WriteTimeout,
        _ => DropReason::Io(io::ErrorKind::ConnectionReset),
    }
}

/// Converts numbers of milliseconds.
pub(super) trait Millis {
    fn millis(self) -> Duration;
}

impl Millis for u64 {
    fn millis(self) -> Duration {
        Duration::from_millis(self)
    }
}
