//! A time of the machine's clock in four bytes, for what every member has.

use crate::group::ids::Time;

/// A whole second of the machine's clock, or never; the clock would have to run for 136 years for the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(u32);

impl Moment {
    /// It has not happened.
    pub(super) const NEVER: Self = Self(u32::MAX);

    /// The second of a time.
    pub(super) fn at(time: Time) -> Self {
        Self(u32::try_from(time.0 / 1_000).map_or(u32::MAX - 1, |second| second.min(u32::MAX - 1)))
    }

    /// Its beginning; none for never.
    pub(super) fn time(self) -> Option<Time> {
        (self != Self::NEVER).then(|| Time(u64::from(self.0) * 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::ids::{Epoch, Identity, Role, Suite, Suites};
    use crate::group::roster::Member;

    #[test]
    fn it_is_a_second_or_never() {
        assert_eq!(Moment::NEVER.time(), None);
        assert_eq!(Moment::at(Time(61_999)).time(), Some(Time(61_000)));
        assert!(Moment::at(Time(u64::MAX)).time().is_some());
    }

    #[test]
    fn both_of_a_registration_take_eight_bytes() {
        let identity = std::sync::Arc::new(Identity("cn:a".into()));
        let member = Member::new(identity, Role::Both, 0, Epoch(1), Suites::of(Suite::One));
        assert_eq!(2 * size_of::<Moment>(), 8);
        assert!(size_of_val(&member) <= 64, "{}", size_of_val(&member));
    }
}
