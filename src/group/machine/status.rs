//! What a group's machine tells about itself, and when it wants to be called.

use super::GroupMachine;
use super::io::{Assurance, EpochStatus, GroupStatus, KeyStatus, QueueStatus};
use super::staging::Staged;
use crate::group::ids::{Epoch, Revision, Suite, Time};

impl GroupMachine {
    /// How the group is.
    pub fn status(&self) -> GroupStatus {
        let state = &self.state;
        GroupStatus {
            group: state.group(),
            name: state.name().to_owned(),
            revision: state.revision(),
            destroyed: state.destroyed(),
            frozen: state.frozen().map(str::to_owned),
            sender_space: state.sender_space(),
            keys: KeyStatus {
                suite: state.suite(),
                master: state.master(),
                root: state.tree().root(),
                rollovers: state.rollovers(),
                rolling_over: self.waiting.rollover.is_some(),
                without_leaf: state.roster().without_leaf(),
                without_suite_two: state.roster().lacking(Suite::Two),
            },
            epochs: EpochStatus {
                newest: state.epoch(),
                delivered: self.epochs.delivered(),
                active: self.epochs.active(),
                active_suite: self.epochs.active_suite(),
                delivered_suite: self.epochs.delivered_suite(),
                activates: self.epochs.deadline(),
                retiring: self.epochs.retiring().collect(),
                rotates: self.epochs.rotates(state.policy().rekey_period_s),
            },
            assurance: self.assurance(),
            queues: self.queues(),
        }
    }

    /// What waits.
    pub fn queues(&self) -> QueueStatus {
        QueueStatus {
            joins: self.waiting.joins() + self.log.staged.as_ref().map_or(0, Staged::joins),
            departures: self.waiting.departures(),
            paths: self.keys.waiting(),
            jobs: self.token.jobs(),
        }
    }

    /// How many members with a connection are behind the newest delivered epoch: by one epoch, by two or three, by up to fifteen, by
    /// more, and those who acknowledged none in this life.
    pub fn behind(&self) -> [u32; 5] {
        let roster = self.state.roster();
        let delivered = self.epochs.delivered();
        let within = |epochs: u64| {
            let from = Epoch(delivered.0.saturating_sub(epochs).max(1));
            roster.acknowledged_present(from)
        };
        let [current, one, few, some, any] = [0, 1, 3, 15, delivered.0].map(within);
        let unknown = roster.present_count() - any;
        [one - current, few - one, some - few, any - some, unknown]
    }

    /// How many epochs are delivered and not active yet, active, and retiring.
    pub fn epochs_in_use(&self) -> [u32; 3] {
        let (delivered, active) = (self.epochs.delivered(), self.epochs.active());
        let retiring = self.epochs.retiring().count();
        [
            u32::from(delivered != active),
            u32::from(active != Epoch(0)),
            u32::try_from(retiring).unwrap_or(u32::MAX),
        ]
    }

    /// Whether nothing is under way: no change waits, is put on record, sealed or about to be active, and nobody waits for keys.
    pub fn is_at_rest(&self) -> bool {
        let waits = self.waiting.since.is_some() || self.keys.is_waiting();
        let is_made = self.log.staged.is_some() || self.sealing.is_waiting();
        !waits && !is_made && !self.is_in_flight() && self.token.jobs() == 0
    }

    /// Who holds the newest delivered epoch.
    pub fn assurance(&self) -> Assurance {
        let roster = self.state.roster();
        let (present, current) = self.current();
        Assurance {
            members: roster.len(),
            present,
            acknowledged: roster.acknowledged(self.epochs.delivered()),
            behind: present - current,
        }
    }

    /// How many members have a connection, and how many of them acknowledged the newest delivered epoch.
    pub fn current(&self) -> (u32, u32) {
        let roster = self.state.roster();
        let current = roster.acknowledged_present(self.epochs.delivered());
        (roster.present_count(), current)
    }

    /// The newest delivered epoch, and when it was delivered: a restart counts as a delivery.
    pub fn delivered(&self) -> (Epoch, Time) {
        (self.epochs.delivered(), self.epochs.delivered_at())
    }

    /// The epoch that senders send with.
    pub fn active(&self) -> Epoch {
        self.epochs.active()
    }

    /// When the machine wants [`Input::Tick`](super::Input::Tick), if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Time> {
        if self.state.destroyed() {
            return None;
        }
        if !self.begun {
            return Some(self.now);
        }
        let roster = self.state.roster();
        let period = self.state.policy().rekey_period_s;
        [
            self.next_stage(),
            self.next_issue(),
            self.impatience(),
            self.epochs.deadline(),
            self.epochs.next_retirement(),
            self.epochs.rotates(period),
            roster.next_timeout(self.absence_ms(), self.silence_ms()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When the next record can be staged, if only time stands against it.
    fn next_stage(&self) -> Option<Time> {
        if self.log.staged.is_some() {
            return None;
        }
        let at_once = self.state.revision() == Revision(0)
            || self.waiting.destroy
            || self.waiting.policy.is_some()
            || self.waiting.gate.is_some()
            || self.waiting.urgent;
        if at_once {
            return Some(self.log.backoff.until());
        }
        let due = self
            .collected_at()
            .filter(|_| !self.is_in_flight() && self.has_reason())?;
        Some(due.max(self.log.backoff.until()))
    }

    /// When the token can be asked again.
    fn next_issue(&self) -> Option<Time> {
        let waits = self.sealing.is_waiting() || self.keys.is_waiting();
        self.issuer()?;
        let paused = !self.token.backoff.is_over(self.now);
        (waits && paused).then(|| self.token.backoff.until())
    }
}
