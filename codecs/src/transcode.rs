//! Transcodes JSON text to MessagePack and back, without an intermediate tree, by the table in the crate's documentation.
//!
//! Takes linear time and bounded memory: claimed sizes do not cause allocations, and nesting deeper than [`MAX_DEPTH`] is an
//! error.

mod checked;
pub(crate) use checked::{json_payload, msgpack_payload};

mod read;
#[cfg(feature = "msgpack")]
pub(crate) use read::{MalformedMsgPack, MsgPackToken, Reader};

#[cfg(feature = "msgpack")]
mod scan;

#[cfg(feature = "msgpack")]
mod write;
#[cfg(feature = "msgpack")]
pub(crate) use write::{write_bin, write_str};

#[cfg(feature = "msgpack")]
mod to_msgpack;
#[cfg(feature = "msgpack")]
pub(crate) use to_msgpack::to_msgpack;

mod timestamp;

mod to_json;
pub(crate) use to_json::{to_json, write_base64};

#[cfg(test)]
#[cfg(feature = "msgpack")]
mod tests;

/// Maximum nesting depth of arrays and maps. serde_json and most other JSON parsers have a similar limit.
const MAX_DEPTH: usize = 128;

/// The text of errors about deeper nesting.
const TOO_DEEP: &str = "arrays and maps more than 128 deep";
