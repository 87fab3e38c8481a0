//! A room with a history, which members join at any time over lines that are cut, while numbered and volatile frames are broadcast:
//! each gets exactly the last frames and then all later ones, and volatile ones in their places or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::SmallRng;
use rejoin_client::{Event, Frame};
use rejoin_server::{History, Server};
use tokio::time::{sleep, timeout};

use super::super::check::{Findings, Property};
use super::{Plan, in_paused_time};
use crate::harness::connect;
use crate::network::{Direction, Line};

/// Members of one room, and the broadcasts to it.
#[derive(Debug)]
pub(super) struct Newcomers {
    /// The frames that the room keeps.
    history: usize,
    buffer: usize,
    frames: Vec<Said>,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy)]
struct Said {
    at: Duration,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Numbered,
    Volatile,
    Latest,
}

#[derive(Debug, Clone)]
struct Member {
    joins: Duration,
    rewind: usize,
    latency: Duration,
    /// The average number of bytes between cuts.
    cuts: usize,
    seed: u64,
}

impl Plan for Newcomers {
    fn draw(rng: &mut SmallRng) -> Self {
        let count = rng.random_range(1..150);
        let mut frames: Vec<_> = (0..count)
            .map(|_| Said {
                at: Duration::from_millis(rng.random_range(0..5000)),
                kind: match rng.random_range(0..6) {
                    0 => Kind::Volatile,
                    1 => Kind::Latest,
                    _ => Kind::Numbered,
                },
            })
            .collect();
        frames.sort_by_key(|said| said.at);
        let members = (0..rng.random_range(1..6)).map(|_| Member {
            joins: Duration::from_millis(rng.random_range(0..6000)),
            rewind: [0, 1, 7, 40, 400][rng.random_range(0..5)],
            latency: Duration::from_millis(rng.random_range(0..=20)),
            cuts: [300, 2000, 10_000, 1 << 30][rng.random_range(0..4)],
            seed: rng.random(),
        });
        Self {
            members: members.collect(),
            history: [1, 5, 50, 500][rng.random_range(0..4)],
            // Always large enough for the broadcasts while a member is away.
            buffer: [150, 256][rng.random_range(0..2)],
            frames,
        }
    }

    fn play(self) -> Findings {
        in_paused_time(self.carry_out())
    }
}

/// The frames that a member has received.
#[derive(Debug, Default)]
struct Received {
    /// The indexes of the frames in the order of their broadcasts, and whether each is volatile.
    frames: Vec<(u64, bool)>,
    /// The number of numbered frames that were broadcast before the member dialled, and before it was connected.
    said: (u64, u64),
    /// The cuts kept it from resuming for the whole window. Nothing later is recorded.
    is_lost: bool,
    /// Forbidden events: a gap, an end.
    others: Vec<String>,
}

impl Newcomers {
    async fn carry_out(self) -> Findings {
        let server = Server::builder(connect)
            .send_buffer(self.buffer)
            .history(History::new().frames(self.history).age(Duration::from_secs(3600)))
            .build()
            .expect("the options are in their ranges");
        let said = Arc::new(AtomicU64::new(0));
        let members: Vec<_> = self
            .members
            .iter()
            .map(|member| tokio::spawn(receive(server.clone(), member.clone(), said.clone())))
            .collect();
        let start = tokio::time::Instant::now();
        for (place, each) in self.frames.iter().enumerate() {
            tokio::time::sleep_until(start + each.at).await;
            let frame = Frame::new("said", &place).expect("JSON takes it");
            let frame = match each.kind {
                Kind::Numbered => frame,
                Kind::Volatile => frame.volatile(),
                Kind::Latest => frame.latest("key"),
            };
            // Before the broadcast: a member that is connected in between may or may not have joined before it.
            said.fetch_add(u64::from(each.kind == Kind::Numbered), Ordering::Relaxed);
            server.broadcast("room", &frame).expect("it is not reserved");
        }
        // All have joined by then, and have sockets again.
        sleep(Duration::from_secs(400)).await;
        server.broadcast("room", &Frame::event_only("end")).expect("it is not reserved");
        let mut findings = Findings::default();
        for (member, receiving) in self.members.iter().zip(members) {
            match receiving.await {
                Ok(received) => self.judge(member, &received, &mut findings),
                Err(_) => findings.add(Property::End, "a member has panicked".into()),
            }
        }
        server.shutdown(Duration::from_secs(5)).await;
        findings
    }

    fn judge(&self, member: &Member, received: &Received, findings: &mut Findings) {
        let Received { frames, said, is_lost, others } = received;
        let mut wrong = |property, what: &str| {
            findings.add(property, format!("{what}: {member:?} got {received:?}"));
        };
        if !others.is_empty() {
            wrong(Property::NothingLostSilently, "unexpected");
        }
        if !frames.is_sorted_by(|one, next| one.0 < next.0) {
            wrong(Property::Order, "not in order, or twice");
        }
        let is = |place: u64, kind| self.frames.get(place as usize).is_some_and(|each| each.kind == kind);
        if frames.iter().any(|(place, is_volatile)| is(*place, Kind::Numbered) == *is_volatile) {
            wrong(Property::Genuine, "of another kind");
        }
        // The numbers of the numbered frames among themselves, from 1 on.
        let number = |place: u64| {
            self.frames[..=place as usize].iter().filter(|each| each.kind == Kind::Numbered).count() as u64
        };
        let numbers: Vec<_> =
            frames.iter().filter(|frame| !frame.1).map(|(place, _)| number(*place)).collect();
        let all = self.frames.iter().filter(|each| each.kind == Kind::Numbered).count() as u64;
        let has_last = *is_lost || numbers.last().is_none_or(|last| *last == all);
        if !numbers.is_sorted_by(|one, next| one + 1 == *next) || !has_last {
            wrong(Property::NothingLostSilently, "a frame is missing");
        }
        // The frames that it got in addition to later broadcasts.
        let rewound = member.rewind.min(self.history).min(self.buffer) as u64;
        let first = |said: u64| said.saturating_sub(rewound) + 1;
        let begins = numbers.first().copied().or_else(|| (!is_lost).then_some(all + 1));
        if begins.is_some_and(|begins| !(first(said.0)..=first(said.1)).contains(&begins)) {
            wrong(Property::Audiences, "not exactly the last frames");
        }
    }
}

/// Joins, and receives until the end.
async fn receive(server: Server, member: Member, said: Arc<AtomicU64>) -> Received {
    sleep(member.joins).await;
    let line = Line::to(&server);
    let mut received = Received { said: (said.load(Ordering::Relaxed), 0), ..Received::default() };
    let path = format!("/?rewind={}", member.rewind);
    let mut client = loop {
        match line.client(&path).connect().await {
            Ok(client) => break client,
            Err(error) => received.others.push(error.to_string()),
        }
    };
    received.said.1 = said.load(Ordering::Relaxed);
    for direction in Direction::BOTH {
        line.set_latency(direction, member.latency);
    }
    line.cut_at_random(member.seed, member.cuts);
    let mut is_healed = false;
    loop {
        let event =
            match timeout(Duration::from_secs(if is_healed { 1000 } else { 100 }), client.recv()).await {
                Ok(event) => event,
                // Quiet: the cuts may be over.
                Err(_) if !is_healed => {
                    line.heal();
                    is_healed = true;
                    continue;
                }
                Err(_) => None,
            };
        match event {
            Some(Event::Message(frame)) if frame.event() == "said" => {
                let place = frame.decode().expect("the server sends places");
                received.frames.push((place, frame.is_volatile()));
            }
            Some(Event::Message(_)) => break,
            Some(Event::SessionLost { .. }) => {
                received.is_lost = true;
                break;
            }
            Some(Event::Disconnected { .. } | Event::Reconnected { resumed: true }) => {}
            Some(event) => received.others.push(format!("{event:?}")),
            None => {
                received.others.push("no end".into());
                break;
            }
        }
    }
    client.close().await;
    received
}
