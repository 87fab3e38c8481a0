//! [`Witness`]: records what both applications did and saw, and checks it against PROTOCOL.md §6.

use std::collections::BTreeSet;

use super::pair::Pair;
use super::{SECOND, texts};
use crate::CloseFrame;
use crate::session::*;

mod record;
use record::{Life, Record};

mod describe;

/// A pair whose applications keep records, for generated schedules.
#[derive(Debug, Clone)]
pub(super) struct Witness {
    pub(super) pair: Pair,
    /// For each of the server's sessions: the frames that it accepted, and those that its application received.
    servers: Vec<Record>,
    /// For each session that the client had: the same.
    client: Vec<Record>,
    /// The server session of each record in `client`. The last record may not have one yet.
    sessions: Vec<usize>,
    /// Number of the client's records that were reported as lost.
    reported_losses: usize,
    client_life: Life,
    /// Number of messages that the server's application and the client's have sent.
    sent: [u32; 2],
    /// Whether the server's application watches the delivery of every second message.
    watches_deliveries: bool,
    /// Outcomes reported to the server's application: session, number, outcome.
    outcomes: Vec<(usize, u64, Delivery)>,
    /// Messages delivered to the client's application: server session, number.
    delivered: BTreeSet<(usize, u64)>,
}

impl Witness {
    pub(super) fn new(pair: Pair) -> Self {
        let mut witness = Self {
            pair,
            servers: Vec::new(),
            client: vec![Record::default()],
            sessions: Vec::new(),
            reported_losses: 0,
            client_life: Life::Before,
            sent: [0; 2],
            watches_deliveries: false,
            outcomes: Vec::new(),
            delivered: BTreeSet::new(),
        };
        witness.connect();
        witness
    }

    pub(super) fn with_watched_deliveries(self) -> Self {
        Self { watches_deliveries: true, ..self }
    }

    pub(super) fn connect(&mut self) {
        self.pair.connect();
        self.servers.resize(self.pair.servers.len(), Record::default());
        self.look();
    }

    /// The application of `side` sends a message. Returns whether it was accepted.
    pub(super) fn send(&mut self, side: Side, overflow: Overflow) -> bool {
        // All messages have the same length, so that a limit in bytes is one in frames.
        let (name, sent) = match side {
            Side::Server => ("s", &mut self.sent[0]),
            Side::Client => ("c", &mut self.sent[1]),
        };
        let text = format!("{name}{:03}", *sent + 1);
        match self.pair.try_send(side, &text, overflow) {
            Ok(number) => {
                if side == Side::Server && self.watches_deliveries && number % 2 == 0 {
                    self.pair.server().watch_last();
                }
            }
            // A dropped message has a number, too.
            Err(Refused::Dropped) => {}
            Err(_) => return false,
        }
        *sent += 1;
        match side {
            Side::Server => self.servers.last_mut(),
            Side::Client => self.client.last_mut(),
        }
        .expect("there is always a session")
        .accepted
        .push(text);
        true
    }

    /// Must be called after anything that may have opened a session on the client.
    pub(super) fn look(&mut self) {
        for (session, server) in self.pair.servers.iter_mut().enumerate() {
            self.outcomes.extend(
                std::iter::from_fn(|| server.poll_delivery())
                    .map(|(number, delivery)| (session, number, delivery)),
            );
        }
        let Some(identity) = self.pair.client.identity() else {
            return;
        };
        let token = &identity.token;
        let mut sessions = self.pair.servers.iter();
        let session = sessions.position(|session| session.identity().is_some_and(|us| us.token == *token));
        let session = session.expect("a client's session is one of the server's");
        if self.sessions.last() != Some(&session) {
            if !self.sessions.is_empty() {
                self.client.push(Record::default());
            }
            self.sessions.push(session);
        }
    }

    /// Up to `count` items arrive; records the changes after each.
    pub(super) fn deliver(&mut self, socket: usize, side: Side, count: usize) {
        for _ in 0..count {
            if socket >= self.pair.sockets.len() || self.pair.deliver_on(socket, side, 1) == 0 {
                return;
            }
            self.look();
        }
    }

    /// The application of `side` takes up to `count` events.
    pub(super) fn take(&mut self, side: Side, count: usize) {
        for _ in 0..count {
            let taken = match side {
                Side::Server => (0..self.servers.len()).any(|session| self.take_on_server(session)),
                Side::Client => self.take_on_client(),
            };
            if !taken {
                return;
            }
        }
    }

    fn take_on_server(&mut self, session: usize) -> bool {
        let Some(event) = self.pair.servers[session].poll_event() else {
            return false;
        };
        let peer = self.sessions.iter().position(|of| *of == session);
        let accepted = peer.map_or(&[][..], |peer| &self.client[peer].accepted);
        let record = &mut self.servers[session];
        record.life.step(&event);
        record.saw(&event, accepted);
        true
    }

    fn take_on_client(&mut self) -> bool {
        let Some(event) = self.pair.client.poll_event() else {
            return false;
        };
        self.client_life.step(&event);
        if let Event::Closed(_) = event {
            return true;
        }
        let session = self.sessions[self.reported_losses];
        let record = &mut self.client[self.reported_losses];
        record.saw(&event, &self.servers[session].accepted);
        if let Event::Message(_) = event {
            self.delivered.insert((session, record.seen as u64));
        }
        if let Event::Lost { unacknowledged, dropped, .. } = event {
            let listed = texts(&unacknowledged);
            let (dropped, accepted) = (usize::try_from(dropped).unwrap(), &record.accepted);
            let mut all = accepted.iter();
            assert!(
                listed.iter().all(|text| all.any(|accepted| accepted == text)),
                "they are listed in order"
            );
            let acknowledged = accepted.len() - listed.len() - dropped;
            let received = self.pair.servers[session].counts().received;
            assert!(acknowledged as u64 <= received, "unreported frames have arrived");
            self.reported_losses += 1;
        }
        true
    }

    /// Checks the invariants that hold at all times.
    pub(super) fn check(&self) {
        for (session, record) in self.pair.servers.iter().zip(&self.servers) {
            self.check_end(session, record, session.buffer as usize);
        }
        let client = &self.pair.client;
        let record = self.client.last().expect("there is always a session");
        self.check_end(client, record, client.config.buffer_frames as usize);
    }

    fn check_end(&self, session: &Session, record: &Record, buffer: usize) {
        let counts = session.counts();
        assert!(session.occupied() <= buffer, "the buffer is bounded");
        assert_eq!(counts.retained_bytes, 4 * session.occupied());
        assert!(counts.retained_bytes <= session.config.buffer_bytes.max(4), "in bytes, too");
        assert_eq!(counts.accepted, record.accepted.len() as u64);
        assert!(counts.dropped <= counts.accepted || self.client.len() > 1);
        assert!(counts.unacknowledged <= counts.accepted);
        let SessionConfig { inbox_frames, inbox_bytes, .. } = *session.config;
        let left = if self.pair.has_expired { session.peer_buffer as usize } else { 0 };
        assert!(
            !session.events.is_full(inbox_frames + left + 1, usize::MAX),
            "counted frames that are not taken are bounded"
        );
        if let Some(ahead) = &session.ahead {
            assert_eq!((session.state, session.closing.is_none()), (SessionState::Connected, true));
            assert!(
                session.events.is_full(inbox_frames, inbox_bytes),
                "frames are counted before any are read ahead"
            );
            assert!(!ahead.is_empty());
            assert!(!ahead.is_over(session.peer_buffer + 1, inbox_bytes), "read-ahead frames are bounded");
        }
    }

    /// Checks the invariants that also hold if the application of `side` waits for acknowledgements and no frame is evicted.
    pub(super) fn check_is_read(&self, side: Side) {
        let client = [&self.pair.client];
        let peers = match side {
            Side::Server => client.as_slice(),
            Side::Client => &self.pair.servers.iter().collect::<Vec<_>>(),
        };
        for peer in peers {
            assert!(peer.wants_read(), "its acknowledgements are never out of reach");
        }
    }

    /// The network works again, the applications keep up, and time passes.
    pub(super) fn heal(&mut self) {
        for _ in 0..8 {
            self.pair.reset_half_open();
            self.settle();
            if self.pair.client.state() != SessionState::Connected {
                self.connect();
            }
            self.settle();
            self.pair.wait(2 * SECOND);
            self.settle();
            let server = self.pair.server().counts().unacknowledged;
            let client = self.pair.client.counts().unacknowledged;
            if self.pair.client.state() == SessionState::Connected && server + client == 0 {
                return;
            }
        }
        panic!("the network works, but the sessions do not converge");
    }

    /// One side closes, and the network works until the session has ended. Only frames that are not known to be acknowledged
    /// may be lost.
    pub(super) fn close(&mut self, side: Side) {
        let session = self.pair.servers.len() - 1;
        let deadline = self.pair.now + 10 * SECOND;
        self.pair.session(side).close(CloseReason::Local(CloseFrame::from_static(1000, "")), deadline);
        while match side {
            Side::Server => self.pair.servers[session].state() != SessionState::Closed,
            Side::Client => self.pair.client.state() != SessionState::Closed,
        } {
            self.pair.reset_half_open();
            self.settle();
            if matches!(self.pair.client.state(), SessionState::New | SessionState::Suspended) {
                self.connect();
            }
            self.settle();
            self.pair.wait(2 * SECOND);
            self.settle();
        }
        self.settle();
        self.check_closed(side, session);
    }

    /// Both sides close at once, each for a reason that does not discard events.
    pub(super) fn close_both(&mut self) {
        let session = self.pair.servers.len() - 1;
        let deadline = self.pair.now + 10 * SECOND;
        for side in [Side::Server, Side::Client] {
            self.pair.session(side).close(CloseReason::Duplicate, deadline);
        }
        for _ in 0..8 {
            self.pair.reset_half_open();
            self.settle();
            if matches!(self.pair.client.state(), SessionState::New | SessionState::Suspended)
                && self.pair.servers.len() == session + 1
            {
                self.connect();
            }
            self.settle();
            self.pair.wait(2 * SECOND);
        }
        self.settle();
        self.check_closed(Side::Server, session);
        self.check_closed(Side::Client, session);
    }

    fn check_closed(&self, side: Side, session: usize) {
        let client = self.sessions.iter().position(|of| *of == session);
        let (life, accepted, unacknowledged, seen) = match (side, client) {
            (Side::Server, client) => {
                let us = &self.servers[session];
                let seen = client.map_or(0, |client| self.client[client].seen);
                (us.life, us.accepted.len(), self.pair.servers[session].counts().unacknowledged, seen)
            }
            (Side::Client, Some(client)) => {
                let us = &self.client[client];
                let unacknowledged = self.pair.client.counts().unacknowledged;
                (self.client_life, us.accepted.len(), unacknowledged, self.servers[session].seen)
            }
            // The client closed before it had a session.
            (Side::Client, None) => return,
        };
        assert_eq!(life, Life::After, "the end is reported");
        assert!(
            seen as u64 + unacknowledged >= accepted as u64,
            "{seen} of {accepted}, {unacknowledged} in doubt"
        );
    }

    /// Delivers everything, and both applications take all events.
    fn settle(&mut self) {
        loop {
            self.take(Side::Server, usize::MAX);
            self.take(Side::Client, usize::MAX);
            self.pair.run();
            self.look();
            if !self.pair.client.has_events() && !self.pair.servers.iter().any(Session::has_events) {
                break;
            }
        }
    }

    /// Checks that both sides agree once everything in transit has arrived.
    pub(super) fn check_agreement(&mut self) {
        self.check();
        assert_eq!(self.reported_losses + 1, self.sessions.len(), "every lost session was reported");
        let session = *self.sessions.last().expect("healed");
        let (client, server) = (self.client.last().unwrap(), &self.servers[session]);
        assert_eq!((self.client_life, server.life), (Life::Connected, Life::Connected));
        for (us, peer, ours, theirs) in [
            (client, server, &self.pair.client, &self.pair.servers[session]),
            (server, client, &self.pair.servers[session], &self.pair.client),
        ] {
            assert_eq!(us.seen, peer.accepted.len(), "every frame was seen or reported as missing");
            assert_eq!(theirs.counts().received, us_accepted(us));
            assert_eq!(ours.counts().unacknowledged, 0);
            assert_eq!(ours.counts().retained_bytes, 0);
        }
        // For frames that were evicted after they were written, it is not always known whether they arrived.
        assert!(self.pair.servers[session].counts().dropped >= client.missed, "missing frames are counted");
        for &(session, number, delivery) in &self.outcomes {
            let delivered = self.delivered.contains(&(session, number));
            assert!(
                delivery == Delivery::Ended || delivered == (delivery == Delivery::Delivered),
                "{number} {delivery:?}, delivered: {delivered}"
            );
        }
        if self.watches_deliveries {
            let of_session = self.outcomes.iter().filter(|(of, ..)| *of == session);
            let decided: BTreeSet<_> = of_session.map(|(_, number, _)| *number).collect();
            let wanted = (2..=server.accepted.len() as u64).step_by(2).filter(|number| {
                // A frame that was dropped when it was sent is not watched.
                self.delivered.contains(&(session, *number))
            });
            assert!(wanted.into_iter().all(|number| decided.contains(&number)), "every outcome is reported");
        }
        for (session, record) in self.pair.servers.iter().zip(&self.servers) {
            let ended = session.state() == SessionState::Closed;
            assert_eq!(ended, record.life == Life::After, "an end is reported");
        }
    }
}

fn us_accepted(record: &Record) -> u64 {
    record.accepted.len() as u64
}
