//! The registrations of one identity.

use crate::group::ids::MemberId;

/// Nearly every identity has one: that takes no memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Registrations {
    One(MemberId),
    More(Vec<MemberId>),
}

impl Registrations {
    /// The oldest first.
    pub(super) fn as_slice(&self) -> &[MemberId] {
        match self {
            Registrations::One(id) => std::slice::from_ref(id),
            Registrations::More(ids) => ids,
        }
    }

    pub(super) fn push(&mut self, id: MemberId) {
        match self {
            Registrations::One(first) => *self = Registrations::More(vec![*first, id]),
            Registrations::More(ids) => ids.push(id),
        }
    }

    /// What is left without this one; nothing, if there is none.
    pub(super) fn without(&self, id: MemberId) -> Option<Self> {
        let others = self.as_slice().iter().copied().filter(|&other| other != id);
        match others.collect::<Vec<_>>() {
            none if none.is_empty() => None,
            one if one.len() == 1 => Some(Registrations::One(one[0])),
            more => Some(Registrations::More(more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_and_go() {
        let id = MemberId;
        let mut all = Registrations::One(id(1));
        assert_eq!(all.without(id(1)), None);
        assert_eq!(all.without(id(2)), Some(Registrations::One(id(1))));
        all.push(id(2));
        all.push(id(3));
        assert_eq!(all.as_slice(), [id(1), id(2), id(3)]);
        let left = all.without(id(2)).expect("two are left");
        assert_eq!(left.as_slice(), [id(1), id(3)]);
        assert_eq!(left.without(id(1)), Some(Registrations::One(id(3))));
    }
}
