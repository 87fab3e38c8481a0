//! [`Users`]: the connections of each user of a realm.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::connection::Connection;
use crate::limits::rate::Buckets;
use crate::session::sharded::{Keyed, Sharded, Shards};

/// The connections of each user. A user exists while it has connections.
#[derive(Debug)]
pub(crate) struct Users {
    users: Sharded<UserEntry>,
}

#[derive(Debug)]
struct UserEntry {
    name: Arc<str>,
    /// Hashed by their numbers.
    connections: HashTable<Connection>,
    /// The limits on what they may send in total. `None` if there are none.
    buckets: Option<Arc<Buckets>>,
}

impl Keyed for UserEntry {
    type Key = str;

    fn key(&self) -> &str {
        &self.name
    }
}

impl Users {
    pub(crate) fn new(size: Shards) -> Self {
        Self { users: Sharded::new(size) }
    }

    /// Adds a connection, unless the user has `max` others; `predecessor`, which this one is about to replace, does not count.
    /// Returns the name, which all connections of the user share.
    pub(crate) fn add(
        &self,
        name: &str,
        connection: &Connection,
        max: usize,
        predecessor: Option<&Connection>,
    ) -> Option<Arc<str>> {
        let mut place = self.users.lock(name);
        let entry = place.get_or_insert_with(|| UserEntry {
            name: name.into(),
            connections: HashTable::new(),
            buckets: None,
        });
        let leaves = predecessor.is_some_and(|leaving| {
            entry.connections.find(leaving.hashed(), |other| other == leaving).is_some()
        });
        if entry.connections.len() - usize::from(leaves) >= max {
            return None;
        }
        entry.connections.insert_unique(connection.hashed(), connection.clone(), Connection::hashed);
        Some(entry.name.clone())
    }

    /// Removes a connection that [`Self::add`] has added.
    pub(crate) fn remove(&self, name: &str, connection: &Connection) {
        let mut place = self.users.lock(name);
        let Some(entry) = place.get_mut() else { return };
        if let Ok(found) = entry.connections.find_entry(connection.hashed(), |other| other == connection) {
            found.remove();
        }
        if entry.connections.is_empty() {
            place.remove();
        }
    }

    /// The limits on what the connections of a user may send in total; `None` if there is no such user.
    pub(crate) fn buckets(&self, name: &str) -> Option<Arc<Buckets>> {
        let mut place = self.users.lock(name);
        Some(place.get_mut()?.buckets.get_or_insert_default().clone())
    }

    /// The connections of a user, in no particular order.
    pub(crate) fn connections(&self, name: &str) -> Vec<Connection> {
        self.users
            .lock(name)
            .get()
            .map(|entry| entry.connections.iter().cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.users.collect(|entry| entry.name.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }
}
