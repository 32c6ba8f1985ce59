//! Who is in a group: registrations, their leaves, sender identifiers, acknowledgements and presence.
//!
//! What is durable of a member (identity, role, leaf, sender identifier, epoch of joining, suites) changes by records
//! alone. The rest (acknowledged epoch, presence, suites that it offers later, whether it holds its leaf key) is only in
//! memory: after a restart nobody is present and nobody has acknowledged anything, which is safe and becomes right again
//! as members resume.
//!
//! Every count is kept as it changes, so that delivery assurance costs nothing to ask for, and nothing here looks at
//! all members at every tick: absences are kept by due time, and silence is looked for once in a while, and only
//! when the counts say that somebody is behind.

mod clock;
mod moment;
mod ordered;
mod tallies;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::ids::{Epoch, Identity, MemberId, Role, SenderId, Suite, Suites, Time};
use clock::{Absences, Silences};
use moment::Moment;
use ordered::Ordered;
use tallies::{Moved, Tallies, Tally};

/// Whether a member has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Registered, its grant under way.
    Joining,
    /// It has a connection.
    Present,
    /// It has none.
    Absent,
}

/// One registration.
#[derive(Clone, Debug)]
pub struct Member {
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// What it may do with the keys.
    pub role: Role,
    /// Its place in the tree.
    pub leaf: u32,
    /// What it sends under, in the current sender space.
    pub sender: Option<SenderId>,
    /// The first epoch that it was in.
    pub joined: Epoch,
    /// The suites that it offered when it joined, or later in this life of the machine.
    pub suites: Suites,
    /// Whether it is known, in this life of the machine, to hold its current leaf key: it was granted it, or named it.
    pub holds_leaf: bool,
    /// The newest epoch whose root it confirmed, in this life of the machine.
    pub acknowledged: Epoch,
    /// Whether it has a connection.
    pub presence: Presence,
    /// Since when it is present or absent.
    pub since: Time,
    noted: Noted,
}

/// What is noted of a registration besides, in this life of the machine.
#[derive(Clone, Copy, Debug)]
struct Noted {
    /// When it acknowledged what it acknowledged last.
    confirmed: Moment,
    /// When it last asked for its keys by itself.
    asked: Moment,
    /// Whether an entry of the absence queue names it: at most one does, however often it comes and goes.
    queued: bool,
}

impl Noted {
    const NOTHING: Self = Noted {
        confirmed: Moment::NEVER,
        asked: Moment::NEVER,
        queued: false,
    };
}

impl Member {
    /// A fresh registration.
    pub fn new(
        identity: Arc<Identity>,
        role: Role,
        leaf: u32,
        joined: Epoch,
        suites: Suites,
    ) -> Self {
        Member {
            identity,
            role,
            leaf,
            sender: None,
            joined,
            suites,
            holds_leaf: false,
            acknowledged: Epoch(0),
            presence: Presence::Joining,
            since: Time(0),
            noted: Noted::NOTHING,
        }
    }

    /// When it acknowledged what it acknowledged last, to the second.
    pub fn confirmed(&self) -> Option<Time> {
        self.noted.confirmed.time()
    }

    /// When it last asked for its keys by itself, to the second: it came back, or pulled.
    pub fn asked(&self) -> Option<Time> {
        self.noted.asked.time()
    }

    fn is_present(&self) -> bool {
        self.presence == Presence::Present
    }
}

/// The members of a group.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    members: Ordered<MemberId, Member>,
    /// Nearly every identity has one registration: it takes no heap of its own. Never iterated: its order differs from run to run.
    by_identity: HashMap<Arc<Identity>, SmallVec<[MemberId; 1]>>,
    tallies: Tallies,
    present: u32,
    senders: u32,
    /// How many members have each suite, by its place among all suites.
    offering: [u32; Suite::ALL.len()],
    holding_leaf: u32,
    absences: Absences,
    silences: Silences,
}

impl Roster {
    /// How many members there are.
    pub fn len(&self) -> u32 {
        self.members.len() as u32
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many members have a connection.
    pub fn present_count(&self) -> u32 {
        self.present
    }

    /// How many members send.
    pub fn senders(&self) -> u32 {
        self.senders
    }

    /// How many members are not known to hold their leaf key.
    pub fn without_leaf(&self) -> u32 {
        self.len() - self.holding_leaf
    }

    /// How many members do not offer a suite.
    pub fn lacking(&self, suite: Suite) -> u32 {
        let at = Suite::ALL.iter().position(|&other| other == suite);
        let offering = at.and_then(|at| self.offering.get(at));
        self.len() - offering.copied().unwrap_or(0)
    }

    /// A registration.
    pub fn get(&self, id: MemberId) -> Option<&Member> {
        self.members.get(id)
    }

    /// Every registration, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (MemberId, &Member)> {
        self.members.iter()
    }

    /// Every registration after one, the oldest first.
    pub fn after(&self, id: Option<MemberId>) -> impl Iterator<Item = (MemberId, &Member)> {
        self.members.after(id)
    }

    /// The registrations of an identity, the oldest first.
    pub fn of(&self, identity: &Identity) -> &[MemberId] {
        self.by_identity
            .get(identity)
            .map_or(&[], SmallVec::as_slice)
    }

    /// How many members acknowledged an epoch or one after it.
    pub fn acknowledged(&self, epoch: Epoch) -> u32 {
        self.tallies.since(epoch).members
    }

    /// How many members with a connection acknowledged an epoch or one after it.
    pub fn acknowledged_present(&self, epoch: Epoch) -> u32 {
        self.tallies.since(epoch).present
    }

    /// Adds a registration, which is newer than all others.
    pub(super) fn insert(&mut self, id: MemberId, mut member: Member) {
        let entry = self.by_identity.entry(member.identity.clone());
        // One string for all registrations of an identity.
        member.identity = entry.key().clone();
        entry.or_default().push(id);
        self.senders += u32::from(member.role.sends());
        self.count_suites(member.suites, true);
        self.count((member.acknowledged, member.is_present()), true);
        self.members.push(id, member);
    }

    /// Ends a registration.
    pub(super) fn remove(&mut self, id: MemberId) -> Option<Member> {
        let member = self.members.remove(id)?;
        if let Some(ids) = self.by_identity.get_mut(&member.identity) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_identity.remove(&member.identity);
            }
        }
        self.senders -= u32::from(member.role.sends());
        self.count_suites(member.suites, false);
        self.holding_leaf -= u32::from(member.holds_leaf);
        self.count((member.acknowledged, member.is_present()), false);
        Some(member)
    }

    /// Gives a member a sender identifier.
    pub(super) fn assign(&mut self, id: MemberId, sender: SenderId) {
        if let Some(member) = self.members.get_mut(id) {
            member.sender = Some(sender);
        }
    }

    /// Numbers all senders afresh, from 0, the oldest registration first; returns how many there are.
    pub(super) fn assign_afresh(&mut self) -> u32 {
        let members = self.members.iter_mut().map(|(_, member)| member);
        let senders = members.filter(|member| member.role.sends());
        let mut next = 0;
        for member in senders {
            member.sender = Some(SenderId(next));
            next += 1;
        }
        next
    }

    /// Notes which suites a member offers now.
    pub(super) fn offers(&mut self, id: MemberId, suites: Suites) {
        let member = self.members.get_mut(id);
        let before = member.map(|member| std::mem::replace(&mut member.suites, suites));
        if let Some(before) = before {
            self.count_suites(before, false);
            self.count_suites(suites, true);
        }
    }

    /// Notes whether a member holds its current leaf key.
    pub(super) fn holds_leaf(&mut self, id: MemberId, holds: bool) {
        if let Some(member) = self.members.get_mut(id) {
            let before = std::mem::replace(&mut member.holds_leaf, holds);
            self.holding_leaf -= u32::from(before);
            self.holding_leaf += u32::from(holds);
        }
    }

    /// Every leaf key is another one, and of this suite: that all members offer it was found out before.
    pub(super) fn renewed(&mut self, suite: Suite) {
        for (_, member) in self.members.iter_mut() {
            member.holds_leaf = false;
            member.suites = member.suites.with(suite);
        }
        self.holding_leaf = 0;
        self.offering = [0; Suite::ALL.len()];
        let suites: Vec<Suites> = self.members.iter().map(|(_, m)| m.suites).collect();
        for suites in suites {
            self.count_suites(suites, true);
        }
    }

    fn count_suites(&mut self, suites: Suites, in_it: bool) {
        for (suite, count) in Suite::ALL.into_iter().zip(&mut self.offering) {
            match (suites.has(suite), in_it) {
                (true, true) => *count += 1,
                (true, false) => *count -= 1,
                (false, _) => {}
            }
        }
    }

    /// Notes that members confirmed epochs' roots, in their order; older news and strangers are passed over. What is news is told: the
    /// epoch, and since when the member is present.
    pub(super) fn acknowledge(
        &mut self,
        all: &[(MemberId, Epoch)],
        now: Time,
        mut news: impl FnMut(Epoch, Time),
    ) {
        let mut moved = Moved::default();
        let tallies = &mut self.tallies;
        self.members.visit(all, |member, epoch| {
            if member.acknowledged >= epoch || member.joined > epoch {
                return;
            }
            let before = std::mem::replace(&mut member.acknowledged, epoch);
            member.noted.confirmed = Moment::at(now);
            news(epoch, member.since);
            let who = Tally::one(member.is_present());
            tallies.advance(&mut moved, (before, epoch), who);
        });
        self.tallies.settle(moved);
    }

    /// Notes that a member asked for its keys by itself.
    pub(super) fn asks(&mut self, id: MemberId, now: Time) {
        if let Some(member) = self.members.get_mut(id) {
            member.noted.asked = Moment::at(now);
        }
    }

    /// Notes that a member has a connection.
    pub(super) fn arrive(&mut self, id: MemberId, now: Time) -> bool {
        let changed = self.change(
            id,
            |m| !m.is_present(),
            |member| {
                member.presence = Presence::Present;
                member.since = now;
            },
        );
        if changed && self.acknowledged_present(self.silences.newest()) < self.present {
            self.silences.resume(now);
        }
        changed
    }

    /// Notes that a member has no connection.
    pub(super) fn depart(&mut self, id: MemberId, now: Time) -> bool {
        let changed = self.change(id, Member::is_present, |member| {
            member.presence = Presence::Absent;
            member.since = now;
        });
        if changed {
            self.expect_absence(id, now);
        }
        changed
    }

    /// Begins a life: nobody is present, all are absent from now on.
    pub(super) fn begin(&mut self, now: Time) {
        self.tallies.clear();
        self.present = 0;
        self.holding_leaf = 0;
        self.absences = Absences::default();
        self.silences = Silences::default();
        for (id, member) in self.members.iter_mut() {
            member.acknowledged = Epoch(0);
            member.holds_leaf = false;
            member.presence = Presence::Absent;
            member.since = now;
            member.noted = Noted {
                queued: true,
                ..Noted::NOTHING
            };
            self.tallies.come(Epoch(0), Tally::one(false));
            self.absences.push(now, id);
        }
    }

    /// An epoch was delivered: from now on members that do not acknowledge it are silent.
    pub(super) fn delivered(&mut self, epoch: Epoch, now: Time, silence_ms: u64) {
        self.silences.mark(epoch, now, silence_ms);
    }

    /// When absence or silence must be looked at next.
    pub(super) fn next_timeout(&self, absence_ms: u64, silence_ms: u64) -> Option<Time> {
        let absence = self.absences.next(absence_ms);
        let silence = self.silences.next(silence_ms);
        absence.into_iter().chain(silence).min()
    }

    /// Members that have been absent for that long.
    pub(super) fn absent_since(&mut self, now: Time, absence_ms: u64) -> Vec<MemberId> {
        let mut gone = Vec::new();
        for id in self.absences.due(now, absence_ms) {
            let Some(member) = self.members.get_mut(id) else {
                continue;
            };
            member.noted.queued = false;
            if member.presence != Presence::Absent {
                continue;
            }
            if member.since.after(absence_ms) <= now {
                gone.push(id);
            } else {
                let since = member.since;
                self.expect_absence(id, since);
            }
        }
        gone
    }

    /// Members with a connection that have owed an acknowledgement for that long. Looks at all members, but only
    /// once in a share of that time, and only when somebody is behind at all.
    pub(super) fn silent_since(&mut self, now: Time, silence_ms: u64) -> Vec<MemberId> {
        let mut silent = Vec::new();
        while let Some((epoch, delivered)) = self.silences.due(now, silence_ms) {
            if self.acknowledged_present(epoch) < self.present {
                let behind =
                    |m: &Member| m.is_present() && m.acknowledged < epoch && m.since <= delivered;
                let found = self.members.iter().filter(|(_, m)| behind(m));
                silent.extend(found.map(|(id, _)| id));
            }
        }
        let newest = self.silences.newest();
        if self.silences.is_empty() && self.acknowledged_present(newest) < self.present {
            self.silences.mark(newest, now, silence_ms);
        }
        silent.sort_unstable();
        silent.dedup();
        silent
    }

    fn expect_absence(&mut self, id: MemberId, since: Time) {
        if let Some(member) = self.members.get_mut(id).filter(|m| !m.noted.queued) {
            member.noted.queued = true;
            self.absences.push(since, id);
        }
    }

    /// Changes what the counts depend on, when the member is there and the condition holds.
    fn change(
        &mut self,
        id: MemberId,
        when: impl FnOnce(&Member) -> bool,
        how: impl FnOnce(&mut Member),
    ) -> bool {
        let Some(member) = self.members.get_mut(id).filter(|member| when(member)) else {
            return false;
        };
        let before = (member.acknowledged, member.is_present());
        how(member);
        let after = (member.acknowledged, member.is_present());
        self.count(before, false);
        self.count(after, true);
        true
    }

    fn count(&mut self, (acknowledged, is_present): (Epoch, bool), in_it: bool) {
        let who = Tally::one(is_present);
        if in_it {
            self.tallies.come(acknowledged, who);
            self.present += who.present;
        } else {
            self.tallies.go(acknowledged, who);
            self.present -= who.present;
        }
    }
}
