//! [`Recorder`]: records a server's callbacks in a channel.

use std::fmt;

use rejoin_server::{
    Builder, CloseReason, ConnectRequest, Connection, DropReason, Frame, Gap, Identity, Reject, Server,
};
use tokio::sync::mpsc;

use super::words::{close_words, describe_frame, drop_words};

/// A server's callbacks, in order.
#[derive(Debug)]
pub struct Recorder {
    happenings: mpsc::UnboundedReceiver<Happening>,
}

/// A recorded callback.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Happening {
    /// Its connection.
    pub connection: Connection,
    /// Its kind.
    pub what: What,
}

/// The kind of a callback, with its arguments.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum What {
    /// `on_connect`
    Connected,
    /// `on_message`
    Message(Frame),
    /// `on_transport_drop`
    Dropped(DropReason),
    /// `on_transport_restore`
    Restored,
    /// `on_gap`
    Gap(Gap),
    /// `on_disconnect`
    Disconnected(CloseReason),
}

/// Accepts every request. The query sets `room` (default `room`) and `id` (default: a random one).
///
/// # Errors
/// Never fails.
pub async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    let identity = Identity::new().with_room(request.query("room").unwrap_or_else(|| "room".into()));
    Ok(match request.query("id") {
        Some(id) => identity.with_id(id),
        None => identity,
    })
}

/// A server that accepts every request ([`connect`]), and whose callbacks are recorded. Callbacks that the scenario sets
/// afterwards are not.
pub fn builder() -> (Builder, Recorder) {
    Recorder::of(Server::builder(connect))
}

impl Recorder {
    /// Records the callbacks of a server.
    pub fn of(builder: Builder) -> (Builder, Self) {
        let (sender, happenings) = mpsc::unbounded_channel();
        let note = move |connection: Connection, what: What| {
            // The scenario may have ended.
            sender.send(Happening { connection, what }).ok();
            std::future::ready(())
        };
        let [connected, message, dropped, restored, gap, disconnected] = [(); 6].map(|()| note.clone());
        let builder = builder
            .on_connect(move |connection| connected(connection, What::Connected))
            .on_message(move |connection, frame| message(connection, What::Message(frame)))
            .on_transport_drop(move |connection, why| dropped(connection, What::Dropped(why)))
            .on_transport_restore(move |connection| restored(connection, What::Restored))
            .on_gap(move |connection, range| gap(connection, What::Gap(range)))
            .on_disconnect(move |connection, why| disconnected(connection, What::Disconnected(why)));
        (builder, Self { happenings })
    }

    /// The next callback.
    ///
    /// # Panics
    /// Panics when none comes.
    pub async fn next_event(&mut self) -> Happening {
        super::within("callback", self.happenings.recv()).await.expect("the server is running")
    }

    /// The next callback, in words: `ID connected`, `ID message EVENT PAYLOAD`, `ID dropped: WHY`, `ID restored`,
    /// `ID gap 2-3`, `ID disconnected: WHY`.
    ///
    /// # Panics
    /// Panics when none comes.
    pub async fn next(&mut self) -> String {
        self.next_event().await.to_string()
    }

    /// The next callbacks, sorted, for callbacks of several connections, which are not ordered among each other.
    ///
    /// # Panics
    /// Panics when they do not come.
    pub async fn next_sorted<const N: usize>(&mut self) -> [String; N] {
        let mut all = [const { String::new() }; N];
        for one in &mut all {
            *one = self.next().await;
        }
        all.sort();
        all
    }

    /// The connection of the next callback, which must be `on_connect`.
    ///
    /// # Panics
    /// Panics if the next callback is another one.
    pub async fn connected(&mut self) -> Connection {
        let happening = self.next_event().await;
        assert!(matches!(happening.what, What::Connected), "no connect: {happening}");
        happening.connection
    }

    /// The numbers in the next messages.
    ///
    /// # Panics
    /// Panics if another callback comes.
    pub async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::with_capacity(count);
        while numbers.len() < count {
            let happening = self.next_event().await;
            let What::Message(frame) = &happening.what else { panic!("no message: {happening}") };
            numbers.push(frame.decode().expect("the payload is a number"));
        }
        numbers
    }

    /// The numbers in the next messages, across drops and restores.
    ///
    /// # Panics
    /// Panics if the session ends or a gap is reported.
    pub async fn numbers_over_drops(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::with_capacity(count);
        while numbers.len() < count {
            let happening = self.next_event().await;
            match &happening.what {
                What::Message(frame) => numbers.push(frame.decode().expect("the payload is a number")),
                What::Connected | What::Dropped(_) | What::Restored => {}
                What::Gap(_) | What::Disconnected(_) => panic!("unexpected: {happening}"),
            }
        }
        numbers
    }

    /// The next callback, if one is recorded already.
    pub fn try_next(&mut self) -> Option<String> {
        self.happenings.try_recv().ok().map(|happening| happening.to_string())
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.connection.id())?;
        match &self.what {
            What::Connected => f.write_str("connected"),
            What::Message(frame) => write!(f, "message {}", describe_frame(frame)),
            What::Dropped(why) => write!(f, "dropped: {}", drop_words(why)),
            What::Restored => f.write_str("restored"),
            What::Gap(gap) => write!(f, "gap {}-{}", gap.from, gap.to),
            What::Disconnected(why) => write!(f, "disconnected: {}", close_words(why)),
        }
    }
}
