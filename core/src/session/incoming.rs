//! What the attached socket brings, on its way to the application.

use std::fmt;
use std::time::Instant;

use crate::control::Malformed;
use crate::{CloseFrame, Control, Frame, Gap};

use super::read_ahead::Inbound;
use super::send_buffer::BadAck;
use super::timeout::Ping;
use super::{CloseReason, Epoch, Event, Mode, Reconnect, Session, Side, State};

/// A rule of the protocol that the peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation(pub(super) &'static str);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Violation {}

impl From<Malformed> for Violation {
    fn from(Malformed(what): Malformed) -> Self {
        Self(what)
    }
}

impl From<BadAck> for Violation {
    fn from(bad: BadAck) -> Self {
        Self(match bad {
            BadAck::Beyond => "acknowledged more than was sent",
            BadAck::Backwards => "acknowledged less than before",
        })
    }
}

/// The most `$pong`s that wait to be written before reading stops.
const MAX_PONGS: usize = 16;

impl Session {
    /// Whether the socket is to be read: the application keeps up, and so does the peer with the answers that it asks for.
    ///
    /// In session mode the socket is read on behind what the application has not taken, for the acknowledgements there.
    pub fn wants_read(&self) -> bool {
        if self.pongs.as_ref().is_some_and(|pongs| pongs.len() >= MAX_PONGS) {
            return false;
        }
        if self.closing.is_some() {
            // Nothing is queued any more, and the answer to our close frame has to be seen.
            return true;
        }
        match (self.config.mode, &self.ahead) {
            (Mode::Plain, _) => !self.inbox_is_full(),
            //= PROTOCOL.md#R4.28: A receiver MUST read on… up to a bound… before it makes the peer wait
            (Mode::Session, Some(ahead)) => !ahead.is_over(self.peer_buffer, self.config.inbox_bytes),
            (Mode::Session, None) => true,
        }
    }

    fn inbox_is_full(&self) -> bool {
        self.events.is_full(self.config.inbox_frames, self.config.inbox_bytes)
    }

    /// Something arrived on the socket, were it only a ping.
    pub fn handle_heard(&mut self, epoch: Epoch, now: Instant) {
        if epoch == self.epoch {
            self.last_heard = now;
            self.ping = Ping::Idle;
        }
    }

    /// A frame arrived that took `size` bytes on the wire.
    ///
    /// # Errors
    /// Fails when the peer broke the protocol: the driver then calls [`Self::handle_violation`] with 1002.
    pub fn handle_frame(
        &mut self,
        epoch: Epoch,
        frame: Frame,
        size: usize,
        now: Instant,
    ) -> Result<(), Violation> {
        if epoch != self.epoch || self.state != State::Connected {
            //= PROTOCOL.md#R5.19: neither count nor deliver… what arrives on it afterwards
            return Ok(());
        }
        if self.config.mode == Mode::Session {
            let control = if frame.is_reserved() { Control::parse(&frame)? } else { None };
            if self.config.side == Side::Client && !self.opened {
                return match control {
                    Some(Control::Open(open)) => self.handle_open(*open, now),
                    _ => Err(Violation("the first frame is not $open")),
                };
            }
            if frame.is_reserved() {
                return control.map_or(Ok(()), |control| self.handle_control(control, now));
            }
        }
        self.handle_data(Inbound::Frame(frame, size), now);
        Ok(())
    }

    //= PROTOCOL.md#3-control-frames
    fn handle_control(&mut self, control: Control, now: Instant) -> Result<(), Violation> {
        match control {
            Control::Open(_) => Err(Violation("$open where none can be")),
            Control::Ack(count) => {
                let new = self.send_buffer.acknowledge(count)?;
                self.asking.acknowledged(new);
                Ok(())
            }
            //= PROTOCOL.md#R4.23: One answer is pending on a socket, whatever is asked meanwhile
            Control::Sync => {
                self.asked |= !self.close_sent();
                if let Some(ahead) = &mut self.ahead {
                    ahead.asked = true;
                }
                Ok(())
            }
            Control::Gap(gap) => self.handle_gap(gap, now),
            Control::Ping(value) => {
                // After our close frame no answer can follow, and unwritten ones would stop the reading.
                if !self.close_sent() {
                    self.pongs.get_or_insert_default().push_back(value);
                }
                Ok(())
            }
            Control::Pong(_) => Ok(()),
        }
    }

    //= PROTOCOL.md#R4.5: `from` MUST be the receiver's count plus 1
    fn handle_gap(&mut self, gap: Gap, now: Instant) -> Result<(), Violation> {
        let uncounted = self.ahead.as_ref().map_or(0, |ahead| ahead.numbers());
        // Once we are closing, what came before it was not counted either.
        if self.closing.is_none() && gap.from != self.receiver.received() + uncounted + 1 {
            return Err(Violation("$gap does not follow what was received"));
        }
        self.handle_data(Inbound::Gap(gap), now);
        Ok(())
    }

    /// What takes the next number: counted while there is room for it, read ahead while there is not.
    fn handle_data(&mut self, arrived: Inbound, now: Instant) {
        if self.closing.is_some() {
            // Not counted, so that the peer knows that nobody took it.
            return;
        }
        if self.config.mode == Mode::Session && self.inbox_is_full() {
            self.ahead.get_or_insert_default().push(arrived, now);
        } else {
            debug_assert!(self.ahead.is_none(), "what was read ahead comes first");
            self.count(arrived, now);
        }
    }

    //= PROTOCOL.md#R4.4: count a frame at the moment in which it is certain to deliver it
    fn count(&mut self, arrived: Inbound, at: Instant) {
        match arrived {
            Inbound::Frame(frame, size) => {
                self.receiver.count_frame(size, at);
                self.events.push_message(frame, size);
            }
            Inbound::Gap(gap) => {
                self.receiver.count_gap(gap.frames(), at);
                self.events.push(Event::Gap(gap));
            }
        }
    }

    /// The next thing to tell the application. What was read ahead takes the room that it leaves, and is counted, so that an
    /// acknowledgement may be due afterwards.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop()?;
        self.count_ahead(self.config.inbox_frames, self.config.inbox_bytes);
        Some(event)
    }

    /// Whether there is something to tell the application.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The application wants to hear no more but the end. What it was to be told of lost sessions counts as unacknowledged.
    pub fn discard_events(&mut self) {
        let discarded = self.events.discard();
        if !discarded.messages.is_empty() || discarded.dropped > 0 {
            let unreported = self.unreported.get_or_insert_default();
            unreported.messages.extend(discarded.messages);
            unreported.dropped += discarded.dropped;
        }
    }

    /// How many frames of lost sessions the application was not told of.
    pub(super) fn unreported(&self) -> u64 {
        self.unreported.as_ref().map_or(0, |unreported| unreported.messages.len() as u64 + unreported.dropped)
    }

    /// Counts what was read ahead, the oldest first, while the inbox holds less than this.
    pub(super) fn count_ahead(&mut self, frames: usize, bytes: usize) {
        let Some(mut ahead) = self.ahead.take() else {
            return;
        };
        while !self.events.is_full(frames, bytes) {
            match ahead.pop() {
                Some((arrived, at)) => self.count(arrived, at),
                None => break,
            }
        }
        if ahead.is_empty() {
            // These could not be reported when the peer asked.
            self.asked |= ahead.asked && !self.close_sent();
        } else {
            self.ahead = Some(ahead);
        }
    }

    /// Counts everything that was read ahead: for the last time, or the inbox would have no bound.
    pub(super) fn count_all_ahead(&mut self) {
        self.count_ahead(usize::MAX, usize::MAX);
    }

    /// The peer broke a rule; `frame` says which, and is what closes the socket.
    pub fn handle_violation(&mut self, epoch: Epoch, frame: CloseFrame) {
        if epoch == self.epoch && self.state == State::Connected {
            self.reconnect = Reconnect::Never;
            // What came before it was in order.
            self.count_all_ahead();
            self.end(match frame.code {
                1009 => CloseReason::TooBig,
                _ => CloseReason::Protocol(frame),
            });
        }
    }
}
