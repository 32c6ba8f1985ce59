//! Identifiers of requests: a person who was refused something hands his to an operator, who finds it in the log.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The longest identifier that is taken from a peer, in bytes.
const MAX_LENGTH: usize = 64;

/// What a request is called in logs, traces and answers. It says nothing about who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// One that no other request of this process has: 16 hexadecimal digits, from a random number on.
    pub fn fresh() -> Self {
        static FIRST: OnceLock<u64> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // The keys of this hasher are random, and it is all that is asked for: nothing depends on nobody's guessing one.
        let first = FIRST.get_or_init(|| RandomState::new().build_hasher().finish());
        let own = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        RequestId(format!("{own:016x}").into())
    }

    /// One that a peer has chosen, if it is well-formed: at most 64 letters and digits of ASCII, and `-`, `_` and `.` between them.
    pub fn of_peer(text: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let good = (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(known);
        good.then(|| RequestId(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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

    #[test]
    fn identifiers_are_each_their_own_and_those_of_peers_are_checked() {
        let (one, two) = (RequestId::fresh(), RequestId::fresh());
        assert_ne!(one, two);
        assert_eq!(RequestId::of_peer(one.as_str()), Some(one.clone()));
        assert_eq!(one.to_string().len(), 16);
        let long = "a".repeat(65);
        for bad in ["", "a b", "a\nb", "ä", "a\"b", &long] {
            assert_eq!(RequestId::of_peer(bad), None, "{bad:?}");
        }
        assert!(RequestId::of_peer(&long[1..]).is_some());
    }

    #[test]
    fn a_second_has_so_many_lines_and_the_next_as_many_again() {
        let few = Few::new(2);
        let logged: Vec<bool> = [0, 0, 0, 1, 1, 1, 9].map(|second| few.at(second)).into();
        assert_eq!(logged, [true, true, false, true, true, false, true]);
    }
}
