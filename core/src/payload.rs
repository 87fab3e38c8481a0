//! [`Payload`]: the value that a frame carries, in its own format.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The format of a [`Payload`]'s bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PayloadFormat {
    /// JSON text (RFC 8259) in UTF-8, kept byte for byte.
    Json,
    /// Bytes that rejoin does not look into.
    Bytes,
}

/// The value that a frame carries: bytes, and the format that they are in.
///
/// Cloning costs a reference count. Equality is that of the bytes: `1.0` and `1` are different JSON texts.
///
/// ```
/// # use rejoin_core::Payload;
/// let payload = Payload::json(&["a", "b"])?;
/// assert_eq!(payload.decode::<Vec<String>>()?, ["a", "b"]);
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
    /// Fails where `value` has no image in JSON: a map whose keys are not strings, or an error of its `Serialize`.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        let data = serde_json::to_vec(value).map_err(PayloadError::Json)?;
        Ok(Self { format: PayloadFormat::Json, data: data.into() })
    }

    /// Takes a JSON text as it is, without the white space around it. Costs one pass over the text to check it.
    ///
    /// # Errors
    /// Fails when `text` is not exactly one JSON value.
    pub fn json_text(text: &str) -> Result<Self, PayloadError> {
        let value: &serde_json::value::RawValue = serde_json::from_str(text).map_err(PayloadError::Json)?;
        Ok(Self { format: PayloadFormat::Json, data: Bytes::copy_from_slice(value.get().as_bytes()) })
    }

    /// Opaque bytes: a message of another serializer, an image, anything.
    pub fn bytes(data: impl Into<Bytes>) -> Self {
        Self { format: PayloadFormat::Bytes, data: data.into() }
    }

    /// For codecs: bytes that are known to be one value of `format`. Nothing is checked; a wrong value reaches the peer as
    /// a message that it cannot decode.
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

    /// Reads the value into a type of the application.
    ///
    /// # Errors
    /// Fails when the value is of another shape than `T`, and when the payload is opaque bytes.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        match self.format {
            PayloadFormat::Json => serde_json::from_slice(&self.data).map_err(PayloadError::Json),
            PayloadFormat::Bytes => Err(PayloadError::Opaque),
        }
    }
}

impl fmt::Debug for Payload {
    /// The format and the length: what users say to each other does not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("format", &self.format).field("len", &self.data.len()).finish()
    }
}

/// Why a payload could not be made or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum PayloadError {
    /// The JSON is malformed, or of another shape than asked for; the text says where.
    Json(serde_json::Error),
    /// The payload is opaque bytes: read them with [`Payload::data`].
    Opaque,
    /// The frame has no payload.
    Missing,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "payload: {error}"),
            Self::Opaque => f.write_str("payload is opaque bytes, not a value that serde can read"),
            Self::Missing => f.write_str("frame has no payload"),
        }
    }
}

impl std::error::Error for PayloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Opaque | Self::Missing => None,
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
    fn says_that_opaque_bytes_cannot_be_decoded() {
        let error = Payload::bytes("abc").decode::<String>().unwrap_err();
        assert!(matches!(error, PayloadError::Opaque));
    }

    #[test]
    fn debug_output_does_not_show_what_was_said() {
        let payload = Payload::json("secret").unwrap();
        assert!(!format!("{payload:?}").contains("secret"));
    }
}
