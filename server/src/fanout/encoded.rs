//! [`Encoded`]: one frame for all members of a room.

use bytes::Bytes;
use rejoin_core::drive::{Appended, Encodings, MemoryBudget, Volatile};
use rejoin_core::{EncodeError, Frame};

use crate::context::ServerContext;
use crate::error::BroadcastError;

/// A frame that is encoded and framed in one codec, and that no budget counts yet.
#[derive(Debug, Clone)]
pub(crate) struct EncodedOnce {
    codec: usize,
    message: Bytes,
}

/// Encodes a frame with the codec of this index. The caller must hold no lock: a codec is foreign code.
pub(crate) fn once(frame: &Frame, context: &ServerContext, codec: usize) -> Result<EncodedOnce, EncodeError> {
    let message = context.options.codecs[codec].encode_framed(frame)?;
    Ok(EncodedOnce { codec, message })
}

/// A frame to broadcast, encoded and framed once for each codec among the members.
pub(crate) struct Encoded<'a> {
    pub(crate) frame: &'a Frame,
    context: &'a ServerContext,
    /// By the codec's index; `None` if the codec cannot represent the frame, or if no member uses it.
    encodings: Vec<Option<Bytes>>,
    /// The codecs that have been called, by their index.
    asked: Vec<bool>,
    failed: Option<EncodeError>,
}

impl<'a> Encoded<'a> {
    /// A frame that is not encoded yet.
    pub(crate) fn new(frame: &'a Frame, context: &'a ServerContext) -> Self {
        let codecs = context.options.codecs.len();
        Self { frame, context, encodings: vec![None; codecs], asked: vec![false; codecs], failed: None }
    }

    /// A frame that [`once`] has encoded in one of the codecs, if it has.
    pub(crate) fn with(frame: &'a Frame, context: &'a ServerContext, once: Option<EncodedOnce>) -> Self {
        let mut encoded = Self::new(frame, context);
        if let Some(EncodedOnce { codec, message }) = once {
            encoded.asked[codec] = true;
            encoded.encodings[codec] = Some(encoded.budget().charge(message));
        }
        encoded
    }

    /// A codec that has members, by these counts, and that has not encoded the frame yet.
    pub(crate) fn missing(&self, members: &[usize]) -> Option<usize> {
        members.iter().zip(&self.asked).position(|(members, asked)| *members > 0 && !asked)
    }

    /// Whether this codec has been asked to encode the frame.
    pub(crate) fn has(&self, codec: usize) -> bool {
        self.asked[codec]
    }

    /// Encodes the frame with the codec of this index. The bytes count once in the budget, until the last copy is dropped. The
    /// caller must hold no lock: a codec is foreign code.
    pub(crate) fn encode(&mut self, codec: usize) {
        self.asked[codec] = true;
        match self.context.options.codecs[codec].encode_framed(self.frame) {
            Ok(message) => self.encodings[codec] = Some(self.budget().charge(message)),
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
    }

    /// How the frame waits for sockets; `None` if it is not volatile.
    pub(crate) fn volatile(&self) -> Option<Volatile> {
        Volatile::of(self.frame)
    }

    fn budget(&self) -> &'a MemoryBudget {
        &self.context.budget
    }

    /// Whether the frame is within the bound of all sessions, or would be after evicting suspended ones. None is evicted now:
    /// most sockets take the frame at once, so that it is not kept. Besides, this is called under the room's lock. The fan-out
    /// evicts after it has written.
    pub(crate) fn fits(&self) -> bool {
        self.budget().can_fit(0)
    }

    /// The result of a broadcast to `queued` receivers: their number, and the size of all encodings in bytes.
    ///
    /// # Errors
    /// Fails if no codec can represent the frame. If at least one can, the receivers with other codecs get a gap.
    pub(crate) fn result(&self, queued: usize) -> Result<(usize, usize), BroadcastError> {
        match &self.failed {
            Some(error) if queued == 0 => Err(BroadcastError::Encode(error.clone())),
            _ => Ok((queued, self.encodings.iter().flatten().map(Bytes::len).sum())),
        }
    }

    /// Whether the members of a log lag: half of a send buffer waits in it.
    pub(crate) fn lags(&self, appended: Appended) -> bool {
        let options = &self.context.options;
        2 * appended.waiting_frames >= options.send_buffer
            || 2 * appended.waiting_bytes >= options.send_buffer_bytes
    }

    /// The encoding in each codec, by the codec's index.
    pub(crate) fn encodings(&self) -> &Encodings {
        &self.encodings
    }
}
