//! Frames from the attached socket on their way to the application.

use std::time::Instant;

use crate::{CloseFrame, Control, Frame, Gap};

use super::ping::Ping;
use super::read_ahead::Inbound;
use super::{CloseReason, Epoch, Event, Mode, Reconnect, Session, SessionState, Side, Violation};

/// Maximum number of pending `$pong`s; reading stops while as many are unwritten.
const MAX_PONGS: usize = 16;

impl Session {
    /// Whether the driver should read from the socket: the application keeps up, and the peer reads the `$pong`s that it asks
    /// for.
    ///
    /// In session mode reading continues while the event queue is full, because acknowledgements may follow the data.
    pub fn wants_read(&self) -> bool {
        if self.rare.as_ref().is_some_and(|rare| rare.pongs.len() >= MAX_PONGS) {
            return false;
        }
        if self.closing.is_some() {
            // Data frames are no longer queued, and the answer to our close frame has to be read.
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
        self.is_full(self.config.inbox_frames, self.config.inbox_bytes)
    }

    /// Whether the application has not taken as many frames or bytes, of messages or of answers.
    fn is_full(&self, frames: usize, bytes: usize) -> bool {
        self.events.is_full(frames, bytes)
            || self.rare.as_ref().is_some_and(|rare| rare.questions.is_full(frames, bytes))
    }

    /// Records that any bytes arrived on the socket, even if only a ping.
    pub fn handle_activity(&mut self, epoch: Epoch, now: Instant) {
        if epoch == self.epoch {
            self.last_activity = now;
            self.ping = Ping::Idle;
        }
    }

    /// Handles a frame that took `size` bytes on the wire.
    ///
    /// # Errors
    /// Fails when the peer broke the protocol. The driver then calls [`Self::handle_violation`] with 1002.
    pub fn handle_frame(
        &mut self,
        epoch: Epoch,
        frame: Frame,
        size: usize,
        now: Instant,
    ) -> Result<(), Violation> {
        if epoch != self.epoch || self.state != SessionState::Connected {
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
            Control::Open(_) => Err(Violation("unexpected $open")),
            Control::Ack(count) => {
                let new = self.send_buffer.acknowledge(count)?;
                self.asking.acknowledged(new);
                Ok(())
            }
            //= PROTOCOL.md#R4.23: MUST NOT have more than one answer pending on a socket
            Control::Sync => {
                self.asked |= !self.close_sent();
                self.answer_later();
                if let Some(ahead) = &mut self.ahead {
                    ahead.asked = true;
                }
                Ok(())
            }
            Control::Gap(gap) => self.handle_gap(gap, now),
            Control::Ping(value) => {
                // Nothing may follow our close frame, and `$pong`s that are never written would stop the reading.
                if !self.close_sent() {
                    self.rare.get_or_insert_default().pongs.push_back(value);
                }
                Ok(())
            }
            Control::Pong(_) => Ok(()),
            Control::Cancel(id) => {
                self.handle_cancel(&id);
                Ok(())
            }
        }
    }

    //= PROTOCOL.md#R4.5: `from` MUST be the receiver's count plus 1
    fn handle_gap(&mut self, gap: Gap, now: Instant) -> Result<(), Violation> {
        let uncounted = self.ahead.as_ref().map_or(0, |ahead| ahead.numbers());
        // While we are closing, frames before the gap are not counted either.
        if self.closing.is_none() && gap.from != self.receiver.received() + uncounted + 1 - self.to_skip() {
            return Err(Violation("$gap does not follow the last received frame"));
        }
        self.handle_data(Inbound::Gap(gap), now);
        Ok(())
    }

    /// Counts an inbound frame or gap, or adds it to `ReadAhead` while the event queue is full.
    fn handle_data(&mut self, arrived: Inbound, now: Instant) {
        if self.closing.is_some() {
            // Not counted, so that the peer knows that the application did not receive it.
            return;
        }
        let Some(arrived) = self.unskipped(arrived, now) else { return };
        if self.config.mode == Mode::Session && self.inbox_is_full() {
            let dropped = self.ahead.get_or_insert_default().push(arrived, now);
            self.count_volatile_dropped(dropped);
        } else {
            debug_assert!(self.ahead.is_none(), "read-ahead frames are counted first");
            self.count(arrived, now);
        }
    }

    //= PROTOCOL.md#R4.4: count a frame at the moment in which it is certain to deliver it
    //= PROTOCOL.md#R11.9: pass an answer to its asker when it reads and counts it
    fn count(&mut self, arrived: Inbound, at: Instant) {
        match arrived {
            Inbound::Frame(frame, size) => {
                //= PROTOCOL.md#R12.4: MUST NOT count a volatile frame
                if !frame.is_volatile() {
                    self.count_received(1, size, 0, frame.re().is_empty(), at);
                }
                if frame.re().is_empty() {
                    self.events.push_message(frame, size);
                } else {
                    self.pass_answer(frame, size);
                }
            }
            Inbound::Gap(gap) => {
                self.count_received(gap.frames(), 0, gap.frames(), true, at);
                self.events.push(Event::Gap(gap));
            }
        }
    }

    fn count_received(&mut self, frames: u64, bytes: usize, gaps: u64, is_event: bool, at: Instant) {
        if self.config.commits {
            self.receiver.hold(frames, bytes, gaps);
            self.hold(frames, bytes, is_event, at);
        } else if gaps > 0 {
            self.receiver.count_gap(gaps, at);
        } else {
            self.receiver.count_frame(bytes, at);
        }
    }

    /// Returns the next event for the application. Read-ahead frames move into the space that it leaves and are counted, so
    /// an acknowledgement may be due afterwards.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop()?;
        self.note_taken(&event);
        self.count_ahead(self.config.inbox_frames, self.config.inbox_bytes);
        Some(event)
    }

    /// Whether events are pending for the application.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Discards all events but the end: the application wants no more. Unreported losses count as unacknowledged.
    pub fn discard_events(&mut self) {
        let discarded = self.events.discard();
        if !discarded.messages.is_empty() || discarded.dropped > 0 {
            let unreported = self.unreported.get_or_insert_default();
            unreported.messages.extend(discarded.messages);
            unreported.dropped += discarded.dropped;
        }
    }

    /// Number of frames of lost sessions whose loss was not reported to the application.
    pub(super) fn unreported(&self) -> u64 {
        self.unreported.as_ref().map_or(0, |unreported| unreported.messages.len() as u64 + unreported.dropped)
    }

    /// Counts read-ahead frames, oldest first, while the event queue is below these limits.
    pub(super) fn count_ahead(&mut self, frames: usize, bytes: usize) {
        let Some(mut ahead) = self.ahead.take() else {
            return;
        };
        while !self.is_full(frames, bytes) {
            match ahead.pop() {
                Some((arrived, at)) => self.count(arrived, at),
                None => break,
            }
        }
        if ahead.is_empty() {
            // The answer to the peer's `$sync` could not cover these frames.
            self.asked |= ahead.asked && !self.close_sent();
        } else {
            self.ahead = Some(ahead);
        }
    }

    /// Counts all read-ahead frames, regardless of the limits. Only for a session that ends: otherwise the event queue would
    /// be unbounded.
    pub(super) fn count_all_ahead(&mut self) {
        self.count_ahead(usize::MAX, usize::MAX);
    }

    /// Handles a violation by the peer; the socket is closed with `frame`, which names the violation. The driver gets a last `$ack`
    /// for it from [`Self::take_last_ack`].
    pub fn handle_violation(&mut self, epoch: Epoch, frame: CloseFrame) {
        if epoch == self.epoch && self.state == SessionState::Connected {
            self.reconnect = Reconnect::Never;
            // Frames before the violation are valid.
            self.count_all_ahead();
            let owes = self.owes_ack();
            self.end(match frame.code {
                1009 => CloseReason::TooBig,
                _ => CloseReason::Protocol(frame),
            });
            // As for a dismissed socket.
            self.asked = owes;
        }
    }
}
