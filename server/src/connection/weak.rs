//! [`WeakConnection`]: a handle that does not keep its connection alive.

use std::fmt;
use std::sync::{Arc, Weak};

use super::{Connection, ConnectionInner};

/// A handle that does not keep its [`Connection`] alive, for application data that a connection owns or leads to. Created by
/// [`Connection::downgrade`]. The default value belongs to no connection.
#[derive(Clone, Default)]
pub struct WeakConnection(Weak<ConnectionInner>);

impl Connection {
    /// Creates a handle that does not keep the connection alive. Use it in values that the connection itself owns, such as its
    /// [data](crate::Identity::with_data): with a [`Connection`] there, the two would keep each other alive forever.
    pub fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.0))
    }
}

impl WeakConnection {
    /// Returns the connection, or `None` once its last [`Connection`] has been dropped. The server keeps one until
    /// `on_disconnect` has returned.
    pub fn upgrade(&self) -> Option<Connection> {
        self.0.upgrade().map(Connection)
    }
}

impl fmt::Debug for WeakConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WeakConnection").field(&self.upgrade()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::testing::dial;
    use crate::{ConnectRequest, Identity, Reject, Server};

    /// Data that leads back to its connection.
    struct Player {
        me: OnceLock<WeakConnection>,
        dropped: Arc<AtomicUsize>,
    }

    impl Drop for Player {
        fn drop(&mut self) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn data_with_weak_handle_is_dropped_with_connection() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let drops = dropped.clone();
        let connect = move |_: ConnectRequest| {
            let player = Player { me: OnceLock::new(), dropped: drops.clone() };
            std::future::ready(Ok::<_, Reject>(
                Identity::new().with_room("room").with_id("ada").with_data(player),
            ))
        };
        let server = Server::builder(connect).on_connect(|connection| async move {
            let player: Arc<Player> = connection.data().unwrap();
            player.me.set(connection.downgrade()).unwrap();
        });
        let server = server.build().unwrap();
        let _theirs = dial(&server).await;
        let connection = server.connection("ada").unwrap();
        let me = connection.data::<Player>().unwrap().me.get().unwrap().clone();
        assert_eq!(me.upgrade().as_ref(), Some(&connection));
        server.kick("ada").await.unwrap();
        connection.closed().await;
        assert_eq!(dropped.load(Ordering::Relaxed), 0, "a handle still exists");
        assert!(me.upgrade().is_some());
        drop(connection);
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        assert!(me.upgrade().is_none() && WeakConnection::default().upgrade().is_none());
    }
}
