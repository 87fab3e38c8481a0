//! The values that an application keeps with a connection: its data, values by type, headers.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;

use super::Connection;

/// The state of a session.
struct Stored(Bytes);

impl Connection {
    /// The data that `ConnectFn` attached with [`Identity::with_data`](crate::Identity::with_data) or
    /// [`with_fresh_data`](crate::Identity::with_fresh_data); `None` if it attached none, or data of another type. The data is
    /// dropped with the connection's last handle; the server drops its own handle when `on_disconnect` has returned.
    ///
    /// Costs a lock and a count.
    pub fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.handle().read_belongings(|belongings| belongings.data.clone())?.downcast().ok()
    }

    /// Whether `ConnectFn` attached data.
    pub(crate) fn has_data(&self) -> bool {
        self.handle().read_belongings(|belongings| belongings.data.clone()).is_some()
    }

    /// Keeps a value with the connection, one of each type, until it is replaced, [taken](Self::take), or dropped with the
    /// connection's last handle: it outlives sockets. Returns the value that it replaces. Use types of your own, so that no other
    /// code replaces your value.
    ///
    /// ```
    /// # use rejoin_server::{Connection, Frame};
    /// struct Score(u32);
    ///
    /// # async fn example(connection: Connection) {
    /// let score = connection.get::<Score>().map_or(0, |score| score.0);
    /// connection.set(Score(score + 1));
    /// # }
    /// ```
    ///
    /// The callbacks of one connection run one after the other; code elsewhere may change the value between a `get` and a `set`.
    /// For a value that several tasks change, keep a lock or an atomic. A value that contains this [`Connection`] would keep it
    /// alive: keep a [`WeakConnection`](crate::WeakConnection).
    ///
    /// Costs an allocation for the value and, for the first one, about 150 bytes; a look-up is linear in the number of types.
    pub fn set<T: Any + Send + Sync>(&self, value: T) -> Option<Arc<T>> {
        let value = Arc::new(value);
        let replaced = self.handle().change_belongings(|belongings| belongings.set(value));
        replaced?.downcast().ok()
    }

    /// The value of this type that [`Self::set`] keeps.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.handle().read_belongings(|belongings| belongings.get::<T>().cloned())?.downcast().ok()
    }

    /// Removes the value of this type, and returns it.
    pub fn take<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.handle().change_belongings(|belongings| belongings.take::<T>())?.downcast().ok()
    }

    /// The state that [`Self::set_state`] has set; `None` before.
    pub fn state(&self) -> Option<Bytes> {
        self.get::<Stored>().map(|stored| stored.0.clone())
    }

    /// Sets bytes that belong to the session. With a [store](crate::Builder::store) they outlive the process: the state that a handler
    /// sets is committed together with its acts and with the number of the frame that it has handled, so it always reflects exactly the
    /// handled frames. Without a store, or in plain mode, it lives as long as the connection. Costs its size in the store with each
    /// commit that sets it: keep it small.
    pub fn set_state(&self, state: impl Into<Bytes>) {
        let state = state.into();
        self.set(Stored(state.clone()));
        self.say_state(state);
    }

    /// Sets the state that the store has.
    pub(crate) fn restore_state(&self, state: Bytes) {
        self.set(Stored(state));
    }

    /// The headers of the request that opened the session or resumed it last, as
    /// [`Identity::keep_headers`](crate::Identity::keep_headers) has kept them; `None` if it has not.
    pub fn headers(&self) -> Option<Arc<HeaderMap>> {
        self.handle().read_belongings(|belongings| belongings.headers().cloned())
    }

    /// When the session was opened, to a tenth of a second. Its sockets may have changed since.
    pub fn connected_since(&self) -> Instant {
        self.handle().opened()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use rejoin_core::drive::now;

    use super::*;
    use crate::testing::{connection, server};

    #[test]
    fn one_value_of_each_type_is_kept() {
        let connection = connection(&server());
        assert_eq!(
            (connection.get::<u8>(), connection.take::<u8>(), connection.headers()),
            (None, None, None)
        );
        assert_eq!(connection.set(1_u8), None);
        assert_eq!(connection.set("text"), None);
        assert_eq!(connection.set(2_u8).as_deref(), Some(&1));
        assert_eq!(connection.get::<u8>().as_deref(), Some(&2));
        assert_eq!(connection.get::<&str>().as_deref(), Some(&"text"));
        assert_eq!(connection.take::<u8>().as_deref(), Some(&2));
        assert_eq!((connection.get::<u8>(), connection.data::<u8>()), (None, None));
        assert_eq!(connection.clone().get::<&str>().as_deref(), Some(&"text"), "clones share it");
    }

    /// Uses its connection when it is dropped.
    struct Meddler(Connection, Arc<AtomicUsize>);

    impl Drop for Meddler {
        fn drop(&mut self) {
            self.0.set(self.1.fetch_add(1, Ordering::Relaxed));
        }
    }

    #[test]
    fn replaced_values_are_dropped_without_a_lock() {
        let connection = connection(&server());
        let drops = Arc::new(AtomicUsize::new(0));
        let meddler = || Meddler(connection.clone(), drops.clone());
        connection.set(meddler());
        drop(connection.set(meddler()));
        drop(connection.take::<Meddler>());
        let renewed = Some(Arc::new(meddler()) as Arc<dyn Any + Send + Sync>);
        for data in [renewed, Some(Arc::new(()) as _)] {
            let renewal = crate::session::belongings::Renewal { data, ..Default::default() };
            connection.handle().renew(renewal);
        }
        assert_eq!(connection.get::<usize>().as_deref(), Some(&2));
        assert_eq!(connection.data::<()>().as_deref(), Some(&()));
    }

    #[tokio::test(start_paused = true)]
    async fn age_counts_from_the_opening() {
        let connection = connection(&server());
        let opened = connection.connected_since();
        assert!(now() - opened < Duration::from_millis(200), "{:?}", now() - opened);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(connection.connected_since(), opened);
    }
}
