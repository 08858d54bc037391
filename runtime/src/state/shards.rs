//! A map in parts, each with a lock of its own, so that requests which need
//! different entries don't wait for each other.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// How many parts there are.
pub const SHARDS: usize = 64;

/// One part.
pub type Shard<V> = HashMap<Box<str>, V>;

/// The map.
pub struct Shards<V>(Box<[RwLock<Shard<V>>]>);

/// Which part a name belongs to. Clients have names too: they are not to know
/// which are of one part.
pub fn shard_of(name: &str) -> usize {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    usize::try_from(HASHER.hash_one(name) % SHARDS as u64).unwrap_or(0)
}

impl<V> Shards<V> {
    pub fn new() -> Self {
        Self((0..SHARDS).map(|_| RwLock::new(HashMap::new())).collect())
    }

    // A panic under a lock leaves numbers that are whole all the same.
    pub fn read(&self, shard: usize) -> RwLockReadGuard<'_, Shard<V>> {
        self.0[shard % SHARDS].read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Shard<V>> {
        self.0[shard % SHARDS].write().unwrap_or_else(PoisonError::into_inner)
    }
}
