//! Outgoing data frames: accepted from the application, written to the attached socket.

use std::time::Instant;

use bytes::Bytes;

use crate::{Control, Frame, ws};

use super::asking::Asking;
use super::ping::Ping;
use super::span::Span;
use super::transmit::Transmit;
use super::{CloseReason, Delivery, Epoch, Mode, Overflow, Refused, Session, SessionState, Side, WhyDropped};

impl Session {
    /// Accepts a data frame, encoded in the form that the transport takes, and returns its number.
    ///
    /// # Errors
    /// Fails if the session is closing or has ended, if the peer does not accept a message of this size, or if the buffer is full
    /// and the policy does not evict older frames.
    //= PROTOCOL.md#R6.1: every accepted frame MUST be delivered… exactly once and in the order of the sends
    pub fn send(&mut self, message: Bytes, overflow: Overflow) -> Result<u64, Refused> {
        self.accept(message.len(), overflow, || message)
    }

    /// Like [`Self::send`], for a message of `size` bytes that is built only once it is accepted.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn accept(
        &mut self,
        size: usize,
        overflow: Overflow,
        message: impl FnOnce() -> Bytes,
    ) -> Result<u64, Refused> {
        self.make_capacity(size, overflow)?;
        Ok(self.send_buffer.push(message()))
    }

    /// Accepts one message of a segment that other sessions send, too. Neighbours in a segment that are sent consecutively are
    /// kept as one span, and [`Self::poll_transmit`] returns them as one batch.
    ///
    /// A message that is larger than the peer accepts becomes a gap in this session; others still get it.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_span(&mut self, message: &Span, overflow: Overflow) -> Result<u64, Refused> {
        self.accept_span(message.bytes(0), overflow, || message)
    }

    /// Like [`Self::send_span`], for a message of `size` bytes that is stored in its segment only once it is accepted.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn accept_span<'a>(
        &mut self,
        size: usize,
        overflow: Overflow,
        message: impl FnOnce() -> &'a Span,
    ) -> Result<u64, Refused> {
        match self.make_capacity(size, overflow) {
            Ok(()) => {
                let message = message();
                debug_assert_eq!((message.len(), message.bytes(0)), (1, size));
                Ok(self.send_buffer.append(message, 0, size))
            }
            Err(Refused::TooBig { .. }) => {
                self.send_buffer.push_missing();
                Err(Refused::Dropped)
            }
            Err(refused) => Err(refused),
        }
    }

    /// Accepts all messages of a span except the first `skip`, if they all fit without an eviction. Otherwise changes nothing and
    /// returns `false`.
    #[must_use = "the messages have to be sent one by one instead"]
    pub fn offer_span(&mut self, span: &Span, skip: u32) -> bool {
        let (frames, bytes) = (span.len() - skip, span.bytes(skip));
        let accepts = self.is_open()
            && self.has_capacity_for(frames as usize, bytes)
            && (self.fits_peer(bytes) || span.singles(skip).all(|message| self.fits_peer(message.bytes(0))));
        if accepts {
            self.send_buffer.append(span, skip, bytes);
        }
        accepts
    }

    /// Accepts frames of a room's history. They do not count against the send buffer's limits, but at most as many are accepted as
    /// an empty buffer would take: the oldest ones are left out. A hole, and a message that is larger than the peer accepts, becomes
    /// a gap. Returns the number of accepted frames; 0 for a session that is closing or has ended.
    pub fn send_history(&mut self, history: &mut [Option<Span>]) -> usize {
        if !self.is_open() {
            return 0;
        }
        for message in &mut *history {
            message.take_if(|message| !self.fits_peer(message.bytes(0)));
        }
        self.send_buffer.append_rewound(history, self.buffer as usize, self.buffer_bytes())
    }

    /// Accepts one message of a segment, also beyond the buffer's limits: for a message that was promised when there was capacity. A
    /// message that is larger than the peer accepts becomes a gap. Takes a number unless the session is closing or has ended.
    pub fn send_promised(&mut self, message: &Span) {
        if !self.is_open() {
            return;
        }
        let size = message.bytes(0);
        if !self.fits_peer(size) {
            self.send_buffer.push_missing();
        } else if self.has_capacity_for(1, size) {
            self.send_buffer.append(message, 0, size);
        } else {
            self.send_buffer.append_rewound(&[Some(message.clone())], usize::MAX, usize::MAX);
        }
    }

    fn make_capacity(&mut self, size: usize, overflow: Overflow) -> Result<(), Refused> {
        if !self.is_open() {
            return Err(Refused::Closed);
        }
        self.check_size(size)?;
        let overflow = self.policy(overflow);
        while !self.has_capacity_for(1, size) {
            if overflow != Overflow::DropOldest || !self.evict_oldest() {
                return Err(self.overflow(overflow));
            }
        }
        Ok(())
    }

    /// Whether the peer accepts a message of this size: the length of its unmasked WebSocket frame, in bytes.
    pub(super) fn fits_peer(&self, framed: usize) -> bool {
        framed <= ws::frame_len(self.peer_max as usize)
    }

    pub(super) fn check_size(&self, framed: usize) -> Result<(), Refused> {
        if self.fits_peer(framed) {
            return Ok(());
        }
        Err(Refused::TooBig { size: ws::payload_len(framed), limit: self.peer_max as usize })
    }

    /// Makes this session free `size` bytes for a new frame, when all sessions together have reached the memory limit. Must be
    /// called before the frame is sent.
    ///
    /// # Errors
    /// As [`Self::send`]. If too little can be evicted, the new frame is dropped.
    pub fn evict_for(&mut self, size: usize, overflow: Overflow) -> Result<(), Refused> {
        if !self.is_open() {
            return Err(Refused::Closed);
        }
        let overflow = self.policy(overflow);
        if overflow != Overflow::DropOldest {
            return Err(self.overflow(overflow));
        }
        let before = self.send_buffer.bytes();
        while before - self.send_buffer.bytes() < size {
            if !self.evict_oldest() {
                return Err(self.overflow(Overflow::DropNewest));
            }
        }
        Ok(())
    }

    /// The policy that counts: a session that is [revived](Self::revived) may have acknowledged the oldest frames.
    fn policy(&self, overflow: Overflow) -> Overflow {
        if self.is_reviving { Overflow::DropOldest } else { overflow }
    }

    /// Applies the policy to a frame that exceeds the capacity.
    fn overflow(&mut self, overflow: Overflow) -> Refused {
        // An acknowledgement may free capacity.
        self.asking.want_any();
        match overflow {
            Overflow::Reject | Overflow::DropOldest => Refused::Full,
            Overflow::DropNewest => {
                self.send_buffer.push_missing();
                Refused::Dropped
            }
            Overflow::Disconnect => {
                self.end(CloseReason::Overflow);
                Refused::Closed
            }
        }
    }

    /// Watches the delivery of the frame that was accepted last, and requests an acknowledgement at once. Only for session mode,
    /// because plain peers do not acknowledge.
    pub fn watch_last(&mut self) {
        self.send_buffer.watch_last();
        self.asking.want();
    }

    /// Returns the number and the outcome of a frame for which [`Self::watch_last`] was called.
    pub fn poll_delivery(&mut self) -> Option<(u64, Delivery)> {
        self.send_buffer.poll_delivery()
    }

    /// Accepts a data frame that cannot be represented in the peer's codec. In session mode, the peer receives a gap in its
    /// place.
    ///
    /// # Errors
    /// Fails if the session is closing or has ended.
    pub fn send_missing(&mut self) -> Result<u64, Refused> {
        if !self.is_open() {
            return Err(Refused::Closed);
        }
        self.discard(None, WhyDropped::Codec);
        Ok(self.send_buffer.push_missing())
    }

    /// Whether the application may send this frame.
    pub fn may_send(&self, frame: &Frame) -> bool {
        //= PROTOCOL.md#R3.3: In session mode a side MUST refuse to send such an event for its application
        self.config.mode == Mode::Plain || !frame.is_reserved()
    }

    /// Whether a message of this size would be accepted without an eviction. An empty buffer takes any message that the peer
    /// accepts, regardless of its size.
    pub fn has_capacity(&self, size: usize) -> bool {
        self.fits_peer(size) && self.has_capacity_for(1, size)
    }

    fn has_capacity_for(&self, frames: usize, bytes: usize) -> bool {
        let occupied = self.send_buffer.occupied();
        occupied + frames <= self.buffer as usize
            && (occupied + frames == 1
                || self.send_buffer.occupied_bytes().saturating_add(bytes) <= self.buffer_bytes())
    }

    /// Whether half of the buffer is unsent although the attached socket is not blocked.
    pub fn is_falling_behind(&self) -> bool {
        2 * self.send_buffer.unsent() >= self.buffer as usize
            && self.state == SessionState::Connected
            && self.blocked.is_none()
    }

    /// Whether the attached socket keeps up: it is not blocked, and less than half of the buffer is unsent.
    pub fn is_flowing(&self) -> bool {
        self.state == SessionState::Connected
            && self.blocked.is_none()
            && 2 * self.send_buffer.unsent() < self.buffer as usize
    }

    /// Number of data frames that count against the buffer's limit.
    pub fn occupied(&self) -> usize {
        self.send_buffer.occupied()
    }

    /// Bytes kept for the peer.
    pub fn retained_bytes(&self) -> usize {
        self.send_buffer.bytes()
    }

    /// Takes all accepted messages that are not known to be delivered, for a client that stops reconnecting.
    ///
    /// Messages of lost sessions whose loss was not reported come first, because they are older.
    pub fn take_unacknowledged(&mut self) -> Vec<Bytes> {
        let mut messages = self.unreported.take().map(|unreported| unreported.messages).unwrap_or_default();
        messages.extend(self.send_buffer.take_all());
        messages
    }

    /// Returns the next item for the socket of `epoch` to write, and marks it as sent.
    pub fn poll_transmit(&mut self, epoch: Epoch, now: Instant) -> Option<Transmit> {
        if epoch != self.epoch || self.state != SessionState::Connected {
            return None;
        }
        if self.close_sent() {
            return None;
        }
        if self.ping == Ping::Due {
            self.ping = Ping::Sent;
            return Some(Transmit::Ping);
        }
        if !self.opened {
            if self.config.side == Side::Client {
                return None;
            }
            self.opened = true;
            return Some(Transmit::Control(Control::Open(Box::new(self.open()))));
        }
        if let Some(rare) = &mut self.rare
            && let Some(value) = rare.pongs.pop_front()
        {
            self.free_rare();
            return Some(Transmit::Control(Control::Pong(value)));
        }
        if self.ack_at().is_some_and(|at| at <= now) {
            return Some(Transmit::Control(Control::Ack(self.report_received())));
        }
        if let Some(cancel) = self.transmit_cancel() {
            return Some(cancel);
        }
        if let Some(volatile) = self.transmit_volatile() {
            return Some(volatile);
        }
        // Before `$open`, a client may have accepted more frames than the peer reads ahead.
        if self.send_buffer.must_wait_for_ack(self.buffer) {
            return self.transmit_sync();
        }
        let sent = self.send_buffer.sent();
        let credit = self.send_buffer.send_credit(self.buffer).min(self.before_volatile());
        let next = self.send_buffer.next(credit);
        match &next {
            Some(Transmit::Data(message)) => self.count_sent(1, message.len(), sent),
            Some(Transmit::Batch(batch)) => {
                self.count_sent(batch.ends.len() as u64, batch.bytes.len(), sent);
            }
            Some(Transmit::Control(Control::Gap(gap))) => self.sent.gaps += gap.frames(),
            _ => {}
        }
        next.or_else(|| self.transmit_sync()).or_else(|| self.transmit_close())
    }

    /// Fast path of [`Self::poll_transmit`]: if exactly one data frame is pending and nothing else is due, marks it as sent and
    /// returns a reference to it. Otherwise returns `None` and changes nothing.
    pub fn poll_lone(&mut self, epoch: Epoch, now: Instant) -> Option<&Bytes> {
        let only_data = epoch == self.epoch
            && self.state == SessionState::Connected
            && self.opened
            && self.closing.is_none()
            && self.ping != Ping::Due
            && !self.rare.as_ref().is_some_and(|rare| rare.is_pending())
            && self.asking != Asking::Due
            && !self.keeps_less()
            && self.send_buffer.send_credit(self.buffer) > 0
            && self.ack_at().is_none_or(|at| at > now);
        if !only_data {
            return None;
        }
        let replayed = self.send_buffer.accepted() <= self.send_buffer.sent();
        let message = self.send_buffer.next_lone()?;
        self.sent.frames += 1;
        self.sent.bytes += message.len() as u64;
        self.sent.replayed += u64::from(replayed);
        Some(message)
    }

    /// Counts frames as sent. Frames up to `sent`, the last number sent before them, are replayed.
    fn count_sent(&mut self, frames: u64, bytes: usize, sent: u64) {
        self.sent.frames += frames;
        self.sent.bytes += bytes as u64;
        self.sent.replayed += frames - (self.send_buffer.sent() - sent).min(frames);
    }
}
