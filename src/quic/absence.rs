//! How long members that have to come back together are told to stay away, so that they do not all come at one moment.

use std::sync::Arc;
use std::time::Duration;

use crate::crypto::fraction;
use crate::group::wire::GoAway;

/// How long their returns are spread over, for each of them.
const SPREAD_OF_EACH: Duration = Duration::from_millis(1);
/// The longest that one waits: nobody is without a key for longer because there are many.
const MOST_SPREAD: Duration = Duration::from_secs(60);

/// Over how long so many members' returns are spread.
pub(super) fn spread(members: u32) -> Duration {
    SPREAD_OF_EACH.saturating_mul(members).min(MOST_SPREAD)
}

/// What members of a gateway that goes are told: a pause, as much more as chance gives each, and where to go.
#[derive(Clone)]
pub(super) struct Absence {
    pause: Duration,
    spread: Duration,
    to: Arc<[String]>,
}

impl Absence {
    /// For so many.
    pub(super) fn of_all(pause: Duration, members: u32, to: &[String]) -> Self {
        let spread = spread(members);
        let to = to.into();
        Absence { pause, spread, to }
    }

    /// Of one of them. Of several gateways each is the first for as many members.
    pub(super) fn of_one(&self) -> GoAway {
        let all = self.pause + self.spread.mul_f64(fraction());
        let mut to = self.to.to_vec();
        let first = (fraction() * to.len() as f64) as usize;
        if first < to.len() {
            to.rotate_left(first);
        }
        GoAway {
            retry_after_ms: u64::try_from(all.as_millis()).unwrap_or(u64::MAX),
            to: (!to.is_empty()).then_some(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_members_come_back_at_different_times_and_nobody_very_late() {
        let to = ["a:1".to_owned(), "b:2".to_owned()];
        let absence = Absence::of_all(Duration::from_secs(1), 10_000, &to);
        let goodbyes: Vec<GoAway> = (0..100).map(|_| absence.of_one()).collect();
        let mut told: Vec<u64> = goodbyes.iter().map(|own| own.retry_after_ms).collect();
        assert!(told.iter().all(|told| (1_000..=11_000).contains(told)));
        told.sort_unstable();
        told.dedup();
        assert!(told.len() > 50, "{told:?}");
        let first = |name: &str| {
            let firsts = goodbyes.iter().filter_map(|own| own.to.as_ref()?.first());
            firsts.filter(|own| *own == name).count()
        };
        assert!(first("a:1") > 20 && first("b:2") > 20);
        assert_eq!(spread(u32::MAX), MOST_SPREAD);
        let here = Absence::of_all(Duration::from_secs(1), 0, &[]).of_one();
        assert_eq!((here.retry_after_ms, here.to), (1_000, None));
    }
}
