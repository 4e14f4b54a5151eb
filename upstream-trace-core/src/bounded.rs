//! A map that never grows beyond its bounds: the oldest entry makes room.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::event::Nanos;

/// A map with a bound on its entries and, if asked for, on their bytes.
///
/// Every entry has a time. An entry that is inserted again or updated counts as new. Expiry and eviction go by the order of
/// insertion, which is that of the times wherever events come in order.
#[derive(Debug)]
pub struct Bounded<K, V> {
    entries: HashMap<K, Entry<V>>,
    order: BTreeMap<u64, K>,
    next: u64,
    max_entries: usize,
    bytes: usize,
    budget: Option<Budget<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    at: Nanos,
    number: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Budget<V> {
    max_bytes: usize,
    weigh: fn(&V) -> usize,
}

/// An entry that made room.
#[derive(Debug, PartialEq, Eq)]
pub struct Evicted<K, V> {
    /// Its key.
    pub key: K,
    /// What was kept.
    pub value: V,
    /// The time that it was inserted with.
    pub at: Nanos,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    /// An empty map with room for so many entries.
    #[must_use]
    pub fn new(max_entries: usize) -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), next: 0, max_entries, bytes: 0, budget: None }
    }

    /// The same, bounded by bytes as well. `weigh` says how many bytes a value takes, itself included; it is asked when
    /// a value is inserted and after [`Bounded::update`].
    #[must_use]
    pub fn with_max_bytes(max_entries: usize, max_bytes: usize, weigh: fn(&V) -> usize) -> Self {
        Self { budget: Some(Budget { max_bytes, weigh }), ..Self::new(max_entries) }
    }

    /// Inserts or replaces a value; returns what made room for it, oldest first. The new entry itself always stays,
    /// even if it alone exceeds the bytes.
    pub fn insert(&mut self, key: K, value: V, at: Nanos) -> Vec<Evicted<K, V>> {
        self.remove(&key);
        let (number, bytes) = (self.next, self.weigh(&value));
        self.next += 1;
        self.bytes += bytes;
        self.order.insert(number, key.clone());
        self.entries.insert(key, Entry { value, at, number, bytes });
        self.evict()
    }

    /// Changes a value, which counts as new then; returns what made room if it grew.
    pub fn update(&mut self, key: &K, at: Nanos, change: impl FnOnce(&mut V)) -> Vec<Evicted<K, V>> {
        let Some(mut value) = self.remove(key) else { return Vec::new() };
        change(&mut value);
        self.insert(key.clone(), value, at)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.number);
        self.bytes -= entry.bytes;
        Some(entry.value)
    }

    /// Takes the oldest entry out.
    pub fn pop_oldest(&mut self) -> Option<Evicted<K, V>> {
        let (_, key) = self.order.pop_first()?;
        let Entry { value, at, bytes, .. } = self.entries.remove(&key)?;
        self.bytes -= bytes;
        Some(Evicted { key, value, at })
    }

    /// Takes the oldest entry out if its time is before this one: in a loop, expires all of them.
    pub fn pop_before(&mut self, time: Nanos) -> Option<Evicted<K, V>> {
        if self.oldest()? < time { self.pop_oldest() } else { None }
    }

    /// Drops all entries from before this time.
    pub fn expire(&mut self, time: Nanos) {
        while self.pop_before(time).is_some() {}
    }

    /// The value of a key.
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The value of a key, to be changed without growing: its bytes are not weighed again.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Whether there is an entry of this key.
    #[must_use]
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.entries.contains_key(key)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes all values take; 0 if they are not bounded by bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Time of the oldest entry.
    #[must_use]
    pub fn oldest(&self) -> Option<Nanos> {
        let (_, key) = self.order.first_key_value()?;
        self.entries.get(key).map(|entry| entry.at)
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.order.values().filter_map(|key| self.entries.get(key).map(|entry| (key, &entry.value)))
    }

    /// All values, oldest first.
    #[must_use]
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    fn weigh(&self, value: &V) -> usize {
        self.budget.as_ref().map_or(0, |budget| (budget.weigh)(value))
    }

    fn is_over(&self) -> bool {
        let heavy = self.budget.as_ref().is_some_and(|budget| self.bytes > budget.max_bytes);
        self.entries.len() > self.max_entries.max(1) || (heavy && self.entries.len() > 1)
    }

    fn evict(&mut self) -> Vec<Evicted<K, V>> {
        let mut evicted = Vec::new();
        while self.is_over() {
            evicted.extend(self.pop_oldest());
        }
        evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(found: &[Evicted<u32, String>]) -> Vec<u32> {
        found.iter().map(|evicted| evicted.key).collect()
    }

    fn by_length(max_bytes: usize) -> Bounded<u32, String> {
        Bounded::with_max_bytes(10, max_bytes, String::len)
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut map = Bounded::new(2);
        assert!(map.insert(1, "a", 10).is_empty() && map.insert(2, "b", 20).is_empty());
        assert_eq!(map.insert(3, "c", 30), [Evicted { key: 1, value: "a", at: 10 }]);
        assert_eq!((map.len(), map.get(&1), map.get(&3)), (2, None, Some(&"c")));
        assert!(map.iter().eq([(&2, &"b"), (&3, &"c")]));
    }

    #[test]
    fn what_is_inserted_again_is_new_and_evicts_nothing() {
        let mut map = Bounded::new(2);
        map.insert(1, "a", 10);
        map.insert(2, "b", 20);
        assert!(map.insert(1, "c", 30).is_empty());
        assert_eq!(map.oldest(), Some(20));
        assert_eq!(map.insert(3, "d", 40)[0].key, 2);
    }

    #[test]
    fn a_removed_entry_leaves_its_room() {
        let mut map = Bounded::new(1);
        map.insert(1, "a", 10);
        assert_eq!((map.remove(&1), map.remove(&1)), (Some("a"), None));
        assert!(map.is_empty() && map.insert(2, "b", 20).is_empty());
        assert!(map.contains_key(&2) && !map.contains_key(&1));
    }

    #[test]
    fn expiry_ends_at_the_first_that_is_young_enough() {
        let mut map = Bounded::new(9);
        for at in [10, 20, 30] {
            map.insert(at, at, at);
        }
        map.expire(20);
        assert!(map.values().eq(&[20, 30]));
        assert_eq!(map.pop_before(31).map(|evicted| evicted.key), Some(20));
        assert_eq!(map.pop_before(30), None);
        assert_eq!(map.pop_oldest().map(|evicted| evicted.key), Some(30));
        assert_eq!(map.pop_oldest(), None);
    }

    #[test]
    fn bytes_are_bounded_as_well_and_counted_back() {
        let mut map = by_length(10);
        map.insert(1, "four".to_owned(), 1);
        map.insert(2, "four".to_owned(), 2);
        assert_eq!(map.bytes(), 8);
        assert_eq!(keys(&map.insert(3, "sixsix".to_owned(), 3)), [1]);
        map.remove(&2);
        map.insert(3, "x".to_owned(), 4);
        assert_eq!((map.bytes(), map.len()), (1, 1));
        map.expire(5);
        assert_eq!(map.bytes(), 0);
    }

    #[test]
    fn a_value_that_grows_makes_others_go() {
        let mut map = by_length(10);
        map.insert(1, "four".to_owned(), 1);
        map.insert(2, "four".to_owned(), 2);
        assert!(map.update(&1, 3, |value| value.push('!')).is_empty());
        assert_eq!(keys(&map.update(&1, 4, |value| value.push_str("!!"))), [2]);
        assert_eq!((map.bytes(), map.update(&7, 5, |_| unreachable!()).len()), (7, 0));
    }

    #[test]
    fn one_entry_always_fits() {
        let mut map = by_length(3);
        assert!(map.insert(1, "four".to_owned(), 1).is_empty());
        assert_eq!(keys(&map.insert(2, "longer".to_owned(), 2)), [1]);
        assert_eq!(map.len(), 1);
        let mut none = Bounded::new(0);
        assert!(none.insert(1, (), 1).is_empty());
        assert_eq!(none.insert(2, (), 2).len(), 1);
    }
}
