//! [`Pair`]: sessions of a server and a client, and every socket that was between them.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::link::{End, Item, SocketDriver, other};
use super::{TOKEN, frame_of, text_of};
use crate::session::*;
use crate::{CloseFrame, Control, Frame, LostReason, Token};

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
    pub(super) links: Vec<SocketDriver>,
    server_config: Arc<SessionConfig>,
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
            links: Vec::new(),
            server_config: Arc::new(server_config),
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

    fn owner(&mut self, link: usize, side: Side) -> &mut Session {
        match side {
            Side::Server => &mut self.servers[self.links[link].session],
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
        self.links.push(SocketDriver {
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

    /// One end of the newest socket notices that it is lost. Items in transit to the other end may still arrive there.
    pub(super) fn lose(&mut self, side: Side) {
        let Some(link) = self.links.len().checked_sub(1) else {
            return;
        };
        let end = self.links[link].end(side);
        if !std::mem::replace(&mut end.gone, true) {
            end.arriving.clear();
            let (epoch, now) = (end.epoch, self.now);
            let why = DropReason::Io(io::ErrorKind::ConnectionReset);
            self.owner(link, side).handle_lost(epoch, why, now);
        }
        self.settle();
    }

    /// The server's process is replaced by another one: its sessions no longer exist, and the client is not notified.
    pub(super) fn restart(&mut self) {
        for link in 0..self.links.len() {
            let end = self.links[link].end(Side::Server);
            if !std::mem::replace(&mut end.gone, true) {
                end.arriving.clear();
                let (epoch, now) = (end.epoch, self.now);
                let why = DropReason::Io(io::ErrorKind::ConnectionReset);
                self.owner(link, Side::Server).handle_lost(epoch, why, now);
            }
        }
        for session in &mut self.servers {
            session.end(CloseReason::ServerClosed);
        }
        self.settle();
    }

    /// The network works again: every end of a socket whose other end is gone notices.
    pub(super) fn reset_half_open(&mut self) {
        for link in 0..self.links.len() {
            for side in [Side::Server, Side::Client] {
                if self.links[link].end(other(side)).gone {
                    self.links[link].end(side).arriving.push_back(Item::End);
                }
            }
        }
    }

    // --- what a driver does

    /// `side` writes everything that it has for its socket.
    pub(super) fn write(&mut self, side: Side) {
        for link in 0..self.links.len() {
            while self.write_one(link, side) {}
        }
        self.settle();
    }

    fn write_one(&mut self, link: usize, side: Side) -> bool {
        let now = self.now;
        let end = self.links[link].end(side);
        if end.left || end.gone {
            return false;
        }
        let epoch = end.epoch;
        let session = self.owner(link, side);
        let Some(transmit) = next_transmit(session, epoch, now) else {
            return false;
        };
        let frames = match &transmit {
            Transmit::Data(_) => 1,
            Transmit::Batch(batch) => batch.ends.len(),
            _ => 0,
        };
        session.handle_written(epoch, frames, 2000, None, now);
        let item = match transmit {
            Transmit::Batch(batch) => {
                for message in batch.frames() {
                    self.put(link, side, Item::Frame(frame_of(Transmit::Data(message))));
                }
                return true;
            }
            Transmit::Ping => Item::Ping,
            Transmit::Close(frame) => {
                self.links[link].end(side).left = true;
                Item::Close(Some(frame))
            }
            transmit => Item::Frame(frame_of(transmit)),
        };
        self.put(link, side, item);
        true
    }

    /// Puts an item in transit from `side`, whether or not its session sent it.
    pub(super) fn put(&mut self, link: usize, side: Side, item: Item) {
        let to = self.links[link].end(other(side));
        if !to.gone {
            to.arriving.push_back(item);
        }
    }

    /// Forges a frame: it arrives behind everything else at the other end of the newest socket, as if `side` had sent it.
    pub(super) fn forge(&mut self, side: Side, frame: Frame) {
        let link = self.links.len() - 1;
        self.put(link, side, Item::Frame(frame));
        self.deliver(other(side), usize::MAX);
    }

    /// Up to `count` items arrive at `side` on the newest socket. Returns the number of items.
    pub(super) fn deliver(&mut self, side: Side, count: usize) -> usize {
        self.links.len().checked_sub(1).map_or(0, |link| self.deliver_on(link, side, count))
    }

    pub(super) fn deliver_on(&mut self, link: usize, side: Side, count: usize) -> usize {
        for done in 0..count {
            // A driver reads on from a detached socket until it notices.
            let reads = self.owner(link, side).wants_read() || self.links[link].end(side).left;
            let item = self.links[link].end(side).arriving.pop_front();
            match item {
                Some(item) if reads => self.arrive(link, side, item),
                Some(item) => {
                    self.links[link].end(side).arriving.push_front(item);
                    return done;
                }
                None => return done,
            }
        }
        count
    }

    fn arrive(&mut self, link: usize, side: Side, item: Item) {
        let (epoch, now) = (self.links[link].end(side).epoch, self.now);
        let session = self.owner(link, side);
        if item != Item::End {
            session.handle_heard(epoch, now);
        }
        match item {
            Item::Frame(frame) => {
                let size = frame.event().len();
                if let Err(violation) = session.handle_frame(epoch, frame, size, now) {
                    session.handle_violation(epoch, CloseFrame::truncated(1002, violation.to_string()));
                }
            }
            Item::Ping => self.put(link, side, Item::Pong),
            Item::Pong => {}
            Item::Close(frame) => {
                let (ack, answer) = session.handle_close(epoch, frame, now);
                if !std::mem::replace(&mut self.links[link].end(side).left, true) {
                    if let Some(count) = ack {
                        let ack = frame_of(Transmit::Control(Control::Ack(count)));
                        self.put(link, side, Item::Frame(ack));
                    }
                    self.put(link, side, Item::Close(answer));
                } else {
                    assert_eq!(ack, None, "nothing can follow a close frame");
                }
                self.links[link].end(side).gone = true;
            }
            Item::End => {
                let why = DropReason::Io(io::ErrorKind::UnexpectedEof);
                session.handle_lost(epoch, why, now);
                self.links[link].end(side).gone = true;
            }
        }
        self.settle();
    }

    /// Every end checks whether it is still attached, as a driver does after each event.
    pub(super) fn settle(&mut self) {
        for link in 0..self.links.len() {
            for side in [Side::Server, Side::Client] {
                let epoch = self.links[link].end(side).epoch;
                let standing = self.owner(link, side).attachment_state(epoch);
                let end = self.links[link].end(side);
                let writes = !end.left && !end.gone;
                match standing {
                    AttachmentState::Attached => {}
                    AttachmentState::Leave(frame) if writes => {
                        end.left = true;
                        self.put(link, side, Item::Close(Some(frame)));
                    }
                    AttachmentState::Gone if writes => {
                        end.left = true;
                        end.gone = true;
                        end.arriving.clear();
                        self.put(link, side, Item::End);
                    }
                    AttachmentState::Leave(_) | AttachmentState::Gone => {}
                }
            }
        }
        self.links.retain(|link| !(link.server.gone && link.client.gone));
    }

    /// Writes and delivers everything, until nothing moves any more.
    pub(super) fn run(&mut self) {
        for _ in 0..100_000 {
            self.write(Side::Server);
            self.write(Side::Client);
            let mut moved = 0;
            for side in [Side::Server, Side::Client] {
                // Index from the back: settling an older socket may remove sockets, so look up each index again.
                for back in (1..=self.links.len()).rev() {
                    if let Some(link) = self.links.len().checked_sub(back) {
                        moved += self.deliver_on(link, side, 1);
                    }
                }
            }
            if moved == 0 {
                return;
            }
        }
        panic!("something moves again and again");
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
        let Some(link) = self.links.last_mut() else {
            return Vec::new();
        };
        link.end(side).arriving.iter().map(Item::text).collect()
    }
}

/// The identity of the server's session with this index.
pub(super) fn identity(index: usize) -> SessionIdentity {
    let token = Token::parse(&format!("{TOKEN}{index:06}")).unwrap();
    SessionIdentity::new(token, "id", "room")
}

/// Takes the next item to write, as a driver does.
fn next_transmit(session: &mut Session, epoch: Epoch, now: Instant) -> Option<Transmit> {
    let before = session.clone();
    let Some(message) = session.poll_lone(epoch, now).cloned() else {
        return session.poll_transmit(epoch, now);
    };
    let mut other = before;
    let lent = Some(Transmit::Data(message));
    assert_eq!(other.poll_transmit(epoch, now), lent, "the message is due");
    assert_eq!(other.poll_transmit(epoch, now), None, "and nothing else is");
    assert_eq!(other.counts(), session.counts());
    lent
}
