//! What mocks remember from one request to the next. It outlives a snapshot
//! for as long as what it belongs to stays the same in the configuration.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::collection::Collection;
use crate::config::{Config, IntegrationConfig, MockConfig, MockSource, SequenceEnd};

/// The state of all mocks of a snapshot.
#[derive(Debug, Default)]
pub struct Mocks {
    routes: BTreeMap<String, Arc<Mock>>,
    collections: BTreeMap<String, Arc<Collection>>,
}

/// How much has been set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// Mocks of routes.
    pub mocks: usize,
    /// Collections.
    pub collections: usize,
}

/// A route's mock with its state.
#[derive(Debug)]
pub struct Mock {
    pub(super) config: Arc<MockConfig>,
    route: String,
    seed: Option<u64>,
    /// What it serves, where that is a collection.
    pub(super) collection: Option<Arc<Collection>>,
    // Answers of the sequence that have been given.
    steps: AtomicU64,
    generator: Mutex<StdRng>,
}

impl Mocks {
    /// Of a configuration; what is unchanged since `before` is taken over.
    pub fn new(config: &Config, before: Option<&Self>) -> Self {
        let collections: BTreeMap<_, _> = config
            .collections
            .iter()
            .map(|(name, own)| {
                let old = before.and_then(|before| before.collections.get(name));
                let same = old.filter(|old| old.is_of(own, config.seed));
                let new = || Arc::new(Collection::new(name, own.clone(), config.seed));
                (name.clone(), same.map_or_else(new, Arc::clone))
            })
            .collect();
        let mocks = config.routes.iter().filter_map(|route| match &route.integration {
            IntegrationConfig::Mock(mock) => Some((route.key.to_string(), mock)),
            _ => None,
        });
        let routes = mocks.map(|(route, mock)| {
            let collection = match &mock.otherwise {
                MockSource::Collection(own) => collections.get(&own.name).map(Arc::clone),
                _ => None,
            };
            let mut new = Mock::new(Arc::clone(mock), route.clone(), config.seed);
            new.collection = collection;
            let old = before.and_then(|before| before.routes.get(&route));
            let same = old.filter(|old| old.is_like(&new));
            (route, same.map_or_else(|| Arc::new(new), Arc::clone))
        });
        Self { routes: routes.collect(), collections }
    }

    /// The mock of a route, by the route's key.
    pub fn route(&self, key: &str) -> Option<&Arc<Mock>> {
        self.routes.get(key)
    }

    /// Sets everything back to what the configuration says.
    pub fn reset(&self) -> Reset {
        self.routes.values().for_each(|mock| mock.reset());
        self.collections.values().for_each(|collection| collection.reset());
        Reset { mocks: self.routes.len(), collections: self.collections.len() }
    }
}

impl Mock {
    fn new(config: Arc<MockConfig>, route: String, seed: Option<u64>) -> Self {
        let generator = Mutex::new(generator(seed, &route));
        Self { config, route, seed, collection: None, steps: AtomicU64::new(0), generator }
    }

    /// Whether both come from the same words and serve the same collection.
    fn is_like(&self, other: &Self) -> bool {
        let serves = |mock: &Self| mock.collection.as_ref().map(Arc::as_ptr);
        self.config == other.config && self.seed == other.seed && serves(self) == serves(other)
    }

    fn reset(&self) {
        self.steps.store(0, Ordering::Relaxed);
        *self.generator.lock().unwrap_or_else(PoisonError::into_inner) =
            generator(self.seed, &self.route);
    }

    /// What the configuration says.
    pub fn config(&self) -> &MockConfig {
        &self.config
    }

    /// How many answers of the sequence have been given.
    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// The same, and counts one more.
    pub(super) fn step(&self) -> u64 {
        self.steps.fetch_add(1, Ordering::Relaxed)
    }

    /// The seed of one request's random values.
    pub(super) fn seed(&self) -> u64 {
        self.generator.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}

impl SequenceEnd {
    /// Which of `count` answers comes after `given` others.
    pub(super) fn index(self, given: u64, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        let index = match self {
            Self::Last => given.min(count - 1),
            Self::Repeat => given % count,
        };
        usize::try_from(index).unwrap_or(usize::MAX)
    }
}

/// A generator of its own for each `name`, so that what is asked of one
/// changes nothing in another.
pub fn generator(seed: Option<u64>, name: &str) -> StdRng {
    let digest = match seed {
        Some(seed) => Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name),
        None => Sha256::new().chain_update(Uuid::new_v4()).chain_update(Uuid::new_v4()),
    };
    StdRng::from_seed(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_ends_as_it_is_told() {
        let indices =
            |end: SequenceEnd| (0..5).map(|given| end.index(given, 2)).collect::<Vec<_>>();
        assert_eq!(indices(SequenceEnd::Last), [0, 1, 1, 1, 1]);
        assert_eq!(indices(SequenceEnd::Repeat), [0, 1, 0, 1, 0]);
        assert_eq!(SequenceEnd::Last.index(u64::MAX, 3), 2);
    }

    #[test]
    fn generators_differ_by_seed_and_name() {
        let first = |seed, name| generator(seed, name).next_u64();
        assert_eq!(first(Some(1), "a"), first(Some(1), "a"));
        assert_ne!(first(Some(1), "a"), first(Some(1), "b"));
        assert_ne!(first(Some(1), "a"), first(Some(2), "a"));
        assert_ne!(first(None, "a"), first(None, "a"));
    }
}
