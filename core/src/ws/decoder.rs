//! [`Decoder`]: converts the bytes of a socket to messages and control frames.

use bytes::Bytes;

use super::assembly::Assembly;
use super::header::{ControlOpcode, Header, Opcode, PartialHeader};
use super::mask::Mask;
use super::{FrameError, Role, close};
use crate::{CloseFrame, Message};

/// A message or control frame from the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "RFC 6455 defines these, and any other frame is an error")]
pub enum Incoming {
    /// A complete data message.
    Message(Message),
    /// Has to be answered with a pong that has the same payload (RFC 6455 §5.5.2).
    Ping(Bytes),
    /// Answers a ping, or is unsolicited (RFC 6455 §5.5.3).
    Pong(Bytes),
    /// The peer's last frame, to be answered with a close frame (RFC 6455 §5.5.1); `None` if its body is empty.
    Close(Option<CloseFrame>),
}

/// Converts the bytes of one connection to messages and control frames, however the network splits them.
///
/// The decoder is small and holds no buffer between messages, because every idle connection has one. While a message is
/// incomplete, the decoder allocates at most twice the bytes received so far, whatever length the peer declared.
///
/// ```
/// use rejoin_core::ws::{Decoder, Incoming, Role};
///
/// let mut decoder = Decoder::new(Role::Server, 64 * 1024);
/// let mut read = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; // the masked "Hello" of RFC 6455 §5.7
/// let mut input = &mut read[..];
/// while let Some(incoming) = decoder.decode(&mut input)? {
///     assert_eq!(incoming, Incoming::Message(rejoin_core::Message::text("Hello")));
/// }
/// # Ok::<(), rejoin_core::ws::FrameError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    max_message_size: usize,
    state: DecoderState,
    message: Assembly,
    /// The payload of an incomplete control frame. Separate from `message`, because it may be interleaved with its fragments.
    control: Vec<u8>,
}

/// ```text
///             header complete                payload complete
///   Header ───────────────────► Payload ─────────────────────► Header
///                                  │ of a close                   any error
///                                  └────────────► Closed       ─────────────► Failed
/// ```
#[derive(Debug)]
enum DecoderState {
    Header(PartialHeader),
    Payload(FrameInProgress),
    Closed,
    Failed(FrameError),
}

/// A frame whose payload is being read.
#[derive(Debug, Clone, Copy)]
struct FrameInProgress {
    opcode: Opcode,
    fin: bool,
    mask: Mask,
    /// Number of payload bytes that have not arrived yet.
    remaining: usize,
}

impl Decoder {
    /// Creates a decoder for a connection on which nothing has been read.
    ///
    /// `max_message_size` limits the payload bytes of one data message, across all its fragments.
    pub fn new(role: Role, max_message_size: usize) -> Self {
        Self {
            role,
            max_message_size,
            state: DecoderState::Header(PartialHeader::default()),
            message: Assembly::default(),
            control: Vec::new(),
        }
    }

    /// Consumes the next message or control frame from the front of `input`, unmasking it in place, and leaves the rest in
    /// `input`. `Ok(None)` means that all of `input` was consumed and more is needed; the caller can reuse its buffer.
    ///
    /// After a [close](Incoming::Close), further input is consumed and ignored (RFC 6455 §1.4).
    ///
    /// # Errors
    ///
    /// Returns a [`FrameError`] as soon as the received bytes cannot be the beginning of valid input: text that is not UTF-8
    /// fails at its first invalid byte, a message that is too large at the header that declares its size. Afterwards, every
    /// call returns the same error.
    pub fn decode(&mut self, input: &mut &mut [u8]) -> Result<Option<Incoming>, FrameError> {
        let result = self.advance(input);
        if let Err(error) = result {
            self.state = DecoderState::Failed(error);
            // `control` is empty: a control frame can fail only at its end, where its bytes are taken.
            self.message = Assembly::default();
        }
        result
    }

    /// The error that [`Self::decode`] returned, if it failed.
    pub fn failed(&self) -> Option<FrameError> {
        match self.state {
            DecoderState::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Memory held for an incomplete message or control frame, in bytes; 0 when idle.
    pub fn buffered(&self) -> usize {
        self.message.capacity() + self.control.capacity()
    }

    fn advance(&mut self, input: &mut &mut [u8]) -> Result<Option<Incoming>, FrameError> {
        loop {
            match &mut self.state {
                DecoderState::Header(partial) => {
                    let Some(header) = partial.read(input, self.role)? else {
                        return Ok(None);
                    };
                    self.state = DecoderState::Payload(self.begin_frame(&header)?);
                }
                DecoderState::Payload(frame) => {
                    let piece = frame.take(input);
                    let frame = *frame;
                    let incoming = match frame.opcode {
                        Opcode::Control(control) => self.handle_control(control, frame, piece)?,
                        Opcode::Continuation | Opcode::Data(_) => self.handle_data(frame, piece)?,
                    };
                    if frame.remaining > 0 {
                        return Ok(None);
                    }
                    self.state = match incoming {
                        Some(Incoming::Close(_)) => DecoderState::Closed,
                        _ => DecoderState::Header(PartialHeader::default()),
                    };
                    if incoming.is_some() {
                        return Ok(incoming);
                    }
                }
                DecoderState::Closed => {
                    *input = &mut [];
                    return Ok(None);
                }
                DecoderState::Failed(error) => return Err(*error),
            }
        }
    }

    /// Checks a header against preceding frames and against the size limit, before any of its payload is read.
    fn begin_frame(&mut self, header: &Header) -> Result<FrameInProgress, FrameError> {
        match header.opcode {
            Opcode::Continuation if !self.message.is_open() => {
                return Err(FrameError::UnexpectedContinuation);
            }
            Opcode::Data(_) if self.message.is_open() => {
                return Err(FrameError::ExpectedContinuation);
            }
            Opcode::Data(kind) => self.message.begin(kind),
            Opcode::Continuation | Opcode::Control(_) => {}
        }
        let allowed = match header.opcode {
            // Parsing the header has already limited the length to 125.
            Opcode::Control(_) => usize::MAX,
            Opcode::Continuation | Opcode::Data(_) => self.max_message_size - self.message.len(),
        };
        // A length that does not fit into `usize` exceeds any limit.
        let remaining = usize::try_from(header.length).ok().filter(|length| *length <= allowed);
        let Some(remaining) = remaining else {
            return Err(FrameError::MessageTooBig { limit: self.max_message_size });
        };
        Ok(FrameInProgress { opcode: header.opcode, fin: header.fin, mask: header.mask, remaining })
    }

    fn handle_data(&mut self, frame: FrameInProgress, piece: &[u8]) -> Result<Option<Incoming>, FrameError> {
        if frame.fin && frame.remaining == 0 {
            return self.message.finish(piece).map(|message| Some(Incoming::Message(message)));
        }
        let expected = match frame.fin {
            true => self.message.len() + piece.len() + frame.remaining,
            false => self.max_message_size,
        };
        self.message.append(piece, expected)?;
        Ok(None)
    }

    fn handle_control(
        &mut self,
        control: ControlOpcode,
        frame: FrameInProgress,
        piece: &[u8],
    ) -> Result<Option<Incoming>, FrameError> {
        if frame.remaining > 0 {
            self.control.extend_from_slice(piece);
            return Ok(None);
        }
        let begun = std::mem::take(&mut self.control);
        let body = match begun.is_empty() {
            true => Bytes::copy_from_slice(piece),
            false => Bytes::from([&begun, piece].concat()),
        };
        Ok(Some(match control {
            ControlOpcode::Ping => Incoming::Ping(body),
            ControlOpcode::Pong => Incoming::Pong(body),
            ControlOpcode::Close => Incoming::Close(close::parse(&body)?),
        }))
    }
}

impl FrameInProgress {
    /// Consumes and unmasks the part of `input` that belongs to this frame.
    fn take<'a>(&mut self, input: &mut &'a mut [u8]) -> &'a mut [u8] {
        let len = self.remaining.min(input.len());
        let piece = input.split_off_mut(..len).unwrap_or_default();
        self.mask.apply(piece);
        self.remaining -= len;
        piece
    }
}
