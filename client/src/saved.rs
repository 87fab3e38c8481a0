//! [`SavedSession`]: a session outside of its process.

use std::fmt;
use std::sync::Arc;

use rejoin_core::drive::{SharedSession, now};
use rejoin_core::snapshot::SessionSnapshot;
use rejoin_core::{CloseFrame, CloseReason, Session};
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::cookies::Cookies;
use crate::error::SavedError;
use crate::options::ClientOptions;

/// A session that has left its process, for a program that restarts: [`Connection::save`] makes one, and
/// [`Client::resume`](crate::Client::resume) continues with it, in the same process or another. Between the two it can be kept in
/// any serde format.
///
/// The server keeps its side for the [resume window](https://docs.rs/rejoin-server) that it has announced, 30 s by default. Nothing is
/// lost or repeated: frames that the server has not acknowledged, and messages that the application has not taken, are a part of
/// it.
///
/// It contains the session's token, messages of both directions, and cookies: protect it like a password. Of several programs that
/// resume one saved session, at most one succeeds.
#[derive(Clone, Serialize, Deserialize)]
pub struct SavedSession {
    session: SessionSnapshot,
    /// The codec in which the messages are encoded.
    codec: String,
    /// Number of drops that the application has seen.
    drops: u64,
    /// Whether the session was lost, and the reconnect after it was not reported yet.
    is_fresh: bool,
    cookies: Cookies,
}

impl Connection {
    /// Leaves the session without ending it, and returns its state, for a program that restarts and resumes it
    /// ([`Client::resume`](crate::Client::resume)). The socket is cut without a close frame, and the connection's task ends. Returns
    /// `None` if the connection has ended or is closing.
    ///
    /// Open [questions](Self::ask) end. [Refusals](crate::Event::Refused) that the application has not taken are lost. Handles
    /// ([`Sender`](crate::Sender)) accept no more frames: those that they have accepted before are in the saved session.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// use rejoin_client::{Client, Event, Frame, SavedSession};
    ///
    /// # async fn anyone(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = Server::builder(anyone)
    /// #     .on_message(|me, frame| async move { me.send_wait(&frame).await.ok(); })
    /// #     .build()?;
    /// # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
    /// let connection = Client::builder(&url).connect().await?;
    /// connection.send(&Frame::new("chat.message", "sent before the restart")?)?;
    /// let saved = serde_json::to_string(&connection.save().expect("it is open"))?;
    ///
    /// // In the next process.
    /// let saved: SavedSession = serde_json::from_str(&saved)?;
    /// let mut connection = Client::builder(&url).build()?.resume(&saved).await?;
    /// while let Some(event) = connection.recv().await {
    ///     match event {
    ///         Event::Reconnected { resumed } => assert!(resumed),
    ///         Event::Message(frame) => {
    ///             assert_eq!(frame.decode::<String>()?, "sent before the restart");
    ///             break;
    ///         }
    ///         _ => {}
    ///     }
    /// }
    /// # connection.close().await;
    /// # server.shutdown(std::time::Duration::from_secs(1)).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn save(self) -> Option<SavedSession> {
        let (drops, is_fresh) = self.seen();
        let shared = self.sender_ref().shared();
        // In one access: the task must not acknowledge a message that the snapshot does not contain.
        let session = shared.session.command(|session| {
            session.is_open().then(|| {
                session.cut(now());
                let snapshot = session.snapshot(now());
                // It is suspended, so its socket gets no close frame, which would end it at the server.
                session.end(CloseReason::Local(CloseFrame::from_static(1000, "")));
                snapshot
            })
        })?;
        let codec = shared.codec.name().to_owned();
        Some(SavedSession { session, codec, drops, is_fresh, cookies: shared.cookies() })
    }
}

impl SavedSession {
    /// The connection ID of the session; `None` in plain mode.
    pub fn id(&self) -> Option<&str> {
        self.session.identity.as_deref().map(|identity| &*identity.id)
    }

    /// Restores the session.
    ///
    /// # Errors
    /// Fails if it does not fit the options.
    pub(crate) fn restore(&self, options: &ClientOptions) -> Result<SharedSession, SavedError> {
        let expected = options.codec.name();
        if self.codec != expected {
            return Err(SavedError::Codec { saved: self.codec.clone(), expected: expected.to_owned() });
        }
        let config = Arc::new(options.session_config());
        let session = Session::from_snapshot(self.session.clone(), config, now());
        Ok(SharedSession::new(session.map_err(SavedError::Snapshot)?))
    }

    /// The state that the application has seen: the number of drops, and whether a reconnect after a loss is still to be reported.
    pub(crate) fn seen(&self) -> (u64, bool) {
        (self.drops, self.is_fresh)
    }

    pub(crate) fn cookies(&self) -> Cookies {
        self.cookies.clone()
    }
}

impl fmt::Debug for SavedSession {
    /// Without the token, the messages and the cookies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedSession").field("id", &self.id()).finish_non_exhaustive()
    }
}
