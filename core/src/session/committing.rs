//! When a received frame may be acknowledged, in a session that a store keeps.

use std::time::Instant;

use crate::Gap;

use super::held::Held;
use super::read_ahead::Inbound;
use super::{Event, Session};

impl Session {
    /// Server: number of the frame up to which all are handled: the application has taken what came of them, and has finished with
    /// all but what it takes next. Pass it to [`Self::commit`] once it is safe.
    pub fn handled(&self) -> u64 {
        let next = self.held().and_then(|held| held.queued.front());
        next.map_or_else(|| self.receiver.received(), |number| number - 1)
    }

    /// Server, in a session that [commits](super::SessionConfig::commits): number of the message that the application has taken last;
    /// `None` once it is committed. A message that comes again after a crash has the same number.
    pub fn taken(&self) -> Option<u64> {
        self.held().map(|held| held.taken).filter(|taken| *taken > 0)
    }

    /// Server: number of frames that were received and are not committed.
    pub fn uncommitted(&self) -> u64 {
        self.held().map_or(0, |held| held.frames)
    }

    /// Server: number of frames that were handled and are not committed.
    pub fn handled_uncommitted(&self) -> u64 {
        self.handled() - (self.receiver.received() - self.uncommitted())
    }

    /// Server, in a session that [commits](super::SessionConfig::commits): all frames up to this number are handled for good, so
    /// they may be acknowledged.
    //= PROTOCOL.md#R4.33: MUST NOT acknowledge a frame before the store has what it caused
    pub fn commit(&mut self, number: u64, now: Instant) {
        let received = self.receiver.received();
        self.change_held(now, |held| {
            let left = received.saturating_sub(number).min(held.frames);
            let bytes = (u128::from(held.bytes) * u128::from(left) / u128::from(held.frames.max(1))) as u64;
            (held.frames, held.bytes) = (left, bytes);
        });
    }

    /// Number of received frames that may be acknowledged.
    //= PROTOCOL.md#R4.34: MUST NOT acknowledge more than
    pub(super) fn reportable(&self) -> u64 {
        self.receiver.received() - self.held().map_or(0, Held::unreportable)
    }

    /// A socket was opened with [`Self::reportable`] frames: the peer sends the others again.
    pub(super) fn begin_skipping(&mut self) {
        if let Some(held) = self.held_mut() {
            held.skip = held.frames;
        }
    }

    /// The socket is over, and nothing more comes again on it.
    pub(super) fn end_skipping(&mut self) {
        if let Some(held) = self.held_mut() {
            (held.skip, held.asked) = (0, None);
        }
        self.drop_empty_held();
    }

    /// The new part of a frame or a gap that the peer may have sent again.
    //= PROTOCOL.md#R4.35: MUST skip
    pub(super) fn unskipped(&mut self, arrived: Inbound, now: Instant) -> Option<Inbound> {
        let skip = self.held().map_or(0, |held| held.skip);
        let numbers = match &arrived {
            Inbound::Frame(frame, _) if frame.is_volatile() => 0,
            Inbound::Frame(..) => 1,
            Inbound::Gap(gap) => gap.frames(),
        };
        if skip == 0 || numbers == 0 {
            return Some(arrived);
        }
        let skipped = numbers.min(skip);
        self.change_held(now, |held| held.skip -= skipped);
        match arrived {
            Inbound::Gap(gap) if skipped < numbers => {
                Some(Inbound::Gap(Gap::new(gap.from + skipped, gap.to)))
            }
            _ => None,
        }
    }

    /// Number of frames that the peer sends again.
    pub(super) fn to_skip(&self) -> u64 {
        self.held().map_or(0, |held| held.skip)
    }

    /// Holds frames that were counted just now, and that may have become an event.
    pub(super) fn hold(&mut self, frames: u64, bytes: usize, is_event: bool, now: Instant) {
        let (first, delay) = (self.receiver.received() + 1 - frames, self.config.ack_delay);
        let held = self.rare.get_or_insert_default().held.get_or_insert_default();
        if held.frames == 0 {
            held.look_at = Some(now + delay);
        }
        held.frames += frames;
        held.bytes = held.bytes.saturating_add(bytes as u64);
        if is_event {
            held.queued.push_back(first);
        }
    }

    /// The application takes an event.
    pub(super) fn note_taken(&mut self, event: &Event) {
        let Some(held) = self.held_mut() else { return };
        match event {
            Event::Message(frame) if !frame.is_volatile() => {
                held.taken = held.queued.pop_front().unwrap_or(held.taken);
            }
            // The queue joins consecutive gaps.
            Event::Gap(gap) => {
                while held.queued.front().is_some_and(|number| *number <= gap.to) {
                    held.queued.pop_front();
                }
            }
            _ => {}
        }
    }

    /// When the driver looks at the session again because of frames that are held. Their acknowledgement is due a little later, if
    /// they are committed by then, so that most commits need not wake the driver.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.held()?.look_at
    }

    /// The driver has looked at the session.
    pub(super) fn note_look(&mut self, now: Instant) {
        if let Some(held) = self.held_mut() {
            held.look_at.take_if(|at| *at <= now);
        }
    }

    /// The peer asks for an acknowledgement: after the answer it gets another one for what cannot be acknowledged now.
    //= PROTOCOL.md#R4.32: MUST send `$ack` once more, unasked
    pub(super) fn answer_later(&mut self) {
        let received = self.receiver.received();
        if let Some(held) = self.held_mut().filter(|held| held.unreportable() > 0) {
            held.asked = Some(received);
        }
    }

    /// Changes the held frames, and reports those to the receiver that may be reported now.
    fn change_held(&mut self, now: Instant, change: impl FnOnce(&mut Held)) {
        let before = self.reportable();
        let Some(held) = self.held_mut() else { return };
        let bytes = held.bytes;
        change(held);
        let freed = bytes - held.bytes;
        let after = self.reportable();
        self.receiver.release(after - before, freed, now);
        if let Some(held) = self.held_mut()
            && held.asked.is_some_and(|number| number <= after)
        {
            held.asked = None;
            self.asked |= !self.close_sent();
        }
        self.drop_empty_held();
    }

    fn drop_empty_held(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.held.take_if(|held| held.is_empty());
            self.free_rare();
        }
    }

    fn held(&self) -> Option<&Held> {
        self.rare.as_ref()?.held.as_deref()
    }

    fn held_mut(&mut self) -> Option<&mut Held> {
        self.rare.as_mut()?.held.as_deref_mut()
    }
}
