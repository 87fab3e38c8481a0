//! The protocol core of rejoin: frames, their encodings, and sessions that outlive their sockets.
//!
//! This crate does no I/O, starts no task and reads no clock. Bytes, events and the current time are arguments; data to
//! write, events for the application and the next deadline are results. Applications use `rejoin-server` or
//! `rejoin-client`, which re-export every type of this crate that their users have to name.
//!
//! Incoming data passes through [`ws`] (bytes to messages), a [`Codec`] (messages to frames) and a [`Session`] (which counts
//! data frames and handles control frames) before it reaches the application; outgoing data takes the same path in reverse.
//! With the feature `drive`, the module `drive` connects a session to a transport with one async loop, which the server and
//! the client share. [`router`] dispatches received frames to handlers of the application.

mod frame;
pub use frame::Frame;

mod payload;
pub use payload::{Payload, PayloadError, PayloadFormat};

mod message;
pub use message::{Message, MessageKind};

mod codec;
pub use codec::{Codec, DecodeError, EncodeError, is_codec_name};

pub mod ws;

mod close;
pub use close::{CloseFrame, InvalidClose};

mod control;
pub use control::{Control, Gap, LostReason, Open, Token};

mod session;
pub use session::snapshot;
pub use session::{
    AttachError, AttachmentState, Batch, CloseReason, Counts, Delivery, DropReason, Epoch, Event, Hibernated,
    Mode, Overflow, Reconnect, Refused, SegmentWriter, Session, SessionConfig, SessionIdentity, SessionState,
    Side, Span, Transmit, Violation,
};

pub mod router;

// For `rejoin-client`, too.
#[doc(hidden)]
pub mod text;

// For `rejoin-server` and `rejoin-client`, which share it. Applications have no use for it, and it may change in any release.
#[cfg(feature = "drive")]
#[doc(hidden)]
pub mod drive;

/// The `prost` whose message types payloads carry. An application that also depends on another version of `prost` selects
/// this one with `#[prost(prost_path = "..")]`.
#[cfg(feature = "prost")]
pub use prost;

#[cfg(test)]
mod tests;
