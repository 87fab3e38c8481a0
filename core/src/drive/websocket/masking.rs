//! [`Masking`]: which frames a transport masks.

use bytes::Bytes;

use crate::ws::{self, Role};

/// The end of a connection, which decides about masking: a client masks its frames (RFC 6455 §5.3).
pub trait Masking: Send + Unpin {
    /// The end of the connection.
    const ROLE: Role;

    /// Returns the frame in the form in which this end sends it.
    fn mask(&mut self, frame: Bytes) -> Bytes;
}

/// A server's frames.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::exhaustive_structs, reason = "it has no fields to add to")]
pub struct Unmasked;

impl Masking for Unmasked {
    const ROLE: Role = Role::Server;

    fn mask(&mut self, frame: Bytes) -> Bytes {
        frame
    }
}

/// A client's frames: each gets a fresh key from an unpredictable source.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "the source of keys is its only field")]
pub struct Masked<K>(pub K);

impl<K: FnMut() -> [u8; 4] + Send + Unpin> Masking for Masked<K> {
    const ROLE: Role = Role::Client;

    fn mask(&mut self, frame: Bytes) -> Bytes {
        ws::mask_frame(&frame, (self.0)())
    }
}
