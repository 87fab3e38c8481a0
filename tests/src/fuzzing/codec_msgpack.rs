//! The MessagePack codec in both directions.

use rejoin_codecs::MsgpackCodec;

/// The first byte chooses whether the rest is a message from the network or a frame of the application.
///
/// # Panics
/// Panics if the codec violates a requirement of [`rejoin_codecs::conformance`].
pub fn run(data: &[u8]) {
    super::codec::run(&MsgpackCodec, data);
}
