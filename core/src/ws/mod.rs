//! RFC 6455 framing without I/O: converts bytes to messages and back.
//!
//! [`Decoder`] takes the bytes read from a socket, in pieces of any size, and returns complete messages and control frames. It
//! is strict: its output needs no further validation. The `encode_*` functions return complete server frames, which are
//! unmasked and therefore identical for every receiver (§5.1); [`mask_frame`] turns one into a client frame. The opening
//! handshake is HTTP and is implemented elsewhere.
//!
//! No extensions are negotiated. Support for permessage-deflate (RFC 7692) would begin with the constant for allowed reserved
//! bits in `header.rs`.

mod decoder;
pub use decoder::{Decoder, Incoming};

mod role;
pub use role::Role;

mod header;
pub use header::{frame_len, payload_len};

mod mask;

mod assembly;

mod utf8;

mod close;
pub use crate::close::is_close_code;

mod error;
pub use error::FrameError;

mod encoder;
pub use encoder::{
    HEADROOM, encode_close, encode_message, encode_ping, encode_pong, frame_in_place, mask_frame, message_of,
};

#[cfg(test)]
mod tests;
