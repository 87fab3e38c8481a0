//! [`Cancelled`]: whether a question that is being answered was cancelled.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Registration;

/// Whether the peer still wants an answer to a question. Clones observe the same question.
#[derive(Clone, Default)]
pub struct Cancelled(Arc<Mutex<CancelState>>);

#[derive(Default)]
struct CancelState {
    is_cancelled: bool,
    waiting: Vec<Waker>,
}

impl Cancelled {
    /// Waits until the peer cancels the question; never returns if it does not.
    pub async fn wait(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        Registration::with(cx, |waiter| {
            let mut state = self.lock();
            if state.is_cancelled {
                return Some(Poll::Ready(()));
            }
            waiter.add(&mut state.waiting).map(|()| Poll::Pending)
        })
    }

    /// Whether the peer has cancelled the question.
    pub fn is_cancelled(&self) -> bool {
        self.lock().is_cancelled
    }

    /// Notes that the peer has cancelled the question. Returns the tasks to wake.
    pub(crate) fn cancel(&self) -> Vec<Waker> {
        let mut state = self.lock();
        state.is_cancelled = true;
        std::mem::take(&mut state.waiting)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn lock(&self) -> MutexGuard<'_, CancelState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancelled").field(&self.is_cancelled()).finish()
    }
}
