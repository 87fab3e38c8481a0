//! [`Feed`]: frames for many sessions, which each takes over when its turn comes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::{Overflow, Session, SharedFrame, SharedRun, Tape};

/// What is broadcast to some sessions, kept once for all of them until each has taken it over.
///
/// To broadcast costs the same for one follower and for a thousand. A session that follows ([`Cell::follow`](super::Cell::follow))
/// takes over what is there before anything else is done with it: nobody who looks at it, or sends to it, can tell that it had
/// not been given the frames at once. Where its buffer has no room, its oldest frames go ([`Overflow::DropOldest`]).
///
/// What has been taken over stays here until [`Self::forget`] is called: by who has gone through all followers.
#[derive(Debug, Default)]
pub struct Feed {
    /// The number of the next frame. It is in no hurry to wrap: a session is never so far behind.
    next: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Those up to this number, not included, have been taken over by all.
    forgotten: u32,
    lanes: Vec<Lane>,
}

/// The frames in one codec.
#[derive(Debug, Default)]
struct Lane {
    followers: usize,
    tape: Tape,
    parts: VecDeque<Part>,
    /// Bytes of all in `parts`.
    bytes: usize,
}

/// Frames that follow each other.
#[derive(Debug)]
struct Part {
    /// The number of the first.
    first: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    Frames(SharedRun),
    /// One that the codec has no image of.
    Missing,
}

/// A frame as it is given to a [`Feed`]: its encoding in each codec that has followers, by the codec's place. Without one, the
/// followers are told of a gap.
pub type Images = [Option<Bytes>];

/// What came of a frame that was given to a [`Feed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::exhaustive_structs, reason = "a broadcast has to heed all of it")]
pub struct Fed {
    /// For so many there is an image.
    pub queued: usize,
    /// Bytes of the images of all followers.
    pub bytes: usize,
    /// Frames that are not forgotten.
    pub waiting_frames: usize,
    /// Their bytes, in the codec that has most of them.
    pub waiting_bytes: usize,
}

/// What a session took over.
#[derive(Debug, Default)]
pub(super) struct CaughtUp {
    /// The bytes that counted for it in its budget: what it had, and what it had to take over.
    pub(super) before: usize,
    /// Those that it keeps now.
    pub(super) after: usize,
    /// A big frame may have gone for a small one.
    pub(super) made_room: bool,
}

impl Feed {
    /// Gives a frame to all followers. Its bytes count from now on in their budget: [`Fed::bytes`], to be told by the caller.
    pub fn push(&self, images: &Images) -> Fed {
        let mut inner = self.lock();
        let number = self.next.load(Ordering::Relaxed);
        let mut fed = Fed::default();
        for (lane, image) in inner.lanes.iter_mut().zip(images) {
            if lane.followers > 0 {
                lane.push(number, image.as_ref(), &mut fed);
            }
        }
        let next = number.wrapping_add(1);
        fed.waiting_frames = next.wrapping_sub(inner.forgotten) as usize;
        // Whoever hears of the broadcast, by whatever way, finds it here.
        self.next.store(next, Ordering::Release);
        fed
    }

    /// The number of the next frame: to be [forgotten](Self::forget) up to here, once all who follow now have been gone through.
    pub fn next(&self) -> u32 {
        self.next.load(Ordering::Acquire)
    }

    /// All followers have taken over the frames before this number.
    pub fn forget(&self, before: u32) {
        let mut inner = self.lock();
        if !comes_before(inner.forgotten, before) {
            return;
        }
        inner.forgotten = before;
        for lane in &mut inner.lanes {
            while let Some(part) = lane.parts.front()
                && !comes_before(before, part.end())
            {
                lane.bytes -= part.bytes_after(0);
                lane.parts.pop_front();
            }
        }
    }

    /// Puts a frame on the tape that the followers share, for who gives it to each of them himself.
    pub fn record(&self, lane: usize, image: Bytes) -> SharedFrame {
        let mut inner = self.lock();
        inner.lane(lane).tape.push(image)
    }

    /// A session begins to follow, in the codec at this place. Returns its mark: the number of the next frame that it has to take
    /// over.
    pub(super) fn join(&self, lane: u16) -> u32 {
        let mut inner = self.lock();
        inner.lane(lane.into()).followers += 1;
        self.next.load(Ordering::Relaxed)
    }

    /// Whether there is something to take over.
    pub(super) fn is_behind(&self, mark: u32) -> bool {
        self.next() != mark
    }

    /// Gives the session what it has not yet.
    pub(super) fn catch_up(&self, lane: u16, mark: &mut u32, session: &mut Session) -> CaughtUp {
        let inner = self.lock();
        let caught_up = inner.give(lane, *mark, session);
        *mark = self.next.load(Ordering::Relaxed);
        caught_up
    }

    /// The same for the last time. The session is not looked at where it has everything.
    pub(super) fn leave<'a>(
        &self,
        lane: u16,
        mark: u32,
        session: impl FnOnce() -> &'a mut Session,
    ) -> CaughtUp {
        let mut inner = self.lock();
        inner.lane(lane.into()).followers -= 1;
        if self.is_behind(mark) { inner.give(lane, mark, session()) } else { CaughtUp::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn push(&mut self, number: u32, image: Option<&Bytes>, fed: &mut Fed) {
        if let Some(image) = image {
            fed.queued += self.followers;
            fed.bytes += self.followers * image.len();
            self.bytes += image.len();
            let frame = self.tape.push(image.clone());
            let extended = self.parts.back_mut().is_some_and(|part| match &mut part.what {
                What::Frames(run) => part.first.wrapping_add(run.frames()) == number && run.extend(&frame),
                What::Missing => false,
            });
            if !extended {
                self.parts.push_back(Part { first: number, what: What::Frames(frame.into()) });
            }
        } else {
            self.parts.push_back(Part { first: number, what: What::Missing });
        }
        fed.waiting_bytes = fed.waiting_bytes.max(self.bytes);
    }
}

impl Part {
    /// The number after its last frame.
    fn end(&self) -> u32 {
        let frames = match &self.what {
            What::Frames(run) => run.frames(),
            What::Missing => 1,
        };
        self.first.wrapping_add(frames)
    }

    fn bytes_after(&self, skip: u32) -> usize {
        match &self.what {
            What::Frames(run) => run.bytes_after(skip),
            What::Missing => 0,
        }
    }
}

impl Inner {
    fn lane(&mut self, lane: usize) -> &mut Lane {
        if self.lanes.len() <= lane {
            self.lanes.resize_with(lane + 1, Lane::default);
        }
        &mut self.lanes[lane]
    }

    /// Gives a session all frames from this number on.
    fn give(&self, lane: u16, mark: u32, session: &mut Session) -> CaughtUp {
        debug_assert!(!comes_before(mark, self.forgotten), "what is forgotten all have");
        let parts = &self.lanes[usize::from(lane)].parts;
        let from = parts.partition_point(|part| !comes_before(mark, part.end()));
        let (frames, kept) = (session.occupied(), session.retained_bytes());
        let mut before = kept;
        for part in parts.range(from..) {
            let skip = if comes_before(part.first, mark) { mark.wrapping_sub(part.first) } else { 0 };
            before += part.bytes_after(skip);
            match &part.what {
                What::Frames(run) if session.offer_shared(run, skip) => {}
                // A session that has ended takes nothing: it counts no more.
                What::Frames(run) => run.after(skip).for_each(|frame| {
                    session.send_shared(&frame, Overflow::DropOldest).ok();
                }),
                What::Missing => {
                    session.send_missing().ok();
                }
            }
        }
        let after = session.retained_bytes();
        CaughtUp { before, after, made_room: after < kept || session.occupied() < frames }
    }
}

/// Whether one number comes before another, which is not far from it.
fn comes_before(a: u32, b: u32) -> bool {
    b.wrapping_sub(a).cast_signed() > 0
}
