//! [`Schedule`]: the actions of one simulation and their times, all generated from one seed.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rejoin_server::{DuplicateId, Overflow};

use super::extras::{self, Extra, Extras};
use super::history::How;
use crate::harness::codecs;
use crate::network::{Condition, Dials, Direction};

/// The size of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Size {
    /// One or two clients, some dozens of steps.
    Small,
    /// Up to six clients, up to hundreds of steps.
    Full,
    /// Dozens of clients, dozens of steps for each: for [sockets](super::Crowd).
    Crowd,
}

/// The actions and their times.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) servers: Vec<ServerOptions>,
    pub(super) seats: Vec<Seat>,
    pub(super) steps: Vec<(Duration, Step)>,
    /// The seed of decisions during the simulation, in handlers, `ConnectFn` and lines.
    pub(super) seed: u64,
}

/// The options of one run of the server.
#[derive(Debug, Clone)]
pub(super) struct ServerOptions {
    pub(super) buffer: usize,
    pub(super) buffer_bytes: usize,
    pub(super) window: Duration,
    pub(super) heartbeat: (Duration, Duration),
    pub(super) write_timeout: Duration,
    pub(super) close_timeout: Duration,
    pub(super) overflow: Overflow,
    pub(super) broadcast_overflow: Overflow,
    pub(super) max_retained: usize,
    pub(super) duplicate: DuplicateId,
    /// The maximum duration of a handler.
    pub(super) slow: Duration,
    /// The percentage of messages that are answered.
    pub(super) answers: u32,
    /// The percentage of requests that are refused or delayed.
    pub(super) refuses: u32,
    /// The maximum delay.
    pub(super) waits: Duration,
    /// The send buffer of the operating system for each socket; `None` leaves it to the system.
    pub(super) socket_buffer: Option<u32>,
    pub(super) extras: Extras,
}

/// A seat: one line, and the options of the clients that use it, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub(super) room: usize,
    /// The connection ID that they claim; `None` for a random one.
    pub(super) id: Option<usize>,
    pub(super) plain: bool,
    pub(super) codec: usize,
    pub(super) capacity: usize,
    pub(super) buffer: usize,
    pub(super) buffer_bytes: usize,
    pub(super) heartbeat: (Duration, Duration),
    pub(super) write_timeout: Duration,
    pub(super) close_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) reconnect: Option<(Duration, Duration)>,
    pub(super) overflow: Overflow,
    /// The maximum time that its application takes for each event.
    pub(super) slow: Duration,
    /// Random cuts of its line, after this many bytes on average.
    pub(super) cuts: Option<usize>,
}

/// An action.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Connect {
        seat: usize,
    },
    ToServer {
        seat: usize,
        how: How,
        size: usize,
        count: usize,
        patience: Option<Duration>,
    },
    ToClient {
        seat: usize,
        how: How,
        size: usize,
        count: usize,
        patience: Option<Duration>,
    },
    Broadcast {
        room: usize,
        overflow: Option<Overflow>,
        size: usize,
        count: usize,
    },
    /// A broadcast to other audiences than a room.
    Tell {
        audience: Audience,
        overflow: Option<Overflow>,
        size: usize,
    },
    Join {
        seat: usize,
        room: usize,
    },
    LeaveRoom {
        seat: usize,
        room: usize,
    },
    Latency {
        seat: usize,
        direction: Direction,
        latency: Duration,
    },
    Rate {
        seat: usize,
        direction: Direction,
        rate: Option<u32>,
    },
    Fail {
        seat: usize,
        how: Condition,
    },
    FailAfter {
        seat: usize,
        direction: Direction,
        bytes: usize,
        how: Condition,
    },
    Stall {
        seat: usize,
        direction: Direction,
        stalled: bool,
    },
    Dials {
        seat: usize,
        dials: Dials,
    },
    Kick {
        seat: usize,
    },
    Cut {
        seat: usize,
    },
    Close {
        seat: usize,
        code: u16,
    },
    Leave {
        seat: usize,
        abort: bool,
    },
    Reads {
        seat: usize,
        reads: bool,
    },
    Restart {
        crash: bool,
        down: Duration,
    },
    Extra(Extra),
}

/// An audience, with seats instead of sessions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Audience {
    Rooms(usize, usize),
    Others(usize, usize),
    Outside(usize),
    Everyone,
}

/// The minimum size of a frame beside its padding, in any codec.
pub(super) const FRAME_OVERHEAD: usize = 64;

/// The largest padding.
pub(super) const MAX_PADDING: usize = 3000;

/// Rooms.
pub(super) const ROOMS: usize = 3;

impl Schedule {
    /// Generates a schedule, which is the same for the same seed and size on every machine.
    pub(super) fn new(seed: u64, size: Size) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let rng = &mut rng;
        let seats = match size {
            Size::Small => rng.random_range(1..=2),
            Size::Full => rng.random_range(1..=6),
            Size::Crowd => rng.random_range(30..=100),
        };
        let rooms = rng.random_range(1..=ROOMS.min(seats));
        let ids = rng.random_range(0..3) == 0;
        let seats: Vec<_> = (0..seats).map(|index| Seat::new(rng, index, rooms, ids)).collect();
        let (count, span) = match size {
            Size::Small => (rng.random_range(5..=40), rng.random_range(2_000..30_000)),
            Size::Full => (rng.random_range(20..=200), rng.random_range(5_000..120_000)),
            Size::Crowd => (seats.len() * rng.random_range(10..=40), rng.random_range(8_000..25_000)),
        };
        let restarts = rng.random_range(0..5) == 0;
        let mut steps: Vec<_> = (0..seats.len())
            .map(|seat| {
                let late = if rng.random_range(0..4) == 0 { span / 2 } else { 20 };
                (Duration::from_millis(rng.random_range(0..late)), Step::Connect { seat })
            })
            .collect();
        for _ in 0..count {
            let at = Duration::from_millis(rng.random_range(0..span));
            let step = Step::random(rng, &seats);
            // A stall is eventually released.
            let later = at + Duration::from_millis(rng.random_range(0..span / 2));
            match step {
                Step::Stall { seat, direction, .. } => {
                    steps.push((later, Step::Stall { seat, direction, stalled: false }));
                }
                Step::Dials { seat, .. } => steps.push((later, Step::Dials { seat, dials: Dials::Served })),
                Step::Reads { seat, .. } => steps.push((later, Step::Reads { seat, reads: true })),
                Step::Leave { seat, .. } => steps.push((later, Step::Connect { seat })),
                _ => {}
            }
            steps.push((at, step));
        }
        if restarts {
            let at = Duration::from_millis(rng.random_range(span / 4..span));
            let down = Duration::from_millis(rng.random_range(0..3_000));
            steps.push((at, Step::Restart { crash: rng.random(), down }));
        }
        steps.extend(memberships(seed, &seats, count, span));
        let mut servers: Vec<_> = (0..1 + usize::from(restarts)).map(|_| ServerOptions::new(rng)).collect();
        if size != Size::Crowd {
            // The times of these matter, and those of a crowd are not exact.
            let restart = steps.iter().find(|(_, step)| matches!(step, Step::Restart { crash: false, .. }));
            let (extras, acts) = extras::draw(seed, seats.len(), count, span, restart.map(|(at, _)| *at));
            for (server, extras) in servers.iter_mut().zip(extras) {
                server.extras = extras;
            }
            steps.extend(acts.into_iter().map(|(at, act)| (at, Step::Extra(act))));
        }
        steps.sort_by_key(|(at, _)| *at);
        Self { servers, seats, steps, seed: rng.random() }
    }
}

/// In every other schedule: sessions join and leave rooms, and frames are sent to several rooms, or to all but some. With random
/// numbers of its own, so that the rest of a schedule does not depend on it.
fn memberships(seed: u64, seats: &[Seat], count: usize, span: u64) -> Vec<(Duration, Step)> {
    let mut rng = SmallRng::seed_from_u64(!seed);
    let rng = &mut rng;
    let count = if rng.random() { count / 2 } else { 0 };
    let step = |rng: &mut SmallRng| {
        let (seat, room) = (rng.random_range(0..seats.len()), rng.random_range(0..ROOMS));
        match rng.random_range(0..8) {
            0..2 => Step::Join { seat, room },
            2 => Step::LeaveRoom { seat, room },
            _ => Step::Tell {
                audience: match rng.random_range(0..4) {
                    0 => Audience::Rooms(room, rng.random_range(0..ROOMS)),
                    1 => Audience::Others(room, seat),
                    2 => Audience::Outside(room),
                    _ => Audience::Everyone,
                },
                overflow: if rng.random() { Some(overflow(rng)) } else { None },
                size: size(rng),
            },
        }
    };
    (0..count).map(|_| (Duration::from_millis(rng.random_range(0..span)), step(rng))).collect()
}

fn millis(rng: &mut SmallRng, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

/// Mostly small sizes, which cause the interesting events.
fn buffer(rng: &mut SmallRng) -> usize {
    match rng.random_range(0..4) {
        0 => rng.random_range(1..=3),
        1 => rng.random_range(4..=16),
        _ => rng.random_range(17..=64),
    }
}

fn buffer_bytes(rng: &mut SmallRng) -> usize {
    if rng.random_range(0..4) == 0 { rng.random_range(100..6_000) } else { 1 << 20 }
}

fn heartbeat(rng: &mut SmallRng) -> (Duration, Duration) {
    let ping = rng.random_range(300..5_000);
    (Duration::from_millis(ping), Duration::from_millis(rng.random_range(ping + 200..ping + 10_000)))
}

fn overflow(rng: &mut SmallRng) -> Overflow {
    match rng.random_range(0..8) {
        0 => Overflow::Disconnect,
        1 => Overflow::DropNewest,
        2 | 3 => Overflow::DropOldest,
        _ => Overflow::Reject,
    }
}

/// The maximum time of a handler or of a slow reader.
fn slow(rng: &mut SmallRng) -> Duration {
    match rng.random_range(0..6) {
        0 | 1 => millis(rng, 500..=3_000),
        2 => millis(rng, 1..=100),
        _ => Duration::ZERO,
    }
}

impl ServerOptions {
    fn new(rng: &mut SmallRng) -> Self {
        Self {
            buffer: buffer(rng),
            buffer_bytes: buffer_bytes(rng),
            window: match rng.random_range(0..6) {
                0 => Duration::ZERO,
                1 => millis(rng, 100..=3_000),
                2 => Duration::MAX,
                _ => millis(rng, 5_000..=60_000),
            },
            heartbeat: heartbeat(rng),
            write_timeout: millis(rng, 500..=10_000),
            close_timeout: millis(rng, 500..=5_000),
            overflow: overflow(rng),
            broadcast_overflow: match rng.random_range(0..3) {
                0 => overflow(rng),
                _ => Overflow::DropOldest,
            },
            max_retained: match rng.random_range(0..5) {
                0 => rng.random_range(500..12_000),
                _ => 1 << 30,
            },
            duplicate: match rng.random_range(0..4) {
                0 => DuplicateId::Reject,
                1 => DuplicateId::Resume,
                _ => DuplicateId::Replace,
            },
            slow: slow(rng),
            answers: if rng.random() { rng.random_range(0..=60) } else { 0 },
            refuses: if rng.random_range(0..4) == 0 { rng.random_range(1..=20) } else { 0 },
            waits: Duration::from_secs(4),
            socket_buffer: None,
            extras: Extras::default(),
        }
    }
}

impl Seat {
    fn new(rng: &mut SmallRng, index: usize, rooms: usize, ids: bool) -> Self {
        let plain = rng.random_range(0..6) == 0;
        Self {
            room: rng.random_range(0..rooms),
            // Sometimes two clients claim the same ID.
            id: match rng.random_range(0..4) {
                0 => None,
                1 if ids => Some(0),
                _ => Some(index),
            },
            plain,
            // In plain mode the server uses its first codec.
            codec: if plain { 0 } else { rng.random_range(0..codecs().len()) },
            capacity: *[256, 1_000, 64 * 1024].choose(rng).expect("there are some"),
            buffer: buffer(rng),
            buffer_bytes: buffer_bytes(rng),
            heartbeat: heartbeat(rng),
            write_timeout: millis(rng, 500..=10_000),
            close_timeout: millis(rng, 500..=5_000),
            handshake_timeout: millis(rng, 500..=5_000),
            reconnect: match rng.random_range(0..10) {
                0 => None,
                _ => Some((millis(rng, 1..=500), millis(rng, 500..=4_000))),
            },
            overflow: overflow(rng),
            slow: slow(rng),
            cuts: if rng.random_range(0..4) == 0 { Some(rng.random_range(300..5_000)) } else { None },
        }
    }
}

impl Step {
    fn random(rng: &mut SmallRng, seats: &[Seat]) -> Self {
        let seat = rng.random_range(0..seats.len());
        let direction = if rng.random() { Direction::ToServer } else { Direction::ToClient };
        match rng.random_range(0..100) {
            0..30 => {
                let (how, size, count, patience) = Self::sends(rng);
                Self::ToServer { seat, how, size, count, patience }
            }
            30..56 => {
                let (how, size, count, patience) = Self::sends(rng);
                Self::ToClient { seat, how, size, count, patience }
            }
            56..66 => Self::Broadcast {
                room: seats[seat].room,
                overflow: if rng.random() { Some(overflow(rng)) } else { None },
                size: size(rng),
                count: rng.random_range(1..=6),
            },
            66..70 => Self::Latency { seat, direction, latency: millis(rng, 0..=400) },
            70..75 => Self::Fail { seat, how: condition(rng) },
            75..80 => {
                Self::FailAfter { seat, direction, bytes: rng.random_range(0..2_000), how: condition(rng) }
            }
            80..84 => Self::Stall { seat, direction, stalled: true },
            84..87 => {
                Self::Dials { seat, dials: if rng.random() { Dials::Refused } else { Dials::Swallowed } }
            }
            87..88 => Self::Kick { seat },
            88..91 => Self::Cut { seat },
            91..92 => Self::Close { seat, code: *[1000, 4001].choose(rng).expect("there are some") },
            92..94 => Self::Leave { seat, abort: rng.random() },
            94..98 => Self::Reads { seat, reads: false },
            _ => Self::Connect { seat },
        }
    }

    fn sends(rng: &mut SmallRng) -> (How, usize, usize, Option<Duration>) {
        let how = match rng.random_range(0..12) {
            0..5 => How::Send,
            5 => How::Reject,
            6 => How::DropOldest,
            7 => How::DropNewest,
            8 if rng.random_range(0..4) == 0 => How::Disconnect,
            8 | 9 => How::Wait,
            _ => How::Acked,
        };
        let (how, count) = match rng.random_range(0..24) {
            // More than all queues of a session can hold.
            0 => (How::Wait, rng.random_range(60..=250)),
            1..6 => (how, rng.random_range(1..=40)),
            _ => (how, rng.random_range(1..=4)),
        };
        let patience = (rng.random_range(0..4) == 0).then(|| millis(rng, 0..=1_500));
        (how, size(rng), count, patience)
    }
}

fn size(rng: &mut SmallRng) -> usize {
    match rng.random_range(0..10) {
        0 => rng.random_range(0..=MAX_PADDING),
        1..3 => rng.random_range(0..300),
        _ => rng.random_range(0..20),
    }
}

fn condition(rng: &mut SmallRng) -> Condition {
    match rng.random_range(0..5) {
        0 => Condition::HalfOpen,
        1 => Condition::Finished,
        _ => Condition::Reset,
    }
}
