//! A server behind the upgrade: any bytes on its sockets, which are cut and resumed at any time, while its application sends.

use std::sync::Arc;
use std::time::Duration;

use rejoin_core::ws::Role;
use rejoin_core::{Codec, Frame, LostReason, Open, Overflow};
use rejoin_server::{DuplicateId, Server};
use tokio::time::{sleep, timeout};

use super::{Input, stage};
use crate::harness::{self, Picked, codecs};
use stage::Peer;

/// Longer than any handshake takes.
const A_WHILE: Duration = Duration::from_secs(60);

/// The first bytes are the options, the rest is the events.
///
/// # Panics
/// Panics if the server sends invalid WebSocket data or violates its protocol, retains too much, or does not end.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    stage::play(async {
        let mut world = World::new(&mut input);
        world.dial(&mut input).await;
        while !input.is_empty() {
            world.step(&mut input).await;
        }
        world.end().await;
    });
}

struct World {
    server: Server,
    /// Whether messages of everyday size are allowed.
    roomy: bool,
    capacity: usize,
    plain: bool,
    /// The server's default codec, which the peer usually offers.
    default: Arc<dyn Codec>,
    /// The codec of the latest socket.
    codec: Arc<dyn Codec>,
    peer: Option<Peer>,
    /// Sockets that the peer neither reads nor closes.
    half_open: Vec<Peer>,
    /// The token of the last `$open`.
    token: Option<String>,
    /// The codec of that session.
    tokens_codec: Arc<dyn Codec>,
    /// The data frames that have arrived in the session, and the number that the server has acknowledged.
    received: u64,
    told: u64,
    /// Whether the peer has asked for an acknowledgement on this socket.
    asked: bool,
    opened: bool,
    /// The count in the last resume offer.
    offered: Option<u64>,
    sent: u64,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let echo = Server::builder(harness::connect).on_message(|connection, frame| async move {
            if frame.event() == "slow" {
                sleep(Duration::from_millis(100)).await;
            }
            connection.send_wait(&frame).await.ok();
        });
        let duplicate = input.one_of(&[DuplicateId::Replace, DuplicateId::Resume, DuplicateId::Reject]);
        let limit = input.one_of(&[64 * 1024, 100, 1]);
        let builder = echo
            .send_buffer(input.one_of(&[4, 1, 256]))
            .send_buffer_bytes(input.one_of(&[1 << 20, 1, 100]))
            .resume_window(input.one_of(&[Some(30), None, Some(3600)]).map(Duration::from_secs))
            .max_message_size(limit)
            .max_retained_bytes(input.one_of(&[1 << 30, 1 << 20]))
            .duplicate_id(duplicate)
            .overflow(overflow(input));
        let capacity = input.one_of(&[4096, 1, 40]);
        let mode = input.byte();
        let default = stage::codec(mode);
        let others = codecs().into_iter().filter(|codec| codec.name() != default.name());
        let builder = others.fold(builder.codec(Picked(default.clone())), |b, codec| b.codec(Picked(codec)));
        Self {
            server: builder.build().expect("the options are in range"),
            roomy: limit >= 100,
            capacity,
            plain: mode & 1 == 1,
            tokens_codec: default.clone(),
            codec: default.clone(),
            default,
            peer: None,
            half_open: Vec::new(),
            token: None,
            received: 0,
            told: 0,
            asked: false,
            opened: false,
            offered: None,
            sent: 0,
        }
    }

    async fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 12 {
            0 => self.write(input.bytes()).await,
            1..=3 => self.write_frame(&stage::any_frame(input, &*self.codec)).await,
            4 | 5 => {
                let control = stage::any_control(input, &*self.codec);
                self.asked |= control.windows(5).any(|text| text == b"$sync");
                self.write_frame(&control).await;
            }
            6 => stage::pause(input).await,
            7 => self.read().await,
            8 => self.speak(input),
            9 => self.dial(input).await,
            10 => {
                if let Some(peer) = &mut self.peer {
                    peer.finish().await;
                }
            }
            _ => self.peer = None,
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        if let Some(peer) = &mut self.peer {
            peer.write(bytes).await;
        }
    }

    async fn write_frame(&mut self, frame: &[u8]) {
        if let Some(peer) = &mut self.peer {
            peer.write_frame(frame).await;
        }
    }

    async fn serves_others(&self) {
        let mut peer = self.connect("/?room=others&id=zoe", "", self.default.clone()).await;
        peer.read_head(A_WHILE).await.expect("an answer");
        peer.upgrade();
        peer.write_frame(&stage::data(&Frame::event_only("mine"), &*self.default)).await;
        let frames = peer.read().await;
        assert!(matches!(&frames[..], [frame] if frame.event() == "mine"), "{frames:?}");
    }

    /// Opens a socket and requests an upgrade.
    async fn connect(&self, path: &str, protocols: &str, codec: Arc<dyn Codec>) -> Peer {
        let (ours, theirs) = tokio::io::duplex(self.capacity);
        let server = self.server.clone();
        tokio::spawn(async move { server.serve_connection(theirs).await });
        let mut peer = Peer::new(ours, Role::Client, codec);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{protocols}\r\n"
        );
        peer.write(request.as_bytes()).await;
        peer
    }

    /// The peer dials again: as a new client, or to resume its session, sometimes with another codec.
    async fn dial(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        let mut protocols = String::new();
        self.offered = None;
        self.codec = self.default.clone();
        if !self.plain {
            if kind & 48 == 48 {
                self.codec = stage::codec(kind);
            }
            protocols = format!("Sec-WebSocket-Protocol: rejoin.v1.{}", self.codec.name());
            if let Some(token) = self.token.as_ref().filter(|_| kind & 1 == 0) {
                let count = if kind & 2 == 0 { self.received } else { input.number() };
                self.offered = Some(count);
                protocols += &format!(", rejoin.resume.{token}.{count}");
            }
            protocols += "\r\n";
        }
        let id = if kind & 4 == 0 { "&id=ada" } else { "" };
        let mut peer = self.connect(&format!("/?room=room{id}"), &protocols, self.codec.clone()).await;
        let head = peer.read_head(A_WHILE).await.expect("an answer");
        let accepted = head.starts_with(b"HTTP/1.1 101 ");
        if accepted {
            peer.upgrade();
        }
        (self.opened, self.asked) = (false, false);
        let old = self.peer.replace(peer);
        self.half_open.extend(old.filter(|_| kind & 8 == 0));
        if !accepted {
            self.peer = None;
        }
    }

    async fn read(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        for frame in peer.read().await {
            // In plain mode all frames are data, and are echoed unchanged.
            if !self.plain {
                self.came(&frame);
            }
        }
    }

    /// Checks a frame of a session against the earlier ones.
    fn came(&mut self, frame: &Frame) {
        let text = frame.payload().map(|payload| payload.data().clone()).unwrap_or_default();
        if !self.opened {
            assert_eq!(frame.event(), "$open", "the first frame");
            let open: Open = serde_json::from_slice(&text).expect("it is an $open");
            let same_codec = self.codec.name() == self.tokens_codec.name();
            match (open.resumed, self.offered) {
                (true, offered) => {
                    assert!(same_codec, "in another codec a session is not resumed");
                    assert_eq!(Some(open.session.as_str()), self.token.as_deref());
                    self.received = offered.expect("only what was asked for is resumed");
                    assert!(open.received >= self.told, "a count goes back");
                }
                (false, offered) => {
                    assert_eq!((open.received, open.lost.is_some()), (0, offered.is_some()));
                    assert!(open.lost != Some(LostReason::Codec) || !same_codec, "it is the session's");
                    self.received = 0;
                }
            }
            self.told = open.received;
            self.token = Some(open.session.as_str().to_owned());
            self.tokens_codec = self.codec.clone();
            self.opened = true;
            return;
        }
        match frame.event() {
            "$ack" => {
                let count = serde_json::from_slice(&text).expect("a number");
                assert!(
                    count > self.told || (self.asked && count == self.told),
                    "never for nothing new, unasked"
                );
                self.told = count;
            }
            "$gap" => {
                let gap: rejoin_core::Gap = serde_json::from_slice(&text).expect("a gap");
                assert_eq!(gap.from, self.received + 1, "it follows what was received");
                self.received = gap.to;
            }
            "$pong" | "$sync" => {}
            event => {
                assert!(!event.starts_with('$'), "{event}");
                self.received += 1;
            }
        }
    }

    /// The application sends.
    fn speak(&mut self, input: &mut Input<'_>) {
        self.sent += 1;
        let padding = "x".repeat(input.byte().into());
        let frame = Frame::new("said", &(self.sent, padding)).expect("JSON can represent it");
        match input.byte() % 6 {
            0 | 1 => _ = self.server.broadcast_with("room", &frame, overflow(input)),
            2 => _ = self.server.send("ada", &frame),
            3 => _ = self.server.cut("ada"),
            4 => {
                if let Some(connection) = self.server.connection("ada") {
                    let code = input.one_of(&[1000, 1001, 1012, 4999]);
                    connection.close_with(code, "").expect("the code is valid");
                }
            }
            _ => {
                if let Some(connection) = self.server.connection("ada") {
                    _ = connection.send_with(&frame, overflow(input));
                }
            }
        }
    }

    /// The peer reads the remaining bytes, another client is served as usual, and the server is shut down.
    async fn end(mut self) {
        self.read().await;
        if self.roomy {
            self.serves_others().await;
        }
        let shutdown = timeout(Duration::from_secs(60), self.server.shutdown(Duration::from_secs(5))).await;
        assert!(shutdown.is_ok(), "it does not end");
        let stats = self.server.stats();
        assert_eq!((stats.connections, stats.suspended, stats.rooms, stats.retained_bytes), (0, 0, 0, 0));
    }
}

fn overflow(input: &mut Input<'_>) -> Overflow {
    input.one_of(&[Overflow::Reject, Overflow::DropOldest, Overflow::DropNewest, Overflow::Disconnect])
}
