//! Random calls to a store, compared with the model.

use std::collections::BTreeSet;
use std::time::Duration;

use super::model::{Model, Outcome};
use super::subject::{LOG, SECRET, Subject, WINDOW, key};
use crate::{
    Attach, Attached, Checkpoint, Commit, Fence, LogId, NodeId, OpenWriter, Position, ReadError, ReadLimit,
    Tail, TailStream, Touch,
};

const LOGS: [LogId; 2] = [LOG, LogId(77)];
const NODES: u64 = 3;

/// Random numbers, the same for the same seed: SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

struct RandomRun<'a> {
    subject: &'a Subject,
    model: Model,
    random: Random,
    nonce: u64,
    tails: Vec<(LogId, TailStream, u64)>,
    repeated: Option<RandomRequest>,
    /// The number of entries that followers have seen of their logs, in total.
    followed: u64,
}

#[derive(Debug, Clone)]
enum RandomRequest {
    Open(OpenWriter),
    Attach(Attach, bool),
    Commit(Vec<Commit>),
    Touch(Vec<Touch>),
}

/// Makes this number of random calls, including repeated and late ones, and compares every answer and the resulting state with the
/// model's.
///
/// The store's clock must only advance by [`Subject::advance`], because the model's does.
///
/// # Panics
///
/// Where they differ.
pub async fn random(subject: &Subject, seed: u64, calls: usize) {
    let tails = LOGS.map(|log| (log, subject.store.tail(log), 0)).into();
    let mut run = RandomRun {
        subject,
        model: Model::default(),
        random: Random(seed),
        nonce: 0,
        tails,
        repeated: None,
        followed: 0,
    };
    for call in 0..calls {
        run.model.now = subject.store.now();
        run.step().await;
        if call % 16 == 0 {
            run.compare().await;
        }
    }
    run.compare().await;
    assert!(run.followed > 0 || calls < 100, "the run wrote nothing");
}

impl RandomRun<'_> {
    fn node(&mut self) -> NodeId {
        // Incarnations follow each other. One may return after its lease has expired, while the next has not adopted anything.
        let incarnation = self.model.now / 15_000 + self.random.below(2);
        NodeId { name: 1 + self.random.below(NODES), incarnation }
    }

    fn log(&mut self) -> LogId {
        LOGS[usize::from(self.random.below(4) == 0)]
    }

    async fn step(&mut self) {
        let request = match self.random.below(20) {
            0 => {
                let by = [10, 900, 4_000, 12_000][self.random.below(4) as usize];
                self.subject.advance(Duration::from_millis(by));
                return;
            }
            1 => return self.trim().await,
            2 | 3 => {
                let (node, ttl) = (self.node(), 2_000 + self.random.below(8_000));
                let answer = self.subject.store.lease(node, Duration::from_millis(ttl)).await;
                assert_eq!(answer.is_ok(), self.model.lease(node, ttl), "lease of {node:?}");
                return;
            }
            4..6 => self.open(),
            6..9 => self.attach(),
            9..12 => self.touch(),
            12 | 13 if self.repeated.is_some() => return self.send(self.repeated.clone()).await,
            _ => self.commits(),
        };
        // A late call is sent after others.
        let late = self.random.below(4) == 0;
        let old = self.repeated.replace(request.clone());
        self.send(if late { old } else { Some(request) }).await;
    }

    async fn send(&mut self, request: Option<RandomRequest>) {
        match request {
            None => {}
            Some(RandomRequest::Open(open)) => {
                let answer = self.subject.store.open(open.clone()).await;
                let expected = self.model.open(&open);
                assert_eq!(answer.map(|position| position.offset), expected, "{open:?}");
            }
            Some(RandomRequest::Attach(attach, adopts)) => {
                let answer = match adopts {
                    true => self.subject.store.adopt(attach.clone()).await,
                    false => self.subject.store.attach(attach.clone()).await,
                };
                let expected = self.model.attach(&attach, adopts);
                let session = self.model.sessions.iter().find(|session| session.key == attach.key);
                match (answer, expected, session) {
                    (Err(answer), Err(expected), _) => assert_eq!(answer, expected, "{attach:?}"),
                    (Ok(Attached::StillYours { attachment }), Ok(Outcome::Kept), Some(session)) => {
                        assert_eq!(attachment, session.attachment, "{attach:?}");
                    }
                    (Ok(Attached::Taken(record)), Ok(Outcome::Taken), Some(session)) => {
                        let found = (record.epoch, record.w, record.owner, record.received, record.deadline);
                        let expected =
                            (session.epoch, session.w, session.owner, session.received, session.deadline);
                        assert_eq!(found, expected, "{attach:?}");
                        assert_eq!(record.state, session.state);
                    }
                    (answer, expected, _) => panic!("{attach:?}: {answer:?}, expected {expected:?}"),
                }
            }
            Some(RandomRequest::Commit(commits)) => {
                let answers = self.subject.store.commit(commits.clone()).await;
                let expected: Vec<_> = commits.iter().map(|commit| self.model.commit(commit)).collect();
                assert_eq!(answers, expected, "{commits:?}");
            }
            Some(RandomRequest::Touch(touches)) => {
                self.subject.store.touch(touches.clone()).await.unwrap();
                touches.iter().for_each(|touch| self.model.touch(touch));
            }
        }
    }

    fn open(&mut self) -> RandomRequest {
        self.nonce += 1;
        let number = self.random.below(40) as u8;
        let body = if self.random.below(8) == 0 { "" } else { "open" };
        RandomRequest::Open(OpenWriter {
            // A key belongs to one log, like the keys that servers make.
            log: LOGS[usize::from(number.is_multiple_of(4))],
            key: key(number),
            owner: self.node(),
            nonce: self.nonce,
            proof: SECRET,
            id: ["", "ann", "bob", "cid", "dan"][self.random.below(5) as usize].into(),
            identity: "identity".into(),
            checkpoint: "fold".into(),
            body: body.into(),
        })
    }

    fn attach(&mut self) -> RandomRequest {
        self.nonce += 1;
        let adopts = self.random.below(3) == 0;
        let (session, epoch, owner) = self.any();
        let to = if self.random.below(2) == 0 { owner } else { self.node() };
        let mine = [None, Some(epoch), Some(epoch), Some(epoch + 1)][self.random.below(4) as usize];
        let proof = if self.random.below(12) == 0 { [1; 32] } else { SECRET };
        let moved = if self.random.below(8) == 0 { "" } else { "moved" };
        RandomRequest::Attach(
            Attach { key: key(session), proof, to, mine, nonce: self.nonce, moved: moved.into() },
            adopts,
        )
    }

    /// A session, its epoch and its owner; or none.
    fn any(&mut self) -> (u8, u64, NodeId) {
        let sessions = &self.model.sessions;
        if sessions.is_empty() || self.random.below(12) == 0 {
            return (self.random.below(40) as u8, 1, NodeId { name: 1, incarnation: 1 });
        }
        let session = &sessions[self.random.below(sessions.len() as u64) as usize];
        (session.key.0[15], session.epoch, session.owner)
    }

    fn commits(&mut self) -> RandomRequest {
        let number = 1 + self.random.below(3);
        RandomRequest::Commit((0..number).map(|_| self.commit()).collect())
    }

    fn commit(&mut self) -> Commit {
        let (number, epoch, _) = self.any();
        let epoch = epoch - u64::from(self.random.below(8) == 0);
        let session = self.model.sessions.iter().find(|session| session.key == key(number));
        let (w, log, received) =
            session.map_or((0, LOG, 0), |session| (session.w, session.log, session.received.unwrap_or(0)));
        let w = [w, w + 1, w + 1, w + 1, w + 1, w + 1, w + 2][self.random.below(7) as usize];
        let mut ends = Vec::new();
        while self.random.below(9) == 0 {
            ends.push(if self.random.below(2) == 0 { key(number) } else { key(self.any().0) });
        }
        let text = format!("{number} {epoch} {w}");
        Commit {
            log,
            writer: key(number),
            fence: Fence { epoch, w },
            received: (self.random.below(2) == 0).then_some(received + 1),
            state: (self.random.below(3) == 0).then(|| text.clone().into()),
            ends,
            body: if self.random.below(5) == 0 { "".into() } else { text.into() },
        }
    }

    fn touch(&mut self) -> RandomRequest {
        let (number, epoch, _) = self.any();
        let session = self.model.sessions.iter().find(|session| session.key == key(number));
        let (attachment, (offset, frames), log) =
            session.map_or((1, (0, 0), LOG), |session| (session.attachment, session.checkpoint, session.log));
        let ahead = self.model.last(log).saturating_sub(offset);
        let checkpoint = (self.random.below(3) > 0).then(|| Checkpoint {
            position: Position { generation: 0, offset: offset + self.random.below(ahead + 2) },
            number: (frames + self.random.below(3)).saturating_sub(1),
            state: "fold".into(),
        });
        let window = Duration::from_millis(self.random.below(9_000));
        RandomRequest::Touch(vec![Touch {
            key: key(number),
            epoch,
            attachment: attachment - u64::from(self.random.below(6) == 0),
            checkpoint,
            ends_in: (self.random.below(2) == 0).then_some(window),
        }])
    }

    async fn trim(&mut self) {
        let (log, age) = (self.log(), self.random.below(20_000));
        self.subject.store.trim(log, Duration::from_millis(age)).await.unwrap();
        self.model.trim(log, age);
    }

    async fn compare(&mut self) {
        self.model.now = self.subject.store.now();
        let store = &self.subject.store;
        for log in LOGS {
            let (first, last) = store.bounds(log).await.unwrap();
            assert_eq!((first.offset, last.offset), (self.model.first(log), self.model.last(log)), "{log:?}");
            let mut found = Vec::new();
            let mut after = first;
            loop {
                let page = store.read(log, after, ReadLimit { entries: 7, bytes: 50 }).await.unwrap();
                found.extend(page.entries);
                after = found.last().map_or(after, |entry| entry.position);
                if page.is_end {
                    break;
                }
            }
            let of_log = self.model.entries.iter().filter(|entry| entry.0 == log);
            let expected: Vec<_> = of_log.skip(first.offset as usize).collect();
            assert_eq!(found.len(), expected.len());
            for (entry, (_, writer, epoch, time, body)) in found.iter().zip(expected) {
                assert_eq!(
                    (entry.writer, entry.epoch, entry.time, &entry.body),
                    (*writer, *epoch, *time, body)
                );
            }
            if let Some(before) = first.offset.checked_sub(1) {
                let before = Position { offset: before, ..first };
                assert_eq!(store.read(log, before, ReadLimit::default()).await, Err(ReadError::Trimmed));
            }
            self.compare_records(log).await;
        }
        for (log, tail, seen) in &mut self.tails {
            while *seen < self.model.last(*log) {
                let Some(Tail::Entry { prev, entry }) = tail.next().await else {
                    panic!("the tail has a gap")
                };
                assert_eq!((prev, entry.position.offset), (*seen, *seen + 1));
                *seen += 1;
                self.followed += 1;
            }
        }
    }

    async fn compare_records(&self, log: LogId) {
        let records = self.subject.store.records(log, None, 1000).await.unwrap();
        let mut sessions: Vec<_> = self.model.sessions.iter().filter(|session| session.log == log).collect();
        sessions.sort_by_key(|session| session.key);
        assert_eq!(records.len(), sessions.len());
        for (record, session) in records.iter().zip(sessions) {
            let found =
                (record.key, record.epoch, record.attachment, record.owner, record.w, record.received);
            let expected =
                (session.key, session.epoch, session.attachment, session.owner, session.w, session.received);
            assert_eq!(found, expected);
            assert_eq!((record.deadline, &record.state), (session.deadline, &session.state));
            assert_eq!((record.checkpoint.position.offset, record.checkpoint.number), session.checkpoint);
            assert_eq!(*record.id, *session.id);
        }
        let expired: BTreeSet<_> =
            self.subject.store.expired(log, WINDOW, 1000).await.unwrap().into_iter().collect();
        assert_eq!(expired.into_iter().collect::<Vec<_>>(), self.model.expired(log, WINDOW));
    }
}
