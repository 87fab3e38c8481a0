//! [`Act`]: one operation in an entry of the log.

use std::fmt;

use bytes::Bytes;
use rejoin_core::{Frame, Overflow, Payload, PayloadFormat};
use rejoin_store::WriterKey;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fanout::encoded::EncodedOnce;
use crate::fanout::rewind::Rewind;

use super::told::Told;

/// The key of a session: the part of its token that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Key(u64, u64);

impl Key {
    pub(crate) const fn new(bytes: [u8; 16]) -> Self {
        let all = u128::from_be_bytes(bytes);
        Self((all >> 64) as u64, all as u64)
    }

    pub(crate) fn bytes(self) -> [u8; 16] {
        (u128::from(self.0) << 64 | u128::from(self.1)).to_be_bytes()
    }
}

impl From<Key> for WriterKey {
    fn from(key: Key) -> Self {
        Self(key.bytes())
    }
}

/// One operation in an entry. The order of the variants is part of the format.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Act {
    /// A session begins. Its record contains its identity.
    Open(Key),
    /// A frame for one session.
    Send {
        to: Key,
        frame: Said,
        overflow: Policy,
    },
    /// A frame for an audience.
    Say {
        to: Vec<SaidTarget>,
        except: Vec<SaidException>,
        frame: Said,
        overflow: Policy,
        names_rooms: Option<bool>,
        /// The frame in one of the codecs of this process. Not in the log.
        #[serde(skip)]
        once: Option<EncodedOnce>,
    },
    Join {
        who: Key,
        room: String,
        rewind: Option<Rewind>,
    },
    Leave {
        who: Key,
        room: String,
    },
    User {
        who: Key,
        name: Option<String>,
    },
    Presence {
        who: Key,
        value: Option<(u8, Blob)>,
    },
    /// Does nothing. A caller that awaits it knows that all earlier acts were applied.
    Nothing,
    /// A callback of the session has returned.
    Told {
        who: Key,
        what: Told,
    },
    /// The session's window has passed: it ends, and can no longer be resumed.
    Over(Key),
    /// Another server owns the session from now on. An owner in an earlier epoch drops it.
    Moved(Key),
    /// The session ends with this entry, because a newcomer at another server takes its connection ID.
    Replaced(Key),
}

/// A target of a broadcast, as the log stores it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum SaidTarget {
    Room(String),
    User(String),
    Id(String),
    Everyone,
}

/// An exception from a broadcast's targets, as the log stores it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum SaidException {
    Connection(String),
    Room(String),
    User(String),
}

/// A frame, as the log stores it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Said {
    event: String,
    id: String,
    re: String,
    more: bool,
    room: String,
    payload: Option<(u8, Blob)>,
}

/// Bytes that are serialized as bytes, not as a sequence.
#[derive(Debug, Clone)]
pub(crate) struct Blob(pub(crate) Bytes);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes_;
        impl Visitor<'_> for Bytes_ {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(Bytes::copy_from_slice(bytes)))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes.into()))
            }
        }
        deserializer.deserialize_byte_buf(Bytes_)
    }
}

/// A payload as a format and bytes.
pub(crate) fn blob(payload: &Payload) -> (u8, Blob) {
    let format = match payload.format() {
        PayloadFormat::Json => 0,
        PayloadFormat::Msgpack => 1,
        _ => 2,
    };
    (format, Blob(payload.data().clone()))
}

pub(crate) fn payload((format, Blob(data)): (u8, Blob)) -> Payload {
    let format = match format {
        0 => PayloadFormat::Json,
        1 => PayloadFormat::Msgpack,
        _ => PayloadFormat::Bytes,
    };
    Payload::from_parts(format, data)
}

impl From<&Frame> for Said {
    fn from(frame: &Frame) -> Self {
        Self {
            event: frame.event().into(),
            id: frame.id().into(),
            re: frame.re().into(),
            more: frame.more(),
            room: frame.room().into(),
            payload: frame.payload().map(blob),
        }
    }
}

impl From<Said> for Frame {
    fn from(said: Said) -> Self {
        let mut frame = Self::event_only(said.event).with_id(said.id);
        if !said.re.is_empty() {
            frame = frame.with_re(said.re);
        }
        if said.more {
            frame = frame.with_more(true);
        }
        if !said.room.is_empty() {
            frame = frame.with_room(said.room);
        }
        match said.payload {
            Some(blob) => frame.with_payload(payload(blob)),
            None => frame,
        }
    }
}

/// An overflow policy, as the log stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Policy {
    Reject,
    DropOldest,
    DropNewest,
    Disconnect,
}

impl From<Overflow> for Policy {
    fn from(overflow: Overflow) -> Self {
        match overflow {
            Overflow::DropOldest => Self::DropOldest,
            Overflow::Disconnect => Self::Disconnect,
            Overflow::Reject => Self::Reject,
            _ => Self::DropNewest,
        }
    }
}

impl From<Policy> for Overflow {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Reject => Self::Reject,
            Policy::DropOldest => Self::DropOldest,
            Policy::DropNewest => Self::DropNewest,
            Policy::Disconnect => Self::Disconnect,
        }
    }
}

/// The ticket of an entry that no caller awaits.
pub(super) const NOBODY: u64 = 0;

/// Encodes an entry: its acts, and the ticket that a caller awaits, or [`NOBODY`].
pub(crate) fn encode(ticket: u64, acts: &[Act]) -> Bytes {
    // Most entries say one frame of some hundred bytes.
    let mut body = Vec::with_capacity(256);
    rmp_serde::encode::write(&mut body, &(ticket, acts)).expect("acts consist of numbers, texts and bytes");
    body.into()
}

/// Decodes an entry.
///
/// # Errors
/// Fails for an entry that is damaged, or that another version has written.
pub(crate) fn decode(body: &[u8]) -> Result<(u64, Vec<Act>), rmp_serde::decode::Error> {
    rmp_serde::from_slice(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_come_back_as_they_were() {
        let key = Key::new(*b"abcdefghijklmnop");
        let frame = Frame::new("chat", "hello").unwrap().with_id("7").with_re("5").with_more(true);
        let acts = vec![
            Act::Open(key),
            Act::Send { to: key, frame: (&frame).into(), overflow: Policy::Reject },
            Act::Say {
                to: vec![SaidTarget::Room("tea".into()), SaidTarget::Everyone],
                except: vec![SaidException::Connection("ada".into())],
                frame: (&Frame::event_only("bare")).into(),
                overflow: Policy::DropOldest,
                names_rooms: Some(true),
                once: None,
            },
            Act::Join { who: key, room: "tea".into(), rewind: Some(Rewind::from(3)) },
            Act::User { who: key, name: None },
            Act::Presence { who: key, value: Some(blob(&Payload::bytes(vec![0, 255]))) },
        ];
        let (ticket, read) = decode(&encode(9, &acts)).unwrap();
        assert_eq!((ticket, format!("{read:?}")), (9, format!("{acts:?}")));
        let Act::Send { to, frame: said, .. } = read[1].clone() else { panic!() };
        assert_eq!((to.bytes(), Frame::from(said)), (*b"abcdefghijklmnop", frame));
    }

    #[test]
    fn frames_come_back_with_all_their_parts() {
        let formats = [PayloadFormat::Json, PayloadFormat::Msgpack, PayloadFormat::Bytes];
        let payloads = formats.map(|format| Payload::from_parts(format, Bytes::from_static(b"7")));
        let bare = Frame::event_only("said");
        let with_payloads = payloads.map(|payload| bare.clone().with_payload(payload));
        let others = [
            bare.clone(),
            bare.clone().with_id("7"),
            bare.clone().with_re("5"),
            bare.clone().with_re("5").with_more(true),
            bare.clone().with_room("tea"),
        ];
        for frame in with_payloads.into_iter().chain(others) {
            let back = Frame::from(Said::from(&frame));
            assert_eq!(back, frame);
            // An absent part stays absent, instead of becoming empty.
            assert_eq!(format!("{back:?}"), format!("{frame:?}"));
        }
    }

    #[test]
    fn each_overflow_policy_comes_back() {
        for overflow in [Overflow::Reject, Overflow::DropOldest, Overflow::DropNewest, Overflow::Disconnect] {
            assert_eq!(Overflow::from(Policy::from(overflow)), overflow);
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert!(decode(b"").is_err() && decode(b"\x92\x01").is_err() && decode(b"hello").is_err());
    }
}
