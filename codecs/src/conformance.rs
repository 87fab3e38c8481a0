//! What every [`Codec`] must satisfy: [`check`], for the tests of whoever writes one.
//!
//! - `name`: the name fits into a subprotocol, and is the same at every call.
//! - `payloads`: a frame without a payload can always be encoded. One with a payload may be refused where the format has no
//!   image for it, but not every payload.
//! - `text`: the data of a text message is UTF-8.
//! - `round trip`: what is encoded decodes to the same id and event, and to a payload where there was one. The payload may
//!   be transcoded to the codec's own format, but payloads that differ come back different; one that comes back in the
//!   format that it had is the same byte for byte.
//! - `translation`: a payload that comes back in another format is the same value there. MessagePack as JSON, and JSON as
//!   MessagePack: nil and booleans, integers exactly, finite floats, strings, arrays, maps with string keys; `bin` inside of
//!   MessagePack is a padded standard base64 string in JSON, and so are opaque bytes ([`Payload::to_bytes`] reads them). Of
//!   values that only MessagePack has, like NaN or a key that is no string, this suite asks nothing but the other claims.
//! - `second trip`: what was decoded can be encoded, and comes back as exactly the same frame.
//! - `json`: a decoded payload of [`PayloadFormat::Json`] is one JSON text without white space around it, whatever the peer
//!   sent: other codecs copy it into their messages unchecked.
//! - `msgpack`: a decoded payload of [`PayloadFormat::Msgpack`] is one value of MessagePack, whatever the peer sent, and no
//!   `bin`: that is one of [`PayloadFormat::Bytes`].
//! - `kind`: a codec that writes only text refuses binary, and the reverse, with [`DecodeError::NotAFrame`].
//! - `control`: [`Codec::encode_control`] never refuses JSON. The frame comes back with its event, no id, and the same JSON
//!   text as a payload of [`PayloadFormat::Json`] or [`PayloadFormat::Bytes`].
//! - `no panic`: nothing makes it panic: random bytes, messages cut short, messages with a byte changed, UTF-8 or not,
//!   and 100,000 times the same byte; nor a payload that is very deep, or not of its format at all. A reader that recurses
//!   without a bound overflows its stack there, and the process of the tests ends.
//!
//! A message cut short may well decode: WebSocket says where messages end, so that a codec need not.

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
    msgpack_samples, names_of_lengths, names_of_texts, payloads_beside_names,
};

#[cfg(test)]
#[cfg(feature = "json")]
mod tests;

/// Checks that `codec` satisfies every claim of [this module](self). Takes less than a second without optimizations; the
/// inputs are the same at every run.
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
            self.broken("name", format_args!("it is not 1 to 32 of [a-z0-9_-]"));
        }
        let again = self.codec.name();
        if name != again {
            self.broken("name", format_args!("it was {name:?}, now it is {again:?}"));
        }
    }

    /// Sends all kinds of frames on their round trips. Returns the messages, but for those of a name and a payload together.
    fn check_samples(&self) -> Vec<Message> {
        let mut written = Vec::new();
        for frame in names_of_texts().into_iter().chain(names_of_lengths()) {
            match self.check_round_trip(&frame) {
                Ok((message, _)) => written.push(message),
                Err(error) => {
                    self.broken("payloads", format_args!("{frame:?} has none, yet: {error}"));
                }
            }
        }
        for frame in names_of_texts() {
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
            self.broken("payloads", format_args!("it carries none at all"));
        }
        written.append(&mut carried);
        written
    }

    /// `payloads` are all different, and must come back so. Returns the messages of those that the codec carries.
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
                    format_args!("the payloads {one} and {other} come back as the same"),
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

    /// There and back, twice. Returns the message and what it decodes to, or why the codec cannot write the frame.
    fn check_round_trip(&self, frame: &Frame) -> Result<(Message, Frame), EncodeError> {
        let message = self.encode(frame)?;
        let decoded = self.decode(&message).unwrap_or_else(|error| {
            self.broken("round trip", format_args!("{frame:?} became {}: {error}", Shown(&message)))
        });
        let alike = decoded.id() == frame.id()
            && decoded.event() == frame.event()
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
        Ok((message, decoded))
    }

    /// `frame` came out of `message`: it must be fit for other codecs, and for this one.
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
            if frame.event() != event
                || !frame.id().is_empty()
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
        let Some(first) = written.first() else { return };
        if written.iter().any(|message| message.kind != first.kind) {
            return;
        }
        let other = match first.kind {
            MessageKind::Text => MessageKind::Binary,
            MessageKind::Binary => MessageKind::Text,
        };
        for message in written {
            let message = Message { kind: other, data: message.data.clone() };
            // WebSocket does not let through text that is not UTF-8: there is no promise about it.
            if !is_sound(&message) {
                continue;
            }
            let result = self.decode(&message);
            if !matches!(result, Err(DecodeError::NotAFrame(_))) {
                self.broken("kind", format_args!("{}: {result:?}", Shown(&message)));
            }
        }
    }

    /// Payloads that only [`Payload::from_parts`] makes. What is written of them is the codec's choice.
    fn check_hostile_payloads(&self) {
        let random = hostile::random().map(|data| Payload::from_parts(PayloadFormat::Msgpack, data));
        for payload in hostile_payloads().into_iter().chain(random) {
            let frame = Frame::event_only("e").with_payload(payload);
            let _ = self.guard(|| self.codec.encode(&frame), || format!("encoding {frame:?}"));
        }
    }

    /// Messages that no codec writes, most of them made from those that this one writes.
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

    /// The same byte again and again, alone and where a payload begins: the one that opens a list opens it 100,000 deep.
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
                // Not `check_hostile`: whether it panics is the question, and so much text takes its time.
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

/// Whether WebSocket would deliver it: text has to be UTF-8.
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
