//! Transcodes MessagePack to JSON text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rejoin_core::EncodeError;
use serde::Serialize;

use super::read::{MalformedMsgPack, MsgPackToken, Reader};
use super::timestamp::{TIMESTAMP, Timestamp};
use super::{MAX_DEPTH, TOO_DEEP};

/// Maximum nesting depth of keys that are arrays or maps. Each such key is a string that escapes the quotes of keys inside it
/// once more: without a limit, 128 bytes of input could produce more output than there is memory.
const MAX_KEY_DEPTH: usize = 4;

/// Appends the JSON text for `msgpack`, without whitespace.
///
/// # Errors
/// Fails if `msgpack` is not exactly one value, or nested too deeply. Partial output remains in `json`.
pub(crate) fn to_json(msgpack: &[u8], json: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut reader = Reader::new(msgpack);
    JsonWriter { json, open: Vec::new(), open_keys: 0 }.write(&mut reader)?;
    reader.finish().map_err(malformed)
}

struct JsonWriter<'a> {
    json: &'a mut Vec<u8>,
    /// Arrays and maps that are not closed yet, outermost first.
    open: Vec<JsonContainer>,
    /// Number of keys among them.
    open_keys: usize,
}

struct JsonContainer {
    is_map: bool,
    /// Number of values still to come; for a map, of keys and values.
    left: u64,
    is_empty: bool,
    /// Offset of the text in the output, if this is a key.
    key_at: Option<usize>,
}

impl JsonWriter<'_> {
    fn write(mut self, reader: &mut Reader<'_>) -> Result<(), EncodeError> {
        loop {
            let is_key = self.separate();
            let token = reader.token().map_err(malformed)?;
            if is_key {
                self.write_key(token)?
            } else {
                self.write_value(token)?
            }
            self.close()?;
            if self.open.is_empty() {
                return Ok(());
            }
        }
    }

    /// Writes the separator before the next value. Returns whether that value is a key.
    fn separate(&mut self) -> bool {
        let Some(top) = self.open.last_mut() else { return false };
        let is_key = top.is_map && top.left % 2 == 0;
        if top.is_map && !is_key {
            self.json.push(b':');
        } else if !top.is_empty {
            self.json.push(b',');
        }
        top.is_empty = false;
        top.left -= 1;
        is_key
    }

    /// Closes all arrays and maps that are complete.
    fn close(&mut self) -> Result<(), EncodeError> {
        while let Some(top) = self.open.pop_if(|top| top.left == 0) {
            self.json.push(if top.is_map { b'}' } else { b']' });
            if let Some(start) = top.key_at {
                self.open_keys -= 1;
                self.quote(start)?;
            }
        }
        Ok(())
    }

    /// Replaces the JSON text from `start` on by a string that contains it.
    fn quote(&mut self, start: usize) -> Result<(), EncodeError> {
        let text = String::from_utf8(self.json.split_off(start));
        self.serialize(&text.map_err(|_| EncodeError::new("a key that is not text"))?)
    }

    fn write_key(&mut self, key: MsgPackToken<'_>) -> Result<(), EncodeError> {
        let start = self.json.len();
        match key {
            MsgPackToken::Array(_) | MsgPackToken::Map(_) => {
                self.open_keys += 1;
                if self.open_keys > MAX_KEY_DEPTH {
                    return Err(EncodeError::new("keys that are arrays or maps more than 4 deep"));
                }
                self.open(key, Some(start))
            }
            MsgPackToken::Ext(kind, data) if timestamp(kind, data).is_none() => {
                self.write_ext(kind, data)?;
                self.quote(start)
            }
            MsgPackToken::Str(_) | MsgPackToken::Bin(_) | MsgPackToken::Ext(..) => self.write_value(key),
            // These texts contain nothing to escape.
            MsgPackToken::Nil
            | MsgPackToken::Bool(_)
            | MsgPackToken::Unsigned(_)
            | MsgPackToken::Signed(_)
            | MsgPackToken::Float(_) => {
                self.json.push(b'"');
                self.write_value(key)?;
                self.json.push(b'"');
                Ok(())
            }
        }
    }

    fn write_value(&mut self, value: MsgPackToken<'_>) -> Result<(), EncodeError> {
        match value {
            MsgPackToken::Nil => self.serialize(&()),
            MsgPackToken::Bool(value) => self.serialize(&value),
            MsgPackToken::Unsigned(value) => self.serialize(&value),
            MsgPackToken::Signed(value) => self.serialize(&value),
            // Always with a fraction or an exponent, so that it transcodes back to a float; `null` if not finite.
            MsgPackToken::Float(value) => self.serialize(&value),
            MsgPackToken::Str(bytes) => self.serialize(&String::from_utf8_lossy(bytes)),
            MsgPackToken::Bin(bytes) => write_base64(self.json, bytes),
            MsgPackToken::Ext(kind, data) => match timestamp(kind, data) {
                Some(moment) => self.serialize(&format_args!("{moment}")),
                // The extension becomes an object, which counts as a level when it is transcoded back.
                None if self.open.len() == MAX_DEPTH => Err(EncodeError::new(TOO_DEEP)),
                None => self.write_ext(kind, data),
            },
            MsgPackToken::Array(_) | MsgPackToken::Map(_) => self.open(value, None),
        }
    }

    fn write_ext(&mut self, kind: i8, data: &[u8]) -> Result<(), EncodeError> {
        self.json.extend_from_slice(b"{\"ext\":");
        self.serialize(&kind)?;
        self.json.extend_from_slice(b",\"data\":");
        write_base64(self.json, data)?;
        self.json.push(b'}');
        Ok(())
    }

    fn open(&mut self, head: MsgPackToken<'_>, key_at: Option<usize>) -> Result<(), EncodeError> {
        if self.open.len() == MAX_DEPTH {
            return Err(EncodeError::new(TOO_DEEP));
        }
        let is_map = matches!(head, MsgPackToken::Map(_));
        self.json.push(if is_map { b'{' } else { b'[' });
        self.open.push(JsonContainer { is_map, left: head.members(), is_empty: true, key_at });
        Ok(())
    }

    fn serialize<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        serde_json::to_writer(&mut *self.json, value).map_err(|error| EncodeError::new(error.to_string()))
    }
}

fn timestamp(kind: i8, data: &[u8]) -> Option<Timestamp> {
    if kind == TIMESTAMP { Timestamp::read(data) } else { None }
}

/// Appends `bytes` as a padded standard base64 string (RFC 4648 §4), including quotes.
pub(crate) fn write_base64(json: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    let too_long = || EncodeError::new("bytes whose base64 exceeds the address space");
    let start = json.len() + 1;
    let end =
        base64::encoded_len(bytes.len(), true).and_then(|len| start.checked_add(len)).ok_or_else(too_long)?;
    json.push(b'"');
    json.resize(end, 0);
    BASE64.encode_slice(bytes, &mut json[start..]).map_err(|_| too_long())?;
    json.push(b'"');
    Ok(())
}

fn malformed(why: MalformedMsgPack) -> EncodeError {
    EncodeError::new(format!("a malformed MessagePack payload: {why}"))
}
