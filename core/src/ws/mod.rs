//! RFC 6455 framing without sockets: bytes in, messages out, and back.
//!
//! [`Decoder`] takes what was read from a socket, in whatever pieces it came, and gives whole messages and control
//! frames; it is strict, so that what it delivers needs no second check. The `encode_*` functions give the bytes of whole
//! server frames: not masked, therefore the same for every receiver (§5.1); [`mask_frame`] makes a client's of them. The opening handshake is not here; it is
//! HTTP, and belongs to the server.
//!
//! Extensions are not negotiated. One constant, in `header.rs`, names the reserved bits that a frame may carry; it is
//! where permessage-deflate (RFC 7692) would begin.

mod decoder;
pub use decoder::{Decoder, Incoming, Role};

mod header;
pub use header::{frame_len, payload_len};

mod mask;

mod assembly;

mod utf8;

mod close;
pub use close::is_allowed as is_close_code;

mod error;
pub use error::FrameError;

mod encoder;
pub use encoder::{encode_close, encode_message, encode_ping, encode_pong, mask_frame, message_of};

#[cfg(test)]
mod tests;
