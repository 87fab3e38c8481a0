//! Acts of the application on sessions that a store keeps.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rejoin_core::drive::{DeliveryError, EncodedFrame, SendError};
use rejoin_core::{Delivery, Frame, Overflow};
use tokio::sync::oneshot;

use crate::connection::Connection;
use crate::error::BroadcastError;
use crate::fanout::audience::Audience;
use crate::fanout::broadcast::connections;
use crate::fanout::encoded::{self, EncodedOnce};
use crate::fanout::members::Joined;
use crate::fanout::rewind::{Rewind, Rewound};
use crate::inner::ServerInner;

use super::act::{self, Act};
use super::direct;
use super::log::DurableLog;
use super::queue::Done;
use super::said;
use super::writer::LogWriter;

/// Queues a broadcast. Returns the number of receivers that are known here.
pub(crate) fn broadcast(
    shared: &ServerInner,
    log: &DurableLog,
    audience: &Audience<'_>,
    frame: &Frame,
    overflow: Overflow,
) -> Result<usize, BroadcastError> {
    let room = audience.as_room().map(|room| shared.realm.rooms.get(room));
    let (count, codecs) = match &room {
        Some(None) => (0, Vec::new()),
        Some(Some(room)) => (room.len(), room.codecs()),
        None => {
            let all = connections(shared, audience);
            (all.len(), all.iter().map(Connection::codec_index).collect())
        }
    };
    let once = encode(shared, frame, codecs)?;
    let (to, except) = said::of(audience);
    log.say(Act::Say {
        to,
        except,
        frame: frame.into(),
        overflow: overflow.into(),
        names_rooms: audience.names_rooms,
        once,
    });
    Ok(count)
}

/// Encodes a frame in the first of these codecs that can represent it. If one can, receivers with other codecs get a gap.
///
/// # Errors
/// Fails if there are codecs, and none can.
fn encode(
    shared: &ServerInner,
    frame: &Frame,
    mut codecs: Vec<usize>,
) -> Result<Option<EncodedOnce>, BroadcastError> {
    codecs.sort_unstable();
    codecs.dedup();
    let mut failed = None;
    for codec in codecs {
        match encoded::once(frame, &shared.context, codec) {
            Ok(once) => return Ok(Some(once)),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(None), |error| Err(BroadcastError::Encode(error)))
}

/// Leaves a room. In a handler the leave is committed with the handler; then this returns whether the connection is a member now.
pub(crate) async fn leave(log: &DurableLog, writer: &LogWriter, connection: &Connection, room: &str) -> bool {
    let is_member = connection.session().rooms().iter().any(|other| **other == *room);
    match log.say_and_wait(Act::Leave { who: writer.key, room: room.into() }) {
        None => is_member,
        Some(done) => done.await.is_ok_and(|done| done.count > 0),
    }
}

/// Sets the user.
pub(crate) fn user(log: &DurableLog, writer: &LogWriter, name: Option<&str>) -> bool {
    log.say(Act::User { who: writer.key, name: name.filter(|name| !name.is_empty()).map(String::from) });
    true
}

/// A queued join.
#[derive(Debug)]
pub(crate) enum SaidJoin {
    /// In a handler: the join is committed with the handler.
    Later {
        is_new: bool,
    },
    Waits(oneshot::Receiver<Done>),
    /// The server no longer has a store.
    Closed,
}

/// Queues a join.
pub(crate) fn join(connection: &Connection, room: &str, rewind: Option<Rewind>, is_member: bool) -> SaidJoin {
    let (Some(log), Some(writer)) = (connection.host().log(), connection.handle().writer()) else {
        return SaidJoin::Closed;
    };
    match log.say_and_wait(Act::Join { who: writer.key, room: room.into(), rewind }) {
        None => SaidJoin::Later { is_new: !is_member },
        Some(done) => SaidJoin::Waits(done),
    }
}

impl SaidJoin {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Joined, Rewound)> {
        let closed = (Joined::Closed, Rewound::default());
        Poll::Ready(match self {
            Self::Later { is_new } => {
                let rewound = Rewound { is_new: *is_new, ..Rewound::default() };
                (if *is_new { Joined::Added } else { Joined::Already }, rewound)
            }
            Self::Closed => closed,
            Self::Waits(done) => {
                let done = ready!(std::pin::Pin::new(done).poll(cx)).ok();
                let outcome = done.and_then(|done| done.result?.downcast::<(Joined, Rewound)>().ok());
                outcome.map_or(closed, |outcome| *outcome)
            }
        })
    }
}

impl Connection {
    /// Whether the store keeps this frame for this connection.
    pub(crate) fn is_kept(&self, frame: &Frame) -> bool {
        self.host().log().is_some()
            && self.handle().writer().is_some()
            && !frame.is_volatile()
            && !frame.is_reserved()
    }

    /// Queues a frame to this connection, which is encoded as `message`. Returns `None` if the store does not keep it.
    pub(crate) fn say(
        &self,
        frame: &Frame,
        message: &EncodedFrame,
        overflow: Overflow,
    ) -> Option<Result<(), SendError>> {
        let (log, writer) = self.log_for(frame)?;
        if let Some(sent) = direct::send(self, log, writer, message, overflow) {
            return Some(sent);
        }
        Some(self.check_say(log, writer, overflow).map(|()| log.say(send(writer, frame, overflow))))
    }

    /// Sets the state that the store keeps with the session.
    pub(crate) fn say_state(&self, state: Bytes) {
        let (Some(log), Some(writer)) = (self.host().log(), self.handle().writer()) else { return };
        if let Some(handed) = writer.handed() {
            // The state is exported with the session; if the session was exported already, it is exported again.
            if handed.note_change() {
                log.handover.iter().for_each(|handover| handover.ask(writer.key));
            }
            return;
        }
        match log.scope().filter(|scope| scope.writer.key == writer.key) {
            Some(scope) => scope.set_state(state),
            None => log.queue.push(super::Work::Session {
                writer: writer.clone(),
                acts: Vec::new(),
                received: None,
                state: Some(state),
                ends: false,
                then: None,
            }),
        }
    }

    /// Queues a question. The earlier acts of its handler are committed first, because the answer comes with a later frame.
    pub(crate) fn say_question(
        &self,
        frame: &Frame,
        message: &EncodedFrame,
    ) -> Option<Result<(), SendError>> {
        let (log, writer) = self.log_for(frame)?;
        if let Some(sent) = direct::send(self, log, writer, message, Overflow::Reject) {
            return Some(sent);
        }
        Some(self.check_say(log, writer, Overflow::Reject).map(|()| {
            let act = send(writer, frame, Overflow::Reject);
            let Some(scope) = log.scope() else { return log.say(act) };
            let said = std::mem::take(&mut scope.lock().acts);
            for act in said.into_iter().chain([act]) {
                log.queue.push(super::Work::Server { act, ticket: act::NOBODY });
            }
        }))
    }

    /// Queues a frame, and waits until the peer has acknowledged it.
    pub(crate) async fn say_acked(&self, frame: &Frame, message: EncodedFrame) -> Result<(), DeliveryError> {
        let Some((log, writer)) = self.log_for(frame) else { return Err(DeliveryError::Ended) };
        if let Some(accepted) = direct::send_wait(self, log, writer, &message, true).await? {
            return accepted.delivered().await;
        }
        if log.scope().is_some() {
            return Err(DeliveryError::WouldDeadlock);
        }
        let act = send(writer, frame, Overflow::Reject);
        self.promised(log, writer).await?;
        let done = log.queue.push_and_wait(act).await;
        let watched = done.ok().and_then(|done| done.result?.downcast::<oneshot::Receiver<Delivery>>().ok());
        match watched {
            None => Err(DeliveryError::Ended),
            Some(watched) => match watched.await {
                Ok(Delivery::Delivered) => Ok(()),
                Ok(Delivery::Dropped) => Err(DeliveryError::Dropped),
                _ => Err(DeliveryError::Ended),
            },
        }
    }

    fn log_for(&self, frame: &Frame) -> Option<(&Arc<DurableLog>, &Arc<LogWriter>)> {
        let log = self.host().log().filter(|_| self.is_kept(frame))?;
        Some((log, self.handle().writer()?))
    }

    /// Queues a frame once there is capacity for it. Returns `None` if the store does not keep it.
    pub(crate) async fn say_when_possible(
        &self,
        frame: &Frame,
        message: &EncodedFrame,
    ) -> Option<Result<(), SendError>> {
        let (log, writer) = self.log_for(frame)?;
        match direct::send_wait(self, log, writer, message, false).await {
            Ok(None) => {}
            sent => return Some(sent.map(drop)),
        }
        Some(self.promised(log, writer).await.map(|()| log.say(send(writer, frame, Overflow::Reject))))
    }

    /// Waits for capacity for a frame, for up to the write timeout.
    async fn promised(&self, log: &DurableLog, writer: &LogWriter) -> Result<(), SendError> {
        let promised = async {
            loop {
                match self.check_say(log, writer, Overflow::Reject) {
                    Err(SendError::Full) => {}
                    result => return result,
                }
                self.session().wait_for_capacity().await?;
                // Acts that were queued before have to be applied first.
                log.barrier().await;
            }
        };
        let waited = tokio::time::timeout(self.host().context().options.write_timeout, promised).await;
        waited.unwrap_or(Err(SendError::Timeout))
    }

    /// Makes the checks that do not need the log, and reserves capacity for the frame.
    fn check_say(&self, log: &DurableLog, writer: &LogWriter, overflow: Overflow) -> Result<(), SendError> {
        match self.session().check_capacity() {
            Err(SendError::Full) if overflow != Overflow::Reject => {}
            result => result?,
        }
        // The acts of handlers are bounded by the limit on uncommitted inputs.
        let most = match overflow {
            Overflow::Reject => self.host().context().options.send_buffer,
            _ => usize::MAX,
        };
        let is_said = log.scope().is_some() || writer.note_said(most);
        if is_said { Ok(()) } else { Err(SendError::Full) }
    }
}

fn send(writer: &LogWriter, frame: &Frame, overflow: Overflow) -> Act {
    Act::Send { to: writer.key, frame: frame.into(), overflow: overflow.into() }
}
