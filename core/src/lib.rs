//! The rules of rejoin: what a frame is, how it crosses the wire, and how a session outlives its sockets.
//!
//! No sockets, no runtime and no clock: bytes, events and the time come in as arguments; what to write, what to tell the
//! application and when to look again come out. Applications use `rejoin-server` or `rejoin-client`, which re-export what
//! their users must name.
//!
//! A frame's way in: [`ws`] (bytes to messages), [`Codec`] (messages to frames), [`Session`] (frames counted, control
//! frames obeyed), the application. Its way out is the same way back. With the feature `drive`, the module `drive` joins a
//! session to a transport: the one async loop, the same for server and client. In the application, [`router`] finds the handler
//! for a frame.

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
pub use close::CloseFrame;

mod control;
pub use control::{Control, Gap, LostReason, Open, Token};

mod session;
pub use session::{
    AttachError, AttachmentState, Batch, CloseReason, Counts, Delivery, DropReason, Epoch, Event, Hibernated,
    Mode, Overflow, Reconnect, Refused, Session, SessionConfig, SessionIdentity, SharedFrame, SharedRun,
    Side, State, Tape, Transmit, Violation,
};

pub mod router;

#[cfg(feature = "drive")]
pub mod drive;

/// The prost whose messages payloads carry: where an application has another one too, `#[prost(prost_path = "..")]` names it.
#[cfg(feature = "prost")]
pub use prost;

#[cfg(test)]
mod tests;
