//! [`Sharded`]: a map behind many locks, so that unrelated connections do not wait for each other.

use std::hash::{BuildHasher as _, Hash};
use std::sync::PoisonError;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rejoin_core::drive::sync::{MapHasher, Mutex, MutexGuard};

/// The number of shards: a power of two. One in the model: a visit to all of them is a step for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shards {
    /// 64: well above the number of cores.
    Usual,
    /// 8: for maps of which there may be many.
    Small,
}

impl Shards {
    fn count(self) -> usize {
        match self {
            _ if cfg!(rejoin_model) => 1,
            Self::Usual => 64,
            Self::Small => 8,
        }
    }
}

/// A shard of this capacity is not worth shrinking.
const MIN_CAPACITY: usize = 16;

/// An entry that contains its key.
pub(crate) trait Keyed {
    type Key: Hash + Eq + ?Sized;

    fn key(&self) -> &Self::Key;
}

/// Entries in a number of shards. Keys come from the network, so the hash has a random key. Each access hashes once, for both the
/// shard and the place in it.
#[derive(Debug)]
pub(crate) struct Sharded<E> {
    hasher: MapHasher,
    shards: Box<[Mutex<HashTable<E>>]>,
}

/// The place of a key, occupied or not, whose shard is locked. Hold it for a single access, and no second one at the same time:
/// two keys may share a shard, whose lock is not reentrant, and two threads could lock two shards in opposite orders.
pub(crate) struct Place<'a, E: Keyed> {
    shard: MutexGuard<'a, HashTable<E>>,
    hasher: &'a MapHasher,
    key: &'a E::Key,
    hash: u64,
}

impl<E: Keyed> Sharded<E> {
    pub(crate) fn new(size: Shards) -> Self {
        let shards = (0..size.count()).map(|_| Mutex::default()).collect();
        Self { hasher: MapHasher::default(), shards }
    }

    pub(crate) fn lock<'a>(&'a self, key: &'a E::Key) -> Place<'a, E> {
        let hash = self.hasher.hash_one(key);
        // From the middle: the table inside a shard uses the lowest and the highest bits.
        let index = (hash >> 32) as usize & (self.shards.len() - 1);
        let shard = self.shards[index].lock().unwrap_or_else(PoisonError::into_inner);
        Place { shard, hasher: &self.hasher, key, hash }
    }

    /// Maps each entry, one shard after the other: a snapshot of each shard, but not of the whole.
    pub(crate) fn collect<T>(&self, each: impl Fn(&E) -> T) -> Vec<T> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.lock().unwrap_or_else(PoisonError::into_inner).iter().map(&each));
        }
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

impl<E: Keyed> Place<'_, E> {
    pub(crate) fn get(&self) -> Option<&E> {
        self.shard.find(self.hash, |entry| entry.key() == self.key)
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut E> {
        self.shard.find_mut(self.hash, |entry| entry.key() == self.key)
    }

    /// The entry, which is created if there is none.
    pub(crate) fn get_or_insert_with(&mut self, new: impl FnOnce() -> E) -> &mut E {
        self.entry().or_insert_with(new).into_mut()
    }

    /// Inserts an entry with this key. Returns the one that was here before.
    pub(crate) fn insert(&mut self, entry: E) -> Option<E> {
        debug_assert!(entry.key() == self.key, "the entry has another key");
        match self.entry() {
            Entry::Occupied(mut occupied) => Some(std::mem::replace(occupied.get_mut(), entry)),
            Entry::Vacant(vacant) => {
                vacant.insert(entry);
                None
            }
        }
    }

    /// Removes the entry. Shrinks a shard that has become sparse.
    pub(crate) fn remove(&mut self) -> Option<E> {
        let removed = self.shard.find_entry(self.hash, |entry| entry.key() == self.key).ok()?.remove().0;
        // Amortized: it moves fewer entries than were removed since the shard last grew or shrank.
        let len = self.shard.len();
        if len < self.shard.capacity() / 8 {
            self.shard.shrink_to(MIN_CAPACITY.max(2 * len), |entry| self.hasher.hash_one(entry.key()));
        }
        Some(removed)
    }

    fn entry(&mut self) -> Entry<'_, E> {
        let (key, hasher) = (self.key, self.hasher);
        self.shard.entry(self.hash, |entry| entry.key() == key, |entry| hasher.hash_one(entry.key()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Named(u32, &'static str);

    impl Keyed for Named {
        type Key = u32;

        fn key(&self) -> &u32 {
            &self.0
        }
    }

    #[test]
    fn a_place_holds_one_entry() {
        let map = Sharded::new(Shards::Usual);
        assert_eq!(map.lock(&1).get(), None);
        assert_eq!(map.lock(&1).get_or_insert_with(|| Named(1, "a")), &Named(1, "a"));
        assert_eq!(map.lock(&1).get_or_insert_with(|| Named(1, "b")), &Named(1, "a"));
        assert_eq!(map.lock(&1).insert(Named(1, "c")), Some(Named(1, "a")));
        assert_eq!(map.lock(&2).insert(Named(2, "d")), None);
        assert_eq!(map.lock(&1).get(), Some(&Named(1, "c")));
        let mut all = map.collect(|named| named.1);
        all.sort_unstable();
        assert_eq!((map.len(), all), (2, vec!["c", "d"]));
        assert_eq!(map.lock(&1).remove(), Some(Named(1, "c")));
        assert_eq!(map.lock(&1).remove(), None);
    }

    #[test]
    fn what_was_needed_for_many_is_given_back() {
        let map = Sharded::new(Shards::Usual);
        for n in 0..100_000 {
            assert_eq!(map.lock(&n).insert(Named(n, "")), None);
        }
        for n in 0..100_000 {
            assert_eq!(map.lock(&n).remove(), Some(Named(n, "")));
        }
        assert_eq!(map.len(), 0);
        let capacities: Vec<_> = map.shards.iter().map(|shard| shard.lock().unwrap().capacity()).collect();
        assert!(capacities.iter().all(|&left| left > 0 && left < 2 * MIN_CAPACITY), "{capacities:?}");
    }

    #[test]
    fn a_part_shrinks_below_an_eighth_of_its_capacity() {
        let map = Sharded::new(Shards::Usual);
        let first = || map.shards[0].lock().unwrap();
        let mut keys = Vec::new();
        for n in 0.. {
            map.lock(&n).insert(Named(n, ""));
            if first().len() > keys.len() {
                keys.push(n);
            }
            if keys.len() == 100 {
                break;
            }
        }
        while let Some(key) = keys.pop() {
            let buckets = first().num_buckets();
            let before = first().capacity();
            map.lock(&key).remove();
            let (len, capacity) = (keys.len(), first().capacity());
            // Not if the capacity is smaller: a removal may cost a place, until the table is rebuilt.
            if first().num_buckets() < buckets {
                assert!(len < before / 8 && capacity >= 2 * len, "from {before} to {capacity} with {len}");
                break;
            }
            assert!(len >= capacity / 8, "{len} of {capacity}");
        }
        assert!(!keys.is_empty() && keys.iter().all(|key| map.lock(key).get().is_some()), "no other is lost");
    }
}
