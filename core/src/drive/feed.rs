//! [`Feed`]: frames for many sessions, which each takes over when its turn comes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// The number of the next frame. Numbers begin anew at their end: nobody is ever half of them behind.
    next: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// All have taken over the frames before this number.
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
    /// Frames that are not forgotten.
    pub waiting_frames: usize,
    /// Their bytes, in the codec that has most of them.
    pub waiting_bytes: usize,
}

/// What draining a feed did to a session.
#[derive(Debug, Default)]
pub(super) struct Drained {
    /// Its buffer has capacity that it did not have: a big frame may have been evicted for a small one.
    pub(super) has_freed: bool,
}

impl Feed {
    /// Gives a frame to all followers.
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
    pub(super) fn catch_up(&self, lane: u16, mark: &mut u32, session: &mut Session) -> Drained {
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
    ) -> Drained {
        let mut inner = self.lock();
        inner.lane(lane.into()).followers -= 1;
        if self.is_behind(mark) { inner.give(lane, mark, session()) } else { Drained::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn push(&mut self, number: u32, image: Option<&Bytes>, fed: &mut Fed) {
        if let Some(image) = image {
            fed.queued += self.followers;
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
    fn give(&self, lane: u16, mark: u32, session: &mut Session) -> Drained {
        debug_assert!(!comes_before(mark, self.forgotten), "what is forgotten all have");
        let parts = &self.lanes[usize::from(lane)].parts;
        // Mostly there is one.
        let from = match parts.back() {
            Some(last) if !comes_before(mark, last.first) => parts.len() - 1,
            _ => parts.partition_point(|part| !comes_before(mark, part.end())),
        };
        let (frames, kept) = (session.occupied(), session.retained_bytes());
        for part in parts.range(from..) {
            let skip = if comes_before(part.first, mark) { mark.wrapping_sub(part.first) } else { 0 };
            match &part.what {
                What::Frames(run) if session.offer_shared(run, skip) => {}
                // A session that has ended takes nothing.
                What::Frames(run) => run.after(skip).for_each(|frame| {
                    session.send_shared(&frame, Overflow::DropOldest).ok();
                }),
                What::Missing => {
                    session.send_missing().ok();
                }
            }
        }
        Drained { has_freed: session.retained_bytes() < kept || session.occupied() < frames }
    }
}

/// Whether one number comes before another, which is not far from it.
fn comes_before(a: u32, b: u32) -> bool {
    b.wrapping_sub(a).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::drive::{Budget, Cell, now};
    use crate::{CloseReason, Epoch, Mode, SessionConfig, SessionIdentity, Side, State, Token, Transmit};

    /// A session with a socket that follows a feed, in a budget.
    struct Follower {
        cell: Cell,
        epoch: Epoch,
    }

    impl Follower {
        fn new(mode: Mode, buffer: u32, budget: &Arc<Budget>) -> Self {
            let mut config = SessionConfig::new(Side::Server, mode);
            config.buffer_frames = buffer;
            let config = Arc::new(config);
            let mut session = match mode {
                Mode::Plain => Session::new(config, now()),
                Mode::Session => {
                    let token = Token::parse("abcdefghijklmnopqrstuv").unwrap();
                    Session::new_server(config, SessionIdentity::new(token, "id", "room"), None, now())
                }
            };
            let epoch = session.reserve();
            session.attach(epoch, None, now()).unwrap();
            Self { cell: Cell::new(session).with_budget(budget.clone()), epoch }
        }

        fn of(feed: &Arc<Feed>, budget: &Arc<Budget>) -> Self {
            let follower = Self::new(Mode::Plain, 256, budget);
            follower.cell.apply(follower.cell.follow(feed, 0));
            follower
        }

        /// What its socket is to write, and writes.
        fn written(&self) -> Vec<String> {
            self.cell.drive(|session| {
                let mut texts = Vec::new();
                while let Some(transmit) = session.poll_transmit(self.epoch, now()) {
                    match transmit {
                        Transmit::Data(message) => texts.push(text(&message)),
                        Transmit::Batch(batch) => texts.extend(batch.frames().map(|frame| text(&frame))),
                        Transmit::Control(control) => texts.push(control.event().to_owned()),
                        other => panic!("{other:?}"),
                    }
                }
                session.handle_written(self.epoch, texts.len(), 2000, None, now());
                texts
            })
        }
    }

    fn text(message: &Bytes) -> String {
        String::from_utf8(message.to_vec()).unwrap()
    }

    fn push(feed: &Feed, budget: &Budget, text: &'static str) -> Fed {
        feed.push(&[Some(budget.charge(Bytes::from_static(text.as_bytes())))])
    }

    fn budget() -> Arc<Budget> {
        Arc::new(Budget::new(usize::MAX, || None))
    }

    #[test]
    fn what_was_broadcast_comes_before_what_is_sent_later() {
        let (feed, budget) = (Arc::default(), budget());
        let follower = Follower::of(&feed, &budget);
        assert_eq!(push(&feed, &budget, "a").queued, 1);
        push(&feed, &budget, "b");
        follower.cell.send(Bytes::from_static(b"own"), Overflow::Reject).unwrap();
        push(&feed, &budget, "c");
        assert_eq!(follower.cell.drive(|session| session.counts().accepted), 4);
        assert_eq!(follower.written(), ["a", "b", "own", "c"]);
        assert_eq!(follower.written(), [""; 0]);
        feed.forget(feed.next());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn each_gets_what_is_broadcast_while_it_follows() {
        let (feed, budget) = (Arc::default(), budget());
        let early = Follower::of(&feed, &budget);
        push(&feed, &budget, "a");
        let late = Follower::of(&feed, &budget);
        assert_eq!(push(&feed, &budget, "b").queued, 2);
        early.cell.apply(early.cell.unfollow());
        assert_eq!(push(&feed, &budget, "c").queued, 1);
        assert_eq!(early.written(), ["a", "b"]);
        assert_eq!(late.written(), ["b", "c"]);
        // To the end of one, then from here on in another.
        let other = Arc::default();
        push(&feed, &budget, "d");
        push(&other, &budget, "nobody's");
        late.cell.apply(late.cell.follow(&other, 0));
        push(&other, &budget, "e");
        push(&feed, &budget, "nobody's");
        assert_eq!(late.written(), ["d", "e"]);
        for feed in [feed, other] {
            feed.forget(feed.next());
        }
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn each_codec_has_its_own_frames_and_a_gap_where_it_has_none() {
        let (feed, budget) = (Arc::default(), budget());
        let json = Follower::of(&feed, &budget);
        let other = Follower::new(Mode::Plain, 256, &budget);
        other.cell.apply(other.cell.follow(&feed, 2));
        let image = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        let fed = feed.push(&[image("{}"), None, image("binary")]);
        assert_eq!((fed.queued, fed.waiting_bytes), (2, 6));
        let fed = feed.push(&[None, None, image("more")]);
        assert_eq!((fed.queued, fed.waiting_bytes), (1, 10));
        assert_eq!(json.written(), ["{}"]);
        assert_eq!(other.written(), ["binary", "more"]);
        assert_eq!(json.cell.drive(|session| (session.counts().accepted, session.counts().dropped)), (2, 1));
    }

    #[test]
    fn what_all_have_is_forgotten() {
        let (feed, budget) = (Arc::default(), budget());
        let [a, b] = [0; 2].map(|_| Follower::of(&feed, &budget));
        push(&feed, &budget, "a");
        let fed = push(&feed, &budget, "bc");
        assert_eq!((fed.waiting_frames, fed.waiting_bytes), (2, 3));
        let next = feed.next();
        push(&feed, &budget, "d");
        assert_eq!((a.written().len(), b.written().len()), (3, 3));
        feed.forget(next);
        assert_eq!(push(&feed, &budget, "e").waiting_frames, 2);
        feed.forget(next - 1);
        assert_eq!(a.written(), ["e"]);
        assert_eq!(b.written(), ["e"]);
        feed.forget(feed.next());
        assert!(feed.lock().lanes[0].parts.is_empty());
        assert_eq!(feed.lock().lanes[0].bytes, 0);
    }

    #[test]
    fn who_is_inside_a_part_takes_over_the_rest_of_it() {
        let (feed, budget) = (Arc::default(), budget());
        let [slow, fast] = [0; 2].map(|_| Follower::of(&feed, &budget));
        let all: Vec<_> = (0..100).map(|n: u32| n.to_string()).collect();
        for (n, text) in all.iter().enumerate() {
            feed.push(&[Some(budget.charge(text.clone().into()))]);
            if n % 7 == 3 {
                assert_eq!(fast.written().last(), Some(text));
            }
        }
        assert!(feed.lock().lanes[0].parts.len() < 10, "they follow each other");
        assert_eq!(fast.written(), ["95", "96", "97", "98", "99"]);
        assert_eq!(slow.written(), all);
        feed.forget(feed.next());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn where_there_is_no_room_the_oldest_go_and_the_peer_is_told() {
        let (feed, budget) = (Arc::default(), budget());
        let plain = Follower::new(Mode::Plain, 3, &budget);
        let session = Follower::new(Mode::Session, 3, &budget);
        for follower in [&plain, &session] {
            follower.cell.apply(follower.cell.follow(&feed, 0));
        }
        for text in ["a", "b", "c", "d", "e"] {
            push(&feed, &budget, text);
        }
        assert_eq!(budget.used(), 5, "each frame counts once");
        assert_eq!(plain.written(), ["c", "d", "e"]);
        assert_eq!(session.cell.drive(|session| session.counts().dropped), 2);
        assert_eq!(session.written(), ["$open", "$gap", "c", "d", "e"]);
        feed.forget(feed.next());
        assert!((3..=5).contains(&budget.used()), "what shares its memory with a kept frame stays");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_finds_what_the_last_frames_of_a_feed_make() {
        let (feed, budget) = (Arc::default(), budget());
        let follower = Follower::new(Mode::Plain, 2, &budget);
        follower.cell.apply(follower.cell.follow(&feed, 0));
        let big = Bytes::from(vec![b'x'; SessionConfig::new(Side::Server, Mode::Plain).buffer_bytes]);
        follower.cell.send(big, Overflow::Reject).unwrap();
        let waits = follower.cell.send_wait(Bytes::from_static(b"own"), std::time::Duration::from_secs(1));
        let leaves = async {
            tokio::task::yield_now().await;
            push(&feed, &budget, "small");
            follower.cell.apply(follower.cell.unfollow());
        };
        assert_eq!(tokio::join!(waits, leaves).0, Ok(()));
        assert_eq!(follower.written(), ["small", "own"]);
    }

    #[test]
    fn a_session_that_ends_has_what_came_before_and_counts_no_more() {
        let (feed, budget) = (Arc::default(), budget());
        let [ends, closes, stays] = [0; 3].map(|_| Follower::of(&feed, &budget));
        assert_eq!(push(&feed, &budget, "a").queued, 3);
        ends.cell.command(|session| session.end(CloseReason::Normal));
        closes.cell.command(|session| session.close(CloseReason::Normal, now()));
        assert_eq!(push(&feed, &budget, "b").queued, 1);
        assert_eq!(
            ends.cell.drive(|session| (session.state(), session.counts().unacknowledged)),
            (State::Closed, 1)
        );
        assert_eq!(stays.written(), ["a", "b"]);
        closes.cell.apply(closes.cell.follow(&feed, 0));
        assert_eq!(push(&feed, &budget, "c").queued, 1, "it is closing");
        drop((ends, closes, stays));
        feed.forget(feed.next());
        assert_eq!(budget.used(), 0);
        assert_eq!(push(&feed, &budget, "d"), Fed { waiting_frames: 1, ..Fed::default() });
        assert_eq!(budget.used(), 0, "nobody follows");
    }

    #[test]
    fn numbers_begin_anew() {
        let budget = budget();
        let feed = Arc::new(Feed::default());
        feed.next.store(u32::MAX - 1, Ordering::Relaxed);
        feed.lock().forgotten = u32::MAX - 1;
        let [a, b] = [0; 2].map(|_| Follower::of(&feed, &budget));
        for text in ["1", "2", "3", "4"] {
            push(&feed, &budget, text);
            if text == "2" {
                assert_eq!(a.written(), ["1", "2"]);
            }
        }
        assert_eq!((a.written(), b.written().len()), (vec!["3".to_owned(), "4".to_owned()], 4));
        feed.forget(feed.next());
        assert_eq!(push(&feed, &budget, "5").waiting_frames, 1);
    }

    #[test]
    fn a_session_that_rests_is_left_alone_where_it_has_everything() {
        let (feed, budget) = (Arc::default(), budget());
        let follower = Follower::of(&feed, &budget);
        follower.cell.drive(|session| session.cut(now()));
        while follower.cell.next_event().is_some() {}
        assert!(follower.cell.rest(std::task::Waker::noop().clone(), false));
        follower.cell.catch_up();
        push(&feed, &budget, "a");
        assert_eq!(budget.used(), 1);
        follower.cell.catch_up();
        feed.forget(feed.next());
        assert_eq!(follower.cell.drive(|session| session.retained_bytes()), 1);
        assert_eq!(budget.used(), 1);
    }
}
