//! [`Crowd`]: a server with many clients in one room.

use std::fmt;
use std::sync::Arc;

use rejoin_server::{Builder, ConnectRequest, Frame, Identity, Reject, Server};

use crate::{Peer, Tally};

/// How clients talk to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Mode {
    /// Data frames alone.
    Plain,
    /// Counted and acknowledged.
    Session,
}

/// A server with many clients in its room `crowd`, the IDs of which are numbers.
#[derive(Clone)]
pub struct Crowd {
    server: Server,
    tally: Arc<Tally>,
    mode: Mode,
}

/// Whoever comes is let in, as whom he says.
async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    let word = |name| request.query(name).unwrap_or_default();
    Ok(Identity::new().with_room(word("room")).with_id(word("id")))
}

impl Crowd {
    /// A server with nobody in it. Sessions wait for their sockets for ever, and may keep as much as there is.
    ///
    /// # Panics
    /// Panics when `configure` makes what is no server.
    pub fn new(mode: Mode, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let builder = Server::builder(connect)
            .resume_window(std::time::Duration::MAX)
            .max_retained_bytes(usize::MAX >> 1);
        let server = configure(builder).build().expect("the options are in their range");
        Self { server, tally: Arc::default(), mode }
    }

    /// A crowd of its own on a server of another one.
    pub fn on(server: &Server, mode: Mode) -> Self {
        Self { server: server.clone(), tally: Arc::default(), mode }
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What the clients have received.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// A client comes, into this room. Returns when it is attached.
    ///
    /// # Panics
    /// Panics when somebody else takes its ID meanwhile.
    pub async fn join_room(&self, room: &str, id: usize) {
        self.server.serve_connection(Peer::new(&self.tally, self.mode, room, id)).await;
        let connection = self.server.connection(&id.to_string()).expect("it has a session");
        while !connection.is_attached() {
            assert!(connection.is_open(), "another one has its ID");
            tokio::task::yield_now().await;
        }
    }

    /// A client comes.
    pub async fn join(&self, id: usize) {
        self.join_room("crowd", id).await;
    }

    /// A client loses its socket. [`Self::settle`] waits until the server has seen it.
    ///
    /// # Panics
    /// Panics when there is no such client.
    pub fn suspend(&self, id: usize) {
        self.server.cut(&id.to_string()).expect("the client is attached");
    }

    /// Waits until the server has dropped all sockets but so many.
    pub async fn settle(&self, open: usize) {
        while self.tally.open() > open {
            tokio::task::yield_now().await;
        }
    }

    /// One frame for all, and for how many it was.
    ///
    /// # Panics
    /// Panics when the server refuses it.
    pub fn broadcast(&self, frame: &Frame) -> usize {
        self.server.broadcast("crowd", frame).expect("JSON can represent the frame")
    }

    /// One frame for all, until all of them have it.
    ///
    /// # Panics
    /// Panics when it is not for so many.
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
