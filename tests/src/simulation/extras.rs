//! Questions, presence, limits, credentials and drains in a [schedule](super::schedule), drawn with separate random numbers, so that
//! the rest of a schedule does not depend on them; and [`Note`], their entries in a history.

use std::fmt;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::history::{FrameNo, SessionNo};

/// The options of a server that only some schedules have.
#[derive(Debug, Clone, Default)]
pub(super) struct Extras {
    pub(super) max_connections: Option<usize>,
    pub(super) max_per_user: Option<usize>,
    pub(super) max_members: Option<usize>,
    /// Frames per second of a connection; more have to wait.
    pub(super) frame_rate: Option<u64>,
    /// The longest time, in milliseconds, for which credentials are valid.
    pub(super) validity: Option<u64>,
}

/// An action that only some schedules have.
#[derive(Debug, Clone)]
pub(super) enum Extra {
    /// A question to the server, or to the client.
    Ask { seat: usize, by_server: bool, size: usize },
    /// The server ends the session for good.
    Forbid { seat: usize },
    /// The server wants to see credentials again.
    Reauthenticate { seat: usize },
    /// The server drains at this pace, per second.
    Drain { pace: u32 },
}

/// The extras of the servers and the actions of a schedule with this seed. `restart` is when the first server shuts down.
pub(super) fn draw(
    seed: u64,
    seats: usize,
    count: usize,
    span: u64,
    restart: Option<Duration>,
) -> ([Extras; 2], Vec<(Duration, Extra)>) {
    let rng = &mut SmallRng::seed_from_u64(seed ^ 0x5eed);
    let servers = [Extras::new(rng, seats), Extras::new(rng, seats)];
    let mut acts = Vec::new();
    let asks = if rng.random() { count / 3 } else { 0 };
    for _ in 0..asks {
        let size = rng.random_range(0..40);
        let act = Extra::Ask { seat: rng.random_range(0..seats), by_server: rng.random(), size };
        acts.push((Duration::from_millis(rng.random_range(0..span)), act));
    }
    let dismissals = if rng.random_range(0..3) == 0 { rng.random_range(1..=3) } else { 0 };
    for _ in 0..dismissals {
        let seat = rng.random_range(0..seats);
        let forbids = rng.random_range(0..4) == 0;
        let act = if forbids { Extra::Forbid { seat } } else { Extra::Reauthenticate { seat } };
        acts.push((Duration::from_millis(rng.random_range(0..span)), act));
    }
    if let Some(restart) = restart
        && rng.random_range(0..4) > 0
    {
        let early = Duration::from_millis(rng.random_range(0..10_000));
        acts.push((restart.saturating_sub(early), Extra::Drain { pace: rng.random_range(1..=100) }));
    }
    (servers, acts)
}

impl Extras {
    fn new(rng: &mut SmallRng, seats: usize) -> Self {
        let mut limit = |most: usize| (rng.random_range(0..4) == 0).then(|| rng.random_range(1..=most));
        let (max_connections, max_per_user, max_members) = (limit(seats), limit(2), limit(seats));
        Self {
            max_connections,
            max_per_user,
            max_members,
            frame_rate: (rng.random_range(0..4) == 0).then(|| rng.random_range(20..200)),
            validity: (rng.random_range(0..3) == 0).then(|| rng.random_range(100..20_000)),
        }
    }
}

/// History entries about questions, presence, limits, credentials and drains.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a checker has to know each")]
pub enum Note {
    /// An application answers a question with a frame that is offered next.
    Answers {
        /// The question.
        question: FrameNo,
        /// The answer.
        answer: FrameNo,
    },
    /// The answer to a question has come.
    Replied {
        /// The question.
        question: FrameNo,
        /// The answer.
        answer: FrameNo,
    },
    /// `on_join`
    Join {
        /// The session.
        session: SessionNo,
        /// The room.
        room: usize,
    },
    /// `on_leave`
    Leave {
        /// The session.
        session: SessionNo,
        /// The room.
        room: usize,
    },
    /// `on_away`, or `on_back`.
    Presence {
        /// The session.
        session: SessionNo,
        /// Whether it is `on_away`.
        away: bool,
    },
    /// At rest: the rooms of a session, and whether each room's list of members shows it as away.
    Rooms {
        /// The session.
        session: SessionNo,
        /// In ascending order.
        rooms: Vec<(usize, bool)>,
    },
    /// The limits of a server: connections, connections per user, members per room.
    Limits {
        /// The server.
        server: usize,
        /// `usize::MAX` is none.
        most: [usize; 3],
    },
    /// How many connections a server has, and how many at most belong to a user and to a room.
    Census {
        /// The server.
        server: usize,
        /// In the order of the limits.
        found: [usize; 3],
    },
    /// A limit was reached by a request.
    Limited {
        /// The limit.
        limit: &'static str,
        /// The session that the request offered to resume.
        resumed: Option<SessionNo>,
    },
    /// `ConnectFn` accepts credentials for a session, until this time. `None` is for ever.
    Valid {
        /// The session.
        session: SessionNo,
        /// Since the start of the simulation.
        until: Option<Duration>,
        /// Whether the session outlives its socket.
        resumable: bool,
    },
    /// A session has a socket.
    Attached {
        /// The session.
        session: SessionNo,
    },
    /// `Connection::reauthenticate` has closed a socket.
    Reauthenticated {
        /// The session.
        session: SessionNo,
    },
    /// `Connection::forbid` has ended a session.
    Forbidden {
        /// The session.
        session: SessionNo,
    },
    /// `Server::drain` was called.
    Draining {
        /// The server.
        server: usize,
    },
    /// The drain is over.
    Drained {
        /// The server.
        server: usize,
        /// How many sessions had a socket then.
        attached: usize,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers { question, answer } => write!(f, "    {question}: answered with {answer}"),
            Self::Replied { question, answer } => write!(f, "    {question}: the answer {answer} has come"),
            Self::Join { session, room } => write!(f, "s{session}: join {room}"),
            Self::Leave { session, room } => write!(f, "s{session}: leave {room}"),
            Self::Presence { session, away: true } => write!(f, "s{session}: away"),
            Self::Presence { session, away: false } => write!(f, "s{session}: back"),
            Self::Rooms { session, rooms } => write!(f, "s{session}: in rooms {rooms:?}"),
            Self::Limits { server, most } => write!(f, "server {server} has the limits {most:?}"),
            Self::Census { server, found } => write!(f, "server {server} has {found:?}"),
            Self::Limited { limit, resumed } => write!(f, "the limit {limit} is reached by {resumed:?}"),
            Self::Valid { session, until, resumable: _ } => write!(f, "s{session}: valid until {until:?}"),
            Self::Attached { session } => write!(f, "s{session}: attached"),
            Self::Reauthenticated { session } => write!(f, "s{session}: reauthenticated"),
            Self::Forbidden { session } => write!(f, "s{session}: forbidden"),
            Self::Draining { server } => write!(f, "server {server} drains"),
            Self::Drained { server, attached } => {
                write!(f, "server {server} has drained, {attached} attached")
            }
        }
    }
}
