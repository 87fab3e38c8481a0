//! [`Realm`]: what the members of a realm know of each other, and [`Realms`], those of a server.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};

use rejoin_core::drive::sync::{Mutex, MutexGuard};

use crate::context::ServerContext;
use crate::durable::DurableLog;
use crate::fanout::rooms::{RoomCounts, Rooms};
use crate::session::registry::Ids;
use crate::session::sharded::Shards;
use crate::session::users::Users;

/// A realm of a server: its connections by ID, its rooms and its users. No name of one realm means anything in another.
#[derive(Debug)]
pub(crate) struct Realm {
    /// Empty for the default realm.
    pub(crate) name: Arc<str>,
    pub(crate) ids: Ids,
    pub(crate) rooms: Rooms,
    pub(crate) users: Users,
}

impl Realm {
    pub(crate) fn new(name: &str, context: &Arc<ServerContext>, counts: &RoomCounts) -> Self {
        // There may be many others, and most of them are small.
        let size = if name.is_empty() { Shards::Usual } else { Shards::Small };
        Self {
            name: name.into(),
            ids: Ids::new(size),
            rooms: Rooms::new(context.clone(), counts.clone(), size),
            users: Users::new(size),
        }
    }
}

/// The realms of a server by name. `V` is the server as a realm sees it: the realm is open while anybody holds that, which a session
/// or a handle does.
pub(crate) struct Realms<V> {
    inner: Mutex<RealmTable<V>>,
}

struct RealmTable<V> {
    entries: HashMap<Arc<str>, RealmEntry<V>>,
    /// The number of entries at which those are looked for that are of no use any more.
    sweep_at: usize,
}

struct RealmEntry<V> {
    view: Weak<V>,
    realm: Weak<Realm>,
    kept: KeptRealm,
}

/// What is kept of a realm while nobody is there.
#[derive(Clone, Default)]
pub(crate) struct KeptRealm {
    /// For the histories of its rooms. What a store has of those comes back from there.
    pub(crate) realm: Option<Arc<Realm>>,
    /// Its log, whose tasks may not have ended yet.
    pub(crate) log: Option<Arc<DurableLog>>,
}

impl KeptRealm {
    /// Whether it may be forgotten.
    fn is_nothing(&self) -> bool {
        self.realm.as_ref().is_none_or(|realm| realm.rooms.is_empty())
            && self.log.as_ref().is_none_or(|log| log.is_over())
    }
}

/// Below this number of realms nobody looks for those of no use.
const FEW: usize = 64;

impl<V> Default for Realms<V> {
    fn default() -> Self {
        Self { inner: Mutex::new(RealmTable { entries: HashMap::new(), sweep_at: FEW }) }
    }
}

impl<V> Realms<V> {
    /// The server as the realm of this name sees it. If that is not open, `open` makes it of what was kept, and says what will be
    /// kept when everyone has left; it runs under the lock.
    pub(crate) fn open(
        &self,
        name: &str,
        open: impl FnOnce(KeptRealm) -> (V, Arc<Realm>, KeptRealm),
    ) -> Arc<V> {
        let mut inner = self.lock();
        let entry = inner.entries.get(name);
        if let Some(view) = entry.and_then(|entry| entry.view.upgrade()) {
            return view;
        }
        let (view, realm, kept) = open(entry.map(|entry| entry.kept.clone()).unwrap_or_default());
        let view = Arc::new(view);
        let entry = RealmEntry { view: Arc::downgrade(&view), realm: Arc::downgrade(&realm), kept };
        let old = inner.entries.insert(realm.name.clone(), entry);
        let is_due = inner.entries.len() > inner.sweep_at;
        drop(inner);
        drop(old);
        if is_due {
            self.sweep();
        }
        view
    }

    /// The realms that are open, in the order of their names.
    pub(crate) fn views(&self) -> Vec<Arc<V>> {
        let inner = self.lock();
        let mut open: Vec<_> = inner
            .entries
            .iter()
            .filter_map(|(name, entry)| Some((name.clone(), entry.view.upgrade()?)))
            .collect();
        drop(inner);
        open.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        open.into_iter().map(|(_, view)| view).collect()
    }

    /// All realms, also those that are kept.
    pub(crate) fn all(&self) -> Vec<Arc<Realm>> {
        self.lock().entries.values().filter_map(|entry| entry.realm.upgrade()).collect()
    }

    /// Forgets the realms of which nothing is left. There is no timer: this is done when their number has doubled.
    fn sweep(&self) {
        let is_closed = |entry: &RealmEntry<V>| entry.view.strong_count() == 0;
        let closed: Vec<_> = {
            let inner = self.lock();
            inner.entries.values().filter(|entry| is_closed(entry)).map(|entry| entry.kept.clone()).collect()
        };
        // Frames are dropped here, so without the lock.
        closed.iter().filter_map(|kept| kept.realm.as_ref()).for_each(|realm| realm.rooms.look_at_kept());
        drop(closed);
        let mut inner = self.lock();
        // One that has been open again meanwhile may have rooms again.
        let is_unused = |entry: &RealmEntry<V>| is_closed(entry) && entry.kept.is_nothing();
        let unused = inner.entries.extract_if(|_, entry| is_unused(entry)).collect::<Vec<_>>();
        inner.sweep_at = FEW.max(2 * inner.entries.len());
        drop(inner);
        drop(unused);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    fn lock(&self) -> MutexGuard<'_, RealmTable<V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> fmt::Debug for Realms<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Realms").finish_non_exhaustive()
    }
}
