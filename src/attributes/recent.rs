//! A map of bounded size that forgets what was not asked for lately.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Two generations of entries: when the younger one is full, the older one goes. What is asked for goes on.
#[derive(Debug)]
pub struct Recent<K, V> {
    generation: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// With at most so many entries in each generation, and so at most twice as many.
    pub fn new(generation: usize) -> Self {
        Self {
            generation,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// An entry, if it is not forgotten.
    pub fn get<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.put(key, value.clone());
        Some(value)
    }

    /// Takes an entry, in place of one of the same key.
    pub fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_no_more_than_two_generations_and_what_is_asked_for() {
        let mut recent = Recent::new(16);
        for number in 0..1_000 {
            recent.put(number, number);
            assert_eq!(recent.get(&0), Some(0), "asked for all the time");
            assert!(recent.young.len() <= 16 && recent.old.len() <= 16);
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.get(&999), Some(999));
        recent.put(999, 7);
        assert_eq!(recent.get(&999), Some(7));
    }
}
