//! Outgoing frames that the peer will not get, for a server that reports them.

use bytes::Bytes;

use super::{Discarded, Refused, Session, WhyDropped};

impl Session {
    /// Evicts the oldest frame; returns `false` if there is none to evict.
    pub(super) fn evict_oldest(&mut self) -> bool {
        if self.is_reviving {
            self.send_buffer.assume_in_flight();
        } else if self.config.reports_discarded
            && let Some((message, is_in_flight)) = self.send_buffer.oldest()
        {
            let why = if is_in_flight { WhyDropped::EvictedInFlight } else { WhyDropped::Evicted };
            let message = message.clone();
            self.discard(Some(message), why);
        }
        self.send_buffer.evict_oldest()
    }

    /// Notes a frame that was refused, for a caller that does not return the error to the application.
    pub fn note_refused(&mut self, message: &Bytes, refused: Refused) {
        if !self.config.reports_discarded {
            return;
        }
        let why = match refused {
            Refused::Full => WhyDropped::Refused,
            Refused::TooBig { .. } => WhyDropped::TooBig,
            Refused::Dropped if !self.fits_peer(message.len()) => WhyDropped::TooBig,
            Refused::Dropped => WhyDropped::Newest,
            Refused::Closed => return,
        };
        self.discard(Some(message.clone()), why);
    }

    pub(super) fn discard(&mut self, message: Option<Bytes>, why: WhyDropped) {
        // Drops during a revival were reported by the earlier process.
        if !self.config.reports_discarded || self.is_reviving {
            return;
        }
        self.rare.get_or_insert_default().discards.push(message, why);
    }

    /// Whether discarded frames wait to be taken.
    pub fn has_discarded(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.discards.is_empty())
    }

    /// Whether frames were discarded since the last call. The driver is woken for them once.
    pub fn take_discarded_news(&mut self) -> bool {
        self.rare.as_mut().is_some_and(|rare| rare.discards.take_news())
    }

    /// Takes the next discarded frame. None is kept unless [`SessionConfig::reports_discarded`](super::SessionConfig) is set, and
    /// then at most 64 of them.
    pub fn poll_discarded(&mut self) -> Option<Discarded> {
        let discarded = self.rare.as_mut()?.discards.pop();
        self.free_rare();
        discarded
    }

    /// Takes the messages that were not acknowledged when the window of the session passed. None are kept unless
    /// [`SessionConfig::keeps_expired`](super::SessionConfig) is set.
    pub fn take_expired(&mut self) -> Vec<Bytes> {
        let expired = self.rare.as_mut().map(|rare| std::mem::take(&mut rare.expired)).unwrap_or_default();
        self.free_rare();
        expired
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::session::{CloseReason, Mode, Overflow, SessionConfig, Side};

    fn session(configure: impl FnOnce(&mut SessionConfig)) -> Session {
        let mut config = SessionConfig::new(Side::Server, Mode::Plain);
        config.buffer_frames = 2;
        configure(&mut config);
        Session::new(Arc::new(config), Instant::now())
    }

    #[test]
    fn only_the_first_discarded_frames_are_kept() {
        let mut session = session(|config| config.reports_discarded = true);
        for n in 0..100_u8 {
            session.send(Bytes::from(vec![n]), Overflow::DropOldest).unwrap();
        }
        assert!(session.take_discarded_news() && !session.take_discarded_news());
        for n in 0..64_u8 {
            let Discarded { message, why } = session.poll_discarded().unwrap();
            assert_eq!((message.unwrap()[0], why), (n, WhyDropped::Evicted));
        }
        assert!(session.poll_discarded().is_none() && session.rare.is_none());
        assert_eq!(session.counts().dropped, 98);
    }

    #[test]
    fn nothing_is_kept_unless_it_is_reported() {
        let mut session = session(|_| ());
        for n in 0..3_u8 {
            session.send(Bytes::from(vec![n]), Overflow::DropOldest).unwrap();
        }
        session.note_refused(&Bytes::from_static(b"x"), Refused::Full);
        session.end(CloseReason::WindowExpired);
        assert!(session.rare.is_none() && session.take_expired().is_empty());
    }

    #[test]
    fn only_an_expired_session_keeps_its_messages() {
        for (reason, kept) in
            [(CloseReason::WindowExpired, 2), (CloseReason::Evicted, 0), (CloseReason::Kicked, 0)]
        {
            let mut session = session(|config| config.keeps_expired = true);
            for n in 0..2_u8 {
                session.send(Bytes::from(vec![n]), Overflow::Reject).unwrap();
            }
            session.end(reason);
            assert_eq!(session.take_expired().len(), kept);
            assert!(session.take_expired().is_empty() && session.counts().unacknowledged == 2);
        }
    }
}
