//! Random schedules of broadcasts to several logs, and sessions that join and leave them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::*;
use crate::drive::{Sequencer, SharedSession, now};
use crate::{Epoch, Mode, Overflow, SessionConfig, Side, Transmit};

const LOGS: usize = 4;

/// A session with a socket that takes everything.
struct Subscriber {
    session: SharedSession,
    epoch: Epoch,
    joined: [bool; LOGS],
    /// What has to be written next.
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
        Self { session: SharedSession::new(session), epoch, joined: [false; LOGS], expected }
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
    (0..count).map(|_| Arc::new(RoomLog::new(sequencer.clone()))).collect()
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
            match random.below(12) {
                0..6 => {
                    let text = format!("{step} to {log}");
                    broadcast(&logs[log], text.clone());
                    for member in subscribers.iter_mut().filter(|member| member.joined[log]) {
                        member.expected.push_back(text.clone());
                    }
                }
                6 => {
                    let text = format!("{step} to one");
                    subscriber.session.send(text.clone().into(), Overflow::Reject).unwrap();
                    subscriber.expected.push_back(text);
                }
                7 if !subscriber.joined[log] => {
                    subscriber.session.subscribe(&logs[log], 0);
                    subscriber.joined[log] = true;
                }
                8 => {
                    subscriber.session.apply(subscriber.session.unsubscribe(&logs[log]));
                    subscriber.joined[log] = false;
                }
                9 => {
                    let to = random.below(LOGS);
                    if subscriber.joined[log] && !subscriber.joined[to] {
                        let effects = subscriber.session.resubscribe(&logs[log], &logs[to], 0);
                        subscriber.session.apply(effects);
                        (subscriber.joined[log], subscriber.joined[to]) = (false, true);
                    }
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
        subscriber.session.subscribe(log, 0);
        assert_eq!(log.append(&[Some("a".into())]).queued, 1);
    }
    subscriber.session.command(|session| session.end(crate::CloseReason::Normal));
    for log in &logs {
        assert_eq!(log.append(&[Some("b".into())]).queued, 0);
        assert_eq!(Arc::strong_count(log), 1);
        subscriber.session.subscribe(log, 0);
        assert_eq!(Arc::strong_count(log), 1, "the session has ended");
    }
    let subscriber = Subscriber::new();
    logs.iter().for_each(|log| subscriber.session.subscribe(log, 0));
    drop(subscriber);
    assert_eq!(logs[LOGS - 1].append(&[Some("c".into())]).queued, 0);
}

#[test]
fn order_is_causal_across_logs() {
    const ROUNDS: usize = 500;
    // With many logs, two broadcasts of a round have time to arrive while the session checks one log after the other.
    let logs = logs(64);
    let subscriber = Subscriber::new();
    logs.iter().for_each(|log| subscriber.session.subscribe(log, 0));
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
fn one_log_is_kept_in_two_words() {
    assert_eq!(size_of::<Subscriptions>(), 16);
}
