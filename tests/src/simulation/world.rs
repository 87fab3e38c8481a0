//! [`World`]: the shared state of one simulation, which keeps the order of events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use rejoin_server::{Connection, Frame};
use serde::de::IgnoredAny;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::history::{ClientNo, Entry, FrameNo, History, SessionNo, What};

/// The longest close timeout of a schedule. The socket of a session that has ended may write for this time.
const CLOSES: Duration = Duration::from_secs(5);

/// The shared state of one simulation.
///
/// In memory everything runs on one thread, in an order that only the seed decides. With several threads, the history must be
/// just as exact about the order: a call that causes an event first draws a [`Ticket`]. Calls whose order matters to the checker
/// take turns: [`Turn`] for the calls to one session or client, [`Self::broadcasting`] for a broadcast and all sends. Calls to
/// different sessions, and everything that servers and clients do by themselves, run concurrently.
#[derive(Clone)]
pub(super) struct World {
    start: Instant,
    state: Arc<Mutex<State>>,
    broadcasting: Arc<RwLock<()>>,
    /// The number of threads that may send at the same moment.
    pub(super) threads: usize,
}

/// A place in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// Serializes the calls to one session or client.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn(Arc<Mutex<()>>);

impl Turn {
    /// Held only for the moment of a call: no task awaits anything meanwhile.
    pub(super) fn take(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Called with each entry and its number.
pub(super) type Listener = dyn Fn(usize, &Entry) + Send;

struct State {
    /// Sorted by tickets when it is taken.
    history: Vec<(Ticket, Entry)>,
    tickets: u64,
    listener: Box<Listener>,
    rng: SmallRng,
    frames: FrameNo,
    sessions: SessionNo,
    clients: ClientNo,
    /// Sessions that the application has seen.
    connections: BTreeMap<SessionNo, (ClientNo, Connection)>,
    /// When the application learned of the ends of sessions.
    ends: BTreeMap<SessionNo, Instant>,
    tasks: Vec<JoinHandle<()>>,
    /// Whether the simulation is calm: no application is slow or sends by itself.
    calm: bool,
}

impl World {
    pub(super) fn new(seed: u64, threads: usize, listener: Box<Listener>) -> Self {
        let state = State {
            history: Vec::new(),
            tickets: 0,
            listener,
            rng: SmallRng::seed_from_u64(seed),
            frames: 0,
            sessions: 0,
            clients: 0,
            connections: BTreeMap::new(),
            ends: BTreeMap::new(),
            tasks: Vec::new(),
            calm: false,
        };
        let (state, broadcasting) = (Arc::new(Mutex::new(state)), Arc::default());
        Self { start: Instant::now(), state, broadcasting, threads }
    }

    /// Records an event that happens now.
    pub(super) fn note(&self, what: What) {
        let mut state = self.lock();
        let ticket = state.ticket();
        state.note(ticket, Entry { at: self.start.elapsed(), what });
    }

    /// Draws a ticket for an event that is about to happen: none of its effects is recorded before it.
    pub(super) fn ticket(&self) -> Ticket {
        self.lock().ticket()
    }

    /// Records an event that has happened since the ticket was drawn.
    pub(super) fn note_at(&self, ticket: Ticket, what: What) {
        self.lock().note(ticket, Entry { at: self.start.elapsed(), what });
    }

    /// Guards a send against concurrent broadcasts. Held only for the moment of the call.
    pub(super) fn sending(&self) -> RwLockReadGuard<'_, ()> {
        self.broadcasting.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Guards a broadcast against concurrent sends and broadcasts. Held only for the moment of the call.
    pub(super) fn broadcasting(&self) -> RwLockWriteGuard<'_, ()> {
        self.broadcasting.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of entries so far.
    pub(super) fn entries(&self) -> usize {
        self.lock().history.len()
    }

    pub(super) fn take_history(&self) -> History {
        let mut entries = std::mem::take(&mut self.lock().history);
        entries.sort_by_key(|(ticket, _)| *ticket);
        History { entries: entries.into_iter().map(|(_, entry)| entry).collect() }
    }

    /// The time since the start.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) async fn sleep_until(&self, at: Duration) {
        tokio::time::sleep_until(self.start + at).await;
    }

    // --- chance

    /// Returns `true` with this probability in percent; never when it is calm.
    pub(super) fn chance(&self, percent: u32) -> bool {
        let mut state = self.lock();
        percent > 0 && !state.calm && state.rng.random_range(0..100) < percent
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        self.lock().rng.random_range(0..bound.max(1))
    }

    /// Sometimes sleeps for up to `most`; never when it is calm.
    pub(super) async fn dawdle(&self, most: Duration) {
        if !most.is_zero() && self.chance(40) {
            let most = u64::try_from(most.as_millis()).expect("it is short");
            tokio::time::sleep(Duration::from_millis(self.below(most + 1))).await;
        }
    }

    pub(super) fn is_calm(&self) -> bool {
        self.lock().calm
    }

    pub(super) fn calm_down(&self) {
        self.lock().calm = true;
    }

    // --- numbers

    /// Creates a frame with a new number.
    pub(super) fn frame(&self, padding: usize) -> (FrameNo, Frame) {
        let mut state = self.lock();
        state.frames += 1;
        let payload = (state.frames, "x".repeat(padding));
        (state.frames, Frame::new("n", &payload).expect("JSON can represent it"))
    }

    pub(super) fn new_session(&self) -> SessionNo {
        let mut state = self.lock();
        state.sessions += 1;
        state.sessions
    }

    pub(super) fn new_client(&self) -> ClientNo {
        let mut state = self.lock();
        state.clients += 1;
        state.clients
    }

    // --- look-ups

    pub(super) fn connected(&self, session: SessionNo, client: ClientNo, connection: Connection) {
        self.lock().connections.insert(session, (client, connection));
    }

    /// The latest session of a client that is still open.
    pub(super) fn session_of(&self, client: ClientNo) -> Option<Connection> {
        let state = self.lock();
        let mut sessions = state.connections.values().rev();
        sessions.find(|(whose, connection)| *whose == client && connection.is_open()).map(|(_, c)| c.clone())
    }

    /// The number of a client's sessions that have a socket.
    pub(super) fn attached(&self, client: ClientNo) -> usize {
        let state = self.lock();
        let sessions = state.connections.values().filter(|(whose, _)| *whose == client);
        sessions.filter(|(_, connection)| connection.is_attached()).count()
    }

    /// All sessions that have not ended.
    pub(super) fn open_sessions(&self) -> Vec<(SessionNo, Connection)> {
        let state = self.lock();
        let open = state.connections.iter().filter(|(_, (_, connection))| connection.is_open());
        open.map(|(session, (_, connection))| (*session, connection.clone())).collect()
    }

    /// These sessions, and those that may still write: all that have not ended, or have ended a moment ago.
    pub(super) fn sessions_with(&self, others: &[Connection]) -> Vec<Connection> {
        let state = self.lock();
        let writes = |session: &SessionNo| state.ends.get(session).is_none_or(|end| end.elapsed() <= CLOSES);
        let seen = state.connections.iter().filter(|(session, _)| writes(session));
        let seen = seen.map(|(_, (_, connection))| connection);
        let all = others.iter().chain(seen).map(|connection| (connection.number(), connection.clone()));
        all.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// Notes that the application has learned of the end of this session.
    pub(super) fn ended(&self, session: SessionNo) {
        self.lock().ends.insert(session, Instant::now());
    }

    /// Drops all handles to connections.
    pub(super) fn forget_connections(&self) {
        self.lock().connections.clear();
    }

    // --- tasks

    /// Spawns a task that [`Self::join`] waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(task);
        self.lock().tasks.push(task);
    }

    /// Waits until all tasks have ended.
    pub(super) async fn join(&self) {
        loop {
            let Some(task) = self.lock().tasks.pop() else { return };
            task.await.expect("a task of the simulation does not panic");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    fn note(&mut self, ticket: Ticket, entry: Entry) {
        (self.listener)(self.history.len(), &entry);
        self.history.push((ticket, entry));
    }
}

/// The number of a frame that has arrived.
pub(super) fn number_of(frame: &Frame) -> FrameNo {
    // No frame has this number.
    frame.decode::<(FrameNo, IgnoredAny)>().map_or(0, |(number, _)| number)
}
