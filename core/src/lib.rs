//! The protocol core of rejoin: frames, their encodings, and sessions that outlive their sockets.
//!
//! This crate does no I/O, starts no task and reads no clock. Bytes, events and the current time are arguments; data to
//! write, events for the application and the next deadline are results. Applications use `rejoin-server` or
//! `rejoin-client`, which re-export every type of this crate that their users have to name.
//!
//! ```
//! use rejoin_core::Frame;
//!
//! let frame = Frame::new("chat.message", "hello")?.with_id("1");
//! assert_eq!((frame.event(), frame.id()), ("chat.message", "1"));
//! assert_eq!(frame.decode::<String>()?, "hello");
//! # Ok::<(), rejoin_core::PayloadError>(())
//! ```
//!
//! # Contents
//!
//! Incoming data passes through these in order before it reaches the application; outgoing data takes the same path in reverse:
//!
//! - [`ws`]: bytes to messages (RFC 6455)
//! - [`Codec`]: [messages](Message) to [frames](Frame), which carry a [`Payload`]
//! - [`Session`]: counts data frames, handles [control frames](Control), and yields [events](Event)
//! - [`router`]: dispatches received frames to handlers of the application
//!
//! With the feature `drive`, the module `drive` connects a session to a transport with one async loop, which the server and the
//! client share.

mod frame;
pub use frame::Frame;

mod error_answer;
pub use error_answer::ErrorAnswer;

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
    Answer, AttachError, AttachmentState, Batch, Cancelled, CloseReason, Counts, Delivery, Discarded,
    DropReason, Epoch, Event, Hibernated, Mode, Overflow, Reconnect, Refused, SegmentWriter, Session,
    SessionConfig, SessionIdentity, SessionState, Side, Span, Transmit, Violation, WhyDropped,
};

pub mod router;

// For `rejoin-client`, too.
#[doc(hidden)]
pub mod text;

// For `rejoin-client`, too.
#[doc(hidden)]
pub use session::Registration;

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
