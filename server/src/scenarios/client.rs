//! [`ScenarioClient`]: the peer of a session, as far as the scenarios need it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rejoin_core::drive::model::{current_runtime, spawn_on};
use rejoin_core::drive::{Unmasked, WsTransport};
use rejoin_core::{Codec as _, Message, Token};
use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf};

use crate::accept::admission::{Admission, Decision};
use crate::accept::logged_request::LoggedRequest;
use crate::accept::offer::{Offer, Resume};
use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::{Identity, JsonCodec};

/// A client that reads when the scenario says so, and counts received frames as in PROTOCOL.md §4.
pub(super) struct ScenarioClient {
    shared: Arc<ServerInner>,
    id: &'static str,
    /// `None` in plain mode.
    token: Option<Token>,
    socket: Option<ScenarioSocket>,
    /// In plain mode, the previous socket: the frames that it has accepted are not sent again, and have still to be read.
    old: Option<ScenarioSocket>,
    /// The events of all received data frames, in order.
    pub(super) received: Vec<String>,
    /// The code of the last close frame.
    pub(super) closed: Option<u16>,
}

/// A socket, and the bytes of an incomplete frame.
pub(super) struct ScenarioSocket {
    io: DuplexStream,
    bytes: Vec<u8>,
}

/// The capacity of a pipe that accepts everything.
pub(super) const WIDE: usize = 1 << 16;

impl ScenarioClient {
    /// Opens a session in session mode.
    pub(super) fn session(shared: &Arc<ServerInner>, id: &'static str) -> (Self, Connection) {
        Self::open(shared, id, Offer::Session { codecs: vec![0], resume: None, max: None, auth: None }, WIDE)
    }

    /// Opens a session in plain mode.
    pub(super) fn plain(shared: &Arc<ServerInner>, id: &'static str) -> (Self, Connection) {
        Self::open(shared, id, Offer::Plain { subprotocol: None }, WIDE)
    }

    pub(super) fn open(
        shared: &Arc<ServerInner>,
        id: &'static str,
        offer: Offer,
        capacity: usize,
    ) -> (Self, Connection) {
        let socket = arrive(shared, id, &offer, capacity).expect("nothing is against it");
        let connection = shared.realm.ids.get(id).expect("it is there before its socket");
        let token = connection.handle().token().cloned();
        let shared = shared.clone();
        (
            Self { shared, id, token, socket: Some(socket), old: None, received: Vec::new(), closed: None },
            connection,
        )
    }

    /// Drops its socket, and reconnects. Returns whether the request was accepted.
    pub(super) fn resume(&mut self) -> bool {
        let offer = self.offer();
        let old = std::mem::replace(&mut self.socket, arrive(&self.shared, self.id, &offer, WIDE));
        self.old = old.filter(|_| self.token.is_none());
        self.socket.is_some()
    }

    /// The offer for a reconnect, with the count of received frames.
    pub(super) fn offer(&mut self) -> Offer {
        self.read();
        self.closed = None;
        match self.token.clone() {
            None => Offer::Plain { subprotocol: None },
            Some(token) => {
                let received = self.received.len() as u64;
                Offer::Session {
                    codecs: vec![0],
                    resume: Some(Resume { token, received }),
                    max: None,
                    auth: None,
                }
            }
        }
    }

    /// Drops its socket.
    pub(super) fn leave(&mut self) {
        self.read();
        self.socket = None;
    }

    /// Reads all available frames. Returns whether the socket is open.
    pub(super) fn read(&mut self) -> bool {
        let (mut frames, _) = self.old.as_mut().map(ScenarioSocket::read).unwrap_or_default();
        frames.retain(|(opcode, _)| *opcode != 8);
        let mut open = false;
        if let Some(socket) = &mut self.socket {
            let (more, is_open) = socket.read();
            frames.extend(more);
            open = is_open;
        }
        for (opcode, payload) in frames {
            match opcode {
                1 => {
                    let frame = JsonCodec.decode(Message::text(String::from_utf8(payload).unwrap())).unwrap();
                    if frame.event() == "$gap" {
                        panic!("frames were dropped");
                    }
                    if !frame.event().starts_with('$') {
                        self.received.push(frame.event().to_owned());
                    }
                }
                8 => self.closed = Some(u16::from_be_bytes([payload[0], payload[1]])),
                other => panic!("opcode {other}"),
            }
        }
        open
    }

    /// Sends a text.
    pub(super) fn send(&mut self, text: &str) {
        self.socket.as_mut().expect("it has one").send(text);
    }
}

impl ScenarioSocket {
    /// The available frames, and whether more may follow.
    fn read(&mut self) -> (Vec<(u8, Vec<u8>)>, bool) {
        let mut open = true;
        let mut buffer = vec![0; WIDE];
        loop {
            let mut read = ReadBuf::new(&mut buffer);
            match Pin::new(&mut self.io).poll_read(&mut cx(), &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => self.bytes.extend(read.filled()),
                Poll::Pending => break,
                Poll::Ready(_) => {
                    open = false;
                    break;
                }
            }
        }
        let mut frames = Vec::new();
        while let [first, length, rest @ ..] = &*self.bytes {
            let (length, rest) = match (length, rest) {
                (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
                (..126, rest) => (usize::from(*length), rest),
                _ => break,
            };
            let Some(payload) = rest.get(..length) else { break };
            frames.push((first & 15, payload.to_vec()));
            self.bytes = rest[length..].to_vec();
        }
        (frames, open)
    }

    fn send(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).expect("a short text"), 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        assert!(Pin::new(&mut self.io).poll_write(&mut cx(), &frame).is_ready());
    }
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Performs an upgrade as the listener does. `None` if it was refused.
pub(super) fn arrive(
    shared: &Arc<ServerInner>,
    id: &'static str,
    offer: &Offer,
    capacity: usize,
) -> Option<ScenarioSocket> {
    let identity = Identity::new().with_room("room").with_id(id);
    let admission = match Admission::decide(shared, offer, identity, &LoggedRequest::default()).ok()? {
        Decision::Known(admission) => *admission,
        Decision::New(newcomer) => Admission::open(shared, newcomer, None, &LoggedRequest::default()).ok()?,
    };
    let (ours, theirs) = tokio::io::duplex(capacity);
    let transport = WsTransport::new(ours, Unmasked, &[], 1 << 16);
    if let Some(task) = admission.attach(shared, transport) {
        // The listener's task continues as the session's task.
        let runtime = current_runtime().or_else(|| shared.runtimes.own());
        spawn_on(shared.tasks.track_future(task), &runtime.expect("there is one"));
    }
    Some(ScenarioSocket { io: theirs, bytes: Vec::new() })
}
