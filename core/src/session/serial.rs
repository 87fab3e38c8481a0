//! Serialized forms for field types that do not implement serde's traits, for `#[serde(with = "..")]`.

/// A message: base64 in human-readable formats, bytes in others.
pub(super) mod message {
    use std::fmt;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserializer, Serializer, de};

    pub(in super::super) fn serialize<S: Serializer>(message: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.serialize_str(&STANDARD.encode(message))
        } else {
            to.serialize_bytes(message)
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        if from.is_human_readable() {
            from.deserialize_str(MessageVisitor)
        } else {
            from.deserialize_byte_buf(MessageVisitor)
        }
    }

    struct MessageVisitor;

    impl de::Visitor<'_> for MessageVisitor {
        type Value = Bytes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a message as base64 or bytes")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
            STANDARD
                .decode(text)
                .map(Bytes::from)
                .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
            Ok(Bytes::copy_from_slice(bytes))
        }

        fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
            Ok(bytes.into())
        }
    }
}

/// A list of messages, each as [`message`].
pub(super) mod messages {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    struct Owned(#[serde(with = "super::message")] Bytes);

    #[derive(Serialize)]
    struct Borrowed<'a>(#[serde(serialize_with = "super::message::serialize")] &'a Bytes);

    pub(in super::super) fn serialize<S: Serializer>(messages: &[Bytes], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(messages.iter().map(Borrowed))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Bytes>, D::Error> {
        let messages = Vec::<Owned>::deserialize(from)?;
        Ok(messages.into_iter().map(|Owned(message)| message).collect())
    }
}

/// A duration as a number of nanoseconds; saturates at 584 years.
pub(super) mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}

/// An optional duration, as [`nanos`].
pub(super) mod nanos_or_none {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Nanos(#[serde(with = "super::nanos")] Duration);

    pub(in super::super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(Nanos).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let time = Option::<Nanos>::deserialize(from)?;
        Ok(time.map(|Nanos(time)| time))
    }
}

/// A received frame that the application has not taken yet.
pub(super) mod frame {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::{Frame, Payload, PayloadFormat};

    #[derive(Serialize, Deserialize)]
    #[serde(rename = "Frame")]
    struct Parts {
        id: Box<str>,
        event: Box<str>,
        payload: Option<PayloadParts>,
        #[serde(default)]
        rare: Option<RareParts>,
    }

    /// Members that most frames do not have.
    #[derive(Serialize, Deserialize)]
    #[serde(rename = "Rare")]
    struct RareParts {
        re: Box<str>,
        room: Box<str>,
        more: bool,
        volatile: bool,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename = "Payload")]
    struct PayloadParts {
        format: Format,
        #[serde(with = "super::message")]
        data: Bytes,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "PayloadFormat", rename_all = "snake_case")]
    enum RemoteFormat {
        Json,
        Msgpack,
        Bytes,
    }

    #[derive(Serialize, Deserialize)]
    struct Format(#[serde(with = "RemoteFormat")] PayloadFormat);

    pub(in super::super) fn serialize<S: Serializer>(frame: &Frame, to: S) -> Result<S::Ok, S::Error> {
        let payload = frame
            .payload()
            .map(|payload| PayloadParts { format: Format(payload.format()), data: payload.data().clone() });
        let rare = frame.has_rare().then(|| RareParts {
            re: frame.re().into(),
            room: frame.room().into(),
            more: frame.more(),
            volatile: frame.is_volatile(),
        });
        Parts { id: frame.id().into(), event: frame.event().into(), payload, rare }.serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Frame, D::Error> {
        let Parts { id, event, payload, rare } = Parts::deserialize(from)?;
        let mut frame = Frame::event_only(event).with_id(id);
        if let Some(RareParts { re, room, more, volatile }) = rare {
            frame = frame.with_re(re).with_room(room).with_more(more).with_volatile(volatile);
        }
        Ok(match payload {
            Some(PayloadParts { format: Format(format), data }) => {
                frame.with_payload(Payload::from_parts(format, data))
            }
            None => frame,
        })
    }
}

/// The kind of an I/O error by its name in `std`. A name that is unknown here reads as [`io::ErrorKind::Other`].
///
/// [`io::ErrorKind::Other`]: std::io::ErrorKind::Other
pub(super) mod io_kind {
    use std::borrow::Cow;
    use std::io::ErrorKind::{self, *};

    use serde::{Deserialize, Deserializer, Serializer};

    /// The kinds that have a stable name.
    const KINDS: &[ErrorKind] = &[
        NotFound,
        PermissionDenied,
        ConnectionRefused,
        ConnectionReset,
        HostUnreachable,
        NetworkUnreachable,
        ConnectionAborted,
        NotConnected,
        AddrInUse,
        AddrNotAvailable,
        NetworkDown,
        BrokenPipe,
        AlreadyExists,
        WouldBlock,
        NotADirectory,
        IsADirectory,
        DirectoryNotEmpty,
        ReadOnlyFilesystem,
        StaleNetworkFileHandle,
        InvalidInput,
        InvalidData,
        TimedOut,
        WriteZero,
        StorageFull,
        NotSeekable,
        QuotaExceeded,
        FileTooLarge,
        ResourceBusy,
        ExecutableFileBusy,
        Deadlock,
        CrossesDevices,
        TooManyLinks,
        InvalidFilename,
        ArgumentListTooLong,
        Interrupted,
        Unsupported,
        UnexpectedEof,
        OutOfMemory,
        Other,
    ];

    pub(in super::super) fn serialize<S: Serializer>(kind: &ErrorKind, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{kind:?}"))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ErrorKind, D::Error> {
        let name = Cow::<str>::deserialize(from)?;
        let found = KINDS.iter().find(|kind| format!("{kind:?}") == *name);
        Ok(found.copied().unwrap_or(Other))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[derive(serde::Serialize, Deserialize)]
        struct Kind(#[serde(with = "super")] ErrorKind);

        #[test]
        fn a_kind_reads_back_from_its_name() {
            for kind in KINDS {
                let text = serde_json::to_string(&Kind(*kind)).unwrap();
                assert_eq!(text, format!("\"{kind:?}\""));
                assert_eq!(serde_json::from_str::<Kind>(&text).unwrap().0, *kind);
            }
            assert_eq!(serde_json::from_str::<Kind>("\"FilesystemLoop\"").unwrap().0, Other);
        }
    }
}
