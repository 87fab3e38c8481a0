//! [`Sharded`]: a map under many locks, so that connections that have nothing to do with each other do not wait for each other.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A power of two, well above the number of cores.
const SHARDS: usize = 64;

/// A part of this size is not worth the bother.
const MIN_CAPACITY: usize = 16;

/// A map in [`SHARDS`] parts. Keys come from the network: the hash is keyed at random.
#[derive(Debug)]
pub(crate) struct Sharded<K, V> {
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<K, V>>]>,
}

impl<K: Hash + Eq, V> Sharded<K, V> {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// The part that holds `key`, locked. Hold it for single calls, and no second one beside it.
    pub(crate) fn lock<Q>(&self, key: &Q) -> MutexGuard<'_, HashMap<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an entry out of a part that is locked. One that held many and holds few gives the room back.
    pub(crate) fn remove<Q>(shard: &mut HashMap<K, V>, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let removed = shard.remove(key);
        // What is given back is a multiple of what stays: each entry pays for it once.
        if shard.capacity() > MIN_CAPACITY && shard.len() < shard.capacity() / 8 {
            shard.shrink_to(2 * shard.len());
        }
        removed
    }

    /// Something of each entry, one part after the other: a snapshot of each part, not of the whole.
    pub(crate) fn collect<T>(&self, each: impl Fn(&K, &V) -> T) -> Vec<T> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.iter().map(|(key, value)| each(key, value)));
        }
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_needed_for_many_is_given_back() {
        let map = Sharded::new();
        for n in 0..100_000_u32 {
            map.lock(&n).insert(n, ());
        }
        for n in 0..100_000_u32 {
            assert_eq!(Sharded::remove(&mut map.lock(&n), &n), Some(()));
            assert_eq!(Sharded::remove(&mut map.lock(&n), &n), None);
        }
        assert_eq!(map.len(), 0);
        assert!(map.shards.iter().all(|shard| shard.lock().unwrap().capacity() <= MIN_CAPACITY));
    }
}
