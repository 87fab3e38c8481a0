//! Random schedules of questions in both directions: each is answered exactly once, or the asker learns why not.

use std::collections::BTreeMap;
use std::task::Poll;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::pair::Pair;
use super::random::check;
use crate::Event;
use crate::session::*;
use Side::{Client, Server};

#[derive(Debug, Clone)]
enum Step {
    Ask(Side),
    /// The asker of the oldest question gives up.
    GiveUp(Side),
    /// The application takes an event.
    Take(Side),
    /// The application answers the oldest question that it has taken, finally or with more to come.
    Answer(Side, bool),
    Message(Side),
    Write(Side),
    Deliver(Side, usize),
    Run,
    Lose(Side),
    Connect,
    Restart,
    Wait(u64),
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Server), Just(Client)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => side().prop_map(Step::Ask),
        1 => side().prop_map(Step::GiveUp),
        6 => side().prop_map(Step::Take),
        6 => (side(), any::<bool>()).prop_map(|(side, more)| Step::Answer(side, more)),
        2 => side().prop_map(Step::Message),
        5 => side().prop_map(Step::Write),
        6 => (side(), 1..6usize).prop_map(|(side, count)| Step::Deliver(side, count)),
        1 => Just(Step::Run),
        3 => side().prop_map(Step::Lose),
        3 => Just(Step::Connect),
        1 => Just(Step::Restart),
        1 => prop_oneof![Just(500), Just(1500), Just(35_000)].prop_map(Step::Wait),
    ]
}

/// A question, as its asker sees it.
#[derive(Debug, Default)]
struct Asked {
    /// Number of answers that it got.
    answers: u32,
    /// What came last: `true` is a last answer, `false` is the report that none comes.
    end: Option<bool>,
}

/// A question, as the application that answers it sees it.
#[derive(Debug)]
struct Taken {
    id: String,
    cancelled: Cancelled,
}

/// Two applications that ask each other.
struct World {
    pair: Pair,
    /// The questions by their ids, which ascend: who asked, the session of a server, and what came.
    asked: BTreeMap<String, (Side, Option<usize>, Asked)>,
    taken: [Vec<(usize, Taken)>; 2],
    /// Number of answers that were sent to each question.
    answers: BTreeMap<String, u32>,
    given_up: usize,
}

impl World {
    fn new(frames: usize) -> Self {
        let mut pair = Pair::new(
            |c| (c.inbox_frames, c.buffer_frames) = (frames, 8),
            |c| (c.inbox_frames, c.buffer_frames) = (frames, 8),
        );
        pair.connect();
        Self {
            pair,
            asked: BTreeMap::new(),
            taken: Default::default(),
            answers: BTreeMap::new(),
            given_up: 0,
        }
    }

    fn session_of(&mut self, side: Side, server: Option<usize>) -> &mut Session {
        match side {
            Client => &mut self.pair.client,
            Server => &mut self.pair.servers[server.expect("the server's question")],
        }
    }

    fn ask(&mut self, side: Side) {
        let id = format!("{:04}", self.asked.len());
        assert!(self.pair.session(side).open_question(&id));
        if self.pair.try_send(side, &format!("?{id}"), Overflow::Reject).is_err() {
            self.pair.session(side).close_question(&id, false);
            return;
        }
        let server = (side == Server).then_some(self.pair.servers.len() - 1);
        self.asked.insert(id, (side, server, Asked::default()));
    }

    fn give_up(&mut self, side: Side) {
        let open = self.asked.iter().find(|(_, (of, _, asked))| *of == side && asked.end.is_none());
        let Some((id, &(_, server, _))) = open else { return };
        let id = id.clone();
        self.session_of(side, server).close_question(&id, true);
        self.asked.remove(&id);
        // Another question never gets this id.
        self.asked.insert(format!("{id} given up"), (side, server, Asked { answers: 0, end: Some(false) }));
        self.given_up += 1;
    }

    fn take(&mut self, side: Side) {
        // The newest session of the server that still has events; older ones have ended.
        let server = self.pair.servers.len() - 1;
        let Some(event) = self.pair.session(side).poll_event() else { return };
        match event {
            Event::Message(frame) if !frame.id().is_empty() => {
                let cancelled = self.pair.session(side).begin_answer(frame.id());
                let taken = Taken { id: frame.id().to_owned(), cancelled };
                assert!(frame.re().is_empty());
                self.taken[side as usize].push((server, taken));
            }
            Event::Lost { .. } => self.taken[side as usize].clear(),
            _ => {}
        }
    }

    fn answer(&mut self, side: Side, more: bool) {
        let current = self.pair.servers.len() - 1;
        let queue = &mut self.taken[side as usize];
        if side == Server {
            queue.retain(|(server, _)| *server == current);
        }
        let Some((_, taken)) = queue.first() else { return };
        let text = format!("{}{}", if more { "+" } else { "=" }, taken.id);
        if !taken.cancelled.is_cancelled() {
            if self.pair.try_send(side, &text, Overflow::Reject).is_err() {
                return;
            }
            *self.answers.entry(taken.id.clone()).or_default() += 1;
        }
        if !more {
            let (_, taken) = queue.remove(0);
            self.pair.session(side).end_answer(&taken.cancelled);
        }
    }

    /// Every asker takes what there is.
    fn look(&mut self) {
        for (id, (side, server, asked)) in &mut self.asked {
            while asked.end.is_none() {
                let session = match side {
                    Client => &mut self.pair.client,
                    Server => &mut self.pair.servers[server.expect("the server's question")],
                };
                match session.poll_answer(id) {
                    Poll::Pending => break,
                    Poll::Ready(Answer::Frame(frame)) => {
                        assert_eq!(frame.re(), id);
                        asked.answers += 1;
                        asked.end = (!frame.more()).then_some(true);
                    }
                    Poll::Ready(Answer::Ended | Answer::SessionLost) => asked.end = Some(false),
                }
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Ask(side) => self.ask(side),
            Step::GiveUp(side) => self.give_up(side),
            Step::Take(side) => self.take(side),
            Step::Answer(side, more) => self.answer(side, more),
            Step::Message(side) => _ = self.pair.try_send(side, "message", Overflow::Reject),
            Step::Write(side) => self.pair.write(side),
            Step::Deliver(side, count) => _ = self.pair.deliver(side, count),
            Step::Run => self.pair.run(),
            Step::Lose(side) => self.pair.lose(side),
            Step::Connect => self.pair.connect(),
            Step::Restart => self.pair.restart(),
            Step::Wait(millis) => self.pair.wait(Duration::from_millis(millis)),
        }
        self.look();
    }

    /// The network works, and the applications answer everything.
    fn heal(&mut self) {
        if self.pair.client.state() != SessionState::Connected
            || self.pair.server().state() != SessionState::Connected
        {
            self.pair.connect();
        }
        // A session of the server that the client no longer knows ends after a heartbeat and its window.
        self.pair.wait(Duration::from_secs(100));
        for _ in 0..10_000 {
            self.pair.wait(Duration::from_millis(1100));
            let before = self.pair.client.counts().received + self.pair.server().counts().received;
            for side in [Server, Client] {
                self.take(side);
                self.answer(side, false);
            }
            self.look();
            let idle = [Server, Client]
                .iter()
                .all(|side| self.taken[*side as usize].is_empty() && !self.pair.session(*side).has_events());
            self.pair.run();
            self.look();
            if idle && before == self.pair.client.counts().received + self.pair.server().counts().received {
                return;
            }
        }
        panic!("questions are answered again and again");
    }
}

#[test]
fn each_question_is_answered_once_or_ends() {
    check(600, &(1..=4usize, vec(step(), 1..120)), |(frames, steps)| {
        let mut world = World::new(frames);
        for step in &steps {
            world.step(step);
        }
        world.heal();
        for (id, (side, _, asked)) in &world.asked {
            match asked.end {
                None => panic!("{side:?} still waits for {id}: {asked:?}"),
                Some(true) => assert_eq!(Some(&asked.answers), world.answers.get(id), "answers to {id}"),
                Some(false) => {
                    assert!(id.ends_with("given up") || world.pair.servers.len() > 1, "{id} has ended")
                }
            }
        }
        let strays = world.pair.client.counts().stray_answers + world.pair.server().counts().stray_answers;
        if world.given_up == 0 && world.pair.servers.len() == 1 {
            assert_eq!(strays, 0, "an answer came twice");
        }
    });
}
