//! Questions and their answers on a [`SharedSession`].

use std::task::{Context, Poll};

use crate::{Answer, Cancelled, Registration};

use super::driving::ReadState;
use super::{SharedSession, Wake};

impl SharedSession {
    /// As [`Session::open_question`](crate::Session::open_question).
    pub(in crate::drive) fn open_question(&self, id: &str) -> bool {
        let (is_new, effects) = self.access(Wake::Never, |live| live.session.open_question(id));
        self.apply(effects);
        is_new
    }

    /// Takes a question's next answer, or registers its task.
    pub(in crate::drive) fn poll_answer(&self, id: &str, cx: &Context<'_>) -> Poll<Answer> {
        let taken = Registration::with(cx, |asker| {
            let mut inner = self.lock();
            let session = &mut inner.form.live().session;
            let before = ReadState::of(session);
            let Poll::Ready(answer) = session.poll_answer(id) else {
                return session.asker(id).map_or(Some(None), |slot| asker.put(slot).map(|()| None));
            };
            let mut effects = inner.effects_of_taking(before);
            let live = inner.form.live();
            effects.reader = live.reader.take_if(|_| live.session.has_events());
            Some(Some((answer, effects)))
        });
        let Some((answer, effects)) = taken else { return Poll::Pending };
        self.apply(effects);
        Poll::Ready(answer)
    }

    /// As [`Session::close_question`](crate::Session::close_question), and wakes the driver to write `$cancel`.
    pub(in crate::drive) fn close_question(&self, id: &str, was_sent: bool) {
        // Its waker is dropped when the session is unlocked.
        drop(self.command(|session| session.close_question(id, was_sent)));
    }

    /// As [`Session::begin_answer`](crate::Session::begin_answer).
    pub fn begin_answer(&self, id: &str) -> Cancelled {
        self.drive(|session| session.begin_answer(id))
    }

    /// As [`Session::end_answer`](crate::Session::end_answer).
    pub fn end_answer(&self, cancelled: &Cancelled) {
        self.drive(|session| session.end_answer(cancelled));
    }
}
