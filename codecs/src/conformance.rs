//! What rejoin requires of every [`Codec`]: call [`check`] in a test of your codec.
//!
//! - `name`: the name fits into a subprotocol, and is the same at every call.
//! - `payloads`: a frame without a payload can always be encoded. A payload may be refused if the format cannot represent it, but
//!   not every payload.
//! - `text`: the data of a text message is UTF-8.
//! - `round trip`: an encoded frame decodes to the same members, and to a payload if it had one. The payload may be
//!   transcoded to the codec's own format, but different payloads remain different, and a payload that keeps its format also
//!   keeps its bytes.
//! - `translation`: a payload that is decoded in another format has the same value there. Between MessagePack and JSON, this
//!   covers nil and booleans, exact integers, finite floats, strings, arrays, and maps with string keys. `bin` inside
//!   MessagePack is a padded standard base64 string in JSON, and so are opaque bytes ([`Payload::to_bytes`] reads them). For
//!   values that only MessagePack has, such as NaN or a key that is not a string, only the other claims apply.
//! - `behind`: [`Codec::encode_behind`] leaves the headroom that it is asked for, and behind it the message of [`Codec::encode`].
//! - `second trip`: a decoded frame can be encoded, and decodes to exactly the same frame.
//! - `json`: a decoded payload of [`PayloadFormat::Json`] is one JSON text without surrounding whitespace, whatever the peer
//!   sent, because other codecs copy it into their messages without checking it.
//! - `msgpack`: a decoded payload of [`PayloadFormat::Msgpack`] is one MessagePack value, whatever the peer sent, and not a
//!   `bin`, which is [`PayloadFormat::Bytes`].
//! - `kind`: a codec that encodes only text messages decodes binary ones to [`DecodeError::NotAFrame`], and vice versa.
//! - `control`: [`Codec::encode_control`] never fails for JSON. The frame is decoded with its event, no other member,
//!   and the same JSON text as a payload of [`PayloadFormat::Json`] or [`PayloadFormat::Bytes`].
//! - `no panic`: no input causes a panic: random bytes, truncated messages, messages with a changed byte, valid UTF-8 or not, and
//!   the same byte 100,000 times; nor does a payload that is nested very deeply or invalid in its format. A parser that recurses
//!   without a limit overflows its stack here, which ends the test process.
//!
//! A truncated message may be decoded successfully: WebSocket delimits messages, so a codec does not have to.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rejoin_core::{
    Codec, DecodeError, EncodeError, Frame, Message, MessageKind, Payload, PayloadFormat, is_codec_name,
};

use crate::transcode::{json_payload, msgpack_payload};

mod alike;
mod hostile;

mod samples;
use samples::{
    bytes_samples, control_samples, hostile_payloads, json_sample, json_samples, msgpack_only_samples,
    msgpack_samples, names_of_lengths, names_of_texts, payloads_beside_names, rare_members,
};

#[cfg(test)]
#[cfg(feature = "json")]
mod tests;

/// Checks that `codec` satisfies every claim of [this module](self). Takes less than a second without optimizations; the inputs
/// are the same in every run.
///
/// # Panics
/// Panics with the name of the first claim that does not hold, and the input that shows it.
///
#[cfg_attr(feature = "json", doc = "```")]
#[cfg_attr(not(feature = "json"), doc = "```ignore")]
/// use rejoin_codecs::{JsonCodec, conformance};
///
/// // In a test of the codec:
/// conformance::check(&JsonCodec);
/// ```
pub fn check(codec: &dyn Codec) {
    let suite = Suite { codec };
    suite.check_name();
    let mut written = suite.check_samples();
    written.extend(suite.check_control_frames());
    suite.check_kinds(&written);
    suite.check_hostile_payloads();
    suite.check_hostile_messages(&written);
}

struct Suite<'a> {
    codec: &'a dyn Codec,
}

impl Suite<'_> {
    fn check_name(&self) {
        let name = self.codec.name();
        if !is_codec_name(name) {
            self.broken("name", format_args!("expected 1 to 32 characters of [a-z0-9_-]"));
        }
        let again = self.codec.name();
        if name != again {
            self.broken("name", format_args!("it was {name:?}, now it is {again:?}"));
        }
    }

    /// Checks the round trips of all kinds of frames. Returns the messages, except those with both names and payloads.
    fn check_samples(&self) -> Vec<Message> {
        let mut written = Vec::new();
        for frame in names_of_texts().into_iter().chain(names_of_lengths()).chain(rare_members()) {
            match self.check_round_trip(&frame) {
                Ok((message, _)) => written.push(message),
                Err(error) => {
                    self.broken("payloads", format_args!("{frame:?} without a payload fails: {error}"));
                }
            }
        }
        for frame in names_of_texts().into_iter().chain(rare_members()) {
            for payload in payloads_beside_names() {
                let _ = self.check_round_trip(&frame.clone().with_payload(payload));
            }
        }
        let mut carried = Vec::new();
        for payloads in [json_samples(), bytes_samples(), msgpack_samples()] {
            carried.extend(self.check_distinct(&payloads));
        }
        for payload in msgpack_only_samples() {
            let frame = Frame::event_only("e").with_payload(payload);
            carried.extend(self.check_round_trip(&frame).map(|(message, _)| message));
        }
        if carried.is_empty() {
            self.broken("payloads", format_args!("every payload is refused"));
        }
        written.append(&mut carried);
        written
    }

    /// Checks that `payloads`, which all differ, still differ after a round trip. Returns the messages that the codec encoded.
    fn check_distinct(&self, payloads: &[Payload]) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut seen: Vec<(&Payload, Frame)> = Vec::new();
        for payload in payloads {
            let frame = Frame::event_only("e").with_payload(payload.clone());
            let Ok((message, decoded)) = self.check_round_trip(&frame) else {
                continue;
            };
            if let Some((other, _)) = seen.iter().find(|(_, frame)| *frame == decoded) {
                let (one, other) = (Excerpt(payload.data()), Excerpt(other.data()));
                self.broken(
                    "round trip",
                    format_args!("the payloads {one} and {other} decode to the same frame"),
                );
            }
            if let Some(decoded) = decoded.payload()
                && !alike::is_alike(payload, decoded)
            {
                let (one, other) = (Excerpt(payload.data()), Excerpt(decoded.data()));
                let (from, to) = (payload.format(), decoded.format());
                self.broken("translation", format_args!("{from} {one} comes back as {to} {other}"));
            }
            seen.push((payload, decoded));
            messages.push(message);
        }
        messages
    }

    /// Checks two round trips. Returns the message and the decoded frame, or the codec's error if it cannot encode the frame.
    fn check_round_trip(&self, frame: &Frame) -> Result<(Message, Frame), EncodeError> {
        let message = self.encode(frame)?;
        let decoded = self.decode(&message).unwrap_or_else(|error| {
            self.broken("round trip", format_args!("{frame:?} became {}: {error}", Shown(&message)))
        });
        let alike = has_same_members(&decoded, frame)
            && match (decoded.payload(), frame.payload()) {
                (Some(decoded), Some(payload)) => decoded.format() != payload.format() || decoded == payload,
                (decoded, payload) => decoded == payload,
            };
        if !alike {
            self.broken(
                "round trip",
                format_args!("{frame:?} became {}, and that {decoded:?}", Shown(&message)),
            );
        }
        self.check_decoded(&message, &decoded);
        self.check_behind(frame, &message);
        Ok((message, decoded))
    }

    fn check_behind(&self, frame: &Frame, message: &Message) {
        const HEADROOM: usize = 3;
        let behind =
            self.guard(|| self.codec.encode_behind(HEADROOM, frame), || format!("encoding {frame:?} behind"));
        let is_same = behind.is_ok_and(|(kind, buffer)| {
            kind == message.kind && buffer.get(HEADROOM..) == Some(&*message.data)
        });
        if !is_same {
            self.broken("behind", format_args!("{frame:?} is not {}", Shown(message)));
        }
    }

    /// Checks that `frame`, decoded from `message`, is valid for other codecs and for this one.
    fn check_decoded(&self, message: &Message, frame: &Frame) {
        if let Some(payload) = frame.payload() {
            let (claim, is_sound) = match payload.format() {
                PayloadFormat::Json => ("json", is_json_text(payload)),
                PayloadFormat::Msgpack => {
                    ("msgpack", msgpack_payload(payload.data()).as_ref() == Ok(payload))
                }
                _ => ("", true),
            };
            if !is_sound {
                let payload = Excerpt(payload.data());
                self.broken(claim, format_args!("{} has the payload {payload}", Shown(message)));
            }
        }
        let again = match self.encode(frame) {
            Ok(second) => self.decode(&second).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if again.as_ref() != Ok(frame) {
            self.broken("second trip", format_args!("{} is {frame:?}, and that {again:?}", Shown(message)));
        }
    }

    fn check_control_frames(&self) -> Vec<Message> {
        let mut written = Vec::new();
        for (event, json) in control_samples() {
            let what = format!("{event} with {:?}", json.as_deref().map(str::trim));
            let text = json.map(|text| text.into_bytes().into());
            let message = self
                .guard(|| self.codec.encode_control(event, text.clone()), || format!("encoding {what}"))
                .unwrap_or_else(|error| self.broken("control", format_args!("{what}: {error}")));
            self.check_text(&message);
            let frame = self.decode(&message).unwrap_or_else(|error| {
                self.broken("control", format_args!("{what} became {}: {error}", Shown(&message)))
            });
            let readable = frame
                .payload()
                .is_none_or(|payload| matches!(payload.format(), PayloadFormat::Json | PayloadFormat::Bytes));
            if !has_same_members(&frame, &Frame::event_only(event))
                || frame.payload().map(Payload::data) != text.as_ref()
                || !readable
            {
                self.broken("control", format_args!("{what} became {}, and that {frame:?}", Shown(&message)));
            }
            written.push(message);
        }
        written
    }

    fn check_kinds(&self, written: &[Message]) {
        let [first, ..] = written else { return };
        if written.iter().any(|message| message.kind != first.kind) {
            return;
        }
        let other = match first.kind {
            MessageKind::Text => MessageKind::Binary,
            MessageKind::Binary => MessageKind::Text,
        };
        for message in written {
            let message = Message { kind: other, data: message.data.clone() };
            // WebSocket rejects text that is not UTF-8, so nothing is claimed about it.
            if !is_sound(&message) {
                continue;
            }
            let result = self.decode(&message);
            if !matches!(result, Err(DecodeError::NotAFrame(_))) {
                self.broken("kind", format_args!("{}: {result:?}", Shown(&message)));
            }
        }
    }

    /// Encodes payloads that only [`Payload::from_parts`] can create. The result does not matter.
    fn check_hostile_payloads(&self) {
        let random = hostile::random().map(|data| Payload::from_parts(PayloadFormat::Msgpack, data));
        for payload in hostile_payloads().into_iter().chain(random) {
            let frame = Frame::event_only("e").with_payload(payload);
            let _ = self.guard(|| self.codec.encode(&frame), || format!("encoding {frame:?}"));
        }
    }

    /// Decodes messages that no codec encodes, most of them derived from those that this one encoded.
    fn check_hostile_messages(&self, written: &[Message]) {
        for message in hostile::short(written) {
            for data in hostile::truncated(&message.data).chain(hostile::changed(&message.data)) {
                self.check_hostile(&Message { kind: message.kind, data });
            }
        }
        for data in hostile::random() {
            for kind in [MessageKind::Text, MessageKind::Binary] {
                self.check_hostile(&Message { kind, data: data.clone() });
            }
        }
        self.check_repeated();
    }

    /// Repeats every byte, on its own and at the start of a payload: a byte that opens a list opens 100,000 nested ones.
    fn check_repeated(&self) {
        let write = |json| self.encode(&Frame::event_only("e").with_payload(json_sample(json)));
        let until_payload = match (write("1"), write("2")) {
            (Ok(one), Ok(two)) => {
                let pairs = one.data.iter().zip(&two.data);
                one.data.slice(..pairs.take_while(|(a, b)| a == b).count())
            }
            _ => Default::default(),
        };
        for start in [&[], &until_payload[..]] {
            for byte in 0..=u8::MAX {
                let mut data = start.to_vec();
                data.resize(start.len() + 100_000, byte);
                let text = Message { kind: MessageKind::Text, data: data.into() };
                let binary = Message::binary(text.data.clone());
                // Not `check_hostile`: this only looks for panics, and checking texts of this length would take long.
                let _ = (self.decode(&text), self.decode(&binary));
            }
        }
    }

    fn check_hostile(&self, message: &Message) {
        if let Ok(frame) = self.decode(message)
            && is_sound(message)
        {
            self.check_decoded(message, &frame);
        }
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        let message = self.guard(|| self.codec.encode(frame), || format!("encoding {frame:?}"))?;
        self.check_text(&message);
        Ok(message)
    }

    fn check_text(&self, message: &Message) {
        if !is_sound(message) {
            self.broken("text", format_args!("{}", Shown(message)));
        }
    }

    fn decode(&self, message: &Message) -> Result<Frame, DecodeError> {
        self.guard(|| self.codec.decode(message.clone()), || format!("decoding {}", Shown(message)))
    }

    fn guard<T>(&self, run: impl FnOnce() -> T, what: impl FnOnce() -> String) -> T {
        catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| self.broken("no panic", format_args!("{} does", what())))
    }

    fn broken(&self, claim: &str, how: fmt::Arguments<'_>) -> ! {
        panic!("codec {:?} breaks the claim `{claim}`: {how}", self.codec.name())
    }
}

/// Whether two frames are equal, except for their payloads.
fn has_same_members(one: &Frame, other: &Frame) -> bool {
    let texts = |frame: &Frame| [frame.id(), frame.event(), frame.re(), frame.room()].map(str::to_owned);
    let flags = |frame: &Frame| [frame.more(), frame.is_volatile()];
    texts(one) == texts(other) && flags(one) == flags(other)
}

/// Whether WebSocket would deliver the message: text must be UTF-8.
fn is_sound(message: &Message) -> bool {
    message.kind == MessageKind::Binary || str::from_utf8(&message.data).is_ok()
}

fn is_json_text(payload: &Payload) -> bool {
    json_payload(payload.data()).is_ok_and(|read| read == *payload)
}

/// A message in the text of a failure.
struct Shown<'a>(&'a Message);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { kind, data } = self.0;
        write!(f, "the {kind:?} message {}", Excerpt(data))
    }
}

struct Excerpt<'a>(&'a [u8]);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        match self.0.get(..SHOWN) {
            None => write!(f, "`{}`", self.0.escape_ascii()),
            Some(start) => {
                let len = self.0.len();
                write!(f, "`{}`.. ({len} bytes)", start.escape_ascii())
            }
        }
    }
}
