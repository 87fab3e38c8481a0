//! What an application says to a session: at once, when there is room, or until it is acknowledged.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{Fate, Frame, Mode, Overflow, Refused, SharedFrame};

use super::super::budget::Tally;
use super::super::error::{ReceiptError, SendError};
use super::{Cell, Wake};

/// What became of a frame that was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a broadcast has to heed all of it")]
pub struct Queued {
    /// It was given up itself: [`Overflow::DropNewest`].
    pub is_dropped: bool,
    /// The socket was handed so little of what is kept that more would soon be given up: it is to be flushed before.
    pub urgent: bool,
}

impl Cell {
    /// Accepts an encoded data frame. Returns whether it was queued: [`Overflow::DropNewest`] may drop it, and tells the peer.
    ///
    /// # Errors
    /// As [`Session::send`](crate::Session::send).
    pub fn send(&self, message: Bytes, overflow: Overflow) -> Result<bool, SendError> {
        let (size, fits) = (message.len(), self.makes_room(message.len()));
        queued(self.access_counted(Wake::Always, |awake| {
            awake.send(size, overflow, fits, |session| session.send(message, overflow))
        }))
    }

    /// Accepts a data frame that other sessions send, too, for who goes on to [`Link::flush`](crate::drive::Link::flush): does not wake
    /// the driver, unless the session ends by it. `tally` is of this cell's budget.
    ///
    /// # Errors
    /// As [`Session::send`](crate::Session::send).
    pub fn queue(
        &self,
        frame: &SharedFrame,
        overflow: Overflow,
        tally: &mut Tally<'_>,
    ) -> Result<Queued, SendError> {
        let size = frame.bytes().len();
        let fits = tally.make_room(size);
        let access = self.access_inner(Wake::AtEnd, |awake| {
            let sent = awake.send(size, overflow, fits, |session| session.send_shared(frame, overflow));
            (sent, awake.session.is_falling_behind())
        });
        tally.add(access.before, access.after);
        match access.result {
            (Ok(_), urgent) => Ok(Queued { is_dropped: false, urgent }),
            (Err(Refused::Dropped), urgent) => Ok(Queued { is_dropped: true, urgent }),
            (Err(refused), _) => Err(refused.into()),
        }
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
    pub async fn send_acked(&self, message: Bytes, patience: Duration) -> Result<(), ReceiptError> {
        if self.drive(|session| session.mode()) == Mode::Plain {
            return Err(ReceiptError::PlainMode);
        }
        let fate = self.offer_wait(message, patience, true).await?;
        match fate.expect("a receipt was asked for").await {
            Ok(Fate::Delivered) => Ok(()),
            Ok(Fate::Dropped) => Err(ReceiptError::Dropped),
            // Nobody answers any more when the cell itself is gone.
            _ => Err(ReceiptError::Ended),
        }
    }

    async fn offer_wait(
        &self,
        message: Bytes,
        patience: Duration,
        receipt: bool,
    ) -> Result<Option<oneshot::Receiver<Fate>>, SendError> {
        match self.offer(message.clone(), Overflow::Reject, receipt) {
            Err(Refused::Full) => {}
            result => return Ok(result?),
        }
        let deadline = tokio::time::sleep(patience);
        let mut deadline = std::pin::pin!(deadline);
        loop {
            let room = self.news();
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
    ) -> Result<Option<oneshot::Receiver<Fate>>, Refused> {
        let (size, fits) = (message.len(), self.makes_room(message.len()));
        self.access_counted(Wake::Always, |awake| {
            let number = awake.send(size, overflow, fits, |session| session.send(message, overflow))?;
            Ok(receipt.then(|| {
                awake.session.watch_last();
                let (sender, receiver) = oneshot::channel();
                awake.receipts.get_or_insert_default().push_back((number, sender));
                receiver
            }))
        })
    }

    /// Whether all cells together may keep this too. Before our own lock is taken: others may have to give way.
    fn makes_room(&self, size: usize) -> bool {
        self.budget.as_ref().is_none_or(|budget| budget.make_room(size))
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

/// Whether a frame was queued, and not dropped as the newest.
fn queued(sent: Result<u64, Refused>) -> Result<bool, SendError> {
    match sent {
        Ok(_) => Ok(true),
        Err(Refused::Dropped) => Ok(false),
        Err(refused) => Err(refused.into()),
    }
}
