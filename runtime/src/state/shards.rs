//! A map in parts, each with a lock of its own, so that requests which need
//! different entries don't wait for each other.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// How many parts there are.
pub const SHARDS: usize = 64;

/// One part.
pub type Shard<K, V> = HashMap<K, V>;

/// The map.
pub struct Shards<K, V>(Box<[RwLock<Shard<K, V>>]>);

/// Which part a key belongs to. Clients have keys: they are not to know which
/// are of one part.
pub fn shard_of(key: &impl Hash) -> usize {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    usize::try_from(HASHER.hash_one(key) % SHARDS as u64).unwrap_or(0)
}

impl<K, V> Shards<K, V> {
    pub fn new() -> Self {
        Self((0..SHARDS).map(|_| RwLock::new(HashMap::new())).collect())
    }

    // A panic under a lock leaves numbers that are whole all the same.
    pub fn read(&self, shard: usize) -> RwLockReadGuard<'_, Shard<K, V>> {
        self.0[shard % SHARDS].read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Shard<K, V>> {
        self.0[shard % SHARDS].write().unwrap_or_else(PoisonError::into_inner)
    }
}
