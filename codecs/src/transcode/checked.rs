//! Validates payloads from a peer, because other codecs copy them into their messages without checking them.

use bytes::Bytes;
use rejoin_core::{Payload, PayloadFormat};
use serde_json::value::RawValue;

use super::read::{MalformedMsgPack, MsgPackToken, Reader};

/// Creates a payload from `data`, which must be exactly one MessagePack value. A `bin` becomes opaque bytes, any other value is
/// kept byte for byte. Shares the memory of `data`.
///
/// # Errors
/// Fails if `data` is not MessagePack, or more than one value. Takes linear time for any depth.
pub(crate) fn msgpack_payload(data: &Bytes) -> Result<Payload, MalformedMsgPack> {
    let mut reader = Reader::new(data);
    let value = reader.value()?;
    reader.finish()?;
    Ok(match Reader::new(value).token()? {
        MsgPackToken::Bin(bytes) => Payload::bytes(data.slice_ref(bytes)),
        _ => Payload::from_parts(PayloadFormat::Msgpack, data.clone()),
    })
}

/// Creates a payload from `data`, which must be one JSON text, without surrounding whitespace. Shares the memory of `data`.
///
/// # Errors
/// Fails if `data` is not one JSON text of RFC 8259 in UTF-8. Takes linear time for any depth.
pub(crate) fn json_payload(data: &Bytes) -> Result<Payload, serde_json::Error> {
    let text: &RawValue = serde_json::from_slice(data)?;
    Ok(Payload::from_parts(PayloadFormat::Json, data.slice_ref(text.get().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_one_messagepack_value() {
        let data = Bytes::from_static(b"\x92\x01\xc4\x01x");
        let payload = msgpack_payload(&data).unwrap();
        assert_eq!((payload.format(), payload.data()), (PayloadFormat::Msgpack, &data));
        assert_eq!(msgpack_payload(&Bytes::from_static(b"\xc4\x02ab")), Ok(Payload::bytes("ab")));
        for (data, why) in [
            (&b""[..], MalformedMsgPack::Truncated),
            (b"\x91", MalformedMsgPack::Truncated),
            (b"\xc4\x02a", MalformedMsgPack::Truncated),
            (b"\x91\xc1", MalformedMsgPack::Reserved),
            (b"\x01\x02", MalformedMsgPack::Trailing),
            (b"\xc4\x01ab", MalformedMsgPack::Trailing),
        ] {
            assert_eq!(msgpack_payload(&Bytes::from_static(data)), Err(why));
        }
    }

    #[test]
    fn accepts_one_json_text_and_trims_it() {
        let data = Bytes::from_static(b" \t[1.0, 1e999,\"\\ud800\"]\r\n");
        let payload = json_payload(&data).unwrap();
        assert_eq!(payload.format(), PayloadFormat::Json);
        assert_eq!(payload.data(), &data.slice(2..data.len() - 2));
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(json_payload(&deep.clone().into()).unwrap().data(), deep.as_bytes());
        for data in [&b""[..], b" ", b"1 2", b"{", b"\"\xff\"", b"\xef\xbb\xbf1", b"nul"] {
            assert!(json_payload(&Bytes::from_static(data)).is_err(), "{}", data.escape_ascii());
        }
    }
}
