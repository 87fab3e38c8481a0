//! [`Stamp`]: the contents of our messages, from which a receiver knows when a message was due.

use rejoin_client::{Frame, PayloadError};
use serde::{Deserialize, Serialize};

use crate::common::CodecName;

/// The contents of our messages. Members added by a server are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Stamp {
    /// The time when it was due, in nanoseconds since the run began.
    pub(crate) t: u64,
    /// The sender's sequence number, from 1.
    pub(crate) s: u64,
    /// The sender's number.
    pub(crate) p: u32,
}

#[derive(Serialize)]
struct Padded<'a> {
    t: u64,
    s: u64,
    p: u32,
    pad: &'a str,
}

/// Creates frames of a given approximate size.
#[derive(Debug, Clone)]
pub(crate) struct Messages {
    event: Box<str>,
    codec: CodecName,
    pad: Box<str>,
}

/// The approximate size of a payload without padding, in JSON.
const BARE: usize = 44;

impl Messages {
    /// Frames of this event, with a payload of about `size` bytes in JSON.
    pub(crate) fn new(event: &str, codec: CodecName, size: usize) -> Self {
        Self { event: event.into(), codec, pad: "x".repeat(size.saturating_sub(BARE)).into() }
    }

    pub(crate) fn event(&self) -> &str {
        &self.event
    }

    /// # Errors
    /// Never fails in practice: numbers and strings can be represented in each format.
    pub(crate) fn frame(&self, stamp: Stamp) -> Result<Frame, PayloadError> {
        let padded = Padded { t: stamp.t, s: stamp.s, p: stamp.p, pad: &self.pad };
        match self.codec {
            CodecName::Msgpack => Frame::msgpack(self.event.clone(), &padded),
            // Protobuf carries JSON unchanged, and clients of the other codecs can read it.
            CodecName::Json | CodecName::Protobuf => Frame::new(self.event.clone(), &padded),
        }
    }
}

impl Stamp {
    /// Reads the stamp of a frame. Returns `None` for a frame of the server's own.
    pub(crate) fn of(frame: &Frame) -> Option<Self> {
        frame.decode().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_round_trip_and_payloads_have_their_size() {
        let stamp = Stamp { t: 1_234_567_890, s: 17, p: 3 };
        for codec in [CodecName::Json, CodecName::Msgpack, CodecName::Protobuf] {
            let frame = Messages::new("x", codec, 128).frame(stamp).unwrap();
            assert_eq!(Stamp::of(&frame), Some(stamp));
            let size = frame.payload().unwrap().data().len();
            assert!((100..=140).contains(&size), "{codec:?}: {size} bytes");
        }
        assert_eq!(Stamp::of(&Frame::new("x", "hello").unwrap()), None);
    }
}
