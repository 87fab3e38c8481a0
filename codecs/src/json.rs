//! [`JsonCodec`]: a frame as a JSON object in a text message.

use rejoin_core::{Codec, DecodeError, EncodeError, Frame, Message, MessageKind, Payload, PayloadFormat};
use serde::de::IgnoredAny;

mod skip;
use skip::{skip_colon, skip_space, skip_string, skip_value};

use crate::transcode::{to_json, write_base64};

/// JSON in text messages: `{"id":..,"event":..,"payload":..}` and rarer members, without absent ones (PROTOCOL.md §2). Its name is `json`.
///
/// Encoding:
/// - A JSON payload is copied byte for byte, without another check.
/// - A MessagePack payload is transcoded by the [table of encodings](crate#encodings).
/// - Opaque bytes ([`PayloadFormat::Bytes`]) become a padded standard base64 string. They are decoded as that string, because
///   JSON cannot distinguish it from bytes.
///
/// Decoding:
/// - Members may be in any order, and their names may contain escapes. Other members are ignored, whatever their contents and
///   depth.
/// - An empty string is the same as an absent one, and so is `false`, except in `payload`.
/// - `payload` keeps its text byte for byte, without surrounding whitespace; `null` is a payload. The text shares the message's
///   memory if it is at least half of the message. Otherwise it is copied, so that a small payload does not keep a large
///   message alive.
///
/// Errors:
/// - [`DecodeError::Malformed`] if the message is not one JSON text of RFC 8259 in UTF-8, wherever the mistake is. A byte order
///   mark is a mistake.
/// - [`DecodeError::NotAFrame`] for a binary message; for JSON that is not an object; for an `id`, `event`, `re` or `room` that
///   is not a string (`null` included), or contains an unpaired surrogate (`"\ud800"`, which is valid JSON, but not Unicode
///   text); for a `more` or `volatile` that is not a boolean; for a duplicate member, because JSON parsers differ in which one
///   they use.
///
/// ```
/// use rejoin_codecs::JsonCodec;
/// use rejoin_core::{Codec, Message};
///
/// let frame = JsonCodec.decode(Message::text(r#"{"event":"move","payload":{"x": 1.0}}"#))?;
/// assert_eq!(frame.event(), "move");
/// assert_eq!(frame.payload().unwrap().data(), r#"{"x": 1.0}"#);
/// # Ok::<(), rejoin_core::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::exhaustive_structs, reason = "the protocol leaves nothing to choose")]
pub struct JsonCodec;

impl Codec for JsonCodec {
    fn name(&self) -> &str {
        "json"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        let (kind, json) = self.encode_behind(0, frame)?;
        Ok(Message { kind, data: json.into() })
    }

    fn encode_behind(&self, headroom: usize, frame: &Frame) -> Result<(MessageKind, Vec<u8>), EncodeError> {
        let mut json = Vec::with_capacity(headroom + unescaped_len(frame)?);
        json.resize(headroom, 0);
        json.push(b'{');
        // Each member ends with a comma; the brace replaces the last one.
        for (name, value) in texts(frame) {
            if !value.is_empty() {
                write_name(&mut json, name);
                write_string(&mut json, value)?;
                json.push(b',');
            }
        }
        for (name, is_set) in flags(frame) {
            if is_set {
                write_name(&mut json, name);
                json.extend_from_slice(b"true,");
            }
        }
        if let Some(payload) = frame.payload() {
            write_name(&mut json, "payload");
            write_payload(&mut json, payload)?;
            json.push(b',');
        }
        match json.last_mut() {
            Some(last @ b',') => *last = b'}',
            _ => json.push(b'}'),
        }
        // Escapes and MessagePack can leave excess capacity; without excess, `Bytes` uses the allocation without a copy.
        json.shrink_to_fit();
        Ok((MessageKind::Text, json))
    }

    //= PROTOCOL.md#R2.5: keep the text of `payload` byte for byte
    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        if message.kind != MessageKind::Text {
            return Err(not_a_frame("binary message where the format is text"));
        }
        let data = message.data;
        let text = str::from_utf8(&data).map_err(|error| DecodeError::Malformed(error.to_string().into()))?;
        let members = JsonMembers::read(text).ok_or_else(|| refusal(text))?;
        if members.repeated {
            return Err(not_a_frame("duplicate member"));
        }
        let id = read_string(members.id, "id is not a string")?;
        let event = read_string(members.event, "event is not a string")?;
        let mut frame = Frame::event_only(event).with_id(id);
        if members.has_rare {
            frame = frame
                .with_re(read_string(members.re, "re is not a string")?)
                .with_room(read_string(members.room, "room is not a string")?)
                .with_more(read_bool(members.more, "more is not a boolean")?)
                .with_volatile(read_bool(members.volatile, "volatile is not a boolean")?);
        }
        let Some(payload) = members.payload else {
            return Ok(frame);
        };
        let payload = payload.as_bytes();
        let payload =
            if payload.len() * 2 >= data.len() { data.slice_ref(payload) } else { payload.to_vec().into() };
        Ok(frame.with_payload(Payload::from_parts(PayloadFormat::Json, payload)))
    }
}

/// The unparsed members of a frame. The whole text is valid JSON if these were read from it.
#[derive(Default)]
struct JsonMembers<'a> {
    id: Option<&'a str>,
    event: Option<&'a str>,
    payload: Option<&'a str>,
    re: Option<&'a str>,
    room: Option<&'a str>,
    more: Option<&'a str>,
    volatile: Option<&'a str>,
    /// Whether one of the four above is present.
    has_rare: bool,
    repeated: bool,
}

impl<'a> JsonMembers<'a> {
    /// Returns `None` if the text is not one JSON object.
    fn read(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut members = JsonMembers::default();
        let mut at = skip_space(bytes, 0);
        if bytes.get(at) != Some(&b'{') {
            return None;
        }
        at = skip_space(bytes, at + 1);
        if bytes.get(at) != Some(&b'}') {
            loop {
                if bytes.get(at) != Some(&b'"') {
                    return None;
                }
                let name_end = skip_string(bytes, at + 1)?;
                let value = skip_colon(bytes, name_end)?;
                let value_end = skip_value(bytes, value)?;
                members.take(text.get(at..name_end)?, text.get(value..value_end)?);
                at = skip_space(bytes, value_end);
                match bytes.get(at)? {
                    b',' => at = skip_space(bytes, at + 1),
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        (skip_space(bytes, at + 1) == bytes.len()).then_some(members)
    }

    fn take(&mut self, name: &str, value: &'a str) {
        if let Some(member) = self.by_name(name) {
            let former = member.replace(value);
            self.repeated |= former.is_some();
        }
    }

    /// The member with this name, a JSON string including quotes.
    fn by_name(&mut self, name: &str) -> Option<&mut Option<&'a str>> {
        match name {
            r#""id""# => Some(&mut self.id),
            r#""event""# => Some(&mut self.event),
            r#""payload""# => Some(&mut self.payload),
            _ if name.contains('\\') => match serde_json::from_str::<String>(name).ok()?.as_str() {
                "id" => Some(&mut self.id),
                "event" => Some(&mut self.event),
                "payload" => Some(&mut self.payload),
                name => self.rare_by_name(name),
            },
            _ => self.rare_by_name(&name[1..name.len() - 1]),
        }
    }

    fn rare_by_name(&mut self, name: &str) -> Option<&mut Option<&'a str>> {
        let member = match name {
            "re" => &mut self.re,
            "room" => &mut self.room,
            "more" => &mut self.more,
            "volatile" => &mut self.volatile,
            _ => return None,
        };
        self.has_rare = true;
        Some(member)
    }
}

/// Why `text` is not a frame: malformed, or JSON of another type. This second pass ensures that a wrong type early in the text
/// does not hide a syntax error after it; only messages that close their socket pay for it.
#[cold]
fn refusal(text: &str) -> DecodeError {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => not_a_frame("JSON, but not an object"),
        Err(error) => DecodeError::Malformed(error.to_string().into()),
    }
}

fn not_a_frame(why: &'static str) -> DecodeError {
    DecodeError::NotAFrame(why.into())
}

/// Parses a string member; absent is empty. Fails with `why` if it is not a string, or not Unicode text.
fn read_string(member: Option<&str>, why: &'static str) -> Result<Box<str>, DecodeError> {
    let Some(value) = member else {
        return Ok(Box::default());
    };
    match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Ok(inner.into()),
        _ => serde_json::from_str(value).map_err(|_| not_a_frame(why)),
    }
}

/// Parses a boolean member; absent is `false`. Fails with `why` if it is another type.
fn read_bool(member: Option<&str>, why: &'static str) -> Result<bool, DecodeError> {
    match member {
        Some("true") => Ok(true),
        Some("false") | None => Ok(false),
        Some(_) => Err(not_a_frame(why)),
    }
}

/// The members that are strings; absent ones are empty.
fn texts(frame: &Frame) -> [(&'static str, &str); 4] {
    [("id", frame.id()), ("re", frame.re()), ("event", frame.event()), ("room", frame.room())]
}

/// The members that are booleans; absent ones are `false`.
fn flags(frame: &Frame) -> [(&'static str, bool); 2] {
    [("more", frame.more()), ("volatile", frame.is_volatile())]
}

/// Length of the message if its strings need no escapes and the payload is not transcoded.
fn unescaped_len(frame: &Frame) -> Result<usize, EncodeError> {
    // Two quotes, a colon, and a comma or brace.
    let member = |name: &str, value: usize| name.len() + 4 + value;
    let mut len = 1;
    for (name, value) in texts(frame) {
        if !value.is_empty() {
            len += member(name, value.len() + 2);
        }
    }
    for (name, is_set) in flags(frame) {
        if is_set {
            len += member(name, "true".len());
        }
    }
    if let Some(payload) = frame.payload() {
        let value = match payload.format() {
            PayloadFormat::Bytes => base64_len(payload.data())? + 2,
            // A guess for MessagePack, in which names and strings have about the same length.
            _ => payload.data().len(),
        };
        len += member("payload", value);
    }
    Ok(len)
}

fn write_name(json: &mut Vec<u8>, name: &str) {
    json.push(b'"');
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
}

fn write_string(json: &mut Vec<u8>, value: &str) -> Result<(), EncodeError> {
    serde_json::to_writer(json, value).map_err(|error| EncodeError::new(error.to_string()))
}

fn write_payload(json: &mut Vec<u8>, payload: &Payload) -> Result<(), EncodeError> {
    match payload.format() {
        PayloadFormat::Json => {
            json.extend_from_slice(payload.data());
            Ok(())
        }
        PayloadFormat::Msgpack => to_json(payload.data(), json),
        PayloadFormat::Bytes => write_base64(json, payload.data()),
        other => Err(EncodeError::new(format!("a payload of format {other:?} in JSON"))),
    }
}

fn base64_len(data: &[u8]) -> Result<usize, EncodeError> {
    base64::encoded_len(data.len(), true)
        .ok_or_else(|| EncodeError::new("bytes whose base64 exceeds the address space"))
}

#[cfg(test)]
mod tests;
