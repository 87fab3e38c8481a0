//! Invariants, and checks of the events and frames that the application and the socket get.

use bytes::Bytes;
use rejoin_core::{Control, Delivery, Event, Frame, Mode, SessionConfig, SessionState, Transmit};
use serde::de::IgnoredAny;

use super::{BATCH, Life, Seen, World};

impl World {
    pub(super) fn transmitted(&mut self, transmit: Transmit) {
        let counts = self.session.counts();
        match transmit {
            Transmit::Data(message) => self.transmitted_data(&message),
            Transmit::Volatile(message) => self.transmitted_in_order(&message),
            Transmit::Batch(batch) => batch.frames().for_each(|message| self.transmitted_data(&message)),
            Transmit::Control(control) => {
                assert_eq!(self.config.mode, Mode::Session, "plain mode knows no control frames");
                let text = control.json();
                let is_json = |text: &Bytes| {
                    str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
                };
                assert!(text.as_ref().is_none_or(is_json), "a control frame carries JSON");
                match control {
                    Control::Ack(count) => {
                        assert_eq!(count, counts.received);
                        self.asked = None;
                    }
                    Control::Gap(gap) => {
                        assert!(gap.from <= gap.to && gap.to <= counts.accepted, "{gap:?}");
                    }
                    Control::Open(open) => {
                        assert!(open.received == counts.received && open.resumed == (counts.resumed > 0));
                    }
                    _ => {}
                }
            }
            Transmit::Ping => {}
            Transmit::Close(_) => {
                self.closes = true;
                let epoch = *self.epochs.last().expect("a socket accepted it");
                assert_eq!(self.session.poll_transmit(epoch, self.now), None, "nothing follows a close");
            }
        }
    }

    fn transmitted_data(&mut self, message: &[u8]) {
        self.transmitted_in_order(message);
        self.under_way += usize::from(self.config.mode == Mode::Plain);
    }

    fn transmitted_in_order(&mut self, message: &[u8]) {
        let number = message.first_chunk().expect("a message of ours").to_owned();
        let number = u64::from_be_bytes(number);
        assert!(number < self.accepts && number > self.written, "in order, once on a socket");
        self.written = number;
    }

    pub(super) fn saw(&mut self, event: &Event) {
        self.life = match (self.life, event) {
            (Life::Before, Event::Connected) | (Life::Dropped, Event::Restored) => Life::Connected,
            (Life::Connected, Event::Message(_) | Event::Gap(_)) => Life::Connected,
            (Life::Connected, Event::Dropped(_)) => Life::Dropped,
            (Life::Dropped, Event::Lost { .. }) => Life::Dropped,
            (Life::Before | Life::Connected | Life::Dropped, Event::Closed(_)) => Life::After,
            (life, event) => panic!("{event:?} cannot come after {life:?}"),
        };
        match event {
            Event::Message(frame) if !frame.is_reserved() => {
                let number = frame.event().parse().expect("the peer numbers its frames");
                assert!(number > self.taken, "in order, and once");
                self.taken = number;
            }
            Event::Message(_) => assert_eq!(self.config.mode, Mode::Plain),
            _ => {}
        }
    }

    /// Checks the invariants.
    pub(super) fn check(&mut self) {
        let SessionConfig { buffer_frames, buffer_bytes, mode, .. } = *self.config;
        let counts = self.session.counts();
        let occupied = self.session.occupied();
        // In plain mode, frames that a transport has accepted are retained in addition to the buffer until they are written, and
        // its last batch may be as large again.
        let taken = if mode == Mode::Plain { 2 * BATCH } else { 0 };
        assert!(occupied <= buffer_frames as usize + taken, "the buffer is bounded in frames");
        let most = buffer_bytes.max(self.biggest) + taken * self.biggest;
        assert!(counts.retained_bytes <= most, "and in bytes: {} of {most}", counts.retained_bytes);
        assert!(counts.unacknowledged <= counts.accepted + self.lost, "{counts:?}");
        let seen = Seen {
            received: counts.received,
            accepted: counts.accepted,
            dropped: counts.dropped,
            resumed: counts.resumed,
        };
        let grows = seen.received >= self.before.received
            && seen.accepted >= self.before.accepted
            && seen.dropped >= self.before.dropped
            && seen.resumed >= self.before.resumed;
        assert!(grows, "a count goes back: {:?} to {seen:?}", self.before);
        self.before = seen;
        while let Some((number, fate)) = self.session.poll_delivery() {
            let index = self.watched.iter().position(|watched| *watched == number);
            assert!(index.is_some() || fate == Delivery::Ended, "an acknowledgement that was not requested");
            index.map(|index| self.watched.remove(index));
        }
        let session = &self.session;
        assert!(
            session.resume_offer().is_none() || session.state() != SessionState::Connected,
            "more may come"
        );
        assert!(session.identity().is_none() || mode == Mode::Session);
        assert_eq!(session.may_send(&Frame::event_only("$ack")), mode == Mode::Plain);
        let closed = self.session.state() == SessionState::Closed;
        assert_eq!(self.session.ended().is_some(), closed);
        assert!(!(closed && self.session.is_open()));
        assert!(!(closed && self.session.poll_timeout().is_some()), "nothing is due after the end");
    }
}
