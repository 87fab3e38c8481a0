//! [`Recorder`]: records a server's callbacks in a channel.

use std::fmt;

use rejoin_server::{
    Builder, CloseFrame, CloseReason, ConnectRequest, Connection, DropReason, Frame, Gap, Identity, Reject,
    Server,
};
use tokio::sync::mpsc;

/// A server's callbacks, in order.
#[derive(Debug)]
pub struct Recorder {
    happenings: mpsc::UnboundedReceiver<Happening>,
}

/// A recorded callback. It equals a pair of its connection's ID and its kind.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Happening {
    /// Its connection.
    pub connection: Connection,
    /// Its kind.
    pub what: What,
}

/// The kind of a callback, with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// The application closed the session with this code and reason.
pub const fn local(code: u16, reason: &'static str) -> CloseReason {
    CloseReason::Local(CloseFrame::from_static(code, reason))
}

/// Accepts every request. The query sets `room` (default `room`), `realm` and `id` (default: a random one).
///
/// # Errors
/// Never fails.
pub async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    let identity = Identity::new().with_room(request.query("room").unwrap_or_else(|| "room".into()));
    let identity = identity.with_realm(request.query("realm").unwrap_or_default());
    let rewind = request.query("rewind").and_then(|frames| frames.parse::<usize>().ok());
    let identity = match rewind {
        Some(frames) => identity.with_rewind(frames),
        None => identity,
    };
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

/// Echoes each message.
pub fn echo(builder: Builder) -> Builder {
    builder.on_message(|connection, frame| async move {
        // The session may have ended.
        connection.send_wait(&frame).await.ok();
    })
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
    pub async fn next(&mut self) -> Happening {
        super::within("callback", self.happenings.recv()).await.expect("the server is running")
    }

    /// The next callbacks, sorted, for callbacks of several connections, which are not ordered among each other.
    ///
    /// # Panics
    /// Panics when they do not come.
    pub async fn next_sorted<const N: usize>(&mut self) -> [Happening; N] {
        let mut all = Vec::with_capacity(N);
        while all.len() < N {
            all.push(self.next().await);
        }
        all.sort_by_key(|happening| format!("{happening:?}"));
        all.try_into().expect("there are N")
    }

    /// The connection of the next callback, which must be `on_connect`.
    ///
    /// # Panics
    /// Panics if the next callback is another one.
    pub async fn connected(&mut self) -> Connection {
        let happening = self.next().await;
        assert!(happening.what == What::Connected, "no connect: {happening:?}");
        happening.connection
    }

    /// Why the connection with this ID has lost its socket, which must be the next callback.
    ///
    /// # Panics
    /// Panics if the next callback is another one.
    pub async fn dropped(&mut self, id: &str) -> DropReason {
        match self.next().await {
            Happening { connection, what: What::Dropped(why) } if connection.id() == id => why,
            other => panic!("no drop of {id}: {other:?}"),
        }
    }

    /// The numbers in the next messages.
    ///
    /// # Panics
    /// Panics if another callback comes.
    pub async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::with_capacity(count);
        while numbers.len() < count {
            let happening = self.next().await;
            let What::Message(frame) = &happening.what else { panic!("no message: {happening:?}") };
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
            let happening = self.next().await;
            match &happening.what {
                What::Message(frame) => numbers.push(frame.decode().expect("the payload is a number")),
                What::Connected | What::Dropped(_) | What::Restored => {}
                What::Gap(_) | What::Disconnected(_) => panic!("unexpected: {happening:?}"),
            }
        }
        numbers
    }

    /// The next callback, if one is recorded already.
    pub fn try_next(&mut self) -> Option<Happening> {
        self.happenings.try_recv().ok()
    }
}

impl PartialEq<(&str, What)> for Happening {
    fn eq(&self, (id, what): &(&str, What)) -> bool {
        self.connection.id() == *id && self.what == *what
    }
}

impl fmt::Debug for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.connection.id(), &self.what).fmt(f)
    }
}
