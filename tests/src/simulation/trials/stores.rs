//! Servers with a store, killed, stopped, shut down and started again, while clients talk to each other through them, and while the
//! store fails in every way: each input is handled once, and each output is delivered once and in order.

mod handler;
mod judge;
mod member;
mod play;
mod process;
mod routes;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use rand::Rng as _;
use rand::rngs::SmallRng;
use rejoin_server::{Durability, Overflow, Server};
use rejoin_store::{
    Fault, FaultRates, LogId, MemoryStore, Position, ReadLimit, Record, Store as _, TailFault,
};
use tokio::time::Instant;

use super::super::check::{Findings, Property};
use super::{Plan, in_paused_time};
use crate::harness::connect;
use crate::network::Condition;
use member::{Input, Kind, Member};
use play::Process;
use process::{Life, Sealed};
use routes::Routes;

/// Longer than any plan needs.
const PATIENCE: Duration = Duration::from_secs(600);

/// Clients in rooms, and the faults of their servers and their store.
#[derive(Debug)]
pub(super) struct Stores {
    members: Vec<Member>,
    /// Number of servers that share the store at the same time.
    servers: usize,
    /// When a server itself broadcasts to everyone, and which server.
    said: Vec<(Duration, usize)>,
    /// The faults of the servers.
    steps: Vec<(Duration, usize, Step)>,
    /// When a client moves to another server: which client, to which server, and the condition of its old connection.
    moves: Vec<(Duration, usize, usize, Option<Condition>)>,
    /// Everything is healed after this time.
    span: Duration,
    /// Faults of the store from the start, in thousandths of each kind, and their longest delay.
    faults: u16,
    delay: Duration,
    is_sick_at_first: bool,
    /// Whether the servers use `Durability::Handover`.
    hands_over: bool,
    buffer: usize,
    overflow: Overflow,
    /// The realm of all members.
    realm: &'static str,
    seed: u64,
}

/// A fault of the server.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It dies, and is started again after a while.
    Kill { death: Death, how: Gone, down: Duration },
    /// It is shut down, and started again. It may be killed before the shutdown is complete.
    Stop { killed: Option<Duration>, down: Duration },
    /// It is stopped for a while.
    Pause(Duration),
    /// All lines are cut.
    Cut,
}

#[derive(Debug, Clone, Copy)]
enum Death {
    /// At this moment.
    Now,
    /// At a call of the store: the number of calls before it, and whether the store applies it.
    WithCall(u64, bool),
}

/// How the clients and the store notice a death.
#[derive(Debug, Clone, Copy)]
struct Gone {
    /// They do not: the whole machine is gone.
    is_silent: bool,
    /// The store knows at once that the process is dead, and does not wait for its lease.
    is_known: bool,
}

fn millis(rng: &mut SmallRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

impl Step {
    fn draw(rng: &mut SmallRng) -> Self {
        let down = if rng.random_range(0..3) == 0 { millis(rng, 0..5000) } else { millis(rng, 0..300) };
        match rng.random_range(0..10) {
            0 => Self::Cut,
            1 => Self::Pause(millis(rng, 1..20_000)),
            2 | 3 => Self::Stop { killed: rng.random::<bool>().then(|| millis(rng, 0..200)), down },
            _ => Self::Kill {
                death: match rng.random_range(0..4) {
                    0 => Death::Now,
                    _ => Death::WithCall(rng.random_range(0..60), rng.random()),
                },
                how: Gone { is_silent: rng.random_range(0..4) == 0, is_known: rng.random_range(0..5) > 0 },
                down,
            },
        }
    }
}

impl Plan for Stores {
    fn draw(rng: &mut SmallRng) -> Self {
        let members = rng.random_range(1..=5);
        let span = rng.random_range(2000..20_000);
        // Some plans are long enough for checkpoints.
        let most = if rng.random_range(0..12) == 0 { 800 } else { 60 };
        let members = (0..members).map(|_| {
            let count = rng.random_range(1..most);
            let pace = span / count;
            let buffer = [4, 64, 4096][rng.random_range(0..3)];
            let inputs = (0..count).map(|_| Input {
                pause: match rng.random_range(0..3) {
                    0 => Duration::ZERO,
                    _ => millis(rng, 0..pace * 3 + 2),
                },
                kind: match Kind::draw(rng, members) {
                    // Its answer would wait for capacity, or behind more than the server reads ahead, and that for the handler.
                    Kind::AskBack if buffer < 4096 || most > 60 => Kind::Echo,
                    // It would wait for capacity, and be sent after inputs that follow it.
                    Kind::Ask if buffer < 4096 => Kind::Echo,
                    kind => kind,
                },
            });
            let inputs = inputs.collect();
            Member {
                room: rng.random_range(0..2),
                latency: millis(rng, 0..20),
                cuts: [400, 3000, 10_000, 1 << 30, 1 << 30][rng.random_range(0..5)],
                seed: rng.random(),
                buffer,
                inputs,
            }
        });
        let members: Vec<_> = members.collect();
        let servers = rng.random_range(1..=2);
        let said = (0..rng.random_range(0..20)).map(|_| (millis(rng, 0..span), rng.random_range(0..servers)));
        let mut said: Vec<_> = said.collect();
        said.sort();
        let most = if servers == 1 { 8 } else { 4 };
        let steps = (0..rng.random_range(1..most))
            .map(|_| (millis(rng, 0..span), rng.random_range(0..servers), Step::draw(rng)));
        let mut steps: Vec<_> = steps.collect();
        steps.sort_by_key(|(at, ..)| *at);
        let moves = if servers == 1 { 0 } else { rng.random_range(0..30) };
        let moves = (0..moves).map(|_| {
            let how = match rng.random_range(0..6) {
                0 => None,
                1 => Some(Condition::HalfOpen),
                2 => Some(Condition::Finished),
                _ => Some(Condition::Reset),
            };
            (millis(rng, 0..span), rng.random_range(0..members.len()), rng.random_range(0..servers), how)
        });
        let mut moves: Vec<_> = moves.collect();
        moves.sort_by_key(|(at, ..)| *at);
        Self {
            members,
            servers,
            said,
            steps,
            moves,
            span: Duration::from_millis(span),
            faults: [0, 0, 10, 40, 100][rng.random_range(0..5)],
            delay: millis(rng, 1..500),
            is_sick_at_first: rng.random(),
            hands_over: false,
            buffer: 8192,
            overflow: [Overflow::DropOldest, Overflow::DropNewest][rng.random_range(0..2)],
            seed: rng.random(),
            realm: ["", "", "tenant"][rng.random_range(0..3)],
        }
    }

    fn play(self) -> Findings {
        self.play_aloud(None)
    }
}

/// The same with `Durability::Handover`.
#[derive(Debug)]
pub(super) struct Handover(pub(super) Stores);

impl Plan for Handover {
    fn draw(rng: &mut SmallRng) -> Self {
        let mut plan = Stores::draw(rng);
        plan.hands_over = true;
        // A session does not move.
        plan.servers = 1;
        plan.moves.clear();
        plan.said.iter_mut().for_each(|(_, server)| *server = 0);
        for (_, server, step) in &mut plan.steps {
            *server = 0;
            // A crash loses sessions.
            if let Step::Kill { down, .. } | Step::Stop { down, .. } = *step {
                *step = Step::Stop { killed: None, down };
            }
        }
        for input in plan.members.iter_mut().flat_map(|member| &mut member.inputs) {
            // A shutdown drops a handler that waits for its client. The next process runs it again, and its state is not rolled back.
            if let Kind::AskBack = input.kind {
                input.kind = Kind::Echo;
            }
        }
        Self(plan)
    }

    fn play(self) -> Findings {
        self.0.play()
    }
}

/// Called with each line of the log.
pub(super) type Listener = Box<dyn Fn(&str) + Send + Sync>;

/// The state that all parts of a run share.
#[derive(Clone)]
struct Run(Arc<Shared>);

struct Shared {
    store: MemoryStore,
    start: Instant,
    findings: Mutex<Findings>,
    runs: AtomicU64,
    is_over: AtomicBool,
    /// The caller is the checker: it meets no faults.
    is_checking: Arc<AtomicBool>,
    listener: Option<Listener>,
    hands_over: bool,
}

impl Run {
    fn log(&self, line: impl FnOnce() -> String) {
        if let Some(listener) = &self.0.listener {
            listener(&format!("{:>9.4} {}", self.0.start.elapsed().as_secs_f64(), line()));
        }
    }

    fn wrong(&self, property: Property, text: String) {
        if self.is_over() {
            return;
        }
        self.log(|| format!("WRONG: {text}"));
        self.0.findings.lock().unwrap_or_else(PoisonError::into_inner).add(property, text);
    }

    fn begin_run(&self) -> u64 {
        self.0.runs.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    /// Asks the store itself, which answers at once.
    fn ask_store<T>(&self, call: impl Future<Output = T>) -> T {
        self.0.is_checking.store(true, Ordering::Relaxed);
        let answer = call.now_or_never().expect("without faults a store in memory answers at once");
        self.0.is_checking.store(false, Ordering::Relaxed);
        answer
    }

    /// Acknowledged inputs have to be in the store.
    fn check_committed(&self, client: usize, n: u64) {
        if self.0.hands_over {
            return;
        }
        let records = self.records();
        let record = records.iter().find(|record| *record.id == *format!("c{client}"));
        let count = record.map_or(0, |record| handler::count(Some(&record.state)));
        if count < n {
            let text = format!("c{client}: {n} is acknowledged, and the store has {count}");
            self.wrong(Property::Effects, text);
        }
    }

    /// The records of all logs.
    fn records(&self) -> Vec<Record> {
        let of = |log| self.ask_store(self.0.store.records(log, None, usize::MAX)).unwrap_or_default();
        self.0.store.logs().into_iter().flat_map(of).collect()
    }

    /// No commit of an earlier life of a writer comes after one of a later life.
    fn check_owners(&self) {
        self.0.store.logs().into_iter().for_each(|log| self.check_owners_of(log));
    }

    fn check_owners_of(&self, log: LogId) {
        let (_, last) = self.ask_store(self.0.store.bounds(log)).unwrap_or_default();
        let after = Position { offset: 0, ..last };
        let all = ReadLimit { entries: usize::MAX, bytes: usize::MAX };
        let Ok(page) = self.ask_store(self.0.store.read(log, after, all)) else { return };
        let mut epochs = std::collections::HashMap::new();
        for entry in page.entries {
            let epoch = epochs.entry(entry.writer).or_insert(entry.epoch);
            if entry.epoch < *epoch {
                let text = format!("entry {:?} is of epoch {}, after {epoch}", entry.position, entry.epoch);
                self.wrong(Property::Owner, text);
            }
            *epoch = entry.epoch;
        }
    }
}

impl Stores {
    /// Performs the plan, and logs its progress.
    pub(super) fn play_aloud(self, listener: Option<Listener>) -> Findings {
        in_paused_time(async move {
            let store = MemoryStore::new();
            let run = Run(Arc::new(Shared {
                store,
                start: Instant::now(),
                findings: Mutex::default(),
                runs: AtomicU64::new(0),
                is_over: AtomicBool::new(false),
                is_checking: Arc::default(),
                listener,
                hands_over: self.hands_over,
            }));
            self.carry_out(&run).await;
            let mut findings = run.0.findings.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *findings)
        })
    }

    fn sicken(&self, run: &Run) {
        let rates = FaultRates { each: self.faults, delay: self.delay };
        let (mut calls, mut tails) = (rates.calls(self.seed), rates.tails(self.seed));
        let (checks, told) = (run.0.is_checking.clone(), run.clone());
        run.0.store.set_faults(move |call| {
            if checks.load(Ordering::Relaxed) {
                return Fault::None;
            }
            let fault = calls(call);
            if fault != Fault::None {
                told.log(|| format!("{call:?}: {fault:?}"));
            }
            fault
        });
        let told = run.clone();
        run.0.store.set_tail_faults(move || {
            let fault = tails();
            if fault != TailFault::None {
                told.log(|| format!("tail: {fault:?}"));
            }
            fault
        });
    }

    /// Starts a server.
    fn start(&self, run: &Run, routes: &Routes, index: usize) -> Process {
        run.log(|| format!("n{index} starts"));
        let how = Arc::new(Mutex::new(Gone { is_silent: false, is_known: true }));
        let (cut, told, gone) = (routes.clone(), run.clone(), how.clone());
        let life = Life::new(move || {
            told.log(|| format!("n{index} dies"));
            let how = *gone.lock().unwrap_or_else(PoisonError::into_inner);
            cut.die(index, how.is_silent);
        });
        let (to_run, lives) = (run.clone(), life.clone());
        let server = Server::builder(connect)
            .on_message(move |connection, frame| {
                handler::handle(to_run.clone(), lives.clone(), connection, frame)
            })
            .store(Sealed { store: run.0.store.clone(), life: life.clone() })
            .node(format!("n{index}"))
            .durability(if self.hands_over { Durability::Handover } else { Durability::Commit })
            .resume_window(Some(Duration::from_secs(600)))
            .heartbeat(Duration::from_secs(1), Duration::from_secs(3))
            .send_buffer(self.buffer)
            .broadcast_overflow(self.overflow)
            .build()
            .expect("the options are in their ranges");
        routes.start(index, &server);
        Process { life, server, how }
    }
}
