//! JSON text to MessagePack and back, without a tree in between; the table of images stands in the crate's documentation.
//!
//! Linear in time, and bounded: nothing is allocated because an input claims it, and what is deeper than [`MAX_DEPTH`] has no
//! image.

mod checked;
pub(crate) use checked::{json_payload, msgpack_payload};

mod read;
#[cfg(feature = "msgpack")]
pub(crate) use read::{Malformed, Reader, Token};

#[cfg(feature = "msgpack")]
mod scan;

#[cfg(feature = "msgpack")]
mod write;
#[cfg(feature = "msgpack")]
pub(crate) use write::{write_bin, write_map_head, write_str};

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

/// How many arrays and maps may stand inside each other. serde_json and most readers of JSON have a limit like it.
const MAX_DEPTH: usize = 128;

/// What an error says about what is nested deeper.
const TOO_DEEP: &str = "arrays and maps more than 128 deep";
