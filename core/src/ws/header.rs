//! [`Header`]: the 2 to 14 bytes before every payload (RFC 6455 §5.2), parsed strictly and written in the shortest form.

use super::mask::Mask;
use super::{FrameError, Role};
use crate::MessageKind;

/// Two bytes, a 64-bit length and a masking key.
pub(super) const MAX_HEADER: usize = 2 + 8 + 4;

/// The longest payload of a control frame (§5.5), which is also the longest length that fits into the second byte.
pub(super) const MAX_CONTROL: usize = 125;

/// The reserved bits that a peer may set: none, because no extension is negotiated. permessage-deflate would add `0x40`.
const ALLOWED_RESERVED_BITS: u8 = 0;

const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const SHORT_LENGTH: u8 = 0x7f;
/// Values of the short length that announce the actual length in the next 2 or 8 bytes.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Data(MessageKind),
    Control(ControlOpcode),
}

/// Control frames, which may be interleaved with the fragments of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlOpcode {
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Data(MessageKind::Text),
            0x2 => Self::Data(MessageKind::Binary),
            0x8 => Self::Control(ControlOpcode::Close),
            0x9 => Self::Control(ControlOpcode::Ping),
            0xa => Self::Control(ControlOpcode::Pong),
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Data(MessageKind::Text) => 0x1,
            Self::Data(MessageKind::Binary) => 0x2,
            Self::Control(ControlOpcode::Close) => 0x8,
            Self::Control(ControlOpcode::Ping) => 0x9,
            Self::Control(ControlOpcode::Pong) => 0xa,
        }
    }
}

/// A header that is valid on its own. The decoder checks whether it is valid after the preceding frames.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: Mask,
    pub(super) length: u64,
}

/// The bytes of a header received so far.
#[derive(Debug, Default)]
pub(super) struct PartialHeader {
    bytes: [u8; MAX_HEADER],
    /// Number of valid bytes in `bytes`.
    filled: u8,
}

impl PartialHeader {
    /// Consumes header bytes from the front of `input`, and nothing beyond the header. Returns `None` if `input` is consumed
    /// before the header is complete.
    ///
    /// The first two bytes are validated before the rest arrives.
    pub(super) fn read(&mut self, input: &mut &mut [u8], role: Role) -> Result<Option<Header>, FrameError> {
        if !self.fill(2, input) {
            return Ok(None);
        }
        let start = Start::parse(self.bytes[0], self.bytes[1], role)?;
        if !self.fill(start.header_len(), input) {
            return Ok(None);
        }
        start.complete(&self.bytes).map(Some)
    }

    /// Consumes bytes until `bytes` holds `len`, which is at most [`MAX_HEADER`]. Returns whether it does.
    fn fill(&mut self, len: usize, input: &mut &mut [u8]) -> bool {
        let filled = usize::from(self.filled);
        let taken = len.saturating_sub(filled).min(input.len());
        if let Some(bytes) = input.split_off_mut(..taken) {
            self.bytes[filled..filled + taken].copy_from_slice(bytes);
            // `taken` is at most MAX_HEADER.
            self.filled += taken as u8;
        }
        usize::from(self.filled) >= len
    }
}

/// The contents of the first two bytes.
struct Start {
    fin: bool,
    opcode: Opcode,
    masked: bool,
    short_length: u8,
}

impl Start {
    fn parse(first: u8, second: u8, role: Role) -> Result<Self, FrameError> {
        if first & RESERVED_BITS & !ALLOWED_RESERVED_BITS != 0 {
            return Err(FrameError::ReservedBits);
        }
        let Some(opcode) = Opcode::from_bits(first & OPCODE) else {
            return Err(FrameError::ReservedOpcode(first & OPCODE));
        };
        let start = Self {
            fin: first & FIN != 0,
            opcode,
            masked: second & MASKED != 0,
            short_length: second & SHORT_LENGTH,
        };
        match (role, start.masked) {
            (Role::Server, false) => return Err(FrameError::NotMasked),
            (Role::Client, true) => return Err(FrameError::Masked),
            (Role::Server, true) | (Role::Client, false) => {}
        }
        if let Opcode::Control(_) = opcode {
            if !start.fin {
                return Err(FrameError::ControlFragmented);
            }
            if usize::from(start.short_length) > MAX_CONTROL {
                return Err(FrameError::ControlTooLong);
            }
        }
        Ok(start)
    }

    fn header_len(&self) -> usize {
        self.mask_at() + if self.masked { 4 } else { 0 }
    }

    /// Offset of the masking key, which follows the length.
    fn mask_at(&self) -> usize {
        match self.short_length {
            LENGTH_16 => 4,
            LENGTH_64 => 10,
            _ => 2,
        }
    }

    /// Parses length and mask. "The minimal number of bytes MUST be used to encode the length" (§5.2).
    fn complete(&self, bytes: &[u8; MAX_HEADER]) -> Result<Header, FrameError> {
        let [_, _, b0, b1, b2, b3, b4, b5, b6, b7, ..] = *bytes;
        let (length, minimum) = match self.short_length {
            LENGTH_16 => (u16::from_be_bytes([b0, b1]).into(), 126),
            LENGTH_64 => (u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7]), 1 << 16),
            short => (short.into(), 0),
        };
        if length < minimum {
            return Err(FrameError::LengthNotMinimal);
        }
        if length > i64::MAX as u64 {
            return Err(FrameError::LengthTooLarge);
        }
        let mask = match bytes[self.mask_at()..].first_chunk() {
            Some(key) if self.masked => Mask::new(*key),
            _ => Mask::NONE,
        };
        Ok(Header { fin: self.fin, opcode: self.opcode, mask, length })
    }
}

/// The length of an unfragmented, unmasked frame with a payload of this length.
pub fn frame_len(payload_len: usize) -> usize {
    payload_len.saturating_add(written_len(payload_len))
}

/// The inverse of [`frame_len`].
pub fn payload_len(frame_len: usize) -> usize {
    let lens = [2, 4, 10].map(|header| frame_len.saturating_sub(header));
    lens.into_iter().find(|payload| self::frame_len(*payload) == frame_len).unwrap_or(frame_len)
}

/// Length of the header that [`written`] returns for a payload of this length.
pub(super) fn written_len(payload_len: usize) -> usize {
    match payload_len {
        0..=MAX_CONTROL => 2,
        126..=0xffff => 4,
        _ => MAX_WRITTEN,
    }
}

/// The longest header that [`written`] returns.
pub(super) const MAX_WRITTEN: usize = 10;

/// The header of an unfragmented, unmasked frame, and its length.
pub(super) fn written(opcode: Opcode, payload_len: usize) -> ([u8; MAX_WRITTEN], usize) {
    let mut head = [0; MAX_WRITTEN];
    let len = written_len(payload_len);
    head[0] = FIN | opcode.bits();
    match len {
        2 => head[1] = payload_len as u8,
        4 => {
            head[1] = LENGTH_16;
            head[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
        }
        _ => {
            head[1] = LENGTH_64;
            head[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
        }
    }
    (head, len)
}

/// Length of the header of a frame that [`written`] began.
pub(super) fn written_header_len(frame: &[u8]) -> usize {
    match frame.get(1).copied().unwrap_or_default() {
        LENGTH_16 => 4,
        LENGTH_64 => 10,
        _ => 2,
    }
}

/// Message kind in a header that [`written`] returned for a data message.
pub(super) fn written_kind(frame: &[u8]) -> MessageKind {
    match Opcode::from_bits(frame.first().copied().unwrap_or_default() & OPCODE) {
        Some(Opcode::Data(kind)) => kind,
        _ => MessageKind::Binary,
    }
}

/// Sets the mask bit in a header that [`written`] returned.
pub(super) fn set_masked(head: &mut [u8]) {
    if let Some(second) = head.get_mut(1) {
        *second |= MASKED;
    }
}
