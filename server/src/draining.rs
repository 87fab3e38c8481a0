//! [`Draining`]: whether and how fast a server drains.

use std::num::NonZeroU32;
use std::time::Duration;

use rejoin_core::drive::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::watch;

/// How many sockets per second a draining server closes ([`Server::drain`](crate::Server::drain)). Default: 100.
///
/// ```
/// # use rejoin_server::Pace;
/// assert_eq!(Pace::default(), Pace::per_second(100));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace(NonZeroU32);

impl Pace {
    /// This number of sockets per second; 0 counts as 1.
    pub const fn per_second(sockets: u32) -> Self {
        match NonZeroU32::new(sockets) {
            Some(sockets) => Self(sockets),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// The number of sockets that are closed at the same time, and the time until the next ones: ten waves per second, or one
    /// socket at a time if there are fewer.
    pub(crate) fn wave(self) -> (usize, Duration) {
        let sockets = self.0.get().div_ceil(10);
        (sockets as usize, Duration::from_secs(sockets.into()) / self.0.get())
    }

    /// The delay for the `index`-th of several peers, so that they do not all come back at once.
    pub(crate) fn spread(self, index: usize) -> Duration {
        let millis = (index as u64).saturating_mul(1000) / u64::from(self.0.get());
        Duration::from_millis(millis)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::per_second(100)
    }
}

/// Whether a server drains, at which pace, and how far it has come.
#[derive(Debug)]
pub(crate) struct Draining {
    /// Sockets per second; 0 while the server does not drain.
    pace: AtomicU32,
    progress: watch::Sender<DrainProgress>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DrainProgress {
    /// The number of sockets that were closed.
    pub(crate) closed: usize,
    /// No socket was left.
    pub(crate) is_done: bool,
}

impl Default for Draining {
    fn default() -> Self {
        Self { pace: AtomicU32::new(0), progress: watch::Sender::default() }
    }
}

impl Draining {
    /// Begins, or changes the pace. Returns whether it begins.
    pub(crate) fn begin(&self, pace: Pace) -> bool {
        self.pace.swap(pace.0.get(), Ordering::SeqCst) == 0
    }

    /// Whether the server drains, or has drained.
    pub(crate) fn is_on(&self) -> bool {
        self.pace.load(Ordering::SeqCst) != 0
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace::per_second(self.pace.load(Ordering::SeqCst))
    }

    pub(crate) fn progress(&self) -> watch::Receiver<DrainProgress> {
        self.progress.subscribe()
    }

    pub(crate) fn note_closed(&self, sockets: usize) {
        self.progress.send_modify(|progress| progress.closed += sockets);
    }

    pub(crate) fn note_done(&self) {
        self.progress.send_modify(|progress| progress.is_done = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_keep_the_pace() {
        let millis = Duration::from_millis;
        for (per_second, wave) in [
            (0, (1, millis(1000))),
            (1, (1, millis(1000))),
            (4, (1, millis(250))),
            (10, (1, millis(100))),
            (100, (10, millis(100))),
            (10_000, (1000, millis(100))),
        ] {
            assert_eq!(Pace::per_second(per_second).wave(), wave, "{per_second}");
        }
        let (sockets, pause) = Pace::per_second(15).wave();
        assert_eq!((sockets, pause.as_millis()), (2, 133));
        assert_eq!(Pace::per_second(u32::MAX).wave().0, 429_496_730);
    }

    #[test]
    fn returns_are_spread_at_the_pace() {
        let pace = Pace::per_second(4);
        assert_eq!([0, 1, 4].map(|index| pace.spread(index).as_millis()), [0, 250, 1000]);
        assert!(Pace::per_second(1).spread(usize::MAX) > Duration::from_secs(1 << 53));
    }
}
