//! [`Stage`]: a server that listens, and clients that connect to it directly or over a line that fails on demand.

use std::net::SocketAddr;

use rejoin_client::{Client, ClientBuilder, Connection};
use rejoin_server::{Builder, Server};
use rejoin_tests::harness::{self, Recorder};

use rejoin_tests::network::{Dials, Line};

use crate::bare::Bare;
use crate::{Mode, millis, secs};

/// A listening server, and a recorder of its callbacks.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) addr: SocketAddr,
    pub(crate) log: Recorder,
    pub(crate) mode: Mode,
}

impl Stage {
    /// Starts a server with these options, whose clients use this mode.
    pub(crate) async fn set(mode: Mode, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let (builder, log) = harness::builder();
        let server = configure(builder).build().unwrap();
        let addr = server.listen("127.0.0.1:0").await.unwrap().local_addr();
        Self { server, addr, log, mode }
    }

    /// Configures a client with this ID, which reconnects fast.
    pub(crate) fn client(&self, id: &str) -> ClientBuilder {
        self.client_at(self.addr, &format!("id={id}"))
    }

    pub(crate) fn client_at(&self, addr: SocketAddr, query: &str) -> ClientBuilder {
        self.in_mode(Client::builder(format!("ws://{addr}/?{query}")))
    }

    /// A line to the server.
    pub(crate) fn line(&self) -> Line {
        let line = Line::to(self.addr);
        line.listen().unwrap();
        line
    }

    pub(crate) fn client_on(&self, line: &Line, query: &str) -> ClientBuilder {
        self.in_mode(line.client(&format!("/?{query}")))
    }

    fn in_mode(&self, builder: ClientBuilder) -> ClientBuilder {
        let builder = builder.reconnect(millis(1), millis(20));
        if self.mode == Mode::Plain { builder.plain() } else { builder }
    }

    /// Connects a client with this ID.
    pub(crate) async fn connect(&mut self, id: &str) -> Connection {
        let connection = self.client(id).connect().await.unwrap();
        assert_eq!(self.log.next().await, format!("{id} connected"));
        connection
    }

    /// Connects a client with this ID on its own line.
    pub(crate) async fn connect_on_a_line(&mut self, id: &str) -> (Connection, Line) {
        let line = self.line();
        let connection = self.client_on(&line, &format!("id={id}")).connect().await.unwrap();
        assert_eq!(self.log.next().await, format!("{id} connected"));
        (connection, line)
    }

    /// Connects a foreign client in plain mode with this ID.
    pub(crate) async fn bare(&mut self, id: &str) -> Bare {
        let bare = Bare::connect(self.addr, &format!("id={id}")).await;
        assert_eq!(self.log.next().await, format!("{id} connected"));
        bare
    }

    /// Resets the client's socket, and holds its reconnects back until dials are served.
    pub(crate) async fn drop_and_hold(&mut self, id: &str, line: &Line) {
        line.set_dials(Dials::Held);
        line.cut();
        let told = self.log.next().await;
        assert!(told.starts_with(&format!("{id} dropped: ")), "{told}");
    }

    /// Shuts the server down, and checks that no session had to be dropped.
    pub(crate) async fn end(&self) {
        assert_eq!(self.server.shutdown(secs(60)).await, 0, "sessions that had to be dropped");
    }
}
