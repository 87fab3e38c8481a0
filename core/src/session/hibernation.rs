//! [`Hibernated`]: the compact form of a suspended session that keeps no frames.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::compact;
use super::snapshot::Progress;
use super::{Session, SessionConfig, SessionIdentity, Side};

/// The compact form of a server's session that is [suspended](Session::can_hibernate) and keeps no frames for its peer: a few
/// numbers, a tenth of the size of a [`Session`].
#[derive(Debug)]
pub struct Hibernated {
    config: Arc<SessionConfig>,
    identity: Option<Arc<SessionIdentity>>,
    /// The session's [`Progress`] at [`REFERENCE`], in LEB128, because most numbers are small.
    progress: Box<[u8]>,
}

impl Session {
    /// Returns the compact form of the session, or `None` if the session [cannot hibernate](Self::can_hibernate) or keeps more
    /// than numbers. The compact form does not keep [`Session::dropped`].
    pub fn hibernate(&self) -> Option<Hibernated> {
        let is_numbers = self.config.side == Side::Server
            && self.can_hibernate()
            && self.send_buffer.has_only_counts()
            && self.ended.is_none()
            && self.unreported.is_none()
            && !self.has_questions()
            && !self.retired
            && !self.is_reviving;
        let since = self.suspended_since.filter(|_| is_numbers)?;
        let reference = *REFERENCE.get_or_init(|| since + AHEAD);
        Some(Hibernated {
            config: self.config.clone(),
            identity: self.identity.clone(),
            progress: compact::to_bytes(&self.progress(reference)).expect("progress consists of numbers"),
        })
    }
}

impl Hibernated {
    /// Restores the session.
    pub fn wake(&self) -> Session {
        let reference = *REFERENCE.get().expect("a session hibernates before one wakes");
        let progress: Progress = compact::from_bytes(&self.progress).expect("`hibernate` wrote it");
        let since = reference - progress.suspended_for.unwrap_or_default();
        Session::with_progress(progress, self.identity.clone(), self.config.clone(), since)
    }
}

/// The time to which the durations in every [`Hibernated`] refer. It lies after all suspensions, because a [`Progress`] can only
/// express times in the past. Waking subtracts the duration again, so the session gets its original times back.
static REFERENCE: OnceLock<Instant> = OnceLock::new();

/// How long after the first suspension [`REFERENCE`] lies: 100 years.
const AHEAD: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LostReason, Mode, Token};

    fn suspended(lost: Option<LostReason>, now: Instant) -> Session {
        let config = Arc::new(SessionConfig::new(Side::Server, Mode::Session));
        let identity = SessionIdentity::new(Token::parse("abcdefghijklmnopqrstuv").unwrap(), "id", "room");
        let mut session = Session::new_server(config, identity, lost, now);
        let epoch = session.reserve();
        session.attach(epoch, None, now).unwrap();
        session.cut(now);
        while session.poll_event().is_some() {}
        session
    }

    #[test]
    fn windows_end_at_the_same_time_after_waking() {
        let now = Instant::now();
        for nanos in [0, 1, 999, 1_000_000_000, 86_400_000_000_000] {
            let distance = Duration::from_nanos(nanos);
            for at in [now + distance, now - distance] {
                let session = suspended(None, at);
                assert_eq!(session.hibernate().unwrap().wake().poll_timeout(), session.poll_timeout());
            }
        }
    }

    #[test]
    fn hibernation_keeps_why_a_session_was_lost() {
        let now = Instant::now();
        for lost in [None, Some(LostReason::Codec), Some(LostReason::Identity), Some(LostReason::Unknown)] {
            assert_eq!(suspended(lost, now).hibernate().unwrap().wake().lost(), lost);
        }
    }

    #[test]
    fn a_hibernated_session_takes_few_bytes() {
        let hibernated = suspended(None, Instant::now()).hibernate().unwrap();
        assert!(hibernated.progress.len() <= 24, "{:?}", hibernated.progress);
    }
}
