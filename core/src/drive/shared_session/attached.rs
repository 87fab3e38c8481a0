//! Sending on a session unless it waits for a socket: then its frames may have to take another way.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::{Delivery, Overflow, Refused, Session, SessionState};

use super::super::encoded_frame::EncodedFrame;
use super::super::error::{DeliveryError, SendError};
use super::SharedSession;

/// A frame that a session has accepted.
#[derive(Debug)]
pub struct Accepted(Option<oneshot::Receiver<Delivery>>);

impl Accepted {
    pub(super) fn new(delivery: Option<oneshot::Receiver<Delivery>>) -> Self {
        Self(delivery)
    }

    /// Waits until the peer has acknowledged the frame, which must be watched.
    ///
    /// # Errors
    /// Fails when the frame is evicted, or the session ends first.
    pub async fn delivered(self) -> Result<(), DeliveryError> {
        match self.0.expect("the frame is watched").await {
            Ok(Delivery::Delivered) => Ok(()),
            Ok(Delivery::Dropped) => Err(DeliveryError::Dropped),
            // The session itself was dropped, and the channel with it.
            _ => Err(DeliveryError::Ended),
        }
    }
}

fn is_not_suspended(session: &Session) -> bool {
    session.state() != SessionState::Suspended
}

impl SharedSession {
    /// Accepts an encoded data frame, or if `watches` one whose delivery the caller awaits, unless the session waits for a socket:
    /// then `None`, and the frame is not accepted.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_unless_suspended(
        &self,
        frame: impl Into<EncodedFrame>,
        overflow: Overflow,
        watches: bool,
    ) -> Result<Option<Accepted>, SendError> {
        match self.offer_if(&mut frame.into(), overflow, watches, is_not_suspended) {
            Err(Refused::Dropped) => Ok(Some(Accepted(None))),
            offered => Ok(offered?.map(Accepted)),
        }
    }

    /// Like [`Self::send_unless_suspended`], but waits while the send buffer is full.
    ///
    /// # Errors
    /// As [`Self::send_wait`].
    pub async fn send_wait_unless_suspended(
        &self,
        frame: impl Into<EncodedFrame>,
        timeout: Duration,
        watches: bool,
    ) -> Result<Option<Accepted>, SendError> {
        let mut frame = frame.into();
        let offer = || self.offer_if(&mut frame, Overflow::Reject, watches, is_not_suspended);
        Ok(self.retry(Some(timeout), offer).await?.map(Accepted))
    }
}
