//! [`Pair`]: sessions of a server and a client, and every socket that was between them.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::socket::{End, Item, TestSocket, other};
use super::{TOKEN, text_of};
use crate::session::*;
use crate::{LostReason, Token};

mod driver;

/// Broadcasts of servers, indexed by the number in their text: `s000`, `s001`…
static BROADCASTS: LazyLock<Vec<Span>> = LazyLock::new(|| {
    let mut writer = SegmentWriter::default();
    (0..1000).map(|n| writer.push(format!("s{n:03}").into())).collect()
});

/// Sessions of a server and a client, with the sockets that the script opens. Nothing moves by itself.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) client: Session,
    /// Every session that the server has opened. The last one is the client's current one.
    pub(super) servers: Vec<Session>,
    /// Sockets that at least one end still has, oldest first.
    pub(super) sockets: Vec<TestSocket>,
    server_config: Arc<SessionConfig>,
    /// Whether credentials have expired: frames that a socket has left are then counted beyond the bound of the event queue.
    pub(super) has_expired: bool,
}

impl Pair {
    /// A client that has not dialled yet.
    pub(super) fn new(
        server: impl FnOnce(&mut SessionConfig),
        client: impl FnOnce(&mut SessionConfig),
    ) -> Self {
        let now = Instant::now();
        let mut server_config = SessionConfig::new(Side::Server, Mode::Session);
        server(&mut server_config);
        let mut client_config = SessionConfig::new(Side::Client, Mode::Session);
        client(&mut client_config);
        Self {
            now,
            client: Session::new(Arc::new(client_config), now),
            servers: Vec::new(),
            sockets: Vec::new(),
            server_config: Arc::new(server_config),
            has_expired: false,
        }
    }

    /// A connected pair in which `$open` was read, with a buffer of `buffer` frames on both sides.
    pub(super) fn connected(buffer: u32) -> Self {
        let mut pair = Self::new(|c| c.buffer_frames = buffer, |c| c.buffer_frames = buffer);
        pair.connect();
        pair.run();
        assert_eq!(pair.take_events(Side::Server), ["connected"]);
        assert_eq!(pair.take_events(Side::Client), ["connected"]);
        pair
    }

    pub(super) fn server(&mut self) -> &mut Session {
        let server = self.servers.last_mut().expect("the client has dialled");
        // Hibernate the session whenever possible; this must make no difference.
        if let Some(hibernated) = server.hibernate() {
            let woken = hibernated.wake();
            assert_eq!(woken.counts(), server.counts());
            assert_eq!((woken.state(), woken.poll_timeout()), (server.state(), server.poll_timeout()));
            *server = woken;
        }
        server
    }

    pub(super) fn session(&mut self, side: Side) -> &mut Session {
        match side {
            Side::Server => self.server(),
            Side::Client => &mut self.client,
        }
    }

    fn owner(&mut self, socket: usize, side: Side) -> &mut Session {
        match side {
            Side::Server => &mut self.servers[self.sockets[socket].session],
            Side::Client => &mut self.client,
        }
    }

    // --- the applications

    /// The application of `side` sends a message that fits into the send buffer.
    pub(super) fn send(&mut self, side: Side, text: &str) {
        self.try_send(side, text, Overflow::Reject)
            .expect("the send buffer has capacity, and the session is open");
    }

    pub(super) fn try_send(&mut self, side: Side, text: &str, overflow: Overflow) -> Result<u64, Refused> {
        // Most of the server's messages are broadcasts: the n-th message of a script is the n-th that one writer stored.
        let shared = text.strip_prefix('s').and_then(|number| number.parse::<usize>().ok());
        if side == Side::Server
            && let Some(number) = shared.filter(|number| number % 5 != 0)
            && let Some(frame) = BROADCASTS.get(number).filter(|frame| *frame.message(0) == *text)
        {
            return self.server().send_span(frame, overflow);
        }
        let message = Bytes::from(text.to_owned());
        if let Some(rest) = text.strip_prefix('~') {
            let key = rest.get(..1).filter(|key| key.chars().all(char::is_alphabetic)).map(Arc::from);
            return self.session(side).send_volatile(message, key).map(u64::from);
        }
        self.session(side).send(message, overflow)
    }

    /// Takes all pending events of the application of `side`.
    pub(super) fn take_events(&mut self, side: Side) -> Vec<String> {
        let session = self.session(side);
        std::iter::from_fn(|| session.poll_event()).map(|event| text_of(&event)).collect()
    }

    /// Both applications take all pending events and ignore them.
    pub(super) fn skip_events(&mut self) {
        self.take_events(Side::Server);
        self.take_events(Side::Client);
    }

    // --- sockets come and go

    /// The client dials, with the offer that it has. It first drops a socket that it still has.
    pub(super) fn connect(&mut self) {
        if self.client.state() == SessionState::Connected {
            self.lose(Side::Client);
        }
        let now = self.now;
        let offer = self.client.resume_offer().map(|(token, received)| (token.clone(), received));
        let asked = offer.is_some();
        let known = offer.and_then(|(token, received)| {
            let session = self.servers.iter().position(|session| {
                session.state() != SessionState::Closed
                    && session.identity().is_some_and(|us| us.token == token)
            })?;
            Some((session, received))
        });
        let (session, received) = match known {
            Some((session, received)) => {
                self.servers[session].check_resume(received).expect("a client offers what it has received");
                (session, Some(received))
            }
            None => {
                self.servers.push(Session::new_server(
                    self.server_config.clone(),
                    identity(self.servers.len()),
                    asked.then_some(LostReason::Unknown),
                    now,
                ));
                (self.servers.len() - 1, None)
            }
        };
        let server = &mut self.servers[session];
        let server_epoch = server.reserve();
        server.attach(server_epoch, received, now).unwrap();
        let client_epoch = self.client.reserve();
        self.client.attach(client_epoch, None, now).unwrap();
        self.sockets.push(TestSocket {
            session,
            server: End::new(server_epoch),
            client: End::new(client_epoch),
        });
        self.settle();
    }

    /// Cuts the newest socket: both ends notice, and items in transit are lost.
    pub(super) fn cut(&mut self) {
        self.lose(Side::Server);
        self.lose(Side::Client);
    }

    /// The credentials of the client expire. The server closes the newest socket, and items in transit still arrive.
    pub(super) fn expire(&mut self) {
        if !self.servers.is_empty() {
            let now = self.now;
            self.has_expired |= self.server().expire_credentials(now);
            self.settle();
        }
    }

    /// One end of the newest socket notices that it is lost. Items in transit to the other end may still arrive there.
    pub(super) fn lose(&mut self, side: Side) {
        let Some(socket) = self.sockets.len().checked_sub(1) else {
            return;
        };
        let end = self.sockets[socket].end(side);
        if !std::mem::replace(&mut end.gone, true) {
            end.arriving.clear();
            let (epoch, now) = (end.epoch, self.now);
            let why = DropReason::Io(io::ErrorKind::ConnectionReset);
            self.owner(socket, side).handle_lost(epoch, why, now);
        }
        self.settle();
    }

    /// The server's process is replaced by another one: its sessions no longer exist, and the client is not notified.
    pub(super) fn restart(&mut self) {
        for socket in 0..self.sockets.len() {
            let end = self.sockets[socket].end(Side::Server);
            if !std::mem::replace(&mut end.gone, true) {
                end.arriving.clear();
                let (epoch, now) = (end.epoch, self.now);
                let why = DropReason::Io(io::ErrorKind::ConnectionReset);
                self.owner(socket, Side::Server).handle_lost(epoch, why, now);
            }
        }
        for session in &mut self.servers {
            session.end(CloseReason::ServerClosed);
        }
        self.settle();
    }

    /// The network works again: every end of a socket whose other end is gone notices.
    pub(super) fn reset_half_open(&mut self) {
        for socket in 0..self.sockets.len() {
            for side in [Side::Server, Side::Client] {
                if self.sockets[socket].end(other(side)).gone {
                    self.sockets[socket].end(side).arriving.push_back(Item::End);
                }
            }
        }
    }

    // --- time

    /// Time passes while nothing is written or read; then the timers that are due run.
    pub(super) fn advance(&mut self, time: Duration) {
        self.now += time;
        self.tick();
    }

    fn tick(&mut self) {
        let now = self.now;
        for session in self.servers.iter_mut().chain([&mut self.client]) {
            session.handle_timeout(now);
        }
        self.settle();
    }

    /// Time passes on a working network: every timer runs when it is due, everything is written and arrives at once.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            self.run();
            let timeouts = self.servers.iter().chain([&self.client]);
            let next = timeouts.filter_map(Session::poll_timeout).min();
            match next.filter(|at| *at <= end) {
                Some(at) => self.now = self.now.max(at),
                None => {
                    self.now = end;
                    return;
                }
            }
            self.tick();
        }
        panic!("a timer is due again and again");
    }

    /// Items in transit to `side` on the newest socket.
    pub(super) fn in_transit(&mut self, side: Side) -> Vec<String> {
        let Some(socket) = self.sockets.last_mut() else {
            return Vec::new();
        };
        socket.end(side).arriving.iter().map(Item::text).collect()
    }
}

/// The identity of the server's session with this index.
pub(super) fn identity(index: usize) -> SessionIdentity {
    let token = Token::parse(&format!("{TOKEN}{index:06}")).unwrap();
    SessionIdentity::new(token, "id", "room")
}
