//! The wire formats of rejoin (PROTOCOL.md §2): each is a [`Codec`], behind a feature of its own.
//!
//! | format | codec | feature | WebSocket message |
//! |---|---|---|---|
//! | JSON | `JsonCodec` | `json`, on by default | text |
//! | MessagePack | `MsgpackCodec` | `msgpack` | binary |
//! | Protobuf | `ProtobufCodec` | `protobuf` | binary |
//!
//! One room may hold connections of different codecs: each gets a payload in its own format, translated once for each codec.
//! Protobuf carries payloads in all formats as they are, and says which it is.
//!
//! # Encodings
//!
//! What a value is in the other format. From JSON to MessagePack, always in the shortest format:
//!
//! | JSON | MessagePack |
//! |---|---|
//! | `null`, `true`, `false` | nil, true, false |
//! | a number without fraction and exponent, from -2^63 to 2^64 - 1 | an integer, exact |
//! | any other number, `-0` too | float 64, the nearest; beyond its range an infinity |
//! | a string | str, escapes resolved; half a surrogate pair is U+FFFD |
//! | an array | an array |
//! | an object | a map with str keys, in the order of the text; repeated names stay |
//!
//! From MessagePack to JSON, always without white space:
//!
//! | MessagePack | JSON |
//! |---|---|
//! | nil, true, false | `null`, `true`, `false` |
//! | an integer | its decimal digits, exact |
//! | a float | the shortest text that reads back as the same float 64, with a fraction or an exponent: `1.0`; float 32 is widened exactly |
//! | not a number, an infinity | `null` |
//! | str | a string; bytes that are not UTF-8 are U+FFFD |
//! | bin | a padded standard base64 string (RFC 4648 §4) |
//! | a timestamp in the years 0000 to 9999 | a string: RFC 3339 in UTC, with 0, 3, 6 or 9 digits of fraction, as many as it needs |
//! | any other ext, malformed timestamps too | `{"ext":TYPE,"data":BASE64}` |
//! | an array | an array |
//! | a map | an object, in the same order; repeated keys stay |
//! | a key that is a str, bin or timestamp | the string of this table |
//! | any other key | its JSON text as a string: `"1"`, `"true"`, `"null"`, `"1.5"`, `"[1,2]"` |
//!
//! Opaque bytes are `bin` in MessagePack and, like `bin`, base64 in JSON.
//!
//! Arrays and maps more than 128 deep have no image, nor have keys that are arrays or maps more than 4 deep inside each other;
//! and what is no value of its format, which only [`Payload::from_parts`] can make, has none. A frame without an image is an
//! [`EncodeError`]: it is not delivered to that receiver, and counted as dropped (PROTOCOL.md §2). Within one format nothing is
//! translated, whatever its depth: the bytes stay as they are. Translation is linear in time.
//!
//! # Codecs of an application
//!
//! An application may bring a format of its own: it implements [`Codec`], with [`payloads`] to check and to translate what
//! frames carry, and [`conformance::check`] in one of its tests says whether that keeps what rejoin relies on.
//!
//! [`Codec`]: rejoin_core::Codec
//! [`EncodeError`]: rejoin_core::EncodeError
//! [`Payload::from_parts`]: rejoin_core::Payload::from_parts

#[cfg(feature = "json")]
mod json;
#[cfg(feature = "json")]
pub use json::JsonCodec;

#[cfg(feature = "msgpack")]
mod msgpack;
#[cfg(feature = "msgpack")]
pub use msgpack::MsgpackCodec;

#[cfg(feature = "protobuf")]
mod protobuf;
#[cfg(feature = "protobuf")]
pub use protobuf::ProtobufCodec;

mod transcode;

pub mod payloads;

pub mod conformance;
