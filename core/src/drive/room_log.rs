//! [`RoomLog`]: broadcasts to many sessions, stored once until each session has drained them.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::ops::{BitOrAssign, Range};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use crate::session::SpanQueue;
use crate::{Overflow, SegmentWriter, Session, Span};

use super::encoded_frame::Volatile;
use super::sequencer::Sequencer;
use super::sync::atomic::{AtomicU64, Ordering};
use super::sync::{Mutex, MutexGuard};

mod exclusion;
pub use exclusion::{Exclusion, Subscriber};

/// Broadcasts to a group of sessions, with one sequence of offsets for all of them.
///
/// A broadcast costs the same for one subscriber and for a thousand: it is appended here once. A session that
/// [subscribes](super::SharedSession::subscribe) drains the log before every other access to it, so an observer cannot tell that
/// the messages were not sent to the session at once: a later `send` stays behind an earlier broadcast. If the send buffer is
/// full, draining evicts the session's oldest messages ([`Overflow::DropOldest`]).
///
/// Each message has a ticket from the log's [`Sequencer`], which orders messages across logs.
///
/// Messages stay here until [`Self::trim`], which the fan-out calls once it has gone through all subscribers.
#[derive(Debug)]
pub struct RoomLog {
    sequencer: Arc<Sequencer>,
    room: Arc<str>,
    /// The offset of the next message. Written under the lock. A reader that sees no change has nothing to drain, so that a
    /// session whose cursor is here need not lock the log.
    next: AtomicU64,
    inner: Mutex<RoomLogInner>,
}

#[derive(Debug)]
struct RoomLogInner {
    /// All subscribers have drained the messages before this offset.
    trimmed: u64,
    /// The tickets of the messages from `trimmed` on. They ascend.
    tickets: VecDeque<u64>,
    /// The messages that are not like most, by their offset. Usually empty.
    marks: VecDeque<Mark>,
    lanes: Vec<Lane>,
}

/// A message that is not for all subscribers, or that is volatile.
#[derive(Debug)]
struct Mark {
    offset: u64,
    except: Exclusion,
    volatile: Option<Volatile>,
}

/// The messages in one encoding. A message that the codec cannot represent leaves a hole in the offsets.
#[derive(Debug, Default)]
struct Lane {
    subscribers: usize,
    /// The number of subscribers for which this log is the first.
    homes: usize,
    writer: SegmentWriter,
    spans: SpanQueue,
    /// The bytes of all spans.
    bytes: usize,
}

/// A message in the encoding of each codec that has subscribers, by the codec's index. If an encoding is missing, its
/// subscribers get a gap.
pub type Encodings = [Option<Bytes>];

/// The result of [`RoomLog::append`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::exhaustive_structs, reason = "a broadcast has to handle every field")]
pub struct Appended {
    /// The number of subscribers whose codec can represent the message.
    pub queued: usize,
    /// The number of messages that are not trimmed.
    pub waiting_frames: usize,
    /// The bytes of these messages, in the encoding that has the most.
    pub waiting_bytes: usize,
}

/// The offset of the first message that a subscriber has not drained. It is never 0, which leaves
/// [`RoomSubscriptions`](super::shared_session) a niche.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor(NonZeroU64);

/// The offset of a log's first message.
const FIRST: u64 = 1;

/// The result of draining a log into a session.
#[derive(Debug, Default)]
pub(super) struct Drained {
    /// The send buffer has more capacity than before: a big message may have been evicted for a small one.
    pub(super) has_freed: bool,
}

impl BitOrAssign for Drained {
    fn bitor_assign(&mut self, other: Self) {
        self.has_freed |= other.has_freed;
    }
}

impl Cursor {
    fn at(offset: u64) -> Self {
        Self(NonZeroU64::new(offset).expect("offsets begin at 1"))
    }

    fn offset(self) -> u64 {
        self.0.get()
    }
}

impl Default for Cursor {
    fn default() -> Self {
        Self::at(FIRST)
    }
}

impl RoomLog {
    /// Creates a log of the room with this name, whose messages get their tickets from this sequencer.
    pub fn new(sequencer: Arc<Sequencer>, room: Arc<str>) -> Self {
        let inner = RoomLogInner {
            trimmed: FIRST,
            tickets: VecDeque::new(),
            marks: VecDeque::new(),
            lanes: Vec::new(),
        };
        Self { sequencer, room, next: AtomicU64::new(FIRST), inner: Mutex::new(inner) }
    }

    /// The name of the log's room.
    pub fn room(&self) -> &Arc<str> {
        &self.room
    }

    /// Appends a message for all subscribers.
    pub fn append(&self, encodings: &Encodings) -> Appended {
        self.append_as(encodings, Exclusion::default(), None)
    }

    /// Appends a message for all subscribers but some, all of which subscribe to this log; `volatile` if it is volatile.
    pub fn append_as(
        &self,
        encodings: &Encodings,
        except: Exclusion,
        volatile: Option<Volatile>,
    ) -> Appended {
        let mut inner = self.lock();
        let offset = self.next.load(Ordering::Relaxed);
        // Under the lock, so that tickets ascend, and a thread that locks the log after this ticket was taken finds the message.
        inner.tickets.push_back(self.sequencer.take());
        let mut appended = Appended::default();
        for (index, (lane, encoding)) in inner.lanes.iter_mut().zip(encodings).enumerate() {
            let excluded =
                except.sessions.iter().filter(|session| usize::from(session.lane) == index).count();
            // Saturates: a session that is excluded may have ended since.
            let receivers =
                if except.guests { lane.homes } else { lane.subscribers }.saturating_sub(excluded);
            if receivers == 0 {
                continue;
            }
            if let Some(encoding) = encoding {
                appended.queued += receivers;
                lane.append(offset, encoding);
            }
            appended.waiting_bytes = appended.waiting_bytes.max(lane.bytes);
        }
        if !except.is_empty() || volatile.is_some() {
            inner.marks.push_back(Mark { offset, except, volatile });
        }
        let next = offset + 1;
        appended.waiting_frames = usize::try_from(next - inner.trimmed).unwrap_or(usize::MAX);
        // Pairs with the load in `next`: a thread that learns of this broadcast in any way finds the message in the log.
        self.next.store(next, Ordering::Release);
        appended
    }

    /// The offset of the next message. [Trim](Self::trim) up to here once all sessions that subscribe now have been drained.
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// Drops the messages before this offset, which all subscribers have drained.
    pub fn trim(&self, before: u64) {
        let mut inner = self.lock();
        let count = usize::try_from(before.saturating_sub(inner.trimmed)).unwrap_or(usize::MAX);
        inner.tickets.drain(..count);
        inner.trimmed = inner.trimmed.max(before);
        let marked = inner.marks.partition_point(|mark| mark.offset < before);
        inner.marks.drain(..marked);
        for lane in &mut inner.lanes {
            while let Some(span) = lane.spans.front()
                && span.end() <= before
            {
                lane.bytes -= span.bytes(0);
                lane.spans.pop_front();
            }
        }
    }

    /// Stores a message in the segments of a lane, for a caller that sends it to each session itself.
    pub fn record(&self, lane: usize, encoding: Bytes) -> Span {
        let mut inner = self.lock();
        inner.lane(lane).writer.push(encoding)
    }

    /// Adds a subscriber. Returns its cursor, at the first message that it gets.
    pub(super) fn subscribe(&self, subscriber: Subscriber, is_home: bool) -> Cursor {
        let mut inner = self.lock();
        let lane = inner.lane(subscriber.lane.into());
        lane.subscribers += 1;
        lane.homes += usize::from(is_home);
        Cursor::at(self.next.load(Ordering::Relaxed))
    }

    /// Whether there are messages after this cursor.
    pub(super) fn is_behind(&self, cursor: Cursor) -> bool {
        self.next() != cursor.offset()
    }

    /// Whether both logs use the same sequencer.
    pub(super) fn shares_sequencer(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sequencer, &other.sequencer)
    }

    /// The sequencer's [horizon](Sequencer::horizon).
    pub(super) fn horizon(&self) -> u64 {
        self.sequencer.horizon()
    }

    /// The ticket of the first message from the cursor on. Takes the lock, so that it sees every message with a ticket before a
    /// horizon that was read earlier.
    pub(super) fn ticket(&self, cursor: Cursor) -> Option<u64> {
        self.lock().ticket(cursor.offset())
    }

    /// Sends the messages from the cursor on whose ticket is before `until` to the session, and moves the cursor.
    pub(super) fn drain(
        &self,
        subscriber: Subscriber,
        is_home: bool,
        cursor: &mut Cursor,
        until: u64,
        session: &mut Session,
    ) -> Drained {
        let inner = self.lock();
        let offsets = cursor.offset()..inner.offset_of(until);
        *cursor = Cursor::at(offsets.end);
        let (frames, bytes) = (session.occupied(), session.retained_bytes());
        inner.drain(subscriber, is_home, offsets, session);
        Drained { has_freed: session.retained_bytes() < bytes || session.occupied() < frames }
    }

    /// Removes a subscriber, unless there are messages from its cursor on. Returns whether it is removed.
    pub(super) fn unsubscribe(&self, subscriber: Subscriber, is_home: bool, cursor: Cursor) -> bool {
        let mut inner = self.lock();
        let has_all = cursor.offset() == self.next.load(Ordering::Relaxed);
        if has_all {
            let lane = inner.lane(subscriber.lane.into());
            lane.subscribers -= 1;
            lane.homes -= usize::from(is_home);
        }
        has_all
    }

    fn lock(&self) -> MutexGuard<'_, RoomLogInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn append(&mut self, offset: u64, encoding: &Bytes) {
        self.bytes += encoding.len();
        let message = self.writer.push(encoding.clone());
        self.spans.append(&message, 0, offset);
    }
}

impl RoomLogInner {
    fn lane(&mut self, lane: usize) -> &mut Lane {
        if self.lanes.len() <= lane {
            // Exactly as many: most servers have one codec, and the smallest capacity of a `Vec` is four.
            self.lanes.reserve_exact(lane + 1 - self.lanes.len());
            self.lanes.resize_with(lane + 1, Lane::default);
        }
        &mut self.lanes[lane]
    }

    fn ticket(&self, offset: u64) -> Option<u64> {
        let index = usize::try_from(offset - self.trimmed).ok()?;
        self.tickets.get(index).copied()
    }

    /// The offset of the first message whose ticket is not before this one.
    fn offset_of(&self, ticket: u64) -> u64 {
        let is_last_before = self.tickets.back().is_none_or(|last| *last < ticket);
        let count = if is_last_before {
            self.tickets.len()
        } else {
            self.tickets.partition_point(|other| *other < ticket)
        };
        self.trimmed + count as u64
    }

    /// Sends the messages at these offsets to a session, but those that exclude it.
    fn drain(&self, subscriber: Subscriber, is_home: bool, offsets: Range<u64>, session: &mut Session) {
        debug_assert!(offsets.start >= self.trimmed, "only drained messages are trimmed");
        let mut at = offsets.start;
        let first = self.marks.partition_point(|mark| mark.offset < offsets.start);
        for mark in self.marks.range(first..).take_while(|mark| mark.offset < offsets.end) {
            let is_excluded = mark.except.covers(subscriber, is_home);
            if !is_excluded && mark.volatile.is_none() {
                continue;
            }
            self.send(subscriber.lane, at..mark.offset, session);
            at = mark.offset + 1;
            if let Some(Volatile { key }) = mark.volatile.as_ref().filter(|_| !is_excluded)
                && let Some(message) = self.message(subscriber.lane, mark.offset)
            {
                session.relay_volatile(message.clone(), key.clone());
            }
        }
        self.send(subscriber.lane, at..offsets.end, session);
    }

    /// The message at this offset; `None` if the codec cannot represent it.
    fn message(&self, lane: u16, offset: u64) -> Option<&Bytes> {
        let spans = &self.lanes[usize::from(lane)].spans;
        let span = spans.get(spans.partition_point(|span| span.end() <= offset))?;
        let index = offset.checked_sub(span.first())?;
        Some(span.message(u32::try_from(index).ok()?))
    }

    /// Sends the messages at these offsets to a session.
    fn send(&self, lane: u16, offsets: Range<u64>, session: &mut Session) {
        let spans = &self.lanes[usize::from(lane)].spans;
        let mut at = offsets.start;
        let first = spans.partition_point(|span| span.end() <= offsets.start);
        for span in spans.iter_from(first).take_while(|span| span.first() < offsets.end) {
            let mut cut = None;
            let span = if span.end() > offsets.end { cut.insert(span.before(offsets.end)) } else { span };
            skip_hole(at..span.first(), session);
            let skip = u32::try_from(at.saturating_sub(span.first())).expect("the offset is in the span");
            if !session.offer_span(span, skip) {
                // A session that has ended accepts nothing.
                span.singles(skip).for_each(|message| {
                    if let Err(refused) = session.send_span(&message, Overflow::DropOldest) {
                        session.note_refused(message.message(0), refused);
                    }
                });
            }
            at = span.end();
        }
        skip_hole(at..offsets.end, session);
    }
}

/// The session's codec cannot represent the messages at these offsets: its peer gets a gap.
fn skip_hole(offsets: Range<u64>, session: &mut Session) {
    for _ in offsets {
        session.send_missing().ok();
    }
}

#[cfg(test)]
mod tests;
