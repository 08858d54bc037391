//! What waits for whom, in memory: which event is next, and how much there is.

use std::collections::{BTreeMap, BTreeSet};

/// An event without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    pub id: i64,
    pub function: String,
    pub due_ms: i64,
    pub bytes: u64,
}

/// Events by function and by when they are due.
#[derive(Default)]
pub struct Index {
    // The bytes of each payload by when it is due and by id.
    lanes: BTreeMap<String, BTreeMap<(i64, i64), u64>>,
    // Those that are being worked on.
    running: BTreeMap<i64, u64>,
    waiting: usize,
    bytes: u64,
    last: String,
}

impl Index {
    /// How many events there are, waiting or running.
    pub fn len(&self) -> usize {
        self.waiting + self.running.len()
    }

    /// The bytes of their payloads.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many are being worked on.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// An event that waits from now on. One that runs does not.
    pub fn add(&mut self, Queued { id, function, due_ms, bytes }: Queued) {
        if self.running.contains_key(&id) {
            return;
        }
        if self.lanes.entry(function).or_default().insert((due_ms, id), bytes).is_none() {
            self.waiting += 1;
            self.bytes += bytes;
        }
    }

    /// Forgets what waits and takes this instead.
    pub fn replace(&mut self, all: Vec<Queued>) {
        self.lanes.clear();
        self.waiting = 0;
        self.bytes = self.running.values().sum();
        for queued in all {
            self.add(queued);
        }
    }

    /// The next event that is due: functions take turns, each with its oldest.
    pub fn take(&mut self, now_ms: i64) -> Option<Queued> {
        let is_due = |lane: &BTreeMap<(i64, i64), u64>| {
            lane.first_key_value().is_some_and(|((due_ms, _), _)| *due_ms <= now_ms)
        };
        let names: BTreeSet<&String> =
            self.lanes.iter().filter(|(_, lane)| is_due(lane)).map(|(name, _)| name).collect();
        let next = names.iter().find(|name| ***name > self.last).or_else(|| names.first())?;
        let next = (*next).clone();
        let lane = self.lanes.get_mut(&next)?;
        let ((due_ms, id), bytes) = lane.pop_first()?;
        if lane.is_empty() {
            self.lanes.remove(&next);
        }
        self.last.clone_from(&next);
        self.waiting -= 1;
        self.running.insert(id, bytes);
        Some(Queued { id, function: next, due_ms, bytes })
    }

    /// Takes one event, whichever is next, where it waits.
    pub fn take_id(&mut self, id: i64) -> Option<Queued> {
        let (function, key) = self.lanes.iter().find_map(|(name, lane)| {
            let key = lane.keys().find(|(_, own)| *own == id)?;
            Some((name.clone(), *key))
        })?;
        let bytes = self.lanes.get_mut(&function)?.remove(&key)?;
        self.waiting -= 1;
        self.running.insert(id, bytes);
        Some(Queued { id, function, due_ms: key.0, bytes })
    }

    /// An event is no longer worked on.
    pub fn end(&mut self, id: i64) {
        self.bytes -= self.running.remove(&id).unwrap_or_default();
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<i64> {
        self.lanes.values().filter_map(|lane| Some(lane.first_key_value()?.0.0)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(id: i64, function: &str, due_ms: i64) -> Queued {
        Queued { id, function: function.to_owned(), due_ms, bytes: 10 }
    }

    #[test]
    fn functions_take_turns_each_with_its_oldest() {
        let mut index = Index::default();
        for (id, function, due) in
            [(1, "a", 5), (2, "a", 3), (3, "a", 4), (4, "b", 5), (5, "c", 100)]
        {
            index.add(queued(id, function, due));
        }
        assert_eq!(index.next_due(), Some(3));
        let order: Vec<i64> =
            std::iter::from_fn(|| index.take(50)).map(|queued| queued.id).collect();
        assert_eq!(order, [2, 4, 3, 1]);
        assert_eq!((index.len(), index.running(), index.bytes()), (5, 4, 50));
        assert_eq!(index.next_due(), Some(100));
        for id in order {
            index.end(id);
        }
        assert_eq!((index.len(), index.running(), index.bytes()), (1, 0, 10));
        assert_eq!(index.take_id(5), Some(queued(5, "c", 100)));
        assert_eq!(index.take_id(5), None);
    }

    #[test]
    fn what_runs_is_not_taken_again() {
        let mut index = Index::default();
        index.add(queued(1, "a", 0));
        assert_eq!(index.take(0), Some(queued(1, "a", 0)));
        index.replace(vec![queued(1, "a", 0), queued(2, "a", 0)]);
        assert_eq!((index.take(0), index.take(0)), (Some(queued(2, "a", 0)), None));
        assert_eq!((index.len(), index.bytes()), (2, 20));
    }
}
