//! Who needs the connection: a link whose memberships are all parked has none.

use std::collections::HashSet;

use tokio::sync::watch;

use super::channel::Owner;

/// The memberships of a link.
#[derive(Debug)]
pub(super) struct Census(watch::Sender<Memberships>);

/// By number.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    all: HashSet<u64>,
    parked: HashSet<u64>,
    /// Somebody has something to ask.
    asked_for: bool,
}

impl Memberships {
    pub(super) fn is_unneeded(&self) -> bool {
        !self.asked_for && !self.all.is_empty() && self.parked.len() == self.all.len()
    }
}

impl Default for Census {
    fn default() -> Self {
        Census(watch::Sender::new(Memberships::default()))
    }
}

impl Census {
    pub(super) fn watch(&self) -> watch::Receiver<Memberships> {
        self.0.subscribe()
    }

    /// A membership begins; it needs the connection.
    pub(super) fn begins(&self, owner: Owner) {
        self.change(|own| {
            own.all.insert(owner.number);
        });
    }

    pub(super) fn ends(&self, owner: Owner) {
        self.change(|own| {
            own.all.remove(&owner.number);
            own.parked.remove(&owner.number);
        });
    }

    /// A membership does without the connection.
    pub(super) fn parks(&self, owner: Owner) {
        self.change(|own| {
            own.parked.insert(owner.number);
        });
    }

    /// A membership needs it again.
    pub(super) fn returns(&self, owner: Owner) {
        self.change(|own| {
            own.parked.remove(&owner.number);
        });
    }

    /// Somebody needs it for a request.
    pub(super) fn ask(&self) {
        self.change(|own| own.asked_for = true);
    }

    /// There is a new connection: all take it up.
    pub(super) fn connected(&self) {
        self.change(|own| {
            own.parked.clear();
            own.asked_for = false;
        });
    }

    /// Waits until somebody needs the connection.
    pub(super) async fn needed(&self) {
        // It does not end before this does.
        let _ = self.watch().wait_for(|own| !own.is_unneeded()).await;
    }

    fn change(&self, change: impl FnOnce(&mut Memberships)) {
        self.0.send_modify(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::ids::GroupId;
    use crate::member::channel::Datagrams;

    #[test]
    fn a_connection_is_needed_until_all_are_parked_and_nobody_asks() {
        let (census, datagrams) = (Census::default(), Datagrams::default());
        let unneeded = || census.watch().borrow().is_unneeded();
        assert!(!unneeded(), "somebody is about to join");
        let [first, second] = [1, 2].map(|group| datagrams.owner(GroupId([group; 16])));
        census.begins(first);
        census.begins(second);
        census.parks(first);
        assert!(!unneeded());
        census.parks(second);
        assert!(unneeded());
        census.ask();
        assert!(!unneeded());
        census.connected();
        census.parks(first);
        census.ends(second);
        assert!(unneeded());
        census.returns(first);
        assert!(!unneeded());
    }
}
