//! The MessagePack codec, both ways.

use rejoin_codecs::MsgpackCodec;

/// The first byte chooses: the rest is a message from the network, or a frame of the application's.
///
/// # Panics
/// Panics where the codec breaks a claim of [`rejoin_codecs::conformance`].
pub fn run(data: &[u8]) {
    super::codec::run(&MsgpackCodec, data);
}
