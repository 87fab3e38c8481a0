//! [`RatePolicy`] and [`Rates`]: how much a client may send per second, and what happens beyond it.

use rejoin_core::drive::{TokenBucket, UnitsPerSecond};

use crate::limits::limit::Limit;

/// What happens to frames beyond a rate ([`Builder::rate_policy`](crate::Builder::rate_policy)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RatePolicy {
    /// The server reads on when the rate allows it, so that the client has to wait. Nothing is lost.
    #[default]
    Delay,
    /// The session ends with 1008, after the application has handled the frames before it.
    Close,
    /// The frame is not handled: its sender gets an answer with the event `error` and the code `rate_limited` (PROTOCOL.md §11).
    Answer,
}

/// Frames and bytes per second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    pub(crate) frames: Option<UnitsPerSecond>,
    pub(crate) bytes: Option<UnitsPerSecond>,
}

impl Rates {
    pub(crate) fn is_limited(&self) -> bool {
        self.frames.is_some() || self.bytes.is_some()
    }
}

/// The remaining allowance of a connection or a user.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    frames: TokenBucket,
    bytes: TokenBucket,
}

/// The time until more may be read, and the limit that imposes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) nanos: u64,
    pub(crate) limit: Limit,
}

impl Buckets {
    /// Takes a frame of this size, if the rates allow it. Returns the limit if they do not.
    pub(crate) fn try_take(
        &self,
        rates: &Rates,
        bytes: u64,
        now: u64,
        [by_frames, by_bytes]: [Limit; 2],
    ) -> Result<(), Limit> {
        if rates.frames.is_some_and(|rate| !self.frames.try_take(rate, 1, now)) {
            return Err(by_frames);
        }
        if rates.bytes.is_some_and(|rate| !self.bytes.try_take(rate, bytes, now)) {
            return Err(by_bytes);
        }
        Ok(())
    }

    /// Takes a frame of this size. Returns how long to wait before the next one.
    pub(crate) fn take(
        &self,
        rates: &Rates,
        bytes: u64,
        now: u64,
        [by_frames, by_bytes]: [Limit; 2],
    ) -> Option<Wait> {
        let frames =
            rates.frames.map(|rate| Wait { nanos: self.frames.take(rate, 1, now), limit: by_frames });
        let bytes =
            rates.bytes.map(|rate| Wait { nanos: self.bytes.take(rate, bytes, now), limit: by_bytes });
        longer(frames, bytes).filter(|wait| wait.nanos != 0)
    }
}

/// The longer of two waits.
pub(crate) fn longer(one: Option<Wait>, other: Option<Wait>) -> Option<Wait> {
    [one, other].into_iter().flatten().max_by_key(|wait| wait.nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_within_both_rates_waits_for_nothing() {
        let of = |frames, bytes| {
            let rates = Rates { frames: UnitsPerSecond::new(frames), bytes: UnitsPerSecond::new(bytes) };
            let buckets = Buckets::default();
            [(); 3].map(|()| buckets.take(&rates, 100, 0, [Limit::FrameRate, Limit::ByteRate]))
        };
        let wait = |nanos, limit| Some(Wait { nanos, limit });
        assert_eq!(of(1000, 1000), [None; 3]);
        assert_eq!(of(3, 1000), [None, None, wait(333_333_332, Limit::FrameRate)]);
        assert_eq!(of(1000, 250).map(|wait| wait.map(|wait| wait.limit))[1..], [None, Some(Limit::ByteRate)]);
    }
}
