//! [`Sequence`]: checks that one sender's numbered messages arrive once and in order.

use serde::Serialize;

/// The messages received from one sender, which numbers them from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sequence {
    last: u64,
    counts: Counts,
}

/// The outcomes of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Arrived once and in order.
    pub(crate) once: u64,
    /// Arrived again, or after a later one.
    pub(crate) repeated: u64,
    /// Did not arrive before a later one, or not at all.
    pub(crate) lost: u64,
}

impl Sequence {
    /// Records the arrival of message `n`. Returns whether it is new.
    pub(crate) fn came(&mut self, n: u64) -> bool {
        if n <= self.last {
            self.counts.repeated += 1;
            return false;
        }
        self.counts.lost += n - self.last - 1;
        self.counts.once += 1;
        self.last = n;
        true
    }

    /// The highest number that has arrived.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The outcomes of the first `sent` messages.
    pub(crate) fn of(&self, sent: u64) -> Counts {
        Counts { lost: self.counts.lost + sent.saturating_sub(self.last), ..self.counts }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.once += other.once;
        self.repeated += other.repeated;
        self.lost += other.lost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishes_lost_from_repeated() {
        let mut sequence = Sequence::default();
        for n in [1, 2, 2, 5, 3, 6] {
            sequence.came(n);
        }
        // 3 and 4 were missing when 5 arrived. 3 arrived later, and counts as repeated, not as delivered.
        assert_eq!(sequence.of(8), Counts { once: 4, repeated: 2, lost: 2 + 2 });
    }
}
