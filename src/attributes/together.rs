//! One look-up for all who want to know the same at the same time.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// Look-ups that are under way, by what is looked up: as many as there is somebody who waits for one.
pub struct Together<K, V>(Mutex<HashMap<K, Arc<OnceCell<V>>>>);

impl<K: Eq + Hash + Clone, V: Clone> Together<K, V> {
    /// With none under way.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::default())
    }

    /// What this look-up finds, or that of somebody who began one before. Where he does not wait for it to its end, another does it.
    pub async fn find(&self, key: &K, look_up: impl Future<Output = V>) -> V {
        let waiting = Waiting {
            all: self,
            cell: self.known().entry(key.clone()).or_default().clone(),
            key,
        };
        waiting.cell.get_or_init(|| look_up).await.clone()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<K, Arc<OnceCell<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Default for Together<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> fmt::Debug for Together<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Together(..)")
    }
}

/// Somebody who waits.
struct Waiting<'a, K: Eq + Hash + Clone, V: Clone> {
    all: &'a Together<K, V>,
    cell: Arc<OnceCell<V>>,
    key: &'a K,
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Waiting<'_, K, V> {
    /// What was found is for those who waited; whoever comes later looks anew. What nobody waits for any more is over too.
    fn drop(&mut self) {
        let mut known = self.all.known();
        // Let go before the lock is: of two who leave at once, each would count the other as one who stays.
        let own = mem::take(&mut self.cell);
        let Some(cell) = known.get(self.key) else {
            return;
        };
        // It may be one that was begun after this.
        let is_mine = Arc::ptr_eq(cell, &own);
        // The map's own, and this one.
        if is_mine && (cell.initialized() || Arc::strong_count(cell) == 2) {
            known.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn who_wants_to_know_the_same_waits_for_one_look_up() {
        let (together, asked, answer) = (Together::new(), AtomicUsize::new(0), Notify::new());
        let look_up = async |what: &'static str| {
            let found = together.find(&what, async {
                asked.fetch_add(1, Ordering::Relaxed);
                answer.notified().await;
                what.len()
            });
            found.await
        };
        let answering = async {
            while asked.load(Ordering::Relaxed) < 2 {
                tokio::task::yield_now().await;
            }
            // Both of them wait by now, and a third has to.
            answer.notify_waiters();
        };
        let found = tokio::join!(look_up("a"), look_up("bb"), look_up("a"), answering);
        assert_eq!((found.0, found.1, found.2), (1, 2, 1));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert!(together.known().is_empty(), "nothing is kept");
    }

    #[tokio::test]
    async fn who_gives_up_leaves_it_to_the_others() {
        let together = Together::new();
        let hangs = Box::pin(together.find(&1, std::future::pending()));
        let other = together.find(&1, async { 7 });
        tokio::pin!(other);
        tokio::select! {
            biased;
            _ = hangs => panic!("it hangs"),
            _ = &mut other => panic!("it waits for the first"),
            () = tokio::task::yield_now() => {}
        }
        // The first is dropped by now.
        assert_eq!(other.await, 7);
        assert!(together.known().is_empty());
        let alone = Box::pin(together.find(&2, std::future::pending()));
        tokio::select! {
            biased;
            _ = alone => panic!("it hangs"),
            () = tokio::task::yield_now() => {}
        }
        assert!(together.known().is_empty(), "nobody waits for it");
    }
}
