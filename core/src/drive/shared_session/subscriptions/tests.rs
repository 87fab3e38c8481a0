//! Random schedules of broadcasts to several logs, and sessions that join and leave them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::*;
use crate::drive::{Exclusion, Sequencer, SharedSession, Subscribed, now};
use crate::{Epoch, Mode, Overflow, SessionConfig, Side, Transmit};

const LOGS: usize = 4;

/// A session with a socket that takes everything.
struct Subscriber {
    session: SharedSession,
    epoch: Epoch,
    /// The logs that it subscribes to, the home first.
    joined: Vec<usize>,
    /// The next frame to write.
    expected: VecDeque<String>,
}

impl Subscriber {
    fn new() -> Self {
        let mut config = SessionConfig::new(Side::Server, Mode::Plain);
        config.buffer_frames = 100_000;
        let mut session = Session::new(Arc::new(config), now());
        let epoch = session.reserve();
        session.attach(epoch, None, now()).unwrap();
        let expected = VecDeque::new();
        Self { session: SharedSession::new(session), epoch, joined: Vec::new(), expected }
    }

    fn written(&self) -> Vec<String> {
        self.session.drive(|session| {
            let mut texts = Vec::new();
            let text = |message: &Bytes| String::from_utf8(message.to_vec()).unwrap();
            while let Some(transmit) = session.poll_transmit(self.epoch, now()) {
                match transmit {
                    Transmit::Data(message) => texts.push(text(&message)),
                    Transmit::Batch(batch) => texts.extend(batch.frames().map(|frame| text(&frame))),
                    other => panic!("{other:?}"),
                }
            }
            session.handle_written(self.epoch, texts.len(), 2000, None, now());
            texts
        })
    }
}

fn logs(count: usize) -> Vec<Arc<RoomLog>> {
    let sequencer = Arc::new(Sequencer::default());
    (0..count).map(|index| Arc::new(RoomLog::new(sequencer.clone(), format!("{index}").into()))).collect()
}

fn broadcast(log: &RoomLog, text: String) {
    log.append(&[Some(text.into())]);
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

#[test]
fn messages_of_several_logs_arrive_in_one_order() {
    for seed in 1..200 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let logs = logs(LOGS);
        let mut subscribers = [0; 5].map(|_| Subscriber::new());
        for step in 0..400 {
            let log = random.below(LOGS);
            let index = random.below(subscribers.len());
            let subscriber = &mut subscribers[index];
            let place = subscriber.joined.iter().position(|joined| *joined == log);
            match random.below(14) {
                0..6 => {
                    let text = format!("{step} to {log}");
                    broadcast(&logs[log], text.clone());
                    for member in subscribers.iter_mut().filter(|member| member.joined.contains(&log)) {
                        member.expected.push_back(text.clone());
                    }
                }
                6 => {
                    let text = format!("{step} to one");
                    subscriber.session.send(Bytes::from(text.clone()), Overflow::Reject).unwrap();
                    subscriber.expected.push_back(text);
                }
                7 if place.is_none() => {
                    assert_eq!(
                        subscriber.session.subscribe(&logs[log], 0, usize::MAX, || ()),
                        Subscribed::Yes
                    );
                    subscriber.joined.push(log);
                }
                8 if place != Some(0) || subscriber.joined.len() == 1 => {
                    subscriber.session.apply(subscriber.session.unsubscribe(&logs[log], || ()));
                    subscriber.joined.retain(|joined| *joined != log);
                }
                9 => {
                    let to = random.below(LOGS);
                    if let Some(place) = place
                        && !subscriber.joined.contains(&to)
                    {
                        subscriber.session.apply(subscriber.session.resubscribe(&logs[log], &logs[to]));
                        subscriber.joined[place] = to;
                    }
                }
                12 => {
                    // To all members of a log but one.
                    let excluded = subscriber.session.subscriber_of(&logs[log]);
                    assert_eq!(excluded.is_some(), place.is_some());
                    let mut except = Exclusion::default();
                    excluded.into_iter().for_each(|excluded| except.add(excluded));
                    let text = format!("{step} to others");
                    let queued = logs[log].append_as(&[Some(text.clone().into())], except, None).queued;
                    let members = subscribers.iter_mut().enumerate();
                    let others =
                        members.filter(|(other, member)| *other != index && member.joined.contains(&log));
                    let count = others.map(|(_, member)| member.expected.push_back(text.clone())).count();
                    assert_eq!(queued, count, "seed {seed}, step {step}");
                }
                13 => {
                    // To everyone, each through the first log.
                    let text = format!("{step} to everyone");
                    let append = |log: &Arc<RoomLog>| {
                        log.append_as(&[Some(text.clone().into())], Exclusion::guests(), None).queued
                    };
                    let queued = logs.iter().map(append).sum::<usize>();
                    let members = subscribers.iter_mut().filter(|member| !member.joined.is_empty());
                    let count = members.map(|member| member.expected.push_back(text.clone())).count();
                    assert_eq!(queued, count, "seed {seed}, step {step}");
                }
                10 => {
                    // As a fan-out does.
                    let next = logs[log].next();
                    subscribers.iter().for_each(|member| member.session.drain());
                    logs[log].trim(next);
                }
                _ => {
                    let expected: Vec<_> = subscriber.expected.drain(..).collect();
                    assert_eq!(subscriber.written(), expected, "seed {seed}, step {step}");
                }
            }
        }
        for subscriber in &subscribers {
            assert_eq!(VecDeque::from(subscriber.written()), subscriber.expected, "seed {seed}");
        }
    }
}

#[test]
fn a_session_leaves_every_log_when_it_ends() {
    let logs = logs(LOGS);
    let subscriber = Subscriber::new();
    for log in &logs {
        assert_eq!(subscriber.session.subscribe(log, 0, usize::MAX, || ()), Subscribed::Yes);
        assert_eq!(log.append(&[Some("a".into())]).queued, 1);
    }
    subscriber.session.command(|session| session.end(crate::CloseReason::Normal));
    assert!(subscriber.session.rooms().is_empty());
    assert_eq!(subscriber.session.take_ended_rooms(|_| ()), ["3", "2", "1", "0"].map(Arc::from));
    assert!(subscriber.session.take_ended_rooms(|_| ()).is_empty(), "they are returned once");
    for log in &logs {
        assert_eq!(log.append(&[Some("b".into())]).queued, 0);
        assert_eq!(Arc::strong_count(log), 1);
        assert_eq!(subscriber.session.subscribe(log, 0, usize::MAX, || ()), Subscribed::Closed);
        assert_eq!(Arc::strong_count(log), 1);
    }
    let subscriber = Subscriber::new();
    for log in &logs {
        assert_eq!(subscriber.session.subscribe(log, 0, usize::MAX, || ()), Subscribed::Yes);
    }
    drop(subscriber);
    assert_eq!(logs[LOGS - 1].append(&[Some("c".into())]).queued, 0);
}

#[test]
fn order_is_causal_across_logs() {
    const ROUNDS: usize = 500;
    // With many logs, two broadcasts of a round have time to arrive while the session checks one log after the other.
    let logs = logs(64);
    let subscriber = Subscriber::new();
    for log in &logs {
        assert_eq!(subscriber.session.subscribe(log, 0, usize::MAX, || ()), Subscribed::Yes);
    }
    let read = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                broadcast(&logs[32], format!("{round} begins"));
                // Gives the session time to drain that log, and to check the first one again.
                (0..round % 300).for_each(|_| std::hint::spin_loop());
                broadcast(&logs[0], format!("{round} first"));
                broadcast(&logs[63], format!("{round} second"));
                // A session that lags gets all of them in any case.
                while read.load(Ordering::Relaxed) < 3 * (round + 1) {
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = (0..ROUNDS)
            .flat_map(|round| ["begins", "first", "second"].map(|which| format!("{round} {which}")));
        let mut next = expected.next();
        let mut is_ordered = true;
        while next.is_some() {
            for text in subscriber.written() {
                is_ordered &= Some(text) == next;
                next = expected.next();
                read.fetch_add(1, Ordering::Relaxed);
            }
        }
        assert!(is_ordered);
    });
}

#[test]
fn rooms_begin_with_the_home() {
    let logs = logs(LOGS);
    let subscriber = Subscriber::new();
    for log in [2, 0, 1] {
        assert_eq!(subscriber.session.subscribe(&logs[log], 0, usize::MAX, || ()), Subscribed::Yes);
    }
    assert_eq!(subscriber.session.rooms(), ["2", "0", "1"].map(Arc::from));
    subscriber.session.apply(subscriber.session.unsubscribe(&logs[0], || ()));
    subscriber.session.apply(subscriber.session.resubscribe(&logs[2], &logs[3]));
    assert_eq!(subscriber.session.rooms(), ["3", "1"].map(Arc::from));
}

#[test]
fn one_log_is_kept_in_two_words() {
    assert_eq!(size_of::<RoomSubscriptions>(), 16);
}

#[test]
fn full_session_subscribes_to_no_further_log() {
    let logs = logs(LOGS);
    let subscriber = Subscriber::new();
    let subscribed: Vec<_> = logs.iter().map(|log| subscriber.session.subscribe(log, 0, 2, || ())).collect();
    assert_eq!(subscribed[..3], [Subscribed::Yes, Subscribed::Yes, Subscribed::Full]);
    subscriber.session.apply(subscriber.session.unsubscribe(&logs[1], || ()));
    assert_eq!(subscriber.session.subscribe(&logs[2], 0, 2, || ()), Subscribed::Yes);
    assert_eq!(subscriber.session.rooms().len(), 2);
}

#[test]
fn further_logs_waste_at_most_a_quarter() {
    let sequencer = Arc::new(Sequencer::default());
    let mut subscriptions = RoomSubscriptions::default();
    for count in 1..=40 {
        let log = Arc::new(RoomLog::new(sequencer.clone(), "room".into()));
        subscriptions.add(&log, crate::drive::room_log::Subscriber::new(&sequencer, 0));
        if let RoomSubscriptions::Several(all) = &subscriptions {
            assert!(all.capacity() <= count + count / 4, "{} for {count}", all.capacity());
        }
    }
}
