//! What must hold when it has been calm for long enough.

use super::World;
use crate::client::Client;

impl World {
    pub(super) fn check_the_end(&self) {
        let Some(gateway) = &self.life.gateway else {
            panic!("the gateway is down");
        };
        let machine = &gateway.machine;
        let status = machine.status();
        assert_eq!(gateway.unanswered(), 0, "somebody waits: {status:?}");
        assert!(!gateway.persisting, "a record is under way: {status:?}");
        for member in &self.life.evicting {
            assert!(
                machine.member(*member).is_none(),
                "the eviction of {member} got lost"
            );
        }
        let newest = self.ledger.newest();
        let limit = machine.state().policy().member_limit;
        let mut inside = 0;
        for (number, client) in self.clients.iter().enumerate() {
            let in_group = client.member().and_then(|id| machine.member(id)).is_some();
            assert_eq!(
                client.session.is_some(),
                in_group,
                "client {number} is half in: {status:?}"
            );
            inside += u32::from(in_group);
            if in_group {
                assert!(client.mood.wants, "client {number} wants out and is in");
                assert_eq!(
                    client.newest_root(),
                    newest,
                    "client {number} is behind: {status:?}"
                );
                let active = client.session.as_ref().map(|session| session.active());
                assert_eq!(active, Some(machine.status().epochs.active));
            }
        }
        for (number, client) in self.clients.iter().enumerate() {
            let stuck = client.mood.wants && client.session.is_none();
            let same =
                |other: &&Client| other.identity == client.identity && other.session.is_some();
            let registered = self.clients.iter().filter(same).count() as u32;
            let excused = inside >= limit
                || registered >= machine.state().policy().registrations_per_identity
                || machine.state().roster().senders()
                    >= 1 << machine.state().policy().sender_id_bits;
            assert!(
                !stuck || excused,
                "client {number} is not let in: {status:?}"
            );
        }
        assert_eq!(
            status.assurance.members, inside,
            "there are members that nobody is: {status:?}"
        );
        assert_eq!(
            status.assurance.acknowledged, inside,
            "assurance lags: {status:?}"
        );
        assert_eq!(status.epochs.active, status.epochs.newest);
        assert!(!status.keys.rolling_over, "a rollover waits: {status:?}");
        assert_eq!(
            status.keys.without_leaf, 0,
            "without a leaf key: {status:?}"
        );
        let broken = self.ledger.history.broken_by(&self.token);
        assert_eq!(broken, None, "outsiders compute the root of that epoch");
    }
}
