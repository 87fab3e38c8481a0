//! [`Stamp`]: what a message of ours says, so that whoever receives it knows when it was meant to be sent.

use rejoin_client::{Frame, PayloadError};
use serde::{Deserialize, Serialize};

use crate::args::CodecName;

/// What a message of ours says. Whatever else a server puts beside it is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Stamp {
    /// When it was meant to be sent: nanoseconds since the run began.
    pub(crate) t: u64,
    /// The sender's own count, from 1.
    pub(crate) s: u64,
    /// The sender.
    pub(crate) p: u32,
}

#[derive(Serialize)]
struct Padded<'a> {
    t: u64,
    s: u64,
    p: u32,
    pad: &'a str,
}

/// Makes frames of about a size.
#[derive(Debug, Clone)]
pub(crate) struct Messages {
    event: Box<str>,
    codec: CodecName,
    pad: Box<str>,
}

/// What a payload has beside its padding, in JSON.
const BARE: usize = 44;

impl Messages {
    /// Frames of this event, whose payload has about so many bytes in JSON.
    pub(crate) fn new(event: &str, codec: CodecName, size: usize) -> Self {
        Self { event: event.into(), codec, pad: "x".repeat(size.saturating_sub(BARE)).into() }
    }

    pub(crate) fn event(&self) -> &str {
        &self.event
    }

    /// # Errors
    /// None, in practice: numbers and strings have an image in each format.
    pub(crate) fn frame(&self, stamp: Stamp) -> Result<Frame, PayloadError> {
        let padded = Padded { t: stamp.t, s: stamp.s, p: stamp.p, pad: &self.pad };
        match self.codec {
            CodecName::Msgpack => Frame::msgpack(self.event.clone(), &padded),
            // Protobuf carries JSON as it is, and all others can read it.
            CodecName::Json | CodecName::Protobuf => Frame::new(self.event.clone(), &padded),
        }
    }
}

impl Stamp {
    /// What a frame of ours says; `None` for a server's own.
    pub(crate) fn of(frame: &Frame) -> Option<Self> {
        frame.decode().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_in_each_format_and_the_payload_has_its_size() {
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
