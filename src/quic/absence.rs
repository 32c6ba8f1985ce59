//! How long members that have to come back together are told to stay away, so that they do not all come at one moment.

use std::time::Duration;

use crate::crypto::fraction;

/// How long their returns are spread over, for each of them.
const SPREAD_OF_EACH: Duration = Duration::from_millis(1);
/// The longest that one waits: nobody is without a key for longer because there are many.
const MOST_SPREAD: Duration = Duration::from_secs(60);

/// Over how long so many members' returns are spread.
pub(super) fn spread(members: u32) -> Duration {
    SPREAD_OF_EACH.saturating_mul(members).min(MOST_SPREAD)
}

/// What members of a gateway that goes are told: a pause, and as much more as chance gives each.
#[derive(Clone, Copy)]
pub(super) struct Absence {
    pause: Duration,
    spread: Duration,
}

impl Absence {
    /// For so many.
    pub(super) fn of_all(pause: Duration, members: u32) -> Self {
        let spread = spread(members);
        Absence { pause, spread }
    }

    /// Of one of them, in milliseconds.
    pub(super) fn of_one(self) -> u64 {
        let all = self.pause + self.spread.mul_f64(fraction());
        u64::try_from(all.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_members_come_back_at_different_times_and_nobody_very_late() {
        let absence = Absence::of_all(Duration::from_secs(1), 10_000);
        let mut told: Vec<u64> = (0..100).map(|_| absence.of_one()).collect();
        assert!(told.iter().all(|told| (1_000..=11_000).contains(told)));
        told.sort_unstable();
        told.dedup();
        assert!(told.len() > 50, "{told:?}");
        assert_eq!(spread(u32::MAX), MOST_SPREAD);
        assert_eq!(Absence::of_all(Duration::from_secs(1), 0).of_one(), 1_000);
    }
}
