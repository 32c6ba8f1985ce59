//! Values by a number that only grows, side by side in memory and in their order.
//!
//! Whoever acknowledges a rekey does so with his neighbours, as it is sent in about the order of members. In a tree each search
//! waits for memory several times, and so does each step from node to node; here neighbours are neighbours. What is removed leaves a
//! gap until half of all are gaps.

/// Beyond so many steps a search is cheaper.
const FAR: usize = 16;
/// Fewer gaps than this are not worth closing.
const FEW: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Ordered<K, V> {
    /// Ascending; those of gaps are among them.
    keys: Vec<K>,
    values: Vec<Option<V>>,
    gaps: usize,
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Ordered {
            keys: Vec::new(),
            values: Vec::new(),
            gaps: 0,
        }
    }
}

impl<K: Ord + Copy, V> Ordered<K, V> {
    pub(super) fn len(&self) -> usize {
        self.keys.len() - self.gaps
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        let at = self.keys.binary_search(&key).ok()?;
        self.values[at].as_ref()
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let at = self.keys.binary_search(&key).ok()?;
        self.values[at].as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.after(None)
    }

    /// Those beyond a key; all of them if none is given.
    pub(super) fn after(&self, key: Option<K>) -> impl Iterator<Item = (K, &V)> {
        let from = key.map_or(0, |key| self.keys.partition_point(|other| *other <= key));
        let later = self.keys[from..].iter().zip(&self.values[from..]);
        later.filter_map(|(key, value)| Some((*key, value.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        let all = self.keys.iter().zip(&mut self.values);
        all.filter_map(|(key, value)| Some((*key, value.as_mut()?)))
    }

    /// Adds a value at the end.
    ///
    /// # Panics
    /// When the key is not beyond all others. Nothing would be found any more, and whoever reads keys refuses what does not ascend.
    pub(super) fn push(&mut self, key: K, value: V) {
        let is_beyond = self.keys.last().is_none_or(|last| *last < key);
        assert!(is_beyond, "numbers only grow");
        self.keys.push(key);
        self.values.push(Some(value));
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let at = self.keys.binary_search(&key).ok()?;
        let value = self.values[at].take()?;
        self.gaps += 1;
        if self.gaps >= FEW && self.gaps * 2 >= self.keys.len() {
            self.close();
        }
        Some(value)
    }

    /// Hands over the value of each key that there is, with what was said of it; the keys must ascend, and one may come again.
    pub(super) fn visit<S: Copy>(&mut self, asked: &[(K, S)], mut each: impl FnMut(&mut V, S)) {
        debug_assert!(asked.is_sorted_by_key(|(key, _)| key));
        let mut at = 0;
        for &(key, said) in asked {
            let near = self.keys[at..].iter().take(FAR);
            let steps = near.take_while(|other| **other < key).count();
            at += steps;
            if steps == FAR {
                at += self.keys[at..].partition_point(|other| *other < key);
            }
            if self.keys.get(at) == Some(&key)
                && let Some(value) = &mut self.values[at]
            {
                each(value, said);
            }
        }
    }

    fn close(&mut self) {
        let mut there = self.values.iter().map(Option::is_some);
        self.keys.retain(|_| there.next().unwrap_or(false));
        self.values.retain(Option::is_some);
        self.gaps = 0;
        // Memory that as many again would not fill is given back.
        let room = self.keys.len() * 2;
        self.keys.shrink_to(room);
        self.values.shrink_to(room);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Next(u8),
        Remove(u32),
        RemoveAll(u32, u32),
        Visit(Vec<(u32, u8)>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let asked = prop::collection::vec((0_u32..400, any::<u8>()), 0..60);
        prop_oneof![
            8 => any::<u8>().prop_map(Step::Next),
            2 => (0_u32..400).prop_map(Step::Remove),
            1 => (0_u32..400, 0_u32..200).prop_map(|(from, count)| Step::RemoveAll(from, count)),
            2 => asked.prop_map(|mut asked| {
                asked.sort_by_key(|(key, _)| *key);
                Step::Visit(asked)
            }),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_tree_does(steps in prop::collection::vec(step(), 1..300)) {
            let (mut own, mut model) = (Ordered::default(), BTreeMap::new());
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Next(value) => {
                        // Some numbers were never given.
                        next += 1 + u32::from(value % 3);
                        own.push(next, vec![value]);
                        model.insert(next, vec![value]);
                    }
                    Step::Remove(key) => prop_assert_eq!(own.remove(key), model.remove(&key)),
                    Step::RemoveAll(from, count) => {
                        for key in from..from + count {
                            prop_assert_eq!(own.remove(key), model.remove(&key));
                        }
                    }
                    Step::Visit(asked) => {
                        own.visit(&asked, |value, said| value.push(said));
                        for (key, said) in asked {
                            if let Some(value) = model.get_mut(&key) {
                                value.push(said);
                            }
                        }
                    }
                }
                prop_assert_eq!(own.len(), model.len());
                prop_assert!(own.iter().map(|(key, _)| key).eq(model.keys().copied()));
            }
            prop_assert!(own.iter().eq(model.iter().map(|(key, value)| (*key, value))));
            for key in [0, 7, 100, 399] {
                prop_assert_eq!(own.get(key), model.get(&key));
                prop_assert_eq!(own.get_mut(key), model.get_mut(&key));
                let later = model.range(key + 1..).map(|(key, value)| (*key, value));
                prop_assert!(own.after(Some(key)).eq(later));
            }
            own.iter_mut().for_each(|(_, value)| value.clear());
            prop_assert!(own.iter().all(|(_, value)| value.is_empty()));
        }
    }

    #[test]
    fn gaps_are_closed_when_they_are_half() {
        let mut own = Ordered::default();
        (0..1_000).for_each(|key| own.push(key, key));
        (0..499).for_each(|key| assert_eq!(own.remove(key), Some(key)));
        assert_eq!((own.keys.len(), own.len()), (1_000, 501));
        assert_eq!(own.remove(999), Some(999));
        assert_eq!((own.keys.len(), own.len()), (500, 500));
        assert_eq!(own.remove(999), None);
    }

    #[test]
    #[should_panic(expected = "numbers only grow")]
    fn a_number_is_not_given_twice() {
        let mut own = Ordered::default();
        own.push(7, ());
        own.remove(7);
        own.push(7, ());
    }
}
