//! [`Line`]: the network between one client and a server, in memory or between sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use rejoin_client::{Client, ClientBuilder};
use rejoin_server::Server;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::relay;
use super::wire::{Condition, End, Wire};

/// The network between one client and a server. Faults apply to the latest connection.
///
/// In memory it works with paused time, and is deterministic. Between sockets it is a proxy that [listens](Self::listen) and
/// connects to an address: it treats bytes in the same way, and the operating system adds its own effects. Its sockets are closed
/// with the last clone of it.
#[derive(Debug, Clone)]
pub struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    dialled: watch::Sender<usize>,
}

#[derive(Debug)]
struct State {
    target: Target,
    /// The address on which it listens.
    front: Option<SocketAddr>,
    /// The tasks that pass bytes between the line and sockets.
    relays: JoinSet<()>,
    dials: Dials,
    capacity: usize,
    /// Indexed by direction.
    latency: [Duration; 2],
    rate: [Option<u32>; 2],
    /// The latest connection.
    wire: Option<Arc<Wire>>,
    /// Ends of connections that no server has accepted.
    swallowed: Vec<End>,
    held: Vec<Arc<Wire>>,
    stalled: Vec<(Direction, Arc<Wire>)>,
    cuts: Option<Cuts>,
}

/// The destination of a line.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Target {
    /// A server in this process, without a socket.
    Memory(Server),
    /// The listener at this address.
    Socket(SocketAddr),
}

impl From<&Server> for Target {
    fn from(server: &Server) -> Self {
        Self::Memory(server.clone())
    }
}

impl From<SocketAddr> for Target {
    fn from(addr: SocketAddr) -> Self {
        Self::Socket(addr)
    }
}

/// The direction of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a connection has two directions")]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];
}

/// The treatment of dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Dials {
    /// They reach the server.
    Served,
    /// They fail; over a socket, with a reset.
    Refused,
    /// They succeed, and no byte is ever answered.
    Swallowed,
    /// They succeed, and no byte passes until dials are served again.
    Held,
}

/// Random failures of connections.
#[derive(Debug)]
struct Cuts {
    rng: SmallRng,
    mean: usize,
}

impl Line {
    /// Creates a line to this server.
    pub fn to(target: impl Into<Target>) -> Self {
        let state = State {
            target: target.into(),
            front: None,
            relays: JoinSet::new(),
            dials: Dials::Served,
            capacity: 64 * 1024,
            latency: [Duration::ZERO; 2],
            rate: [None; 2],
            wire: None,
            swallowed: Vec::new(),
            held: Vec::new(),
            stalled: Vec::new(),
            cuts: None,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), dialled: watch::Sender::new(0) }))
    }

    /// Sets how many bytes can be in transit in each direction, for later connections.
    #[must_use]
    pub fn with_capacity(self, bytes: usize) -> Self {
        self.lock().capacity = bytes;
        self
    }

    /// Also accepts sockets, on its own port, until the line is dropped or [closed](Self::close).
    ///
    /// # Errors
    /// Fails if no port is free.
    pub fn listen(&self) -> io::Result<SocketAddr> {
        let listener = relay::listen(self.lock().capacity)?;
        let addr = listener.local_addr()?;
        // The line owns this task, which must not keep it alive.
        let line = Arc::downgrade(&self.0);
        let accepting = relay::accept(move || line.upgrade().map(Self), listener);
        let mut state = self.lock();
        state.front = Some(addr);
        state.relays.spawn(accepting);
        Ok(addr)
    }

    /// Closes the listener and all tasks that serve sockets.
    pub async fn close(&self) {
        let mut relays = std::mem::take(&mut self.lock().relays);
        relays.shutdown().await;
    }

    /// A client on this line that requests this path and query. It dials the socket if the line listens.
    pub fn client(&self, path_and_query: &str) -> ClientBuilder {
        if let Some(front) = self.lock().front {
            return Client::builder(format!("ws://{front}{path_and_query}")).seed(1);
        }
        let line = self.clone();
        Client::builder(format!("ws://server.test{path_and_query}")).seed(1).connector(move || {
            let stream = line.dial();
            async move { stream }
        })
    }

    /// Opens a connection whose other end is served, for clients other than ours.
    ///
    /// # Errors
    /// Fails if dials are refused.
    pub fn dial(
        &self,
    ) -> io::Result<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + use<>> {
        self.open()
    }

    /// Opens a connection, and returns the client's end.
    pub(super) fn open(&self) -> io::Result<End> {
        self.0.dialled.send_modify(|dials| *dials += 1);
        let mut state = self.lock();
        if state.dials == Dials::Refused {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, theirs, wire) = Wire::new(state.capacity, state.latency);
        if let Some(cuts) = &mut state.cuts {
            cuts.plan(&wire);
        }
        for direction in Direction::BOTH {
            wire.set_rate(direction, state.rate[direction as usize]);
            wire.stall(direction, state.dials == Dials::Held);
        }
        if state.dials == Dials::Held {
            state.held.push(wire.clone());
        }
        state.wire = Some(wire);
        match state.target.clone() {
            _ if state.dials == Dials::Swallowed => state.swallowed.push(theirs),
            Target::Memory(server) => {
                tokio::spawn(async move { server.serve_connection(theirs).await });
            }
            Target::Socket(addr) => {
                let capacity = state.capacity;
                state.relays.spawn(relay::dial(addr, capacity, theirs));
            }
        }
        Ok(ours)
    }

    /// Runs a relay for the lifetime of the line.
    pub(super) fn spawn(&self, relay: impl Future<Output = ()> + Send + 'static) {
        let relays = &mut self.lock().relays;
        while relays.try_join_next().is_some() {}
        relays.spawn(relay);
    }

    /// Connects later dials to another server.
    pub fn lead_to(&self, target: impl Into<Target>) {
        self.lock().target = target.into();
    }

    /// Sets what happens to later dials.
    pub fn set_dials(&self, dials: Dials) {
        let mut state = self.lock();
        state.dials = dials;
        if dials == Dials::Served {
            for held in state.held.drain(..) {
                held.stall(Direction::ToServer, false);
                held.stall(Direction::ToClient, false);
            }
        }
    }

    /// Resets the connection, and refuses dials until [`Self::plug_in`].
    pub fn unplug(&self) {
        self.set_dials(Dials::Refused);
        if self.has_connection() {
            self.cut();
        }
    }

    /// Serves dials again.
    pub fn plug_in(&self) {
        self.set_dials(Dials::Served);
    }

    /// The number of dials so far.
    pub fn dials(&self) -> usize {
        *self.0.dialled.borrow()
    }

    /// Whether a dial has ever been answered.
    pub fn has_connection(&self) -> bool {
        self.lock().wire.is_some()
    }

    /// Waits until the client has dialled this many times.
    ///
    /// # Panics
    /// Panics when it does not.
    pub async fn dialled(&self, times: usize) {
        let mut dialled = self.0.dialled.subscribe();
        let waiting = dialled.wait_for(|dials| *dials >= times);
        crate::harness::within("dial", waiting).await.expect("the sender is ours");
    }

    /// Resets the connection: both ends see it at once, and bytes in transit are lost.
    pub fn cut(&self) {
        self.wire().become_(Condition::Reset);
    }

    /// Ends the connection: bytes in transit arrive, then both ends see the end of the stream.
    pub fn finish(&self) {
        self.wire().become_(Condition::Finished);
    }

    /// Changes the condition of the connection.
    pub fn fail(&self, how: Condition) {
        self.wire().become_(how);
    }

    /// From now on bytes vanish, and neither end notices.
    pub fn half_open(&self) {
        self.wire().become_(Condition::HalfOpen);
    }

    /// Waits until this many bytes have vanished from the half-open connection, in both directions together.
    ///
    /// # Panics
    /// Panics when they do not.
    pub async fn vanished(&self, bytes: usize) {
        crate::harness::within("bytes", self.wire().vanished(bytes)).await;
    }

    /// Stalls bytes in one direction, until [`Self::release`] or a cut.
    pub fn stall(&self, direction: Direction) {
        let wire = self.wire();
        wire.stall(direction, true);
        self.lock().stalled.push((direction, wire));
    }

    /// Releases the bytes that [`Self::stall`] holds back, also on earlier connections, where they arrive late.
    pub fn release(&self, direction: Direction) {
        self.lock().stalled.retain(|(stalled, wire)| {
            let released = *stalled == direction;
            if released {
                wire.stall(direction, false);
            }
            !released
        });
    }

    /// Sets the latency in one direction, also for later connections. Bytes in transit are not overtaken.
    pub fn set_latency(&self, direction: Direction, latency: Duration) {
        let mut state = self.lock();
        state.latency[direction as usize] = latency;
        if let Some(wire) = &state.wire {
            wire.set_latency(direction, latency);
        }
    }

    /// Sets the bytes per second in one direction, also for later connections; `None` is unlimited.
    pub fn set_rate(&self, direction: Direction, rate: Option<u32>) {
        let mut state = self.lock();
        state.rate[direction as usize] = rate;
        if let Some(wire) = &state.wire {
            wire.set_rate(direction, rate);
        }
    }

    /// Resets the connection when this many more bytes have arrived in one direction.
    pub fn cut_after(&self, direction: Direction, bytes: usize) {
        self.fail_after(direction, bytes, Condition::Reset);
    }

    /// Changes the condition of the connection when this many more bytes have arrived in one direction.
    pub fn fail_after(&self, direction: Direction, bytes: usize, then: Condition) {
        self.wire().limit(direction, bytes, then);
    }

    /// From now on each connection fails after a random number of bytes in one direction, `mean` on average: it is reset, ends,
    /// or becomes half-open. The same seed gives the same numbers.
    pub fn cut_at_random(&self, seed: u64, mean: usize) {
        let mut state = self.lock();
        let mut cuts = Cuts { rng: SmallRng::seed_from_u64(seed), mean };
        if let Some(wire) = &state.wire {
            cuts.plan(wire);
        }
        state.cuts = Some(cuts);
    }

    /// Stops random cuts on later connections.
    pub fn heal(&self) {
        self.lock().cuts = None;
    }

    fn wire(&self) -> Arc<Wire> {
        self.lock().wire.clone().expect("the client has dialled")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cuts {
    fn plan(&mut self, wire: &Wire) {
        let direction = if self.rng.random() { Direction::ToServer } else { Direction::ToClient };
        let then = match self.rng.random_range(0..10) {
            0 => Condition::HalfOpen,
            1..=3 => Condition::Finished,
            _ => Condition::Reset,
        };
        wire.limit(direction, self.rng.random_range(0..=2 * self.mean), then);
    }
}
