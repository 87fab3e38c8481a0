//! [`Tape`]: frames that many sessions send, kept once for all of them.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use bytes::{Bytes, BytesMut};

/// The frames of one room's broadcasts in one codec, one after the other.
///
/// A session that is sent frames that follow each other here keeps where they are, not the frames: as many as there are cost
/// it about as much as one, and they leave in one piece. A tape itself keeps nothing: a frame lives as long as some session
/// keeps it, with those around it.
#[derive(Debug, Default)]
pub struct Tape {
    segment: Weak<Segment>,
    /// Of the last segment: the frames in it, and their bytes.
    filled: usize,
    bytes: usize,
}

/// A frame on a [`Tape`].
#[derive(Debug, Clone)]
pub struct SharedFrame {
    pub(super) segment: Arc<Segment>,
    pub(super) index: u32,
}

/// Frames that follow each other on a [`Tape`], one at least.
#[derive(Debug, Clone)]
pub struct SharedRun {
    pub(super) segment: Arc<Segment>,
    pub(super) index: u32,
    pub(super) frames: u32,
    bytes: usize,
}

/// Frames that follow each other, in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a transport has to write it")]
pub struct Batch {
    /// The frames.
    pub bytes: Bytes,
    /// Where each of them ends; there are two at least.
    pub ends: Arc<[u32]>,
}

/// A piece of a tape: what is kept or forgotten as a whole.
pub(super) struct Segment {
    frames: Box<[OnceLock<Bytes>]>,
    /// What was joined last: mostly all sessions ask for the same.
    joined: Mutex<Option<Joined>>,
}

struct Joined {
    from: u32,
    batch: Batch,
}

/// What follows each other here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    One(Bytes),
    Many(Batch),
}

/// A segment is no longer than this: all of it lives while one of its frames does.
const MAX_FRAMES: usize = 64;
const MAX_BYTES: usize = 16 * 1024;

impl Tape {
    /// Adds a frame: an encoded message, in the form that the transports of all its receivers take.
    pub fn push(&mut self, frame: Bytes) -> SharedFrame {
        let segment = self
            .segment
            .upgrade()
            .filter(|segment| self.filled < segment.frames.len() && self.bytes + frame.len() <= MAX_BYTES);
        let segment = segment.unwrap_or_else(|| self.begin_segment());
        let index = self.filled;
        self.filled += 1;
        self.bytes += frame.len();
        segment.frames[index].set(frame).expect("a place is taken once");
        SharedFrame { segment, index: u32::try_from(index).expect("a segment is short") }
    }

    fn begin_segment(&mut self) -> Arc<Segment> {
        // One that is outlived by none of its frames need not be longer than it was; one that was full was too short.
        let full = self.segment.strong_count() > 0;
        let length = if full { 2 * self.filled } else { self.filled };
        let segment = Arc::new(Segment {
            frames: (0..length.clamp(1, MAX_FRAMES)).map(|_| OnceLock::new()).collect(),
            joined: Mutex::default(),
        });
        self.segment = Arc::downgrade(&segment);
        (self.filled, self.bytes) = (0, 0);
        segment
    }
}

impl SharedFrame {
    /// The frame.
    pub fn bytes(&self) -> &Bytes {
        self.segment.frame(self.index)
    }
}

impl From<SharedFrame> for SharedRun {
    fn from(frame: SharedFrame) -> Self {
        let bytes = frame.bytes().len();
        Self { segment: frame.segment, index: frame.index, frames: 1, bytes }
    }
}

impl SharedRun {
    /// Adds a frame, where it follows.
    pub fn extend(&mut self, frame: &SharedFrame) -> bool {
        let follows = self.index + self.frames == frame.index && Arc::ptr_eq(&self.segment, &frame.segment);
        if follows {
            self.frames += 1;
            self.bytes += frame.bytes().len();
        }
        follows
    }

    /// How many frames they are.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Bytes of all but the first `skip`.
    pub fn bytes_after(&self, skip: u32) -> usize {
        if skip == 0 { self.bytes } else { self.after(skip).map(|frame| frame.bytes().len()).sum() }
    }

    /// All but the first `skip`, one by one.
    pub fn after(&self, skip: u32) -> impl Iterator<Item = SharedFrame> + '_ {
        let frames = self.index + skip..self.index + self.frames;
        frames.map(|index| SharedFrame { segment: self.segment.clone(), index })
    }
}

impl Segment {
    pub(super) fn frame(&self, index: u32) -> &Bytes {
        self.frames[index as usize].get().expect("it is on the tape")
    }

    /// So many frames from here on.
    pub(super) fn piece(&self, from: u32, count: u32) -> Piece {
        if count == 1 {
            return Piece::One(self.frame(from).clone());
        }
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        match &*joined {
            Some(joined) if joined.from == from && joined.batch.ends.len() == count as usize => {
                Piece::Many(joined.batch.clone())
            }
            _ => {
                let batch = self.join(from, count);
                *joined = Some(Joined { from, batch: batch.clone() });
                Piece::Many(batch)
            }
        }
    }

    fn join(&self, from: u32, count: u32) -> Batch {
        let frames = || (from..from + count).map(|index| self.frame(index));
        let mut bytes = BytesMut::with_capacity(frames().map(Bytes::len).sum());
        let ends = frames().map(|frame| {
            bytes.extend_from_slice(frame);
            u32::try_from(bytes.len()).expect("a segment is short, or it has one frame")
        });
        let ends = ends.collect();
        Batch { bytes: bytes.freeze(), ends }
    }
}

impl Batch {
    /// The frames one by one.
    pub fn frames(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let to = *end as usize;
            self.bytes.slice(std::mem::replace(&mut from, to)..to)
        })
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("length", &self.frames.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: usize) -> Bytes {
        n.to_string().into()
    }

    #[test]
    fn what_follows_each_other_is_one_piece() {
        let mut tape = Tape::default();
        let kept: Vec<_> = (0..200).map(|n| tape.push(frame(n))).collect();
        let segments: Vec<_> = kept.chunk_by(|a, b| Arc::ptr_eq(&a.segment, &b.segment)).collect();
        let lengths: Vec<_> = segments.iter().map(|frames| frames.len()).collect();
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 64, 64, 9], "longer while somebody keeps what came before");
        let Piece::Many(batch) = kept[199].segment.piece(2, 3) else { panic!("they are three") };
        assert_eq!((&batch.bytes[..], &batch.ends[..]), (&b"193194195"[..], &[3, 6, 9][..]));
        assert_eq!(batch.frames().collect::<Vec<_>>(), [frame(193), frame(194), frame(195)]);
        assert_eq!(kept[199].segment.piece(8, 1), Piece::One(frame(199)));
    }

    #[test]
    fn a_run_grows_by_the_frame_that_follows_on_the_same_tape() {
        // The last segment of each has four.
        let [ours, others] = [(); 2].map(|()| {
            let mut tape = Tape::default();
            (0..7).map(|n| tape.push(frame(n))).collect::<Vec<_>>()
        });
        let mut run = SharedRun::from(ours[3].clone());
        assert!(!run.extend(&ours[5]), "one is missed");
        assert!(!run.extend(&others[4]), "it is another tape");
        assert_eq!((run.frames(), run.bytes_after(0)), (1, 1));
        assert!(run.extend(&ours[4]) && run.extend(&ours[5]));
        assert_eq!((run.frames(), run.bytes_after(0), run.bytes_after(2)), (3, 3, 1));
        assert_eq!(format!("{:?}", ours[3].segment), "Segment { length: 4, .. }");
    }

    #[test]
    fn a_piece_that_all_ask_for_is_joined_once() {
        let mut tape = Tape::default();
        let kept = [0, 1, 2].map(|n| tape.push(frame(n)));
        let [Piece::Many(a), Piece::Many(b)] = [(); 2].map(|()| kept[2].segment.piece(0, 2)) else {
            panic!("they are two")
        };
        assert_eq!(a.bytes.as_ptr(), b.bytes.as_ptr());
    }

    #[test]
    fn a_tape_keeps_nothing_that_no_session_keeps() {
        let mut tape = Tape::default();
        let first = tape.push(frame(1));
        let segment = Arc::downgrade(&first.segment);
        drop(first);
        assert_eq!(segment.strong_count(), 0);
        assert_eq!(tape.push(frame(2)).index, 0);
    }

    #[test]
    fn big_frames_do_not_keep_each_other_alive() {
        let mut tape = Tape::default();
        let kept = [0, 1, 2].map(|_| tape.push(Bytes::from(vec![0; MAX_BYTES])));
        assert!(kept.iter().all(|frame| frame.index == 0));
    }
}
