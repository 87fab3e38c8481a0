//! Sending on a session: without waiting, waiting for capacity, or waiting for the peer's acknowledgement.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{Delivery, Frame, Mode, Overflow, Refused, Session, Span};

use super::super::encoded_frame::{EncodedFrame, Volatile};
use super::super::error::{DeliveryError, SendError};
use super::{Accepted, Effects, SharedSession, Wake};

/// The result of queueing a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a broadcast has to handle every field")]
pub struct Queued {
    /// The frame was dropped: [`Overflow::DropNewest`].
    pub is_dropped: bool,
    /// The socket could take more, but half of the send buffer is unsent: frames will soon be evicted unless the socket is
    /// flushed first.
    pub urgent: bool,
}

impl SharedSession {
    /// Accepts an encoded data frame. Returns whether it was queued: with [`Overflow::DropNewest`] it may be dropped, which is
    /// reported to the peer as a gap. A volatile frame is always accepted while the session is open.
    ///
    /// # Errors
    /// As [`Session::send`](crate::Session::send).
    pub fn send(&self, frame: impl Into<EncodedFrame>, overflow: Overflow) -> Result<bool, SendError> {
        match self.offer(&mut frame.into(), overflow, false) {
            Ok(_) => Ok(true),
            Err(Refused::Dropped) => Ok(false),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Accepts a data frame that other sessions send, too. Does not wake the driver unless this ends the session: the caller
    /// calls [`SocketDriver::flush`](crate::drive::SocketDriver::flush) next.
    ///
    /// The message is [charged](crate::drive::MemoryBudget::charge) already, and `fits` says whether it is within the budget. If it
    /// is not, a session whose socket keeps up gets the frame anyway: another receiver costs no more memory.
    ///
    /// `stored` returns the frame in its segment, and is called under the session's lock once the frame is accepted. A segment keeps
    /// all of its messages while one of them is in use, so a message that every session refuses must not be stored in one.
    ///
    /// # Errors
    /// As [`Session::send`](crate::Session::send).
    pub fn queue<'a>(
        &self,
        message: &Bytes,
        overflow: Overflow,
        fits: bool,
        stored: impl FnOnce() -> &'a Span,
    ) -> (Result<Queued, SendError>, Effects) {
        let size = message.len();
        let ((sent, urgent), effects) = self.access(Wake::AtEnd, |live| {
            // Checked under the lock: the session would keep the frame if the socket has just become blocked.
            let fits = fits || live.session.is_flowing();
            let sent = live.send(size, overflow, fits, |session| session.accept_span(size, overflow, stored));
            if let Err(refused) = sent {
                live.session.note_refused(message, refused);
            }
            (sent, live.session.is_falling_behind())
        });
        let queued = match sent {
            Ok(_) => Ok(Queued { is_dropped: false, urgent }),
            Err(Refused::Dropped) => Ok(Queued { is_dropped: true, urgent }),
            Err(refused) => Err(refused.into()),
        };
        (queued, effects)
    }

    /// Like [`Self::queue`], for a frame that the session's codec cannot represent: in session mode the peer gets a gap in its
    /// place. Returns whether the session is open.
    pub fn queue_missing(&self) -> (bool, Effects) {
        self.access(Wake::AtEnd, |live| live.session.send_missing().is_ok())
    }

    /// Accepts a volatile data frame that other sessions send, too, and that is [charged](crate::drive::MemoryBudget::charge)
    /// already. Like [`Self::queue`], it does not wake the driver. Returns whether the session is open.
    pub fn queue_volatile(&self, message: Bytes, volatile: Volatile) -> (bool, Effects) {
        self.access(Wake::AtEnd, |live| {
            live.session.relay_volatile(message, volatile.key);
            live.session.is_open()
        })
    }

    /// Accepts frames of a room's history ([`Session::send_history`](crate::Session::send_history)), and wakes the driver. Returns
    /// their number. The effects must be applied once the room's lock is released.
    pub fn send_history(&self, mut history: Vec<Option<Span>>) -> (usize, Effects) {
        self.access(Wake::Always, |live| live.session.send_history(&mut history))
    }

    /// Accepts a frame that was promised when there was capacity ([`Session::send_promised`](crate::Session::send_promised)).
    pub fn queue_promised(&self, frame: &Span) -> Effects {
        self.access(Wake::AtEnd, |live| live.session.send_promised(frame)).1
    }

    /// Accepts an encoded data frame, and waits while the send buffer is full.
    ///
    /// # Errors
    /// Fails when the session ends, and when the buffer stays full for `timeout`.
    pub async fn send_wait(
        &self,
        frame: impl Into<EncodedFrame>,
        timeout: Duration,
    ) -> Result<(), SendError> {
        self.offer_wait(frame.into(), timeout, false).await.map(drop)
    }

    /// Like [`Self::send_wait`], but waits until the session ends.
    ///
    /// # Errors
    /// Fails when the session ends.
    pub(in crate::drive) async fn send_when_accepted(
        &self,
        mut frame: EncodedFrame,
    ) -> Result<(), SendError> {
        self.retry(None, || self.offer(&mut frame, Overflow::Reject, false)).await.map(drop)
    }

    /// Whether the send buffer has capacity for a small frame.
    ///
    /// # Errors
    /// Fails with [`SendError::Full`], or when the session has ended or is closing.
    pub fn check_capacity(&self) -> Result<(), SendError> {
        Ok(self.find_capacity()?)
    }

    /// Waits until the send buffer has capacity for a small frame.
    ///
    /// # Errors
    /// Fails when the session ends.
    pub async fn wait_for_capacity(&self) -> Result<(), SendError> {
        self.retry(None, || self.find_capacity()).await
    }

    fn find_capacity(&self) -> Result<(), Refused> {
        let (result, effects) = self.access(Wake::Never, |live| {
            let found = match (live.session.is_open(), live.session.has_capacity(0)) {
                (false, _) => Err(Refused::Closed),
                (true, false) => Err(Refused::Full),
                (true, true) => Ok(()),
            };
            // In the critical section that found the buffer full, as in `Live::send`.
            live.capacity_wanted |= found == Err(Refused::Full);
            found
        });
        self.apply(effects);
        result
    }

    /// Like [`Self::send_wait`], and then waits until the peer has acknowledged the frame.
    ///
    /// # Errors
    /// Fails as [`Self::send_wait`] does, when the frame is evicted, when the session ends first, in plain mode, which has no
    /// acknowledgements, and for a volatile frame, which gets none.
    pub async fn send_acked(
        &self,
        frame: impl Into<EncodedFrame>,
        timeout: Duration,
    ) -> Result<(), DeliveryError> {
        let frame = frame.into();
        if frame.volatile.is_some() {
            return Err(DeliveryError::Volatile);
        }
        if self.drive(|session| session.mode()) == Mode::Plain {
            return Err(DeliveryError::PlainMode);
        }
        let delivery = self.offer_wait(frame, timeout, true).await?;
        Accepted::new(delivery).delivered().await
    }

    /// Accepts a frame whose delivery the caller awaits. `None` if it is not accepted, and has no number.
    pub fn send_watched(
        &self,
        frame: impl Into<EncodedFrame>,
        overflow: Overflow,
    ) -> Option<oneshot::Receiver<Delivery>> {
        self.offer(&mut frame.into(), overflow, true).ok().flatten()
    }

    async fn offer_wait(
        &self,
        mut frame: EncodedFrame,
        timeout: Duration,
        watch: bool,
    ) -> Result<Option<oneshot::Receiver<Delivery>>, SendError> {
        self.retry(Some(timeout), || self.offer(&mut frame, Overflow::Reject, watch)).await
    }

    /// Repeats an attempt while it fails for lack of capacity.
    ///
    /// # Errors
    /// Fails as the attempt does otherwise, and with [`SendError::Timeout`] after `timeout`, if there is one.
    pub(super) async fn retry<T>(
        &self,
        timeout: Option<Duration>,
        mut attempt: impl FnMut() -> Result<T, Refused>,
    ) -> Result<T, SendError> {
        // Usually there is capacity. Try before setting up a timer and notifications.
        match attempt() {
            Err(Refused::Full) => {}
            result => return Ok(result?),
        }
        let mut deadline = std::pin::pin!(timeout.map(tokio::time::sleep));
        loop {
            // Fetched again in each round: a session that has hibernated meanwhile has dropped the previous one.
            let capacity = self.capacity_changed();
            // Both notifications are made before the attempt is repeated: `notify_waiters` reaches those that exist, polled or
            // not, and stores no permit. Made later, they would miss capacity that is freed after a refusal, and this task would
            // sleep to its deadline.
            let capacity = capacity.notified();
            let mut freed = std::pin::pin!(self.budget.as_ref().map(|budget| budget.freed()));
            match attempt() {
                Err(Refused::Full) => {}
                result => return Ok(result?),
            }
            let freed = async {
                match freed.as_mut().as_pin_mut() {
                    Some(freed) => freed.await,
                    None => std::future::pending().await,
                }
            };
            let deadline = async {
                match deadline.as_mut().as_pin_mut() {
                    Some(deadline) => deadline.await,
                    None => std::future::pending().await,
                }
            };
            // The frame may have been refused by this session's buffer or by the budget of all sessions. Biased, so that capacity
            // that is freed at the deadline is still used.
            tokio::select! {
                biased;
                () = capacity => {}
                () = freed => {}
                () = deadline => return Err(SendError::Timeout),
            }
        }
    }

    /// Takes the message of a frame that is accepted. One that is refused stays as it is, for another attempt: a copy would cost an
    /// allocation.
    fn offer(
        &self,
        frame: &mut EncodedFrame,
        overflow: Overflow,
        watch: bool,
    ) -> Result<Option<oneshot::Receiver<Delivery>>, Refused> {
        self.offer_if(frame, overflow, watch, |_| true).map(Option::flatten)
    }

    /// As [`Self::offer`] if the session is as wanted when it would take the frame; otherwise `None`.
    pub(super) fn offer_if(
        &self,
        frame: &mut EncodedFrame,
        overflow: Overflow,
        watch: bool,
        is_wanted: impl Fn(&Session) -> bool,
    ) -> Result<Option<Option<oneshot::Receiver<Delivery>>>, Refused> {
        let message = &mut frame.message;
        if let Some(volatile) = frame.volatile.take() {
            return self.offer_volatile(std::mem::take(message), volatile).map(|()| Some(None));
        }
        let size = message.len();
        // May be stale once the lock is taken: then all sessions together exceed their limit by this message. Preventing that
        // would take one lock for all sessions.
        let fits = self.fits_budget(size);
        let budget = self.budget.as_deref();
        // Cloned in case it is dropped: the caller learns of any other refusal.
        let offered = (overflow == Overflow::DropNewest || !fits).then(|| message.clone());
        let (sent, effects) = self.access(Wake::Always, |live| {
            if !is_wanted(&live.session) {
                return Ok(None);
            }
            let sent = live.send(size, overflow, fits, |session| {
                // Charge the message only once it is accepted, so that a refused message never counts.
                session.accept(size, overflow, || {
                    let message = std::mem::take(message);
                    match budget {
                        Some(budget) => budget.charge(message),
                        None => message,
                    }
                })
            });
            if let (Err(Refused::Dropped), Some(message)) = (sent, &offered) {
                live.session.note_refused(message, Refused::Dropped);
            }
            let number = sent?;
            // Watched in the critical section that accepts the frame, so that its acknowledgement cannot come earlier.
            Ok(Some(watch.then(|| {
                live.session.watch_last();
                let (sender, receiver) = oneshot::channel();
                live.deliveries.get_or_insert_default().push_back((number, sender));
                receiver
            })))
        });
        self.apply(effects);
        sent
    }

    /// No session is evicted for a volatile frame: one that is not within the budget is dropped.
    fn offer_volatile(&self, message: Bytes, volatile: Volatile) -> Result<(), Refused> {
        let fits = self.budget.as_ref().is_none_or(|budget| budget.fits(message.len()));
        let (sent, effects) = self.access(Wake::Always, |live| {
            if !fits && live.session.is_open() {
                live.session.count_volatile_dropped(1);
                return Ok(());
            }
            let message = match &self.budget {
                Some(budget) => budget.charge(message),
                None => message,
            };
            live.session.send_volatile(message, volatile.key).map(drop)
        });
        self.apply(effects);
        sent
    }

    /// Whether a message of this size is within the budget, after evicting suspended sessions if that helps. In plain mode, a
    /// socket that keeps up takes the message at once: the session does not keep it, so no other session is evicted for it.
    ///
    /// No lock may be held: an eviction locks another session, which may be evicting for its own message at the same moment, or
    /// it locks this very session.
    fn fits_budget(&self, size: usize) -> bool {
        self.budget.as_ref().is_none_or(|budget| {
            budget.fits(size)
                || self.drive(|session| session.mode() == Mode::Plain && session.is_flowing())
                || budget.evict_to_fit(size)
        })
    }

    /// Checks that the application may send this frame.
    ///
    /// # Errors
    /// Fails in session mode for an event that begins with `$` (PROTOCOL.md §3).
    pub fn check(&self, frame: &Frame) -> Result<(), SendError> {
        if !frame.is_reserved() || self.drive(|session| session.may_send(frame)) {
            Ok(())
        } else {
            Err(SendError::Reserved)
        }
    }
}
