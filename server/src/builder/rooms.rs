//! Options of rooms.

use std::sync::Arc;

use super::Builder;
use crate::fanout::rewind::History;

impl Builder {
    /// Sets whether a frame that is broadcast to a room names it ([`Frame::room`](rejoin_core::Frame::room)), so that a client in
    /// several rooms can distinguish them. A receiver that gets the frame as a user, by its ID, or with everyone, gets it without a
    /// name. Default: `false`. [`Audience::name_rooms`](crate::Audience::name_rooms) overrides it for one broadcast.
    ///
    /// Costs one encoding for each room of an audience, instead of one for all of them, and the bytes of the name.
    pub fn name_rooms(mut self, names: bool) -> Self {
        self.options.name_rooms = names;
        self
    }

    /// Sets what every room keeps of its broadcasts for newcomers, who ask for it with [`Connection::join`](crate::Connection::join)
    /// and [`Identity::with_rewind`](crate::Identity::with_rewind). Default: nothing.
    ///
    /// Costs each broadcast a copy of the frame, and one encoding with the default codec, also if nobody uses it; and the memory of the
    /// frames, plain and encoded. [`Self::build`] fails for bounds out of their range.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject};
    /// use rejoin_server::{History, Server};
    ///
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
    /// let server = Server::builder(connect).history(History::new().frames(50)).build()?;
    /// # let _ = server;
    /// # Ok::<(), rejoin_server::ConfigError>(())
    /// ```
    pub fn history(mut self, history: History) -> Self {
        self.options.histories.usual = history;
        self
    }

    /// Sets what each room keeps, by its name, instead of [`Self::history`]. Called when a room is created, and for each broadcast to
    /// a room that does not exist. Bounds out of their range count as [`History::none`]. Default: every room keeps the same.
    pub fn history_of(mut self, history: impl Fn(&str) -> History + Send + Sync + 'static) -> Self {
        self.options.histories.of_room = Some(Arc::new(history));
        self
    }
}
