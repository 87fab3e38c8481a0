//! Messages about as large as the total limit of all sessions, to members that keep up, stall, or are away.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::SmallRng;
use rejoin_client::Event;
use rejoin_server::{CloseReason, Connection, Frame, Server};
use tokio::time::sleep;

use super::super::check::{Findings, Property};
use super::peer::{Peer, request};
use super::{Plan, in_paused_time};
use crate::harness::connect;
use crate::network::{Direction, Line};

/// An upper bound of the bytes that a suspended session counts for beside its frames, and a message beside its payload.
const BESIDE: usize = 1024;

/// Within this time every frame is written and acknowledged.
const SETTLES: Duration = Duration::from_secs(3);

/// Longer than a trial takes.
const TRIAL: Duration = Duration::from_secs(300);

/// Members of two rooms, and the messages to them.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    members: Vec<Member>,
    sends: Vec<Send>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    kind: Kind,
    plain: bool,
    /// Whether it is in the room of the broadcasts.
    in_room: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Healthy,
    /// Its socket accepts nothing.
    Stalled,
    Suspended,
}

#[derive(Debug, Clone, Copy)]
struct Send {
    /// To one member; `None` is a broadcast.
    to: Option<usize>,
    size: usize,
}

/// The log of a trial.
#[derive(Debug, Default)]
struct Log {
    evicted: BTreeSet<String>,
    /// The numbers that each client has received.
    received: Vec<Vec<usize>>,
    /// The clients' events other than messages.
    strange: Vec<String>,
}

type Logs = Arc<Mutex<Log>>;

/// The state before a message is sent.
struct Before {
    retained: usize,
    evicted: usize,
    /// The maximum that suspended sessions count for beside their frames.
    beside: usize,
    /// The maximum that evicting all of them could free.
    reclaimable: usize,
}

impl Plan for Memory {
    fn draw(rng: &mut SmallRng) -> Self {
        let limit = rng.random_range(50_000..400_000);
        let stalls = rng.random_range(0..4) == 0;
        let members = (0..rng.random_range(3..=9)).map(|_| Member {
            kind: match rng.random_range(0..10) {
                0 if stalls => Kind::Stalled,
                0..6 => Kind::Healthy,
                _ => Kind::Suspended,
            },
            plain: rng.random(),
            in_room: rng.random_range(0..3) > 0,
        });
        let members: Vec<_> = members.collect();
        let sends = (0..rng.random_range(4..=9)).map(|_| Send {
            to: rng.random_range(0..2).eq(&0).then(|| rng.random_range(0..members.len())),
            size: match rng.random_range(0..4) {
                0 => rng.random_range(1..2_000),
                1 => rng.random_range(limit..limit * 3 / 2),
                _ => rng.random_range(limit / 8..limit),
            },
        });
        Self { limit, sends: sends.collect(), members }
    }

    fn play(self) -> Findings {
        in_paused_time(self.carry_out())
    }
}

fn id(index: usize) -> String {
    format!("m{index}")
}

impl Memory {
    async fn carry_out(self) -> Findings {
        let logs = Logs::default();
        let noted = logs.clone();
        let server = Server::builder(connect).max_retained_bytes(self.limit).max_message_size(1 << 20);
        // Stalled members keep their sockets for a whole trial, and no client returns.
        let server = server.write_timeout(Duration::from_secs(30)).resume_window(TRIAL * 2);
        let server = server.heartbeat(TRIAL, TRIAL * 2);
        let server = server.on_disconnect(move |one, why| {
            if why == CloseReason::Evicted {
                lock(&noted).evicted.insert(one.id().to_owned());
            }
            async {}
        });
        let server = server.build().expect("the options are in their ranges");
        let mut sessions = Vec::new();
        let mut lines = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            lock(&logs).received.push(Vec::new());
            // A socket that keeps up accepts any message at once.
            let takes = if member.kind == Kind::Healthy { 4 << 20 } else { 8 << 10 };
            let line = Line::to(&server).with_capacity(takes);
            lines.push(join(*member, index, &line, &logs).await);
            sessions.push(server.connection(&id(index)).expect("it has connected"));
        }
        sleep(SETTLES).await;
        let mut findings = Findings::default();
        for (number, send) in self.sends.iter().enumerate() {
            let before = self.look(&server, &sessions, &logs);
            let frame = Frame::new("n", &(number, "x".repeat(send.size))).expect("JSON takes it");
            let sent = match send.to {
                None => server.broadcast("here", &frame).is_ok(),
                Some(index) => sessions[index].is_open() && sessions[index].send(&frame).is_ok(),
            };
            sleep(SETTLES).await;
            self.judge(
                number,
                *send,
                sent,
                &before,
                &self.look(&server, &sessions, &logs),
                &logs,
                &mut findings,
            );
        }
        findings
    }

    fn look(&self, server: &Server, sessions: &[Connection], logs: &Logs) -> Before {
        let suspended = sessions.iter().filter(|one| one.is_open() && !one.is_attached());
        Before {
            beside: suspended.clone().count() * BESIDE,
            retained: server.stats().retained_bytes,
            evicted: lock(logs).evicted.len(),
            reclaimable: suspended.map(|one| one.counts().retained_bytes + BESIDE).sum(),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one message, from before to after")]
    fn judge(
        &self,
        number: usize,
        send: Send,
        sent: bool,
        before: &Before,
        after: &Before,
        logs: &Logs,
        findings: &mut Findings,
    ) {
        let mut log = lock(logs);
        let mut add = |text| findings.add(Property::Memory, format!("message {number}, {send:?}: {text}"));
        for strange in log.strange.drain(..) {
            add(strange);
        }
        let size = send.size + BESIDE;
        let addressed = |index: usize| match send.to {
            None => self.members[index].in_room,
            Some(to) => to == index,
        };
        for (index, member) in self.members.iter().enumerate() {
            let received = log.received[index].contains(&number);
            // A message to one member in session mode counts until it is acknowledged, so that it may be refused.
            let must = send.to.is_none() || member.plain || before.retained + size <= self.limit;
            if member.kind == Kind::Healthy && addressed(index) && must && !received {
                add(format!("{} keeps up, and did not receive it", id(index)));
            }
        }
        let evicted = after.evicted - before.evicted;
        let keeps = |(index, member): (usize, &Member)| {
            addressed(index) && (member.kind != Kind::Healthy || !member.plain)
        };
        if evicted > 0 {
            if !self.members.iter().enumerate().any(keeps) {
                add(format!("{evicted} evicted for sockets that take it"));
            }
            if before.retained + before.beside + size <= self.limit {
                add(format!("{evicted} evicted, although it fits"));
            }
            if before.retained + send.size > self.limit + before.reclaimable {
                add(format!(
                    "{evicted} evicted in vain of {} B, with {} B kept",
                    before.reclaimable, before.retained
                ));
            }
        }
        // A member that is away gets a message that fits once other sessions have been evicted.
        if let Some(to) = send.to
            && self.members[to].kind == Kind::Suspended
            && !log.evicted.contains(&id(to))
            && !sent
            && evicted == 0
            && before.retained + size
                <= self.limit + before.reclaimable.saturating_sub(BESIDE * self.members.len())
        {
            add(format!("refused, although {} B could be reclaimed", before.reclaimable));
        }
        let over = after.retained.saturating_sub(self.limit);
        if over > 0 && over + BESIDE * self.members.len() < after.reclaimable {
            add(format!("{over} B over the bound, although {} B could be reclaimed", after.reclaimable));
        }
    }
}

fn lock(logs: &Logs) -> std::sync::MutexGuard<'_, Log> {
    logs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects a member. A healthy one logs the messages that it receives.
async fn join(member: Member, index: usize, line: &Line, logs: &Logs) -> Line {
    let room = if member.in_room { "here" } else { "elsewhere" };
    let query = format!("room={room}&id={}", id(index));
    if member.kind != Kind::Healthy {
        let (codec, sign) = if member.plain { ("", "\r\n\r\n") } else { ("rejoin.v1.json", "$open") };
        let peer = Peer::open(line, &request(&query, codec), sign).await;
        if member.kind == Kind::Stalled {
            line.stall(Direction::ToClient);
            tokio::spawn(async move {
                let _socket = peer;
                std::future::pending::<()>().await;
            });
        }
        return line.clone();
    }
    let client = line.client(&format!("/?{query}"));
    let client = client.heartbeat(TRIAL, TRIAL * 2);
    let client = if member.plain { client.plain() } else { client };
    let mut client = client.connect().await.expect("dials are served");
    let logs = logs.clone();
    tokio::spawn(async move {
        while let Some(event) = client.recv().await {
            match event {
                Event::Message(frame) => {
                    let (number, _) = frame.decode::<(usize, String)>().expect("it is ours");
                    lock(&logs).received[index].push(number);
                }
                Event::Gap(gap) if !member.plain => {
                    lock(&logs).strange.push(format!("{} has a gap {gap:?}", id(index)));
                }
                other => lock(&logs).strange.push(format!("{}: {other:?}", id(index))),
            }
        }
    });
    line.clone()
}
