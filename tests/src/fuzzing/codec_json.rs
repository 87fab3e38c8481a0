//! The JSON codec in both directions, compared with another JSON parser.

use std::fmt;

use rejoin_codecs::JsonCodec;
use rejoin_core::{Codec, DecodeError, Message};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The first byte chooses whether the rest is a message from the network or a frame of the application.
///
/// # Panics
/// Panics if the codec violates a requirement of [`rejoin_codecs::conformance`], or disagrees with serde_json about valid JSON.
pub fn run(data: &[u8]) {
    super::codec::run(&JsonCodec, data);
    if let Some((0, text)) = data.split_first()
        && let Ok(text) = str::from_utf8(text)
    {
        compare(text);
    }
}

fn compare(text: &str) {
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    let decoded = JsonCodec.decode(Message::text(text));
    assert_eq!(!is_json, matches!(decoded, Err(DecodeError::Malformed(_))), "{decoded:?}");
    // serde_json also parses names, and some are not Unicode.
    let Ok(members) = serde_json::from_str::<Members<'_>>(text) else { return };
    match decoded {
        Ok(frame) => {
            assert_eq!(frame.id(), members.text("id").expect("it is no frame"));
            assert_eq!(frame.event(), members.text("event").expect("it is no frame"));
            assert_eq!(frame.re(), members.text("re").expect("it is no frame"));
            assert_eq!(frame.room(), members.text("room").expect("it is no frame"));
            assert_eq!(frame.more(), members.flag("more").expect("it is no frame"));
            assert_eq!(frame.is_volatile(), members.flag("volatile").expect("it is no frame"));
            let payload = members.values("payload").next();
            assert_eq!(frame.payload().map(|payload| &payload.data()[..]), payload.map(str::as_bytes));
            assert!(!members.repeats(), "it is no frame");
        }
        Err(error) => {
            let sound = ["id", "event", "re", "room"].iter().all(|name| members.text(name).is_some())
                && ["more", "volatile"].iter().all(|name| members.flag(name).is_some());
            assert!(!sound || members.repeats(), "it is a frame: {error}");
        }
    }
}

/// The members of an object, unparsed.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl Members<'_> {
    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.get())
    }

    /// The string with this name, empty if it is missing; `None` if it is another type.
    fn text(&self, name: &str) -> Option<String> {
        self.values(name).next().map_or(Some(String::new()), |value| serde_json::from_str(value).ok())
    }

    /// The boolean with this name, false if it is missing; `None` if it is another type.
    fn flag(&self, name: &str) -> Option<bool> {
        self.values(name).next().map_or(Some(false), |value| serde_json::from_str(value).ok())
    }

    fn repeats(&self) -> bool {
        let names = ["id", "event", "payload", "re", "room", "more", "volatile"];
        names.iter().any(|name| self.values(name).count() > 1)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
