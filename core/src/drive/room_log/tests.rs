use std::sync::Arc;

use super::*;
use crate::drive::{MemoryBudget, SharedSession, Subscribed, now};
use crate::{CloseReason, Epoch, Mode, SessionConfig, SessionIdentity, SessionState, Side, Token, Transmit};

/// A session with a socket that subscribes to a log, within a budget.
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
        assert_eq!(subscriber.session.subscribe(log, 0, usize::MAX, || ()), Subscribed::Yes);
        subscriber
    }

    /// Takes the frames that its socket has to write.
    fn written(&self) -> Vec<String> {
        self.session.drive(|session| {
            let mut texts = Vec::new();
            while let Some(transmit) = session.poll_transmit(self.epoch, now()) {
                match transmit {
                    Transmit::Data(message) => texts.push(text(&message)),
                    Transmit::Volatile(message) => texts.push(format!("~{}", text(&message))),
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
    log.append(&[Some(budget.charge(Bytes::from_static(text.as_bytes())))])
}

fn log() -> Arc<RoomLog> {
    Arc::new(RoomLog::new(Arc::default(), "room".into()))
}

fn budget() -> Arc<MemoryBudget> {
    Arc::new(MemoryBudget::new(usize::MAX, || None))
}

/// A room of a few members has a log of its own, most of which would be unused lanes.
#[test]
fn a_log_has_no_more_lanes_than_codecs() {
    let log = log();
    let _subscriber = Subscriber::of(&log, &budget());
    assert_eq!(log.lock().lanes.capacity(), 1);
    log.record(2, Bytes::from_static(b"x"));
    assert_eq!(log.lock().lanes.capacity(), 3);
}

#[test]
fn broadcasts_come_before_later_sends() {
    let (log, budget) = (log(), budget());
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
fn sessions_get_broadcasts_while_they_subscribe() {
    let (log, budget) = (log(), budget());
    let early = Subscriber::of(&log, &budget);
    push(&log, &budget, "a");
    let late = Subscriber::of(&log, &budget);
    assert_eq!(push(&log, &budget, "b").queued, 2);
    early.session.apply(early.session.unsubscribe(&log, || ()));
    assert_eq!(push(&log, &budget, "c").queued, 1);
    assert_eq!(early.written(), ["a", "b"]);
    assert_eq!(late.written(), ["b", "c"]);
    // The session drains the first log to its end, and gets new messages of the second.
    let other = Arc::new(RoomLog::new(log.sequencer.clone(), "room".into()));
    push(&log, &budget, "d");
    push(&other, &budget, "unread");
    late.session.apply(late.session.resubscribe(&log, &other));
    push(&other, &budget, "e");
    push(&log, &budget, "unread");
    assert_eq!(late.written(), ["d", "e"]);
    for log in [log, other] {
        log.trim(log.next());
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn each_codec_has_its_frames_or_a_gap() {
    let (log, budget) = (log(), budget());
    let json = Subscriber::of(&log, &budget);
    let other = Subscriber::new(Mode::Plain, 256, &budget);
    assert_eq!(other.session.subscribe(&log, 2, usize::MAX, || ()), Subscribed::Yes);
    let encoding = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let appended = log.append(&[encoding("{}"), None, encoding("binary")]);
    assert_eq!((appended.queued, appended.waiting_bytes), (2, 6));
    let appended = log.append(&[None, None, encoding("more")]);
    assert_eq!((appended.queued, appended.waiting_bytes), (1, 10));
    assert_eq!(json.written(), ["{}"]);
    assert_eq!(other.written(), ["binary", "more"]);
    assert_eq!(json.session.drive(|session| (session.counts().accepted, session.counts().dropped)), (2, 1));
}

#[test]
fn drained_messages_are_trimmed() {
    let (log, budget) = (log(), budget());
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
    assert!(log.lock().lanes[0].spans.is_empty());
    assert_eq!(log.lock().lanes[0].bytes, 0);
}

#[test]
fn a_cursor_inside_a_span_drains_the_remainder() {
    let (log, budget) = (log(), budget());
    let [slow, fast] = [0; 2].map(|_| Subscriber::of(&log, &budget));
    let all: Vec<_> = (0..100).map(|n: u32| n.to_string()).collect();
    for (n, text) in all.iter().enumerate() {
        log.append(&[Some(budget.charge(text.clone().into()))]);
        if n % 7 == 3 {
            assert_eq!(fast.written().last(), Some(text));
        }
    }
    assert!(log.lock().lanes[0].spans.iter_from(0).count() < 10, "they are neighbours in their segments");
    assert_eq!(fast.written(), ["95", "96", "97", "98", "99"]);
    assert_eq!(slow.written(), all);
    log.trim(log.next());
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_full_buffer_evicts_oldest_and_reports_gap() {
    let (log, budget) = (log(), budget());
    let plain = Subscriber::new(Mode::Plain, 3, &budget);
    let session = Subscriber::new(Mode::Session, 3, &budget);
    for subscriber in [&plain, &session] {
        assert_eq!(subscriber.session.subscribe(&log, 0, usize::MAX, || ()), Subscribed::Yes);
    }
    for text in ["a", "b", "c", "d", "e"] {
        push(&log, &budget, text);
    }
    assert_eq!(budget.used(), 5, "each frame counts once");
    assert_eq!(plain.written(), ["c", "d", "e"]);
    assert_eq!(session.session.drive(|session| session.counts().dropped), 2);
    assert_eq!(session.written(), ["$open", "$gap", "c", "d", "e"]);
    log.trim(log.next());
    assert!((3..=5).contains(&budget.used()), "frames of the same segment as a kept frame stay");
}

#[tokio::test(start_paused = true)]
async fn draining_on_unsubscribe_wakes_a_blocked_sender() {
    let (log, budget) = (log(), budget());
    let subscriber = Subscriber::new(Mode::Plain, 2, &budget);
    assert_eq!(subscriber.session.subscribe(&log, 0, usize::MAX, || ()), Subscribed::Yes);
    let big = Bytes::from(vec![b'x'; SessionConfig::new(Side::Server, Mode::Plain).buffer_bytes]);
    subscriber.session.send(big, Overflow::Reject).unwrap();
    let waits = subscriber.session.send_wait(Bytes::from_static(b"own"), std::time::Duration::from_secs(1));
    let leaves = async {
        tokio::task::yield_now().await;
        push(&log, &budget, "small");
        subscriber.session.apply(subscriber.session.unsubscribe(&log, || ()));
    };
    assert_eq!(tokio::join!(waits, leaves).0, Ok(()));
    assert_eq!(subscriber.written(), ["small", "own"]);
}

#[test]
fn an_ended_session_drains_and_stops_counting() {
    let (log, budget) = (log(), budget());
    let [ends, closes, stays] = [0; 3].map(|_| Subscriber::of(&log, &budget));
    assert_eq!(push(&log, &budget, "a").queued, 3);
    ends.session.command(|session| session.end(CloseReason::Normal));
    closes.session.command(|session| session.close(CloseReason::Normal, now()));
    assert_eq!(push(&log, &budget, "b").queued, 1);
    assert_eq!(
        ends.session.drive(|session| (session.state(), session.counts().unacknowledged)),
        (SessionState::Closed, 1)
    );
    assert_eq!(stays.written(), ["a", "b"]);
    assert_eq!(closes.session.subscribe(&log, 0, usize::MAX, || ()), Subscribed::Closed);
    assert_eq!(push(&log, &budget, "c").queued, 1, "it is closing");
    drop((ends, closes, stays));
    log.trim(log.next());
    assert_eq!(budget.used(), 0);
    assert_eq!(push(&log, &budget, "d"), Appended { waiting_frames: 1, ..Appended::default() });
    assert_eq!(budget.used(), 0, "there are no subscribers");
}

#[test]
fn a_hibernated_session_with_nothing_pending_stays_hibernated() {
    let (log, budget) = (log(), budget());
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

#[test]
fn volatile_messages_keep_their_place_and_get_no_number() {
    let (log, budget) = (log(), budget());
    let [one, other] = [(); 2].map(|()| Subscriber::of(&log, &budget));
    let volatile = |text: &'static str, key: Option<&str>, except| {
        let volatile = Volatile { key: key.map(Into::into) };
        log.append_as(&[Some(budget.charge(Bytes::from_static(text.as_bytes())))], except, Some(volatile))
    };
    push(&log, &budget, "a");
    assert_eq!(volatile("b", Some("k"), Exclusion::default()).queued, 2);
    push(&log, &budget, "c");
    let mut except = Exclusion::default();
    except.add(one.session.subscriber_of(&log).unwrap());
    assert_eq!(volatile("d", Some("k"), except).queued, 1);
    assert_eq!(log.append_as(&[None], Exclusion::default(), Some(Volatile::default())).queued, 0);
    push(&log, &budget, "e");
    assert_eq!(one.session.drive(|session| session.counts().accepted), 3, "not even a hole");
    assert_eq!(one.written(), ["a", "~b", "c", "e"]);
    assert_eq!(other.written(), ["a", "c", "~d", "e"]);
    log.trim(log.next());
    volatile("f", None, Exclusion::default());
    assert_eq!(one.written(), ["~f"]);
    assert_eq!(other.written(), ["~f"]);
}
