//! [`Recorder`]: what a server tells its application, in a channel.

use std::fmt;

use rejoin_server::{
    Builder, CloseReason, ConnectRequest, Connection, DropReason, Frame, Gap, Identity, Reject, Server,
};
use tokio::sync::mpsc;

use super::words::describe_frame;

/// What a server tells its application, in the order in which it does.
#[derive(Debug)]
pub struct Recorder {
    happenings: mpsc::UnboundedReceiver<Happening>,
}

/// One callback.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Happening {
    /// Whose it is.
    pub connection: Connection,
    /// Which it is.
    pub what: What,
}

/// Which callback.
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

/// Accepts everyone. The query says `room` (default `room`) and `id` (default: a random one).
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

/// A server that accepts everyone ([`connect`]), and whose callbacks are written down. Those that the scenario sets itself
/// afterwards are not.
pub fn builder() -> (Builder, Recorder) {
    Recorder::of(Server::builder(connect))
}

impl Recorder {
    /// Has the callbacks of a server written down.
    pub fn of(builder: Builder) -> (Builder, Self) {
        let (sender, happenings) = mpsc::unbounded_channel();
        let note = move |connection: Connection, what: What| {
            // A scenario that has ended hears nothing more.
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
        super::within("callback", self.happenings.recv()).await.expect("the server has callbacks to come")
    }

    /// The next callback, in words: `ID connected`, `ID message EVENT PAYLOAD`, `ID dropped: WHY`, `ID restored`,
    /// `ID gap 2-3`, `ID disconnected: WHY`.
    ///
    /// # Panics
    /// Panics when none comes.
    pub async fn next(&mut self) -> String {
        self.next_event().await.to_string()
    }

    /// The next callbacks, sorted: for those of several connections, which have no order among each other.
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

    /// The connection that has just begun.
    ///
    /// # Panics
    /// Panics when the next callback is another.
    pub async fn connected(&mut self) -> Connection {
        let happening = self.next_event().await;
        assert!(matches!(happening.what, What::Connected), "no connect: {happening}");
        happening.connection
    }

    /// The numbers in the next messages.
    ///
    /// # Panics
    /// Panics when something else comes.
    pub async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::with_capacity(count);
        while numbers.len() < count {
            let happening = self.next_event().await;
            let What::Message(frame) = &happening.what else { panic!("no message: {happening}") };
            numbers.push(frame.decode().expect("the payload is a number"));
        }
        numbers
    }

    /// The numbers in the next messages, whatever becomes of the sockets meanwhile.
    ///
    /// # Panics
    /// Panics when the session ends, or tells of a gap.
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

    /// The next callback, if it has come already.
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
            What::Dropped(why) => write!(f, "dropped: {why}"),
            What::Restored => f.write_str("restored"),
            What::Gap(gap) => write!(f, "gap {}-{}", gap.from, gap.to),
            What::Disconnected(why) => write!(f, "disconnected: {why}"),
        }
    }
}
