//! Names of requests: a person who was refused something hands his to an operator, who finds it in the log and on record.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::task_local;

use crate::group::request::RequestId;

task_local! {
    /// What a task does belongs to this request, if to any.
    static CURRENT: Option<RequestId>;
}

/// A name that no other request of this process has: 16 hexadecimal digits, from a random number on.
pub fn fresh() -> RequestId {
    static FIRST: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The keys of this hasher are random, and it is all that is asked for: nothing depends on nobody's guessing one.
    let first = FIRST.get_or_init(|| RandomState::new().build_hasher().finish());
    first
        .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))
        .into()
}

/// The request that the task is doing something for, if it is one that has a name. Whatever it has done elsewhere is told of it.
pub fn current() -> Option<RequestId> {
    CURRENT.try_with(Option::clone).ok().flatten()
}

/// Does this for a request: with [`current`], for the one that the task is at which hands it to another.
pub fn within<F: Future>(request: Option<RequestId>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(request, work)
}

/// A bound on lines that peers can have logged: so many in each second of the process's life.
#[derive(Debug)]
pub struct Few {
    most: u64,
    began: OnceLock<Instant>,
    /// The second, and how many in it: the count is in the lower half.
    now: AtomicU64,
}

impl Few {
    /// At most so many a second.
    pub const fn new(most: u32) -> Self {
        Few {
            most: most as u64,
            began: OnceLock::new(),
            now: AtomicU64::new(0),
        }
    }

    /// Whether one more may be logged now.
    pub fn more(&self) -> bool {
        let second = self.began.get_or_init(Instant::now).elapsed().as_secs();
        self.at(second)
    }

    fn at(&self, second: u64) -> bool {
        let counted = |now: u64| match now >> 32 == second {
            true if now & u64::from(u32::MAX) >= self.most => None,
            true => Some(now + 1),
            false => Some((second << 32) | 1),
        };
        self.now
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_request_has_a_name_of_its_own_which_its_task_knows() {
        let (one, two) = (fresh(), fresh());
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 16);
        assert_eq!(current(), None);
        let known = within(Some(one.clone()), async {
            let inner = within(Some(two.clone()), async { current() }).await;
            let none = within(None, async { current() }).await;
            (current(), inner, none)
        });
        assert_eq!(known.await, (Some(one), Some(two), None));
    }

    #[test]
    fn a_second_has_so_many_lines_and_the_next_as_many_again() {
        let few = Few::new(2);
        let logged: Vec<bool> = [0, 0, 0, 1, 1, 1, 9].map(|second| few.at(second)).into();
        assert_eq!(logged, [true, true, false, true, true, false, true]);
    }
}
