//! [`perform`]: performs a schedule.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rejoin_server::{Connection, Mode, Overflow, Server};
use tokio::time::Instant;

use super::client::{self, Client};
use super::extras::Extra;
use super::history::{How, SessionNo, To, What};
use super::hub;
use super::pace::Pace;
use super::schedule::{Audience, Schedule, Seat, ServerOptions, Step};
use super::server;
use super::world::World;
use crate::network::{Condition, Dials, Direction, Line, Medium, Target};

/// The maximum number of bytes that are taken from a session before they are written.
pub(super) const MAX_WRITING: usize = 64 * 1024;

/// The servers, one after the other, and the seats of the clients.
#[derive(Clone)]
struct Stage {
    world: World,
    medium: Medium,
    schedule: Arc<Schedule>,
    lines: Arc<Vec<Line>>,
    /// Indexed by the server's number.
    servers: Arc<Mutex<Vec<Server>>>,
    /// All clients that have used a seat.
    seated: Arc<Mutex<Vec<Vec<Arc<Client>>>>>,
}

/// Performs a schedule. The history is in `world` afterwards.
pub(super) async fn perform(world: &World, schedule: Schedule, medium: Medium) {
    let (first, target) = open(world, &medium, 0, &schedule.servers[0]);
    let lines = schedule.seats.iter().map(|seat| medium.line(target.clone(), seat.capacity));
    let lines: Vec<_> = lines.collect();
    for (line, seat) in lines.iter().zip(&schedule.seats) {
        if let Some(mean) = seat.cuts {
            line.cut_at_random(world.below(u64::MAX), mean);
        }
    }
    let stage = Stage {
        world: world.clone(),
        medium,
        seated: Arc::new(Mutex::new(vec![Vec::new(); lines.len()])),
        lines: Arc::new(lines),
        schedule: Arc::new(schedule),
        servers: Arc::new(Mutex::new(vec![first])),
    };
    for (at, step) in &stage.schedule.steps {
        world.sleep_until(*at).await;
        stage.sample();
        stage.take(step);
    }
    stage.come_to_rest().await;
    stage.end().await;
}

/// Starts a server, and returns it with the target of lines to it.
fn open(world: &World, medium: &Medium, number: usize, options: &ServerOptions) -> (Server, Target) {
    let server = server::build(world, number, options);
    let target = medium.open(&server, options.socket_buffer);
    (server, target)
}

impl Stage {
    // --- look-ups

    fn server(&self) -> (usize, Server) {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        (servers.len() - 1, servers.last().expect("there is always one").clone())
    }

    fn seat(&self, seat: usize) -> &Seat {
        &self.schedule.seats[seat]
    }

    /// The latest client of this seat.
    fn client(&self, seat: usize) -> Option<Arc<Client>> {
        self.seated.lock().unwrap_or_else(PoisonError::into_inner)[seat].last().cloned()
    }

    /// The session of the latest client of this seat.
    fn session_of(&self, seat: usize) -> Option<Connection> {
        self.client(seat).and_then(|client| self.world.session_of(client.number))
    }

    fn clients(&self) -> Vec<Arc<Client>> {
        self.seated.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().cloned().collect()
    }

    fn order(&self, what: impl Into<String>) {
        self.world.note(What::Order(what.into()));
    }

    /// Records each server's statistics, which are checked at any time.
    fn sample(&self) {
        let (number, server) = self.server();
        // No frame is added during the count.
        let _alone = self.world.broadcasting();
        let mut sessions = server.connections(rejoin_server::Audience::everyone());
        let threads = self.world.threads;
        let busy = self.world.sessions_with(&sessions).into_iter().map(|connection| {
            let counts = connection.counts();
            let can_be_evicted = connection.is_open() && !connection.is_attached();
            let kept = if can_be_evicted { 0 } else { counts.retained_bytes };
            // Frames that were given up with the session while they were being written. With several threads, a frame may also be
            // evicted at that moment.
            let writes = (threads > 1 || !connection.is_open()) && counts.unacknowledged > 0;
            let sent = usize::try_from(counts.sent_bytes).unwrap_or(usize::MAX);
            kept + if writes { sent.min(MAX_WRITING) } else { 0 }
        });
        let busy = busy.sum();
        let stats = server.stats();
        // A plain session also counts frames that are being written.
        sessions.retain(|connection| connection.mode() == Mode::Session);
        let most = sessions.iter().map(|connection| connection.counts().retained_bytes).max();
        let most = most.unwrap_or_default();
        let retained = stats.retained_bytes;
        self.world.note(What::Sample { server: number, retained, busy, most });
        hub::sample(&self.world, number, &server, &self.schedule.servers[number]);
    }

    // --- steps

    fn take(&self, step: &Step) {
        match step {
            Step::Connect { seat } => self.connect(*seat),
            Step::ToServer { seat, how, size, count, patience } => {
                let Some(client) = self.client(*seat) else { return };
                let (world, how, size, count, patience) =
                    (self.world.clone(), *how, *size, *count, *patience);
                self.world.spawn(async move {
                    for _ in 0..count {
                        if !world.is_calm() {
                            client::say(&world, &client, how, size, patience).await;
                        }
                    }
                });
            }
            Step::ToClient { seat, how, size, count, patience } => {
                let Some(connection) = self.session_of(*seat) else { return };
                let (world, how, size, count, patience) =
                    (self.world.clone(), *how, *size, *count, *patience);
                self.world.spawn(async move {
                    for _ in 0..count {
                        if !world.is_calm() {
                            server::say(&world, &connection, how, size, patience).await;
                        }
                    }
                });
            }
            Step::Broadcast { room, overflow, size, count } => {
                for _ in 0..*count {
                    server::broadcast(&self.world, &self.server().1, To::Room(*room), None, *overflow, *size);
                }
            }
            Step::Tell { audience, overflow, size } => self.tell(audience, *overflow, *size),
            Step::Join { seat, room } => self.change_membership(*seat, *room, true),
            Step::LeaveRoom { seat, room } => self.change_membership(*seat, *room, false),
            Step::Restart { crash, down } => self.restart(*crash, *down),
            Step::Kick { seat } => self.on_session(*seat, "kick", |world, server, session, id| {
                world.spawn({
                    let world = world.clone();
                    async move {
                        if server.kick(&id).await.is_ok() {
                            world.note(What::Kicked { session });
                        }
                    }
                });
            }),
            Step::Cut { seat } => self.on_session(*seat, "cut", |_, server, _, id| {
                // It may have no socket at the moment.
                server.cut(&id).ok();
            }),
            Step::Close { seat, code } => {
                let code = *code;
                self.on_session(*seat, "close", move |_, server, _, id| {
                    if let Some(connection) = server.connection(&id) {
                        connection.close_with(code, "enough").expect("the code is valid");
                    }
                });
            }
            Step::Leave { seat, abort } => {
                let (Some(client), abort) = (self.client(*seat), *abort) else { return };
                let world = self.world.clone();
                self.world.spawn(async move {
                    if abort { client.abort(&world).await } else { client.close(&world).await }
                });
            }
            Step::Extra(Extra::Ask { seat, by_server, size }) => self.ask(*seat, *by_server, *size),
            Step::Extra(act) => {
                let connection = match act {
                    Extra::Forbid { seat } | Extra::Reauthenticate { seat } => self.session_of(*seat),
                    _ => None,
                };
                let (number, server) = self.server();
                hub::act(&self.world, number, &server, connection.as_ref(), act);
            }
            Step::Reads { seat, reads } => {
                let Some(client) = self.client(*seat) else { return };
                self.order(format!("client {} reads: {reads}", client.number));
                client.set_reads(*reads);
            }
            network => self.fail(network),
        }
    }

    fn ask(&self, seat: usize, by_server: bool, size: usize) {
        let Some(client) = self.client(seat).filter(|client| !client.plain) else { return };
        let (world, session) = (self.world.clone(), self.world.session_of(client.number));
        self.world.spawn(async move {
            match session {
                _ if !by_server => client::say(&world, &client, How::Ask, size, None).await,
                Some(session) => server::say(&world, &session, How::Ask, size, None).await,
                None => {}
            }
        });
    }

    fn tell(&self, audience: &Audience, overflow: Option<Overflow>, size: usize) {
        let mut except = None;
        let to = match *audience {
            Audience::Rooms(one, other) => To::Rooms(one, other),
            Audience::Others(room, seat) => {
                except = self.session_of(seat);
                match &except {
                    Some(connection) => To::Others(room, server::session_of(connection)),
                    None => To::Room(room),
                }
            }
            Audience::Outside(room) => To::Outside(room),
            Audience::Everyone => To::Everyone,
        };
        server::broadcast(&self.world, &self.server().1, to, except.as_ref(), overflow, size);
    }

    fn change_membership(&self, seat: usize, room: usize, joins: bool) {
        if let Some(connection) = self.session_of(seat) {
            server::change_membership(&self.world, &connection, room, joins);
        }
    }

    /// Performs an action on a line.
    fn fail(&self, step: &Step) {
        let (Step::Latency { seat, .. }
        | Step::Rate { seat, .. }
        | Step::Fail { seat, .. }
        | Step::FailAfter { seat, .. }
        | Step::Stall { seat, .. }
        | Step::Dials { seat, .. }) = step
        else {
            return;
        };
        let line = &self.lines[*seat];
        let needs_one = !matches!(step, Step::Latency { .. } | Step::Rate { .. } | Step::Dials { .. });
        if needs_one && !line.has_connection() {
            return;
        }
        self.order(format!("line: {step:?}"));
        match step {
            Step::Latency { direction, latency, .. } => line.set_latency(*direction, *latency),
            Step::Rate { direction, rate, .. } => line.set_rate(*direction, *rate),
            Step::Fail { how, .. } => line.fail(*how),
            Step::FailAfter { direction, bytes, how, .. } => line.fail_after(*direction, *bytes, *how),
            Step::Stall { direction, stalled: true, .. } => line.stall(*direction),
            Step::Stall { direction, .. } => line.release(*direction),
            Step::Dials { dials, .. } => line.set_dials(*dials),
            _ => {}
        }
    }

    fn connect(&self, seat: usize) {
        let stage = self.clone();
        let seed = self.world.below(u64::MAX);
        self.world.spawn(async move {
            let (world, line) = (&stage.world, &stage.lines[seat]);
            if let Some(client) = Client::connect(world, line, stage.seat(seat), seed).await {
                let mut seated = stage.seated.lock().unwrap_or_else(PoisonError::into_inner);
                seated[seat].push(Arc::new(client));
            }
        });
    }

    /// Performs an action on the session of this seat's client by its ID. It may affect another session with the same ID.
    fn on_session(&self, seat: usize, what: &str, does: impl FnOnce(&World, Server, SessionNo, String)) {
        let Some(connection) = self.session_of(seat) else { return };
        let server = connection.server();
        let Some(found) = server.connection(connection.id()) else { return };
        let session = server::session_of(&found);
        self.order(format!("{what} s{session}"));
        does(&self.world, server, session, found.id().to_owned());
    }

    /// Stops the server, and starts another one after a while.
    fn restart(&self, crash: bool, down: Duration) {
        let stage = self.clone();
        self.world.spawn(async move {
            let (number, server) = stage.server();
            stage.order(if crash { "the server crashes" } else { "the server shuts down" });
            for line in stage.lines.iter().filter(|_| crash) {
                line.unplug();
            }
            let deadline =
                if crash { Duration::ZERO } else { Duration::from_millis(stage.world.below(10_000)) };
            let left = server.shutdown(deadline).await;
            stage.world.note(What::ServerEnded { server: number, left, crashed: true });
            tokio::time::sleep(down).await;
            let options = &stage.schedule.servers[number + 1];
            let (next, target) = open(&stage.world, &stage.medium, number + 1, options);
            for line in stage.lines.iter() {
                line.lead_to(target.clone());
                line.plug_in();
            }
            stage.servers.lock().unwrap_or_else(PoisonError::into_inner).push(next);
        });
    }

    // --- the end

    /// Repairs the network; all applications receive, and none sends any more.
    async fn come_to_rest(&self) {
        self.order("the network heals");
        self.world.calm_down();
        let pace = Pace::over(&self.medium);
        tokio::time::sleep(pace.unhealed).await;
        while self.server().0 + 1 < self.schedule.servers.len() {
            tokio::time::sleep(pace.unhealed).await;
        }
        for line in self.lines.iter() {
            line.heal();
            line.plug_in();
            for direction in Direction::BOTH {
                if line.has_connection() {
                    line.release(direction);
                    // Replaces a planned failure.
                    line.fail_after(direction, usize::MAX, Condition::Reset);
                }
                line.set_latency(direction, Duration::from_millis(5));
                line.set_rate(direction, None);
            }
        }
        for client in self.clients() {
            client.set_reads(true);
        }
        let (mut entries, mut since) = (0, Instant::now());
        for _ in 0..pace.patience {
            tokio::time::sleep(pace.look).await;
            if entries != self.world.entries() {
                (entries, since) = (self.world.entries(), Instant::now());
            } else if since.elapsed() >= pace.silence && self.is_at_rest() {
                break;
            }
        }
        self.world.note(What::Rest);
        for client in self.clients().iter().filter(|client| !client.has_ended()) {
            self.world.note(What::QuietClient { client: client.number, connected: client.is_connected() });
        }
        hub::note_rooms(&self.world, &self.server().1);
        for (session, connection) in self.world.open_sessions() {
            let counts = server::numbers(&connection.counts());
            self.world.note(What::Quiet { session, attached: connection.is_attached(), counts });
        }
    }

    /// Whether every client is connected, its session knows it, no other session has a socket of it, and no byte is in transit.
    /// Ignores sessions that no client will resume.
    fn is_at_rest(&self) -> bool {
        let rests = |client: &Client| {
            client.is_connected() && (client.plain || self.world.attached(client.number) == 1)
        };
        let sessions = self.world.open_sessions();
        self.clients().iter().all(|client| client.has_ended() || rests(client))
            && sessions
                .iter()
                .all(|(_, session)| !session.is_attached() || session.counts().unacknowledged == 0)
    }

    /// Some clients leave, the server shuts down, then the others leave.
    async fn end(&self) {
        self.order("the end");
        let clients = self.clients();
        for (index, client) in clients.iter().enumerate() {
            if (index + clients.len()).is_multiple_of(2) {
                client.close(&self.world).await;
            }
        }
        let (number, server) = self.server();
        let left = server.shutdown(Duration::from_secs(30)).await;
        self.world.note(What::ServerEnded { server: number, left, crashed: false });
        for line in self.lines.iter() {
            line.set_dials(Dials::Refused);
        }
        for (index, client) in clients.iter().enumerate() {
            if index.is_multiple_of(3) {
                client.abort(&self.world).await
            } else {
                client.close(&self.world).await
            }
        }
        self.seated.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.world.join().await;
        self.world.forget_connections();
        for line in self.lines.iter() {
            line.close().await;
        }
    }
}
