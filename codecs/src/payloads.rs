//! Validates and transcodes payloads, for codecs of applications.

use bytes::Bytes;
use rejoin_core::{DecodeError, EncodeError, Payload, PayloadFormat};

use crate::transcode;

/// Converts a payload to JSON: JSON is returned unchanged, MessagePack is transcoded by the table in
/// [the crate's documentation](crate#encodings), and bytes become a base64 string. A codec that carries JSON can therefore carry
/// every payload.
///
/// ```
/// use rejoin_codecs::payloads::as_json;
/// use rejoin_core::{Payload, PayloadFormat};
///
/// let payload = Payload::from_parts(PayloadFormat::Msgpack, vec![0x92, 0x01, 0xc3].into());
/// assert_eq!(as_json(&payload)?.data(), "[1,true]");
/// assert_eq!(as_json(&Payload::bytes("abc"))?.data(), r#""YWJj""#);
/// # Ok::<(), rejoin_core::EncodeError>(())
/// ```
///
/// # Errors
/// Fails if the payload cannot be represented in JSON.
pub fn as_json(payload: &Payload) -> Result<Payload, EncodeError> {
    let mut json = Vec::new();
    match payload.format() {
        PayloadFormat::Json => return Ok(payload.clone()),
        PayloadFormat::Msgpack => transcode::to_json(payload.data(), &mut json)?,
        PayloadFormat::Bytes => transcode::write_base64(&mut json, payload.data())?,
        other => return Err(EncodeError::new(format!("{other} in JSON"))),
    }
    Ok(Payload::from_parts(PayloadFormat::Json, json.into()))
}

/// Creates a payload from a JSON text, without surrounding whitespace; it shares the memory of `text`. Codecs that receive JSON
/// from a peer must call this, because other codecs copy the payload into their messages without checking it.
///
/// # Errors
/// Fails if `text` is not exactly one JSON text of RFC 8259 in UTF-8.
pub fn json(text: &Bytes) -> Result<Payload, DecodeError> {
    transcode::json_payload(text).map_err(|error| DecodeError::Malformed(error.to_string().into()))
}

/// Creates a payload from a MessagePack value; it shares the memory of `value`. A `bin` becomes opaque bytes.
///
/// # Errors
/// Fails if `value` is not exactly one MessagePack value.
pub fn msgpack(value: &Bytes) -> Result<Payload, DecodeError> {
    transcode::msgpack_payload(value).map_err(|error| DecodeError::Malformed(error.to_string().into()))
}

#[cfg(all(test, feature = "json", feature = "msgpack", feature = "protobuf"))]
mod tests {
    use rejoin_core::{Codec, Frame, MessageKind, Payload, PayloadFormat};

    use super::as_json;
    use crate::{JsonCodec, MsgpackCodec, ProtobufCodec};

    #[test]
    fn as_json_converts_every_payload() {
        let msgpack = |data: &'static [u8]| Payload::from_parts(PayloadFormat::Msgpack, data.into());
        for (payload, json) in [
            (Payload::json_text("[1, 2]").unwrap(), "[1, 2]"),
            (msgpack(b"\x92\x01\xc3"), "[1,true]"),
            (msgpack(b"\xc4\x01a"), r#""YQ==""#),
            (Payload::bytes("a"), r#""YQ==""#),
        ] {
            let read = as_json(&payload).unwrap();
            assert_eq!((read.format(), &read.data()[..]), (PayloadFormat::Json, json.as_bytes()));
        }
        assert!(as_json(&msgpack(b"\xc1")).is_err());
    }

    #[test]
    fn payload_of_half_a_message_shares_it() {
        let codecs: [(&dyn Codec, PayloadFormat); 4] = [
            (&JsonCodec, PayloadFormat::Json),
            (&MsgpackCodec, PayloadFormat::Bytes),
            (&MsgpackCodec, PayloadFormat::Msgpack),
            (&ProtobufCodec, PayloadFormat::Bytes),
        ];
        for (codec, format) in codecs {
            let mut seen = [0; 2];
            for len in 2..120 {
                let payload = match format {
                    PayloadFormat::Json => Payload::json(&"x".repeat(len - 2)).unwrap(),
                    PayloadFormat::Msgpack => Payload::msgpack(&"x".repeat(len)).unwrap(),
                    _ => Payload::bytes(vec![7; len]),
                };
                let frame = Frame::event_only("e".repeat(50)).with_payload(payload.clone());
                let message = codec.encode(&frame).unwrap();
                let (range, whole) = (message.data.as_ptr_range(), message.data.len());
                assert_eq!(message.kind == MessageKind::Text, format == PayloadFormat::Json);
                let decoded = codec.decode(message.clone()).unwrap();
                let decoded = decoded.payload().unwrap();
                assert_eq!(*decoded, payload);
                let shares = range.contains(&decoded.data().as_ptr());
                assert_eq!(shares, decoded.data().len() * 2 >= whole, "{} {len} of {whole}", codec.name());
                seen[usize::from(shares)] += 1;
            }
            assert!(seen.iter().all(|&count| count > 20), "{seen:?}");
        }
    }
}
