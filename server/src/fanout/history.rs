//! [`RoomHistory`]: the last frames of a room, for newcomers.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rejoin_core::drive::sync::atomic::{AtomicUsize, Ordering};
use rejoin_core::{Frame, SegmentWriter, Span};

use crate::fanout::encoded::Encoded;
use crate::fanout::rewind::{History, Rewind};

/// The last frames of a room, in the order of its broadcasts. It belongs to the [`Members`](crate::fanout::members::Members), and
/// changes under the room's lock.
#[derive(Debug)]
pub(crate) struct RoomHistory {
    limits: History,
    entries: VecDeque<HistoryEntry>,
    /// The offset of the first entry.
    first: u64,
    /// The sum of all sizes.
    bytes: usize,
    /// The same for all histories of the server.
    total: Arc<AtomicUsize>,
    /// The broadcast time of the newest removed frame.
    forgotten: Option<Instant>,
    /// By the codec's index.
    writers: Vec<SegmentWriter>,
    /// The default codec, and those that newcomers have used: frames are encoded for them even if no member uses them.
    wanted: Vec<bool>,
}

#[derive(Debug)]
struct HistoryEntry {
    frame: Arc<Frame>,
    said: Instant,
    size: usize,
    /// By the codec's index.
    forms: Box<[EncodedForm]>,
}

#[derive(Debug, Clone)]
enum EncodedForm {
    /// Not encoded yet.
    Unknown,
    /// The codec cannot represent the frame.
    Missing,
    Encoded(Span),
}

/// The part of a history that a newcomer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) offsets: Range<u64>,
    /// Whether the history still has all requested frames.
    pub(super) is_complete: bool,
}

/// A frame at an offset of a history, to be encoded.
pub(super) type Unencoded = (u64, Arc<Frame>);

/// Whether a history may keep this frame. Frames with a reserved event are only for members in plain mode: a newcomer in session mode
/// would not count them.
pub(super) fn keeps(frame: &Frame) -> bool {
    !frame.is_volatile() && !frame.is_reserved()
}

impl RoomHistory {
    /// An empty history. `total` counts the bytes of all histories of the server.
    pub(super) fn new(limits: History, total: Arc<AtomicUsize>) -> Self {
        Self {
            limits,
            total,
            entries: VecDeque::new(),
            first: 0,
            bytes: 0,
            forgotten: None,
            writers: Vec::new(),
            // The kept bytes count in the memory limit even in a room without members.
            wanted: vec![true],
        }
    }

    /// Whether this history keeps the frame.
    pub(super) fn keeps(&self, frame: &Frame) -> bool {
        keeps(frame) && self.limits.has_event(frame.event())
    }

    /// How long a frame stays, if there is one.
    pub(super) fn age(&self) -> Option<Duration> {
        (!self.entries.is_empty()).then_some(self.limits.age)
    }

    /// Adds a frame.
    pub(super) fn record(&mut self, encoded: &Encoded<'_>, now: Instant) {
        if !encoded.fits() {
            // All sessions together have reached their limit, and no eviction frees the frames of a history.
            self.clear();
            return;
        }
        let encodings = encoded.encodings();
        self.writers.resize_with(encodings.len(), SegmentWriter::default);
        let forms: Box<[_]> = encodings
            .iter()
            .zip(&mut self.writers)
            .enumerate()
            .map(|(codec, (encoding, writer))| match encoding {
                Some(encoding) => EncodedForm::Encoded(writer.push(encoding.clone())),
                None if encoded.has(codec) => EncodedForm::Missing,
                None => EncodedForm::Unknown,
            })
            .collect();
        let frame = encoded.frame;
        let unencoded = frame.payload().map_or(0, |payload| payload.data().len()) + frame.event().len();
        let size = encodings.iter().flatten().map(Bytes::len).max().unwrap_or(unencoded);
        self.entries.push_back(HistoryEntry { frame: Arc::new(frame.clone()), said: now, size, forms });
        self.bytes += size;
        self.total.fetch_add(size, Ordering::Relaxed);
        while self.entries.len() > self.limits.frames || self.bytes > self.limits.bytes {
            self.forget_oldest();
        }
        self.expire(now);
    }

    /// Forgets the frames that are too old.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.entries.front().is_some_and(|entry| self.is_too_old(entry, now)) {
            self.forget_oldest();
        }
    }

    /// Forgets all frames.
    pub(super) fn clear(&mut self) {
        while !self.is_empty() {
            self.forget_oldest();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When all frames are too old; `None` if there are none.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.entries.back().and_then(|newest| newest.said.checked_add(self.limits.age))
    }

    fn is_too_old(&self, entry: &HistoryEntry, now: Instant) -> bool {
        now.saturating_duration_since(entry.said) > self.limits.age
    }

    fn forget_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.first += 1;
            self.bytes -= entry.size;
            self.total.fetch_sub(entry.size, Ordering::Relaxed);
            self.forgotten = Some(entry.said);
        }
    }

    /// Whether a frame has to be encoded with this codec for later newcomers.
    pub(super) fn wants(&self, codec: usize) -> bool {
        self.wanted.get(codec).copied().unwrap_or_default()
    }

    /// The frames that a newcomer asks for. The codec is wanted from now on.
    pub(super) fn select(&mut self, rewind: &Rewind, codec: usize, now: Instant) -> Selection {
        if self.wanted.len() <= codec {
            self.wanted.resize(codec + 1, false);
        }
        self.wanted[codec] = true;
        self.expire(now);
        let len = self.entries.len();
        let (skipped, is_complete) = match rewind {
            Rewind::Last(frames) => (len.saturating_sub(*frames), self.forgotten.is_none() || len >= *frames),
            Rewind::Within(age) => {
                let is_within = |said: Instant| now.saturating_duration_since(said) <= *age;
                let skipped = self.entries.partition_point(|entry| !is_within(entry.said));
                (skipped, !self.forgotten.is_some_and(is_within))
            }
            Rewind::After(id) => {
                let found = self.entries.iter().rposition(|entry| entry.frame.id() == &**id);
                (found.map_or(0, |index| index + 1), found.is_some())
            }
        };
        let (from, to) = (self.first + skipped as u64, self.first + len as u64);
        Selection { offsets: from..to, is_complete }
    }

    /// The selected frames that this codec has not encoded yet.
    pub(super) fn unencoded(&self, offsets: &Range<u64>, codec: usize) -> Vec<Unencoded> {
        let entries = self.entries_at(offsets);
        let unknown = entries.filter(|(_, entry)| matches!(entry.form(codec), EncodedForm::Unknown));
        unknown.map(|(offset, entry)| (offset, entry.frame.clone())).collect()
    }

    /// Adds encodings of frames that are still here; `None` where the codec cannot represent the frame.
    pub(super) fn add_encodings(&mut self, codec: usize, encodings: Vec<(u64, Option<Bytes>)>) {
        for (offset, encoding) in encodings {
            let Some(index) = offset.checked_sub(self.first) else { continue };
            let Some(entry) = usize::try_from(index).ok().and_then(|index| self.entries.get_mut(index))
            else {
                continue;
            };
            // Another newcomer may have been faster.
            if let Some(form @ EncodedForm::Unknown) = entry.forms.get_mut(codec) {
                let encoded = |encoding| EncodedForm::Encoded(self.writers[codec].push(encoding));
                *form = encoding.map_or(EncodedForm::Missing, encoded);
            }
        }
    }

    /// The selected frames as this codec encodes them; `None` where it cannot represent one.
    pub(super) fn spans(&self, offsets: &Range<u64>, codec: usize) -> Vec<Option<Span>> {
        let span = |entry: &HistoryEntry| match entry.form(codec) {
            EncodedForm::Encoded(span) => Some(span.clone()),
            EncodedForm::Unknown | EncodedForm::Missing => None,
        };
        self.entries_at(offsets).map(|(_, entry)| span(entry)).collect()
    }

    fn entries_at(&self, offsets: &Range<u64>) -> impl Iterator<Item = (u64, &HistoryEntry)> {
        (self.first..).zip(&self.entries).skip_while(|(offset, _)| *offset < offsets.start)
    }
}

impl Drop for RoomHistory {
    fn drop(&mut self) {
        self.clear();
    }
}

impl HistoryEntry {
    fn form(&self, codec: usize) -> &EncodedForm {
        self.forms.get(codec).unwrap_or(&EncodedForm::Missing)
    }
}

#[cfg(test)]
mod tests;
