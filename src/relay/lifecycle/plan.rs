//! What records of the trail mean for the objects upstream. It is pure: the same records after the same knowledge come to the
//! same steps.
//!
//! | record | steps |
//! | --- | --- |
//! | a group is created | its object begins |
//! | a new epoch whose root has an independent key | an object of that generation begins, the one before it ends as superseded |
//! | a new epoch whose root was ratcheted | none: the generation is the same |
//! | a rollover, or a thaw | besides: a successor begins for each object that somebody ended upstream |
//! | the group is destroyed | both objects end, for cessation of operation |
//! | the policy changes | none |
//!
//! To begin is to be registered and activated; to end is to be revoked, then archived or destroyed. The policy is not a part
//! of the group's object, whose value cannot change: it is a document of its own upstream, and this is about keys. That it asks
//! for escrow counts from the next generation on.

use serde::{Deserialize, Serialize};

use super::known::{Ended, Key, Known, Object, Rules, Seed};
use super::names::{Descriptor, Names};
use crate::audit::{Event, Record, Root};
use crate::group::ids::{Epoch, Revision};

/// What is to be done upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// An object is registered and activated.
    Begin(Begin),
    /// An object is revoked, and archived or destroyed then.
    End(End),
}

/// An object that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    /// Its name.
    pub(super) name: String,
    /// What it says of itself.
    pub(super) descriptor: Descriptor,
    /// The key that it is to have, wrapped, if policy asks for that.
    pub(super) escrow: Option<Escrowed>,
}

/// A key for escrow, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Escrowed {
    /// The group's identifier, in hexadecimal digits.
    pub(super) group: String,
    /// What it comes from.
    pub(super) seed: Seed,
    /// Which key.
    pub(super) root: Root,
}

/// An object that ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// Its name.
    pub(super) name: String,
    /// Its identifier, if that is known.
    pub(super) id: Option<String>,
    /// Why.
    pub(super) reason: Reason,
    /// Somebody revoked it before.
    pub(super) revoked: bool,
    /// Whether it is archived rather than destroyed.
    pub(super) archive: bool,
}

/// Why an object ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// Another one has its place.
    Superseded,
    /// The group is over.
    Ceased,
}

/// What a record means, by what is known of its group, which is changed to what is known once the steps are done. Records that were
/// applied before mean nothing, nor do those of groups of which nothing is known, but that one begins.
pub(super) fn plan(names: &Names, known: &mut Option<Known>, record: &Record) -> Vec<Step> {
    let (Some(group), Some(revision)) = (&record.entry.group, record.entry.revision) else {
        return Vec::new();
    };
    if let (
        None,
        Event::GroupCreated {
            suite,
            master,
            nonce,
            policy,
        },
    ) = (&known, &record.entry.event)
    {
        *known = Some(Known {
            id: group.id.clone(),
            name: group.name.clone(),
            revision: Revision(0),
            seed: Seed {
                suite: *suite,
                master: *master,
                nonce: nonce.clone(),
            },
            rules: Rules::from(&**policy),
            group: None,
            key: None,
            due: None,
            over: false,
        });
    }
    let Some(known) = known.as_mut().filter(|known| known.revision < revision) else {
        return Vec::new();
    };
    known.revision = revision;
    let mut planner = Planner {
        names,
        known,
        time: &record.time,
        steps: Vec::new(),
    };
    planner.plan(&record.entry.event);
    planner.steps
}

/// What a record is to a ledger that is older than it, when all of it was done before: it is remembered. Nothing is to be done upstream
/// for it, and what was found there and done to the group for it is not done again.
pub(super) fn remember(names: &Names, known: &mut Option<Known>, record: &Record) {
    if let Some(known) = known {
        match &record.entry.event {
            Event::UpstreamEnded { object, state, .. } => {
                let mut own = known.objects_mut().filter(|own| own.name == *object);
                if let Some(own) = own.next() {
                    own.found = own.found.or(Ended::of(state));
                }
            }
            Event::Frozen { .. }
            | Event::Thawed
            | Event::Rekeyed {
                rolled_to: Some(_), ..
            } => known.due = None,
            _ => {}
        }
    }
    drop(plan(names, known, record));
}

/// The object of this name of a group, as it began.
pub(super) fn begun(names: &Names, known: &Known, name: &str, time: &str) -> Option<Begin> {
    let mut again = known.clone();
    let mut planner = Planner {
        names,
        known: &mut again,
        time,
        steps: Vec::new(),
    };
    match (&known.group, &known.key) {
        (Some(group), _) if group.name == name => planner.begin_group(group.copy),
        (_, Some(key)) if key.object.name == name => {
            planner.begin_key(key.root, key.epoch, key.object.copy);
        }
        _ => {}
    }
    planner.steps.into_iter().find_map(|step| match step {
        Step::Begin(begin) => Some(begin),
        Step::End(_) => None,
    })
}

struct Planner<'p> {
    names: &'p Names,
    known: &'p mut Known,
    time: &'p str,
    steps: Vec<Step>,
}

impl Planner<'_> {
    fn plan(&mut self, event: &Event) {
        if self.known.group.is_none() && !matches!(event, Event::GroupDestroyed) {
            self.begin_group(1);
        }
        match event {
            Event::PolicyChanged { policy } => self.known.rules = Rules::from(&**policy),
            Event::Rekeyed {
                epoch,
                rolled_to,
                root,
                suite,
                nonce,
                ..
            } => {
                if let Some(master) = rolled_to {
                    self.known.seed = Seed {
                        suite: suite.unwrap_or(self.known.seed.suite),
                        master: *master,
                        nonce: nonce.clone(),
                    };
                    self.succeed_group();
                }
                // The others are steps of a generation that is there already.
                if let Some(root) = root.filter(|root| root.step == 0) {
                    self.end_key(Reason::Superseded);
                    self.begin_key(root, *epoch, 1);
                }
            }
            Event::Thawed => {
                self.succeed_group();
                self.succeed_key();
            }
            Event::GroupDestroyed => {
                self.end_key(Reason::Ceased);
                if let Some(group) = self.known.group.take() {
                    self.end(group, Reason::Ceased);
                }
                self.known.over = true;
                self.known.due = None;
            }
            _ => {}
        }
    }

    fn begin_group(&mut self, copy: u32) {
        let name = self.names.group(&self.known.id, copy);
        self.steps.push(Step::Begin(Begin {
            name: name.clone(),
            descriptor: Descriptor::group(self.known, self.time),
            escrow: None,
        }));
        self.known.group = Some(new(name, copy));
    }

    fn begin_key(&mut self, root: Root, epoch: Epoch, copy: u32) {
        let known = &mut *self.known;
        let name = self.names.key(&known.id, &known.seed, root, copy);
        let escrow = known.rules.escrow.then(|| Escrowed {
            group: known.id.clone(),
            seed: known.seed.clone(),
            root,
        });
        self.steps.push(Step::Begin(Begin {
            name: name.clone(),
            descriptor: Descriptor::key(known, (root, epoch), self.time),
            escrow,
        }));
        known.key = Some(Key {
            object: new(name, copy),
            root,
            epoch,
        });
    }

    /// The group's object has a successor, if somebody ended it.
    fn succeed_group(&mut self) {
        if let Some(group) = self.known.group.take_if(|group| group.found.is_some()) {
            self.begin_group(group.copy + 1);
            self.end(group, Reason::Superseded);
        }
    }

    /// So has that of the root's generation.
    fn succeed_key(&mut self) {
        let ended = |key: &mut Key| key.object.found.is_some();
        if let Some(key) = self.known.key.take_if(ended) {
            self.begin_key(key.root, key.epoch, key.object.copy + 1);
            self.end(key.object, Reason::Superseded);
        }
    }

    fn end_key(&mut self, reason: Reason) {
        if let Some(key) = self.known.key.take() {
            self.end(key.object, reason);
        }
    }

    fn end(&mut self, object: Object, reason: Reason) {
        if object.found == Some(Ended::Destroyed) {
            return;
        }
        self.steps.push(Step::End(End {
            name: object.name,
            id: object.id,
            reason,
            revoked: object.found.is_some(),
            archive: self.known.rules.archive,
        }));
    }
}

fn new(name: String, copy: u32) -> Object {
    Object {
        name,
        id: None,
        copy,
        found: None,
    }
}
