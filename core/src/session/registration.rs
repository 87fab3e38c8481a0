//! [`Registration`]: the waker of a task that is about to wait, on its way into a slot behind a lock.

use std::task::{Context, Waker};

/// The waker of a task that is about to wait.
///
/// Cloning and dropping a waker may run foreign code, which may call whatever it finds. So both happen while no lock is held:
/// [`Self::with`] clones the waker between two attempts, and drops the one that was replaced after the last one.
#[derive(Debug)]
pub struct Registration<'a> {
    waker: &'a Waker,
    /// A clone that has no slot yet; after [`Self::put`], the waker that was in the slot before.
    spare: Option<Waker>,
}

impl<'a> Registration<'a> {
    /// Calls `attempt`, which takes a lock and [puts](Self::put) the waker into a slot behind it. If it returns `None`, because a
    /// clone is needed, it is called again with one.
    pub fn with<R>(cx: &Context<'a>, mut attempt: impl FnMut(&mut Self) -> Option<R>) -> R {
        let mut registration = Self { waker: cx.waker(), spare: None };
        loop {
            match attempt(&mut registration) {
                Some(result) => return result,
                None => registration.spare = Some(registration.waker.clone()),
            }
        }
    }

    /// Puts the waker into the slot, unless the one that is there wakes the same task. `None` if it has to be cloned first.
    pub fn put(&mut self, slot: &mut Option<Waker>) -> Option<()> {
        if !slot.as_ref().is_some_and(|waker| waker.will_wake(self.waker)) {
            self.spare = slot.replace(self.spare.take()?);
        }
        Some(())
    }

    /// Like [`Self::put`], for a list of wakers.
    pub(crate) fn add(&mut self, list: &mut Vec<Waker>) -> Option<()> {
        if !list.iter().any(|waker| waker.will_wake(self.waker)) {
            list.push(self.spare.take()?);
        }
        Some(())
    }
}
