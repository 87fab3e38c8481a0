//! [`Stage`]: a server, and clients on lines that fail on demand.

use std::time::Duration;

use rejoin_client::{ClientBuilder, Connection};
use rejoin_server::{Builder, Server};
use rejoin_tests::harness::{self, Heard, Recorder, What, millis, secs};
use rejoin_tests::network::{Line, Medium, Target};
use tokio::time::Instant;

use crate::bare::Bare;
use crate::setting::{Mode, Setting};

/// The bytes that a line holds in each direction.
const CAPACITY: usize = 64 * 1024;

/// A server that is ready for clients, and a recorder of its callbacks.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) log: Recorder,
    pub(crate) mode: Mode,
    medium: Medium,
    pub(crate) target: Target,
    /// A line over TCP closes its sockets when it is dropped.
    lines: Vec<Line>,
}

impl Stage {
    /// Starts a server with these options.
    pub(crate) fn set(setting: Setting, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let (builder, log) = harness::builder();
        Self::of(setting, configure(builder), log)
    }

    /// Starts this server.
    pub(crate) fn of(setting: Setting, builder: Builder, log: Recorder) -> Self {
        let Setting { mode, medium } = setting;
        let server = builder.build().unwrap();
        let target = medium.open(&server, None);
        Self { server, log, mode, medium, target, lines: Vec::new() }
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.medium, Medium::Memory)
    }

    /// A new line to the server.
    pub(crate) fn line(&mut self) -> Line {
        let line = self.medium.line(self.target.clone(), CAPACITY);
        self.lines.push(line.clone());
        line
    }

    /// Configures a client that reconnects fast, on this line and with this query.
    pub(crate) fn client_on(&self, line: &Line, query: &str) -> ClientBuilder {
        let builder = line.client(&format!("/?{query}")).reconnect(millis(1), millis(20));
        if self.mode == Mode::Plain { builder.plain() } else { builder }
    }

    /// Configures a client with this query on its own line.
    pub(crate) fn client(&mut self, query: &str) -> ClientBuilder {
        let line = self.line();
        self.client_on(&line, query)
    }

    /// Connects a client with this ID.
    pub(crate) async fn connect(&mut self, id: &str) -> Connection {
        self.connect_on_line(id).await.0
    }

    /// Connects a client with this ID, and returns its line, too.
    pub(crate) async fn connect_on_line(&mut self, id: &str) -> (Connection, Line) {
        let line = self.line();
        let connection = self.client_on(&line, &format!("id={id}")).connect().await.unwrap();
        assert_eq!(self.log.next().await, (id, What::Connected));
        (connection, line)
    }

    /// Connects a foreign client in plain mode with this ID.
    pub(crate) async fn bare(&mut self, id: &str) -> Bare {
        let bare = Bare::connect(&self.line(), &format!("id={id}")).await.unwrap();
        assert_eq!(self.log.next().await, (id, What::Connected));
        bare
    }

    /// Resets the client's connection, and refuses its dials from then on. Returns when the server has noticed: before that, a
    /// plain client that returns gets another session.
    pub(crate) async fn take_away(&mut self, id: &str, line: &Line) {
        line.unplug();
        self.log.dropped(id).await;
    }

    /// The client's event when it is back, and the server had not ended its session. Only session mode has a session to resume.
    pub(crate) fn back(&self) -> Heard {
        if self.mode == Mode::Session { Heard::Resumed } else { Heard::Reconnected }
    }

    /// Checks how long something took: exactly that long in memory, and not much longer over TCP.
    #[track_caller]
    pub(crate) fn assert_took(&self, since: Instant, expected: Duration) {
        let took = since.elapsed();
        if self.is_in_memory() {
            let (least, most) = (expected.saturating_sub(millis(5)), expected + millis(5));
            assert!((least..=most).contains(&took), "{took:?}");
        } else {
            assert!(took < expected + secs(10), "{took:?}");
        }
    }

    /// Shuts the server down, and checks that no session had to be dropped.
    pub(crate) async fn end(&self) {
        harness::shut_down(&self.server).await;
    }
}
