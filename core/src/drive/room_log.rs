//! [`RoomLog`]: frames for many sessions, which each takes over when its turn comes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::{Overflow, Session, SharedFrame, SharedRun, Tape};

/// What is broadcast to some sessions, kept once for all of them until each has taken it over.
///
/// To broadcast costs the same for one follower and for a thousand. A session that follows ([`SharedSession::subscribe`](super::SharedSession::follow))
/// takes over what is there before anything else is done with it: nobody who looks at it, or sends to it, can tell that it had
/// not been given the frames at once. Where its buffer has no room, its oldest frames go ([`Overflow::DropOldest`]).
///
/// What has been taken over stays here until [`Self::trim`] is called: by who has gone through all followers.
#[derive(Debug, Default)]
pub struct RoomLog {
    /// The number of the next frame. Numbers begin anew at their end: nobody is ever half of them behind.
    next: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// All have taken over the frames before this number.
    trimmed: u32,
    lanes: Vec<Lane>,
}

/// The frames in one codec.
#[derive(Debug, Default)]
struct Lane {
    subscribers: usize,
    tape: Tape,
    entries: VecDeque<Entry>,
    /// Bytes of all in `entries`.
    bytes: usize,
}

/// Frames that follow each other.
#[derive(Debug)]
struct Entry {
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

/// A frame as it is given to a [`RoomLog`]: its encoding in each codec that has followers, by the codec's place. Without one, the
/// followers are told of a gap.
pub type Encodings = [Option<Bytes>];

/// What came of a frame that was given to a [`RoomLog`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::exhaustive_structs, reason = "a broadcast has to heed all of it")]
pub struct Appended {
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

impl RoomLog {
    /// Gives a frame to all followers.
    pub fn push(&self, images: &Encodings) -> Appended {
        let mut inner = self.lock();
        let number = self.next.load(Ordering::Relaxed);
        let mut appended = Appended::default();
        for (lane, image) in inner.lanes.iter_mut().zip(images) {
            if lane.subscribers > 0 {
                lane.push(number, image.as_ref(), &mut appended);
            }
        }
        let next = number.wrapping_add(1);
        appended.waiting_frames = next.wrapping_sub(inner.trimmed) as usize;
        // Whoever hears of the broadcast, by whatever way, finds it here.
        self.next.store(next, Ordering::Release);
        appended
    }

    /// The number of the next frame: to be [forgotten](Self::trim) up to here, once all who follow now have been gone through.
    pub fn next(&self) -> u32 {
        self.next.load(Ordering::Acquire)
    }

    /// All followers have taken over the frames before this number.
    pub fn trim(&self, before: u32) {
        let mut inner = self.lock();
        if !comes_before(inner.trimmed, before) {
            return;
        }
        inner.trimmed = before;
        for lane in &mut inner.lanes {
            while let Some(entry) = lane.entries.front()
                && !comes_before(before, entry.end())
            {
                lane.bytes -= entry.bytes_after(0);
                lane.entries.pop_front();
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
        inner.lane(lane.into()).subscribers += 1;
        self.next.load(Ordering::Relaxed)
    }

    /// Whether there is something to take over.
    pub(super) fn is_behind(&self, cursor: u32) -> bool {
        self.next() != cursor
    }

    /// Gives the session what it has not yet.
    pub(super) fn drain(&self, lane: u16, cursor: &mut u32, session: &mut Session) -> Drained {
        let inner = self.lock();
        let drained = inner.give(lane, *cursor, session);
        *cursor = self.next.load(Ordering::Relaxed);
        drained
    }

    /// The same for the last time. The session is not looked at where it has everything.
    pub(super) fn leave<'a>(
        &self,
        lane: u16,
        cursor: u32,
        session: impl FnOnce() -> &'a mut Session,
    ) -> Drained {
        let mut inner = self.lock();
        inner.lane(lane.into()).subscribers -= 1;
        if self.is_behind(cursor) { inner.give(lane, cursor, session()) } else { Drained::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn push(&mut self, number: u32, image: Option<&Bytes>, appended: &mut Appended) {
        if let Some(image) = image {
            appended.queued += self.subscribers;
            self.bytes += image.len();
            let frame = self.tape.push(image.clone());
            let extended = self.entries.back_mut().is_some_and(|entry| match &mut entry.what {
                What::Frames(run) => entry.first.wrapping_add(run.frames()) == number && run.extend(&frame),
                What::Missing => false,
            });
            if !extended {
                self.entries.push_back(Entry { first: number, what: What::Frames(frame.into()) });
            }
        } else {
            self.entries.push_back(Entry { first: number, what: What::Missing });
        }
        appended.waiting_bytes = appended.waiting_bytes.max(self.bytes);
    }
}

impl Entry {
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
    fn give(&self, lane: u16, cursor: u32, session: &mut Session) -> Drained {
        debug_assert!(!comes_before(cursor, self.trimmed), "what is trimmed all have");
        let entries = &self.lanes[usize::from(lane)].entries;
        // Mostly there is one.
        let from = match entries.back() {
            Some(last) if !comes_before(cursor, last.first) => entries.len() - 1,
            _ => entries.partition_point(|entry| !comes_before(cursor, entry.end())),
        };
        let (frames, kept) = (session.occupied(), session.retained_bytes());
        for entry in entries.range(from..) {
            let skip = if comes_before(entry.first, cursor) { cursor.wrapping_sub(entry.first) } else { 0 };
            match &entry.what {
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
    use crate::drive::{MemoryBudget, SharedSession, now};
    use crate::{CloseReason, Epoch, Mode, SessionConfig, SessionIdentity, Side, State, Token, Transmit};

    /// A session with a socket that follows a feed, in a budget.
    struct Subscriber {
        session: SharedSession,
        epoch: Epoch,
    }

    impl Subscriber {
        fn new(mode: Mode, buffer: u32, budget: &Arc<MemoryBudget>) -> Self {
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
            Self { session: SharedSession::new(session).with_budget(budget.clone()), epoch }
        }

        fn of(log: &Arc<RoomLog>, budget: &Arc<MemoryBudget>) -> Self {
            let subscriber = Self::new(Mode::Plain, 256, budget);
            subscriber.session.apply(subscriber.session.subscribe(log, 0));
            subscriber
        }

        /// What its socket is to write, and writes.
        fn written(&self) -> Vec<String> {
            self.session.drive(|session| {
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

    fn push(log: &RoomLog, budget: &MemoryBudget, text: &'static str) -> Appended {
        log.push(&[Some(budget.charge(Bytes::from_static(text.as_bytes())))])
    }

    fn budget() -> Arc<MemoryBudget> {
        Arc::new(MemoryBudget::new(usize::MAX, || None))
    }

    #[test]
    fn what_was_broadcast_comes_before_what_is_sent_later() {
        let (log, budget) = (Arc::default(), budget());
        let subscriber = Subscriber::of(&log, &budget);
        assert_eq!(push(&log, &budget, "a").queued, 1);
        push(&log, &budget, "b");
        subscriber.session.send(Bytes::from_static(b"own"), Overflow::Reject).unwrap();
        push(&log, &budget, "c");
        assert_eq!(subscriber.session.drive(|session| session.counts().accepted), 4);
        assert_eq!(subscriber.written(), ["a", "b", "own", "c"]);
        assert_eq!(subscriber.written(), [""; 0]);
        log.trim(log.next());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn each_gets_what_is_broadcast_while_it_follows() {
        let (log, budget) = (Arc::default(), budget());
        let early = Subscriber::of(&log, &budget);
        push(&log, &budget, "a");
        let late = Subscriber::of(&log, &budget);
        assert_eq!(push(&log, &budget, "b").queued, 2);
        early.session.apply(early.session.unsubscribe());
        assert_eq!(push(&log, &budget, "c").queued, 1);
        assert_eq!(early.written(), ["a", "b"]);
        assert_eq!(late.written(), ["b", "c"]);
        // To the end of one, then from here on in another.
        let other = Arc::default();
        push(&log, &budget, "d");
        push(&other, &budget, "nobody's");
        late.session.apply(late.session.subscribe(&other, 0));
        push(&other, &budget, "e");
        push(&log, &budget, "nobody's");
        assert_eq!(late.written(), ["d", "e"]);
        for log in [log, other] {
            log.trim(log.next());
        }
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn each_codec_has_its_own_frames_and_a_gap_where_it_has_none() {
        let (log, budget) = (Arc::default(), budget());
        let json = Subscriber::of(&log, &budget);
        let other = Subscriber::new(Mode::Plain, 256, &budget);
        other.session.apply(other.session.subscribe(&log, 2));
        let image = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        let appended = log.push(&[image("{}"), None, image("binary")]);
        assert_eq!((appended.queued, appended.waiting_bytes), (2, 6));
        let appended = log.push(&[None, None, image("more")]);
        assert_eq!((appended.queued, appended.waiting_bytes), (1, 10));
        assert_eq!(json.written(), ["{}"]);
        assert_eq!(other.written(), ["binary", "more"]);
        assert_eq!(
            json.session.drive(|session| (session.counts().accepted, session.counts().dropped)),
            (2, 1)
        );
    }

    #[test]
    fn what_all_have_is_forgotten() {
        let (log, budget) = (Arc::default(), budget());
        let [a, b] = [0; 2].map(|_| Subscriber::of(&log, &budget));
        push(&log, &budget, "a");
        let appended = push(&log, &budget, "bc");
        assert_eq!((appended.waiting_frames, appended.waiting_bytes), (2, 3));
        let next = log.next();
        push(&log, &budget, "d");
        assert_eq!((a.written().len(), b.written().len()), (3, 3));
        log.trim(next);
        assert_eq!(push(&log, &budget, "e").waiting_frames, 2);
        log.trim(next - 1);
        assert_eq!(a.written(), ["e"]);
        assert_eq!(b.written(), ["e"]);
        log.trim(log.next());
        assert!(log.lock().lanes[0].entries.is_empty());
        assert_eq!(log.lock().lanes[0].bytes, 0);
    }

    #[test]
    fn who_is_inside_a_part_takes_over_the_rest_of_it() {
        let (log, budget) = (Arc::default(), budget());
        let [slow, fast] = [0; 2].map(|_| Subscriber::of(&log, &budget));
        let all: Vec<_> = (0..100).map(|n: u32| n.to_string()).collect();
        for (n, text) in all.iter().enumerate() {
            log.push(&[Some(budget.charge(text.clone().into()))]);
            if n % 7 == 3 {
                assert_eq!(fast.written().last(), Some(text));
            }
        }
        assert!(log.lock().lanes[0].entries.len() < 10, "they subscribe each other");
        assert_eq!(fast.written(), ["95", "96", "97", "98", "99"]);
        assert_eq!(slow.written(), all);
        log.trim(log.next());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn where_there_is_no_room_the_oldest_go_and_the_peer_is_told() {
        let (log, budget) = (Arc::default(), budget());
        let plain = Subscriber::new(Mode::Plain, 3, &budget);
        let session = Subscriber::new(Mode::Session, 3, &budget);
        for subscriber in [&plain, &session] {
            subscriber.session.apply(subscriber.session.subscribe(&log, 0));
        }
        for text in ["a", "b", "c", "d", "e"] {
            push(&log, &budget, text);
        }
        assert_eq!(budget.used(), 5, "each frame counts once");
        assert_eq!(plain.written(), ["c", "d", "e"]);
        assert_eq!(session.session.drive(|session| session.counts().dropped), 2);
        assert_eq!(session.written(), ["$open", "$gap", "c", "d", "e"]);
        log.trim(log.next());
        assert!((3..=5).contains(&budget.used()), "what shares its memory with a kept frame stays");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_finds_what_the_last_frames_of_a_feed_make() {
        let (log, budget) = (Arc::default(), budget());
        let subscriber = Subscriber::new(Mode::Plain, 2, &budget);
        subscriber.session.apply(subscriber.session.subscribe(&log, 0));
        let big = Bytes::from(vec![b'x'; SessionConfig::new(Side::Server, Mode::Plain).buffer_bytes]);
        subscriber.session.send(big, Overflow::Reject).unwrap();
        let waits =
            subscriber.session.send_wait(Bytes::from_static(b"own"), std::time::Duration::from_secs(1));
        let leaves = async {
            tokio::task::yield_now().await;
            push(&log, &budget, "small");
            subscriber.session.apply(subscriber.session.unsubscribe());
        };
        assert_eq!(tokio::join!(waits, leaves).0, Ok(()));
        assert_eq!(subscriber.written(), ["small", "own"]);
    }

    #[test]
    fn a_session_that_ends_has_what_came_before_and_counts_no_more() {
        let (log, budget) = (Arc::default(), budget());
        let [ends, closes, stays] = [0; 3].map(|_| Subscriber::of(&log, &budget));
        assert_eq!(push(&log, &budget, "a").queued, 3);
        ends.session.command(|session| session.end(CloseReason::Normal));
        closes.session.command(|session| session.close(CloseReason::Normal, now()));
        assert_eq!(push(&log, &budget, "b").queued, 1);
        assert_eq!(
            ends.session.drive(|session| (session.state(), session.counts().unacknowledged)),
            (State::Closed, 1)
        );
        assert_eq!(stays.written(), ["a", "b"]);
        closes.session.apply(closes.session.subscribe(&log, 0));
        assert_eq!(push(&log, &budget, "c").queued, 1, "it is closing");
        drop((ends, closes, stays));
        log.trim(log.next());
        assert_eq!(budget.used(), 0);
        assert_eq!(push(&log, &budget, "d"), Appended { waiting_frames: 1, ..Appended::default() });
        assert_eq!(budget.used(), 0, "nobody follows");
    }

    #[test]
    fn numbers_begin_anew() {
        let budget = budget();
        let log = Arc::new(RoomLog::default());
        log.next.store(u32::MAX - 1, Ordering::Relaxed);
        log.lock().trimmed = u32::MAX - 1;
        let [a, b] = [0; 2].map(|_| Subscriber::of(&log, &budget));
        for text in ["1", "2", "3", "4"] {
            push(&log, &budget, text);
            if text == "2" {
                assert_eq!(a.written(), ["1", "2"]);
            }
        }
        assert_eq!((a.written(), b.written().len()), (vec!["3".to_owned(), "4".to_owned()], 4));
        log.trim(log.next());
        assert_eq!(push(&log, &budget, "5").waiting_frames, 1);
    }

    #[test]
    fn a_session_that_rests_is_left_alone_where_it_has_everything() {
        let (log, budget) = (Arc::default(), budget());
        let subscriber = Subscriber::of(&log, &budget);
        subscriber.session.drive(|session| session.cut(now()));
        while subscriber.session.next_event().is_some() {}
        assert!(subscriber.session.hibernate(std::task::Waker::noop().clone(), false));
        subscriber.session.drain();
        push(&log, &budget, "a");
        assert_eq!(budget.used(), 1);
        subscriber.session.drain();
        log.trim(log.next());
        assert_eq!(subscriber.session.drive(|session| session.retained_bytes()), 1);
        assert_eq!(budget.used(), 1);
    }
}
