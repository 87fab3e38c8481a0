//! [`Crowd`]: a server with many clients in one room.

use std::fmt;
use std::sync::Arc;

use rejoin_server::{Builder, ConnectRequest, Frame, Identity, Reject, Server};

use crate::{Peer, Tally};

/// The mode of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Mode {
    /// Data frames only.
    Plain,
    /// Frames are counted and acknowledged.
    Session,
}

/// A server with many clients in its room `crowd`, whose IDs are numbers.
#[derive(Clone)]
pub struct Crowd {
    server: Server,
    tally: Arc<Tally>,
    mode: Mode,
}

/// Accepts every client with the ID that it claims.
async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    let word = |name| request.query(name).unwrap_or_default();
    // `crowd-rewound` is the room `crowd`, with all that it keeps.
    let (room, rewind) = match word("room") {
        room if room == REWOUND => ("crowd".to_owned(), usize::MAX),
        room => (room, 0),
    };
    Ok(Identity::new().with_room(room).with_rewind(rewind).with_id(word("id")))
}

const REWOUND: &str = "crowd-rewound";

impl Crowd {
    /// Creates a server without clients. Its resume window and its memory are unlimited.
    ///
    /// # Panics
    /// Panics if `configure` sets invalid options.
    pub fn new(mode: Mode, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let builder = Server::builder(connect)
            .resume_window(std::time::Duration::MAX)
            .max_retained_bytes(usize::MAX >> 1);
        let server = configure(builder).build().expect("the options are in their range");
        Self { server, tally: Arc::default(), mode }
    }

    /// Creates a separate crowd on an existing server.
    pub fn on(server: &Server, mode: Mode) -> Self {
        Self { server: server.clone(), tally: Arc::default(), mode }
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The clients' counters.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Connects a client to this room. Returns when its socket is attached.
    ///
    /// # Panics
    /// Panics if another client takes its ID meanwhile.
    pub async fn join_room(&self, room: &str, id: usize) {
        self.server.serve_connection(Peer::new(&self.tally, self.mode, room, id)).await;
        let connection = self.server.connection(&id.to_string()).expect("the client has a session");
        while !connection.is_attached() {
            assert!(connection.is_open(), "another client has its ID");
            tokio::task::yield_now().await;
        }
    }

    /// Connects a client.
    pub async fn join(&self, id: usize) {
        self.join_room("crowd", id).await;
    }

    /// Connects a client, which gets the room's history first.
    pub async fn join_rewound(&self, id: usize) {
        self.join_room(REWOUND, id).await;
    }

    /// Drops a client's socket. [`Self::settle`] waits until the server has noticed.
    ///
    /// # Panics
    /// Panics if there is no such client.
    pub fn suspend(&self, id: usize) {
        self.server.cut(&id.to_string()).expect("the client is attached");
    }

    /// Waits until the server has dropped all sockets except this many.
    pub async fn settle(&self, open: usize) {
        while self.tally.open() > open {
            tokio::task::yield_now().await;
        }
    }

    /// Broadcasts a frame to all clients, and returns their number.
    ///
    /// # Panics
    /// Panics if the server refuses the frame.
    pub fn broadcast(&self, frame: &Frame) -> usize {
        self.server.broadcast("crowd", frame).expect("JSON can represent the frame")
    }

    /// Broadcasts a frame, and waits until all clients have it.
    ///
    /// # Panics
    /// Panics if the number of receivers differs.
    pub async fn broadcast_and_deliver(&self, frame: &Frame, members: usize) {
        self.tally.expect(members as u64);
        assert_eq!(self.broadcast(frame), members);
        self.tally.reached().await;
    }
}

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crowd").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// A frame whose message has about 128 bytes.
#[must_use]
pub fn message() -> Frame {
    Frame::new("chat.message", &"x".repeat(90)).expect("JSON can represent a string")
}
