//! Faults that tests inject into a [`MemoryStore`](crate::MemoryStore).

use std::time::Duration;

/// A call of the store.
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

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // tests build it
pub enum Fault {
    /// It is applied and answered at once.
    None,
    /// It is not applied, and answered by an error.
    Lost,
    /// It is applied, and answered by an error.
    Unanswered,
    /// It is answered by an error at once, and applied later, among others, also when its caller has died.
    Late(Duration),
    /// It is applied and answered, and applied again later.
    Twice(Duration),
    /// It is applied and answered later. Not at all, if its caller drops the future before.
    Delayed(Duration),
    /// It is applied at once, and answered later.
    SlowAnswer(Duration),
}

/// What becomes of a piece of a tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // tests build it
pub enum TailFault {
    /// It is brought at once.
    None,
    /// It is dropped silently.
    Dropped,
    /// It is brought later, behind others.
    Delayed(Duration),
    /// It is brought now, and again later.
    Repeated(Duration),
    /// A gap is brought instead.
    Gap,
}

pub(super) type CallFaults = Box<dyn FnMut(StoreCall) -> Fault + Send>;
pub(super) type TailFaults = Box<dyn FnMut() -> TailFault + Send>;

/// How often faults happen, in thousandths, and for how long at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // tests build it
pub struct FaultRates {
    /// Thousandths of the calls with each of the kinds of [`Fault`]; as many of the pieces with each of [`TailFault`].
    pub each: u16,
    /// The longest delay.
    pub delay: Duration,
}

impl Default for FaultRates {
    /// 30 in a thousand of each kind, up to 200 ms.
    fn default() -> Self {
        Self { each: 30, delay: Duration::from_millis(200) }
    }
}

impl FaultRates {
    /// Faults of calls, the same for the same seed.
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

    /// Faults of tails, the same for the same seed.
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
