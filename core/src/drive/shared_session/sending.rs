//! What an application says to a session: at once, when there is room, or until it is acknowledged.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{Delivery, Frame, Mode, Overflow, Refused, SharedFrame};

use super::super::error::{DeliveryError, SendError};
use super::{Effects, SharedSession, Wake};

/// What became of a frame that was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a broadcast has to heed all of it")]
pub struct Queued {
    /// It was given up itself: [`Overflow::DropNewest`].
    pub is_dropped: bool,
    /// The socket was handed so little of what is kept that more would soon be given up: it is to be flushed before.
    pub urgent: bool,
}

impl SharedSession {
    /// Accepts an encoded data frame. Returns whether it was queued: [`Overflow::DropNewest`] may drop it, and tells the peer.
    ///
    /// # Errors
    /// As [`Session::send`](crate::Session::send).
    pub fn send(&self, message: Bytes, overflow: Overflow) -> Result<bool, SendError> {
        match self.offer(message, overflow, false) {
            Ok(_) => Ok(true),
            Err(Refused::Dropped) => Ok(false),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Accepts a data frame that other sessions send, too, for a caller that goes on to [`SocketDriver::flush`](crate::drive::SocketDriver::flush): does
    /// not wake the driver, unless the session ends by it. The frame is [charged](crate::drive::MemoryBudget::charge) already; `fits` says
    /// whether the budget has room for it. Where it has none, a member whose socket keeps up gets the frame all the same: it
    /// costs no more memory for one member more.
    ///
    /// # Errors
    /// As [`Session::send`](crate::Session::send).
    pub fn queue(
        &self,
        frame: &SharedFrame,
        overflow: Overflow,
        fits: bool,
    ) -> (Result<Queued, SendError>, Effects) {
        let size = frame.bytes().len();
        let ((sent, urgent), effects) = self.access_inner(Wake::AtEnd, |live| {
            let fits = fits || live.session.is_flowing();
            let sent = live.send(size, overflow, fits, |session| session.send_shared(frame, overflow));
            (sent, live.session.is_falling_behind())
        });
        let queued = match sent {
            Ok(_) => Ok(Queued { is_dropped: false, urgent }),
            Err(Refused::Dropped) => Ok(Queued { is_dropped: true, urgent }),
            Err(refused) => Err(refused.into()),
        };
        (queued, effects)
    }

    /// The same for a frame that the session's codec cannot represent: in session mode the peer gets a gap instead. Returns whether
    /// the session is open.
    pub fn queue_missing(&self) -> (bool, Effects) {
        self.access_inner(Wake::AtEnd, |live| live.session.send_missing().is_ok())
    }

    /// Accepts an encoded data frame, and waits for room where there is none.
    ///
    /// # Errors
    /// Fails when the session ends, and when there was no room for `patience`.
    pub async fn send_wait(&self, message: Bytes, patience: Duration) -> Result<(), SendError> {
        self.offer_wait(message, patience, false).await.map(drop)
    }

    /// Like [`Self::send_wait`], and then waits until the peer has acknowledged the frame.
    ///
    /// # Errors
    /// Fails as that does, when the frame is given up, and when the session ends first. In plain mode nobody acknowledges.
    pub async fn send_acked(&self, message: Bytes, patience: Duration) -> Result<(), DeliveryError> {
        if self.drive(|session| session.mode()) == Mode::Plain {
            return Err(DeliveryError::PlainMode);
        }
        let delivery = self.offer_wait(message, patience, true).await?;
        match delivery.expect("a receipt was asked for").await {
            Ok(Delivery::Delivered) => Ok(()),
            Ok(Delivery::Dropped) => Err(DeliveryError::Dropped),
            // Nobody answers any more when the cell itself is gone.
            _ => Err(DeliveryError::Ended),
        }
    }

    async fn offer_wait(
        &self,
        message: Bytes,
        patience: Duration,
        receipt: bool,
    ) -> Result<Option<oneshot::Receiver<Delivery>>, SendError> {
        match self.offer(message.clone(), Overflow::Reject, receipt) {
            Err(Refused::Full) => {}
            result => return Ok(result?),
        }
        let deadline = tokio::time::sleep(patience);
        let mut deadline = std::pin::pin!(deadline);
        loop {
            let room = self.capacity_changed();
            let mut room = std::pin::pin!(room.notified());
            // From here on no notification is missed.
            room.as_mut().enable();
            let mut freed = std::pin::pin!(self.budget.as_ref().map(|budget| budget.freed()));
            if let Some(freed) = freed.as_mut().as_pin_mut() {
                freed.enable();
            }
            match self.offer(message.clone(), Overflow::Reject, receipt) {
                Err(Refused::Full) => {}
                result => return Ok(result?),
            }
            let freed = async {
                match freed.as_mut().as_pin_mut() {
                    Some(freed) => freed.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut room => {}
                () = freed => {}
                () = &mut deadline => return Err(SendError::Timeout),
            }
        }
    }

    fn offer(
        &self,
        message: Bytes,
        overflow: Overflow,
        receipt: bool,
    ) -> Result<Option<oneshot::Receiver<Delivery>>, Refused> {
        let size = message.len();
        let fits = self.makes_capacity(size);
        let budget = self.budget.as_deref();
        let (sent, effects) = self.access_inner(Wake::Always, |live| {
            let number = live.send(size, overflow, fits, |session| {
                session.accept(size, overflow, || match budget {
                    Some(budget) => budget.charge(message),
                    None => message,
                })
            })?;
            Ok(receipt.then(|| {
                live.session.watch_last();
                let (sender, receiver) = oneshot::channel();
                live.deliveries.get_or_insert_default().push_back((number, sender));
                receiver
            }))
        });
        self.apply(effects);
        sent
    }

    /// Whether all cells together may keep this too. Called before our own lock is taken, since others may be evicted. In plain mode
    /// a socket that keeps up takes the message at once: nothing is kept, so nobody is evicted for it.
    fn makes_capacity(&self, size: usize) -> bool {
        self.budget.as_ref().is_none_or(|budget| {
            budget.fits(size)
                || self.drive(|session| session.mode() == Mode::Plain && session.is_flowing())
                || budget.evict_to_fit(size)
        })
    }

    /// Whether the application may send this frame here.
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
