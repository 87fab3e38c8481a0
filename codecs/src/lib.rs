//! The wire formats of rejoin (PROTOCOL.md §2). Each is a [`Codec`] behind its own feature.
//!
//! ```
//! # #[cfg(feature = "json")] {
//! use rejoin_codecs::JsonCodec;
//! use rejoin_core::{Codec as _, Frame, Message};
//!
//! let frame = Frame::new("chat.message", "hello")?;
//! let message = JsonCodec.encode(&frame)?;
//! assert_eq!(message, Message::text(r#"{"event":"chat.message","payload":"hello"}"#));
//! assert_eq!(JsonCodec.decode(message)?, frame);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Contents
//!
//! - [Formats](#formats): the codecs of this crate
//! - [Encodings](#encodings): how values of one format are represented in another
//! - [Codecs of an application](#codecs-of-an-application): [`payloads`] and [`conformance`]
//!
//! # Formats
//!
//! | format | codec | feature | WebSocket message |
//! |---|---|---|---|
//! | JSON | `JsonCodec` | `json`, on by default | text |
//! | MessagePack | `MsgpackCodec` | `msgpack` | binary |
//! | Protobuf | `ProtobufCodec` | `protobuf` | binary |
//!
//! Connections of different codecs can share a room. A payload is transcoded to each receiver's format, once per codec.
//! Protobuf carries payloads of every format unchanged, together with the name of the format.
//!
//! # Encodings
//!
//! How values of one format are represented in the other. From JSON to MessagePack, always in the shortest format:
//!
//! | JSON | MessagePack |
//! |---|---|
//! | `null`, `true`, `false` | nil, true, false |
//! | a number without fraction and exponent, from -2^63 to 2^64 - 1 | an integer, exact |
//! | any other number, including `-0` | the nearest float 64; an infinity if out of range |
//! | a string | str with escapes resolved; an unpaired surrogate becomes U+FFFD |
//! | an array | an array |
//! | an object | a map with str keys, in the same order; duplicate names are kept |
//!
//! From MessagePack to JSON, always without whitespace:
//!
//! | MessagePack | JSON |
//! |---|---|
//! | nil, true, false | `null`, `true`, `false` |
//! | an integer | its decimal digits, exact |
//! | a float | the shortest text that parses to the same float 64, with fraction or exponent (`1.0`); float 32 is widened |
//! | not a number, an infinity | `null` |
//! | str | a string; bytes that are not UTF-8 become U+FFFD |
//! | bin | a padded standard base64 string (RFC 4648 §4) |
//! | a timestamp in the years 0000 to 9999 | a string: RFC 3339 in UTC, with 0, 3, 6 or 9 fractional digits, as needed |
//! | any other ext, including malformed timestamps | `{"ext":TYPE,"data":BASE64}` |
//! | an array | an array |
//! | a map | an object, in the same order; duplicate keys are kept |
//! | a key that is a str, bin or timestamp | the string according to this table |
//! | any other key | its JSON text as a string: `"1"`, `"true"`, `"null"`, `"1.5"`, `"[1,2]"` |
//!
//! Opaque bytes are `bin` in MessagePack and, like `bin`, base64 in JSON.
//!
//! Arrays and maps more than 128 levels deep cannot be represented, nor can keys that nest arrays or maps more than 4 levels
//! deep, nor payloads from [`Payload::from_parts`] that are not valid in their format. Encoding such a frame fails with an
//! [`EncodeError`]: it is not delivered to that receiver, and counts as dropped (PROTOCOL.md §2). Payloads that stay in one
//! format are not transcoded, whatever their depth: the bytes are copied. Transcoding takes linear time.
//!
//! # Codecs of an application
//!
//! An application can add its own format by implementing [`Codec`]. [`payloads`] has functions that validate and transcode
//! payloads, and [`conformance::check`], called from a test, verifies everything that rejoin requires of a codec.
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
