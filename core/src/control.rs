//! Control frames, which the two sides of a session exchange (PROTOCOL.md §3).

use std::fmt;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::{Frame, PayloadFormat};

/// A control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// The first frame on every socket of a session; sent by the server.
    Open(Box<Open>),
    /// This number of data frames was received in the session, in order.
    Ack(u64),
    /// These data frames will never be delivered; they count as received.
    Gap(Gap),
    /// Requests a [`Self::Pong`] with the same JSON text at once.
    Ping(Option<Bytes>),
    /// Answers a [`Self::Ping`].
    Pong(Option<Bytes>),
    /// Requests an [`Self::Ack`] at once, even if it repeats the last one.
    Sync,
    /// The sender no longer wants an answer to its question with this id.
    Cancel(Box<str>),
}

/// The payload of `$open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Open {
    /// The session's token, which authorizes a resume together with `ConnectFn`.
    pub session: Token,
    /// The connection ID that `ConnectFn` assigned.
    pub id: Box<str>,
    /// The room that `ConnectFn` assigned.
    pub room: Box<str>,
    /// Whether this socket resumes a session, rather than opening a fresh one.
    pub resumed: bool,
    /// Number of data frames that the server has received in this session.
    pub received: u64,
    /// How long the session outlives its socket, in milliseconds.
    pub window_ms: u64,
    /// Number of data frames that each side keeps for replay.
    pub buffer: u32,
    /// Number of bytes that each side keeps for replay: payloads of WebSocket messages before compression. 1 MiB if absent.
    #[serde(default = "default_buffer_bytes")]
    pub buffer_bytes: u64,
    /// The largest message that the server accepts: the payload of a WebSocket message before compression, in bytes. Unlimited
    /// if absent.
    #[serde(default = "no_bound")]
    pub max_message: u64,
    /// Why the session that the client offered was not resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostReason>,
}

impl Open {
    /// Creates the `$open` of a fresh session, with default limits.
    pub fn new(session: Token, id: impl Into<Box<str>>, room: impl Into<Box<str>>) -> Self {
        Self {
            session,
            id: id.into(),
            room: room.into(),
            resumed: false,
            received: 0,
            window_ms: 0,
            buffer: 1,
            buffer_bytes: default_buffer_bytes(),
            max_message: no_bound(),
            lost: None,
        }
    }
}

fn default_buffer_bytes() -> u64 {
    1 << 20
}

fn no_bound() -> u64 {
    MAX_COUNT
}

/// The secret token of a session. `Debug` does not reveal it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Token(Box<str>);

impl Token {
    /// Accepts 22 to 64 characters of `[A-Za-z0-9_-]`; returns `None` for any other text (PROTOCOL.md §5).
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (22..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        fits.then(|| Self(text.into()))
    }

    /// The token's text, as sent on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Token {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a session token")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why the server opened a fresh session instead of resuming the offered one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LostReason {
    /// The session has another codec.
    Codec,
    /// The session has another connection ID or room.
    Identity,
    /// There is no such session, or its window has passed. Unknown reasons deserialize to this variant.
    #[serde(other)]
    Unknown,
}

/// The payload of `$gap`: the data frames `from` to `to`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gap {
    /// The first frame that will not be delivered.
    pub from: u64,
    /// The last frame that will not be delivered.
    pub to: u64,
}

impl Gap {
    /// The data frames `from` to `to`, both included. `from` must be at least 1 and at most `to`.
    pub fn new(from: u64, to: u64) -> Self {
        debug_assert!(from <= to, "a gap has at least one frame");
        Self { from, to }
    }

    /// Number of frames in the gap.
    pub fn frames(&self) -> u64 {
        self.to.saturating_sub(self.from).saturating_add(1)
    }
}

/// The payload of `$cancel`.
#[derive(Serialize, Deserialize)]
struct Cancel<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

/// A known control event with an invalid payload; closes the socket with 1002.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The largest count that JavaScript represents exactly. No session reaches it by counting.
pub(crate) const MAX_COUNT: u64 = (1 << 53) - 1;

/// Maximum size of a `$ping` payload in bytes: enough for a timestamp and a name, too small to amplify traffic.
const MAX_PING: usize = 4096;

impl Control {
    /// Parses a frame whose event begins with `$`. Returns `None` for an unknown event.
    pub(crate) fn parse(frame: &Frame) -> Result<Option<Self>, Malformed> {
        let text = || match frame.payload() {
            // In JSON the payload is the value itself; binary codecs carry the same text as bytes.
            Some(payload) if matches!(payload.format(), PayloadFormat::Json | PayloadFormat::Bytes) => {
                Ok(payload.data())
            }
            _ => Err(Malformed("control frame without a JSON payload")),
        };
        Ok(Some(match frame.event() {
            "$open" => {
                let open = serde_json::from_slice(text()?).map_err(|_| Malformed("malformed $open"))?;
                Self::Open(Box::new(open))
            }
            "$ack" => match serde_json::from_slice(text()?) {
                Ok(count) if count <= MAX_COUNT => Self::Ack(count),
                _ => return Err(Malformed("$ack is not a whole number")),
            },
            "$gap" => match serde_json::from_slice::<Gap>(text()?) {
                Ok(gap) if gap.from <= gap.to && gap.to <= MAX_COUNT => Self::Gap(gap),
                _ => return Err(Malformed("malformed $gap")),
            },
            event @ ("$ping" | "$pong") => {
                let value = frame.payload().is_some().then(text).transpose()?.cloned();
                if value.as_ref().is_some_and(|value| value.len() > MAX_PING) {
                    return Err(Malformed("$ping is too big"));
                }
                // The answer carries the value as JSON, and a codec does not inspect opaque bytes.
                if value.as_ref().is_some_and(|value| !is_json(value)) {
                    return Err(Malformed("$ping is not JSON"));
                }
                if event == "$ping" { Self::Ping(value) } else { Self::Pong(value) }
            }
            // No payload is defined. A later version may add one, which this version ignores.
            "$sync" => Self::Sync,
            "$cancel" => match serde_json::from_slice::<Cancel<'_>>(text()?) {
                Ok(cancel) => Self::Cancel(cancel.id.into()),
                Err(_) => return Err(Malformed("malformed $cancel")),
            },
            _ => return Ok(None),
        }))
    }

    /// The event name.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Open(_) => "$open",
            Self::Ack(_) => "$ack",
            Self::Gap(_) => "$gap",
            Self::Ping(_) => "$ping",
            Self::Pong(_) => "$pong",
            Self::Sync => "$sync",
            Self::Cancel(_) => "$cancel",
        }
    }

    /// The payload as JSON text; `None` for a ping or pong without one, and for [`Self::Sync`].
    pub fn json(&self) -> Option<Bytes> {
        let text = match self {
            Self::Open(open) => serde_json::to_vec(open),
            Self::Ack(count) => serde_json::to_vec(count),
            Self::Gap(gap) => serde_json::to_vec(gap),
            Self::Ping(value) | Self::Pong(value) => return value.clone(),
            Self::Sync => return None,
            Self::Cancel(id) => serde_json::to_vec(&Cancel { id: (&**id).into() }),
        };
        Some(text.expect("numbers, booleans and strings can be represented in JSON").into())
    }
}

fn is_json(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Payload;

    fn parse(event: &str, json: &str) -> Result<Option<Control>, Malformed> {
        Control::parse(&Frame::event_only(event).with_payload(Payload::json_text(json).unwrap()))
    }

    #[test]
    fn control_frames_round_trip() {
        let mut open = Open::new(Token::parse("abcdefghijklmnopqrstuvwxyz").unwrap(), "id", "room");
        open.lost = Some(LostReason::Identity);
        let gap = Gap::new(3, 9);
        for control in [
            Control::Open(Box::new(open)),
            Control::Ack(7),
            Control::Gap(gap),
            Control::Ping(Some(Bytes::from_static(b"[1,2]"))),
            Control::Pong(Some(Bytes::from_static(b"null"))),
            Control::Cancel("q\"1\u{e9}".into()),
        ] {
            let text = control.json().unwrap();
            let read = parse(control.event(), std::str::from_utf8(&text).unwrap());
            assert_eq!(read, Ok(Some(control)));
        }
    }

    #[test]
    fn sync_has_no_payload_and_ignores_one() {
        assert_eq!((Control::Sync.event(), Control::Sync.json()), ("$sync", None));
        assert_eq!(Control::parse(&Frame::event_only("$sync")), Ok(Some(Control::Sync)));
        assert_eq!(parse("$sync", "{\"later\":1}"), Ok(Some(Control::Sync)));
    }

    #[test]
    fn missing_limits_in_open_have_defaults() {
        let open = r#"{"session":"abcdefghijklmnopqrstuv","id":"","room":"","resumed":false,"received":0,"window_ms":0,"buffer":8}"#;
        let Ok(Some(Control::Open(open))) = parse("$open", open) else { panic!("it is well-formed") };
        assert_eq!((open.buffer_bytes, open.max_message), (1 << 20, MAX_COUNT));
    }

    #[test]
    fn ignores_unknown_control_events() {
        assert_eq!(parse("$later", "{}"), Ok(None));
    }

    #[test]
    fn refuses_malformed_control_frames() {
        for (event, json) in [
            ("$ack", "-1"),
            ("$ack", "1.5"),
            ("$ack", "\"1\""),
            ("$ack", "9007199254740992"),
            ("$gap", "{}"),
            ("$gap", r#"{"from":5,"to":4}"#),
            ("$gap", r#"{"from":5,"to":18446744073709551615}"#),
            ("$open", "{}"),
            ("$cancel", "{}"),
            ("$cancel", r#"{"id":1}"#),
            ("$cancel", "\"id\""),
        ] {
            assert!(parse(event, json).is_err(), "{event} {json}");
        }
        assert!(Control::parse(&Frame::event_only("$ack")).is_err());
        assert!(Control::parse(&Frame::event_only("$cancel")).is_err());
    }

    #[test]
    fn refuses_ping_that_is_not_json() {
        let ping = |bytes: &'static [u8]| {
            Control::parse(&Frame::event_only("$ping").with_payload(Payload::bytes(bytes)))
        };
        assert_eq!(ping(b"[1]"), Ok(Some(Control::Ping(Some(Bytes::from_static(b"[1]"))))));
        for wrong in [&b""[..], b"\xff", b"\"\xff\"", b"[1", b"1 2"] {
            assert_eq!(ping(wrong), Err(Malformed("$ping is not JSON")));
        }
    }

    #[test]
    fn unknown_lost_reason_is_read_as_unknown() {
        let reason: LostReason = serde_json::from_str("\"moved\"").unwrap();
        assert_eq!(reason, LostReason::Unknown);
    }

    #[test]
    fn debug_output_omits_the_token() {
        let token = Token::parse("abcdefghijklmnopqrstuvwxyz").unwrap();
        assert!(!format!("{token:?}").contains("abc"));
    }
}
