//! [`Payload`]: the value of a frame, in the format that it was created or received in.

use std::fmt;

use base64::Engine as _;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserializer, Serialize};

/// The format of a [`Payload`]'s bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PayloadFormat {
    /// JSON text (RFC 8259) in UTF-8, kept byte for byte.
    Json,
    /// A single MessagePack value, kept byte for byte. A top-level `bin` has the format [`Self::Bytes`] instead.
    Msgpack,
    /// Opaque bytes, which rejoin does not inspect.
    Bytes,
}

impl fmt::Display for PayloadFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Msgpack => "MessagePack",
            Self::Bytes => "bytes",
        })
    }
}

/// The value of a frame: bytes and their format.
///
/// Create one from a serde type ([`Self::json`], `Self::msgpack`), a prost message (`Self::protobuf`) or bytes. Read it with
/// [`Self::decode`], `Self::decode_protobuf` or [`Self::to_bytes`], which accept every format that the payload may arrive in:
/// the server transcodes it to the receiver's own. Cloning only increments a reference count. Equality compares bytes: `1.0`
/// and `1` are different JSON texts.
///
/// ```
/// # use rejoin_core::Payload;
/// let payload = Payload::json(&["a", "b"])?;
/// assert_eq!(payload.decode::<Vec<String>>()?, ["a", "b"]);
///
/// let error = payload.decode::<Vec<u8>>().unwrap_err();
/// assert!(error.to_string().starts_with("payload at [0]: invalid type: string"));
/// # Ok::<(), rejoin_core::PayloadError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    format: PayloadFormat,
    data: Bytes,
}

impl Payload {
    /// Serializes `value` as JSON.
    ///
    /// # Errors
    /// Fails if `value` cannot be represented in JSON (a map has keys that are not strings), or if its `Serialize` fails.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        let data = serde_json::to_vec(value).map_err(|error| encode_error(PayloadFormat::Json, error))?;
        Ok(Self { format: PayloadFormat::Json, data: without_excess(data) })
    }

    /// Uses a JSON text without changing it, except that surrounding whitespace is removed. Costs one pass over the text to
    /// validate it.
    ///
    /// # Errors
    /// Fails if `text` is not exactly one JSON value.
    pub fn json_text(text: &str) -> Result<Self, PayloadError> {
        let value: &serde_json::value::RawValue =
            serde_json::from_str(text).map_err(|error| decode_error(PayloadFormat::Json, "", error))?;
        Ok(Self { format: PayloadFormat::Json, data: Bytes::copy_from_slice(value.get().as_bytes()) })
    }

    /// Serializes `value` as MessagePack: structs become maps with field names, and types with two forms (an IP address, a UUID)
    /// use the human-readable one, so that the value equals that of [`Self::json`]. A value that consists only of bytes becomes
    /// [opaque bytes](Self::bytes).
    ///
    /// # Errors
    /// Fails if its `Serialize` fails.
    #[cfg(feature = "msgpack")]
    pub fn msgpack<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        let mut data = Vec::with_capacity(128);
        let mut serializer = rmp_serde::Serializer::new(&mut data).with_struct_map().with_human_readable();
        value.serialize(&mut serializer).map_err(|error| encode_error(PayloadFormat::Msgpack, error))?;
        let data = without_excess(data);
        // A `bin` whose length takes one, two or four bytes, with nothing around it.
        Ok(match data.first() {
            Some(0xc4) => Self::bytes(data.slice(2..)),
            Some(0xc5) => Self::bytes(data.slice(3..)),
            Some(0xc6) => Self::bytes(data.slice(5..)),
            _ => Self { format: PayloadFormat::Msgpack, data },
        })
    }

    /// Encodes a prost message as opaque bytes. The event has to identify the message type.
    #[cfg(feature = "prost")]
    pub fn protobuf<M: prost::Message>(message: &M) -> Self {
        Self::bytes(message.encode_to_vec())
    }

    /// Opaque bytes, such as an image or the output of another serializer.
    pub fn bytes(data: impl Into<Bytes>) -> Self {
        Self { format: PayloadFormat::Bytes, data: data.into() }
    }

    /// For codecs: wraps bytes that are known to be one value of `format`. Nothing is checked; the peer cannot decode a message
    /// with an invalid value.
    pub fn from_parts(format: PayloadFormat, data: Bytes) -> Self {
        Self { format, data }
    }

    /// The format of [`Self::data`].
    pub fn format(&self) -> PayloadFormat {
        self.format
    }

    /// The bytes, in [`Self::format`].
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Deserializes the value.
    ///
    /// # Errors
    /// Fails if the value does not match `T`, and reports where; if the payload is opaque bytes; and for MessagePack if the
    /// feature `msgpack` is disabled.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        match self.format {
            PayloadFormat::Json => {
                // Validate UTF-8 once for the whole text instead of once per string in it.
                let text =
                    str::from_utf8(&self.data).map_err(|error| decode_error(self.format, "", error))?;
                serde_json::from_str(text).map_err(|error| {
                    self.located::<T, _>(&mut serde_json::Deserializer::from_str(text), error)
                })
            }
            #[cfg(feature = "msgpack")]
            PayloadFormat::Msgpack => {
                let reader = || rmp_serde::Deserializer::from_read_ref(&*self.data).with_human_readable();
                T::deserialize(&mut reader()).map_err(|error| self.located::<T, _>(&mut reader(), error))
            }
            #[cfg(not(feature = "msgpack"))]
            PayloadFormat::Msgpack => Err(PayloadError::Unsupported(PayloadFormat::Msgpack)),
            PayloadFormat::Bytes => Err(PayloadError::Opaque),
        }
    }

    /// Repeats a failed deserialization to locate the error, so that only errors pay for tracking the path.
    #[cold]
    fn located<'de, T, D>(&'de self, deserializer: D, error: D::Error) -> PayloadError
    where
        T: DeserializeOwned,
        D: Deserializer<'de, Error: std::error::Error + Send + Sync + 'static>,
    {
        match serde_path_to_error::deserialize::<_, T>(deserializer) {
            Ok(_) => decode_error(self.format, "", error),
            Err(error) => {
                let path = error.path().to_string();
                // The path of the whole value is ".".
                decode_error(self.format, if path == "." { "" } else { &path }, error.into_inner())
            }
        }
    }

    /// The opaque bytes of the payload. In JSON they are represented as a base64 string (RFC 4648 §4), which this decodes.
    ///
    /// # Errors
    /// Fails if the payload is a value other than a string, or a string that is not base64.
    pub fn to_bytes(&self) -> Result<Bytes, PayloadError> {
        if self.format == PayloadFormat::Bytes {
            return Ok(self.data.clone());
        }
        let text: String = self.decode()?;
        let bytes = base64::prelude::BASE64_STANDARD.decode(text);
        Ok(bytes.map_err(|error| decode_error(self.format, "", error))?.into())
    }

    /// Decodes [`Self::to_bytes`] as a prost message.
    ///
    /// # Errors
    /// Fails as [`Self::to_bytes`] does, and if the bytes are not a valid message; the error names the field.
    #[cfg(feature = "prost")]
    pub fn decode_protobuf<M: prost::Message + Default>(&self) -> Result<M, PayloadError> {
        M::decode(self.to_bytes()?).map_err(|error| decode_error(PayloadFormat::Bytes, "", error))
    }
}

/// Frees excess capacity. Converting a `Vec` without excess to `Bytes` does not allocate.
fn without_excess(mut data: Vec<u8>) -> Bytes {
    data.shrink_to_fit();
    data.into()
}

impl fmt::Debug for Payload {
    /// Shows the format and the length only: user data does not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("format", &self.format).field("len", &self.data.len()).finish()
    }
}

/// Why a payload could not be created or read.
///
/// The error's text may quote a part of the payload.
#[derive(Debug)]
#[non_exhaustive]
pub enum PayloadError {
    /// The value cannot be represented in this format.
    #[non_exhaustive]
    Encode {
        /// The requested format.
        format: PayloadFormat,
        /// The serializer's error.
        source: BoxSource,
    },
    /// The payload is malformed, or does not match the requested type.
    #[non_exhaustive]
    Decode {
        /// The payload's format.
        format: PayloadFormat,
        /// The location, such as `users[3].name`; empty for the whole value, or if unknown.
        path: Box<str>,
        /// The deserializer's error.
        source: BoxSource,
    },
    /// The payload is opaque bytes; use [`Payload::to_bytes`].
    Opaque,
    /// The frame has no payload.
    Missing,
    /// The feature that reads this format is disabled.
    Unsupported(PayloadFormat),
}

type BoxSource = Box<dyn std::error::Error + Send + Sync>;

fn encode_error(format: PayloadFormat, error: impl Into<BoxSource>) -> PayloadError {
    PayloadError::Encode { format, source: error.into() }
}

fn decode_error(format: PayloadFormat, path: &str, error: impl Into<BoxSource>) -> PayloadError {
    PayloadError::Decode { format, path: path.into(), source: error.into() }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode { format, source } => {
                write!(f, "payload cannot be represented in {format}: {source}")
            }
            Self::Decode { path, source, .. } if path.is_empty() => write!(f, "payload: {source}"),
            Self::Decode { path, source, .. } => write!(f, "payload at {path}: {source}"),
            Self::Opaque => f.write_str("payload is opaque bytes, which serde cannot deserialize"),
            Self::Missing => f.write_str("frame has no payload"),
            Self::Unsupported(format) => {
                write!(f, "payload is {format}, but the feature that reads it is disabled")
            }
        }
    }
}

impl std::error::Error for PayloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encode { source, .. } | Self::Decode { source, .. } => Some(&**source),
            Self::Opaque | Self::Missing | Self::Unsupported(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_json_text_byte_for_byte() {
        let text = r#"{"a": 1.0, "b":123456789012345678901234567890 }"#;
        assert_eq!(Payload::json_text(&format!(" {text}\n")).unwrap().data(), text.as_bytes());
    }

    #[test]
    fn refuses_text_that_is_not_one_json_value() {
        for text in ["", "{", "1 2", "{}x"] {
            assert!(Payload::json_text(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn decoding_opaque_bytes_fails() {
        let error = Payload::bytes("abc").decode::<String>().unwrap_err();
        assert!(matches!(error, PayloadError::Opaque));
    }

    #[test]
    fn debug_output_omits_the_payload() {
        let payload = Payload::json("secret").unwrap();
        assert!(!format!("{payload:?}").contains("secret"));
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Move {
        who: String,
        to: Vec<Point>,
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Point {
        x: f64,
        at: Option<std::net::IpAddr>,
    }

    #[cfg(feature = "msgpack")]
    fn sample() -> Move {
        Move {
            who: "ä".into(),
            to: vec![Point { x: 0.5, at: "127.0.0.1".parse().ok() }, Point { x: 1.0, at: None }],
        }
    }

    fn path_of<T: fmt::Debug>(result: Result<T, PayloadError>) -> String {
        match result.unwrap_err() {
            PayloadError::Decode { path, .. } => path.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn json_error_names_its_position() {
        let text = r#"{"who":"a","to":[{"x":1,"at":null},{"x":"one","at":null}]}"#;
        let payload = Payload::json_text(text).unwrap();
        assert_eq!(path_of(payload.decode::<Move>()), "to[1].x");
        assert_eq!(path_of(Payload::json(&1).unwrap().decode::<String>()), "");
    }

    #[cfg(feature = "msgpack")]
    #[test]
    fn messagepack_error_names_its_position() {
        let payload =
            Payload::msgpack(&serde_json::json!({"who": "a", "to": [{"x": true, "at": null}]})).unwrap();
        assert_eq!(path_of(payload.decode::<Move>()), "to[0].x");
    }

    #[cfg(feature = "msgpack")]
    #[test]
    fn values_round_trip_in_both_formats() {
        assert_eq!(Payload::json(&sample()).unwrap().decode::<Move>().unwrap(), sample());
        let payload = Payload::msgpack(&sample()).unwrap();
        assert_eq!(payload.decode::<Move>().unwrap(), sample());
        // Fields by name and the address as text, exactly as in JSON.
        assert_eq!(
            payload.decode::<serde_json::Value>().unwrap(),
            Payload::json(&sample()).unwrap().decode::<serde_json::Value>().unwrap()
        );
    }

    #[test]
    fn bytes_are_decoded_from_base64() {
        assert_eq!(Payload::bytes("abc").to_bytes().unwrap(), "abc");
        assert_eq!(Payload::json("YWJj").unwrap().to_bytes().unwrap(), "abc");
        assert!(Payload::json("YWJ").unwrap().to_bytes().is_err());
        assert!(Payload::json(&1).unwrap().to_bytes().is_err());
    }

    #[cfg(feature = "msgpack")]
    #[test]
    fn bytes_are_decoded_from_base64_in_messagepack() {
        assert_eq!(Payload::msgpack("YWJj").unwrap().to_bytes().unwrap(), "abc");
    }

    #[cfg(feature = "msgpack")]
    #[test]
    fn only_bytes_are_opaque() {
        struct Blob(usize);
        impl Serialize for Blob {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&vec![7; self.0])
            }
        }
        for len in [0, 255, 256, 65_535, 65_536] {
            assert_eq!(Payload::msgpack(&Blob(len)).unwrap(), Payload::bytes(vec![7; len]));
        }
    }

    #[cfg(feature = "prost")]
    #[test]
    fn prost_message_is_decoded_from_bytes_and_base64() {
        let payload = Payload::protobuf(&"hello".to_owned());
        assert_eq!(payload.decode_protobuf::<String>().unwrap(), "hello");
        let json = Payload::json(&base64::prelude::BASE64_STANDARD.encode(payload.data())).unwrap();
        assert_eq!(json.decode_protobuf::<String>().unwrap(), "hello");
        assert!(Payload::bytes("hello").decode_protobuf::<String>().is_err());
    }
}
