//! Faults that tests inject into a [`MemoryStore`](crate::MemoryStore).

use std::time::Duration;

/// A method of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // tests decide on each
pub enum StoreCall {
    /// [`Store::lease`](crate::Store::lease).
    Lease,
    /// [`Store::open`](crate::Store::open).
    Open,
    /// [`Store::attach`](crate::Store::attach).
    Attach,
    /// [`Store::adopt`](crate::Store::adopt).
    Adopt,
    /// [`Store::commit`](crate::Store::commit).
    Commit,
    /// [`Store::touch`](crate::Store::touch).
    Touch,
    /// [`Store::read`](crate::Store::read), `bounds`, `records` and `expired`, which change nothing.
    Read,
    /// [`Store::trim`](crate::Store::trim).
    Trim,
}

/// The fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // tests build it
pub enum Fault {
    /// It is applied and answered at once.
    None,
    /// The call is not applied, and fails.
    Lost,
    /// The call is applied, but fails.
    Unanswered,
    /// The call fails at once, and is applied later, among others, even if its caller has died.
    Late(Duration),
    /// The call is applied and answered, and applied again later.
    Twice(Duration),
    /// The call is applied and answered later. If its caller drops the future before, it is not applied.
    Delayed(Duration),
    /// The call is applied at once, and answered later.
    SlowAnswer(Duration),
}

/// The fault of a piece of a tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // tests build it
pub enum TailFault {
    /// The piece is delivered at once.
    None,
    /// The piece is dropped silently.
    Dropped,
    /// The piece is delivered later, after others.
    Delayed(Duration),
    /// The piece is delivered now, and again later.
    Repeated(Duration),
    /// A gap is delivered instead.
    Gap,
}

pub(super) type CallFaults = Box<dyn FnMut(StoreCall) -> Fault + Send>;
pub(super) type TailFaults = Box<dyn FnMut() -> TailFault + Send>;

/// The frequency of faults, in thousandths, and their longest delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // tests build it
pub struct FaultRates {
    /// Calls with each kind of [`Fault`], in thousandths; also pieces with each kind of [`TailFault`].
    pub each: u16,
    /// The longest delay.
    pub delay: Duration,
}

impl Default for FaultRates {
    /// 30 in a thousand of each kind, with delays of up to 200 ms.
    fn default() -> Self {
        Self { each: 30, delay: Duration::from_millis(200) }
    }
}

impl FaultRates {
    /// Random faults of calls, the same for the same seed.
    pub fn calls(self, seed: u64) -> impl FnMut(StoreCall) -> Fault + Send {
        let mut random = FaultRandom(seed);
        move |_| {
            let (kind, delay) = self.draw(&mut random);
            match kind {
                0 => Fault::Lost,
                1 => Fault::Unanswered,
                2 => Fault::Late(delay),
                3 => Fault::Twice(delay),
                4 => Fault::Delayed(delay),
                5 => Fault::SlowAnswer(delay),
                _ => Fault::None,
            }
        }
    }

    /// Random faults of tails, the same for the same seed.
    pub fn tails(self, seed: u64) -> impl FnMut() -> TailFault + Send {
        let mut random = FaultRandom(!seed);
        move || {
            let (kind, delay) = self.draw(&mut random);
            match kind {
                0 => TailFault::Dropped,
                1 => TailFault::Delayed(delay),
                2 => TailFault::Repeated(delay),
                3 => TailFault::Gap,
                _ => TailFault::None,
            }
        }
    }

    fn draw(self, random: &mut FaultRandom) -> (u64, Duration) {
        let kind = (random.next() % 1000) / u64::from(self.each.max(1));
        let most = u64::try_from(self.delay.as_micros()).unwrap_or(u64::MAX).max(1);
        let delay = Duration::from_micros(1 + random.next() % most);
        (if self.each == 0 { u64::MAX } else { kind }, delay)
    }
}

/// SplitMix64.
struct FaultRandom(u64);

impl FaultRandom {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
