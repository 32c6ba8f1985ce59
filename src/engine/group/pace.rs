//! How many paths a group's members are given for the asking in a second.
//!
//! Members that miss a multicast ask at times of their own; but a network that loses it for all of them, or a member that makes
//! something up, may have very many ask. Whoever comes too soon is told when to come back, and uses what it holds meanwhile.

use crate::group::ids::Time;

/// Paths a second, and as many at once after a quiet second.
pub(super) const REPAIRS_PER_SECOND: u64 = 2_000;
const MS: u64 = 1_000;

/// A bucket that fills steadily.
#[derive(Debug)]
pub(super) struct Pace {
    /// In thousandths of a path.
    left: u64,
    at: Time,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            left: REPAIRS_PER_SECOND * MS,
            at: Time(0),
        }
    }
}

impl Pace {
    /// Whether one more is given now.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let gained = now
            .0
            .saturating_sub(self.at.0)
            .saturating_mul(REPAIRS_PER_SECOND);
        self.left = self
            .left
            .saturating_add(gained)
            .min(REPAIRS_PER_SECOND * MS);
        self.at = now;
        let enough = self.left >= MS;
        if enough {
            self.left -= MS;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_given_in_a_second_and_as_many_at_once() {
        let mut pace = Pace::default();
        let mut taken = |from: u64, until: u64| {
            let asked = (from..until).flat_map(|now| [now; 10]);
            asked.filter(|now| pace.take(Time(*now))).count() as u64
        };
        assert_eq!(taken(0, 1_000), 2 * REPAIRS_PER_SECOND - 2);
        assert_eq!(taken(1_000, 2_000), REPAIRS_PER_SECOND);
        assert_eq!(taken(90_000, 90_001), 10);
    }
}
