//! The life cycle of groups upstream: records go in, objects come out; and what is done to these comes back.

mod aside;
mod back;
mod ledger;
mod up;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use wardcast::audit::{Audit, Digest, Entry, Event, Group, Options, Record, Root};
use wardcast::engine::RootKey;
use wardcast::group::ids::{Epoch, GroupId, MasterId, Revision, Suite};
use wardcast::group::operations::WrappedKey;
use wardcast::group::policy::{GroupPolicy, OnRevoked};
use wardcast::kmip::client::{Attribute, AttributeName, Client, GetAttributes, Locate, Revoke};
use wardcast::kmip::codec::{tag, values};
use wardcast::relay::lifecycle::{
    EscrowError, Facts, Groups, Lifecycle, LifecycleSink, Names, Parts,
};
use wardcast::relay::{Batch, Line, Place, Resume, Sink, SinkError, Start};

/// The gateway's part, as a script: groups as they are, and what was done to them.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Scripted>>);

#[derive(Default)]
struct Scripted {
    groups: BTreeMap<String, Facts>,
    acts: Vec<(String, OnRevoked)>,
    whys: Vec<String>,
    /// Why nothing can be done now.
    stuck: Option<String>,
    escrow: Option<Result<WrappedKey, EscrowError>>,
}

impl Groups for Script {
    async fn group(&self, name: &str) -> Result<Option<Facts>, String> {
        Ok(self.with(|script| script.groups.get(name).cloned()))
    }

    async fn act(&self, name: &str, action: OnRevoked, why: &str) -> Result<(), String> {
        self.with(|script| {
            if let Some(stuck) = &script.stuck {
                return Err(stuck.clone());
            }
            script.acts.push((name.to_owned(), action));
            script.whys.push(why.to_owned());
            Ok(())
        })
    }

    async fn wrap(&self, _root: &RootKey) -> Result<WrappedKey, EscrowError> {
        let none = || Err(EscrowError::Impossible("there is no escrow key".to_owned()));
        self.with(|script| script.escrow.clone().unwrap_or_else(none))
    }
}

impl Script {
    fn with<T>(&self, look: impl FnOnce(&mut Scripted) -> T) -> T {
        look(&mut self.0.lock().expect("no panic"))
    }

    fn acts(&self) -> Vec<(String, OnRevoked)> {
        let mut acts = self.with(|script| std::mem::take(&mut script.acts));
        // Groups are acted on at the same time.
        acts.sort_by(|one, other| one.0.cmp(&other.0));
        acts
    }
}

/// A trail's records, and the life cycle that follows it.
struct Bench {
    folder: tempfile::TempDir,
    client: Client,
    script: Script,
    audit: Audit,
    lifecycle: Option<(Lifecycle<Script>, LifecycleSink<Script>)>,
    sequence: u64,
    revisions: BTreeMap<u8, u64>,
    /// Where the sink wanted to go on in this life, if not at its cursor.
    resumed: Option<Resume>,
}

impl Bench {
    async fn new(client: Client) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = Audit::open(&Options::new(folder.path(), 1 << 20)).expect("a trail");
        let mut bench = Bench {
            folder,
            client,
            script: Script::default(),
            audit,
            lifecycle: None,
            sequence: 0,
            revisions: BTreeMap::new(),
            resumed: None,
        };
        bench.restart().await;
        bench
    }

    /// Another life of the gateway, which has taken all so far.
    async fn restart(&mut self) {
        let sequence = self.sequence;
        self.restart_from(sequence, sequence).await;
    }

    /// Another life, whose cursor is after a record, while the trail goes on up to another one.
    async fn restart_from(&mut self, taken: u64, newest: u64) {
        self.lifecycle = None;
        let parts = Parts {
            client: self.client.clone(),
            groups: self.script.clone(),
            audit: self.audit.clone(),
            names: Names::new("test"),
            escrow_label: "escrow key".to_owned(),
        };
        let lifecycle = Lifecycle::open(self.folder.path(), parts).expect("opens");
        let mut sink = lifecycle.sink();
        let taken = Place {
            sequence: taken,
            ..Place::default()
        };
        let start = Start {
            taken: Some(taken),
            newest,
        };
        self.resumed = sink.begin(start).await.expect("the ledger is read");
        self.lifecycle = Some((lifecycle, sink));
    }

    fn line(&mut self, group: u8, event: Event) -> Line {
        self.sequence += 1;
        let revision = self.revisions.entry(group).or_default();
        *revision += 1;
        let record = Record {
            sequence: self.sequence,
            time: "2026-11-27T00:00:00.000000Z".to_owned(),
            entry: Entry {
                group: Some(Arc::new(Group::new(id(group), &name(group)))),
                revision: Some(Revision(*revision)),
                ..Entry::of_gateway(event)
            },
            previous: Digest::default(),
        };
        Line {
            record,
            digest: Digest::default(),
            bytes: Vec::new(),
        }
    }

    fn batch(&mut self, events: impl IntoIterator<Item = (u8, Event)>) -> Batch {
        let lines = events.into_iter();
        let lines = lines
            .map(|(group, event)| self.line(group, event))
            .collect();
        Batch {
            lines,
            again: false,
        }
    }

    async fn try_take(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let (_, sink) = self.lifecycle.as_mut().expect("it runs");
        sink.take(batch).await
    }

    async fn take(&mut self, events: impl IntoIterator<Item = (u8, Event)>) {
        let batch = self.batch(events);
        self.try_take(&batch).await.expect("is taken");
    }

    /// Groups of this policy, each with its first generation.
    async fn groups(&mut self, groups: impl IntoIterator<Item = u8>, policy: &GroupPolicy) {
        let mut events = Vec::new();
        for group in groups {
            let facts = Facts {
                id: id(group).to_string(),
                suite: Suite::One,
                master: MasterId(1),
                policy: policy.clone(),
                rollovers: 0,
                root: None,
            };
            self.script
                .with(|script| script.groups.insert(name(group), facts));
            events.push((group, created(policy)));
            events.push((group, rekeyed(1)));
        }
        self.take(events).await;
    }

    /// How many objects somebody was found to have ended.
    async fn look(&self) -> usize {
        let (lifecycle, _) = self.lifecycle.as_ref().expect("it runs");
        lifecycle.look().await.expect("the store answers").ended
    }

    /// All objects upstream with their states, by name without what all begin with.
    async fn objects(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for object in self.locate(Attribute::object_group("test.keys")).await {
            let ask = GetAttributes {
                unique_identifier: object,
                names: [tag::Name, tag::State].map(AttributeName::Standard).into(),
            };
            let Ok(found) = self.client.call(&ask).await else {
                all.push(("?".to_owned(), "archived".to_owned()));
                continue;
            };
            let get = |tag| {
                found
                    .iter()
                    .find(|found| found.name == AttributeName::Standard(tag))
            };
            let name = get(tag::Name).and_then(Attribute::text).expect("a name");
            let state = match get(tag::State).and_then(Attribute::enumeration) {
                Some(values::State::PreActive) => "pre-active",
                Some(values::State::Active) => "active",
                Some(values::State::Deactivated) => "deactivated",
                Some(values::State::Compromised) => "compromised",
                Some(values::State::Destroyed) => "destroyed",
                other => panic!("{other:?}"),
            };
            let name = name.strip_prefix("test.").expect("the prefix");
            all.push((name.to_owned(), state.to_owned()));
        }
        all.sort();
        all
    }

    async fn locate(&self, attribute: Attribute) -> Vec<String> {
        let locate = Locate {
            attributes: vec![attribute],
            maximum_items: None,
        };
        let located = self.client.call(&locate).await.expect("located");
        located.unique_identifiers
    }

    /// The identifier of the one object of this name.
    async fn object(&self, name: &str) -> String {
        let found = self.locate(Attribute::name(&format!("test.{name}"))).await;
        let [one] = &found[..] else {
            panic!("{name}: {found:?}");
        };
        one.clone()
    }

    /// Somebody revokes an object.
    async fn revoke(&self, name: &str, reason: u32) {
        let revoke = Revoke {
            unique_identifier: self.object(name).await,
            reason,
            message: None,
            compromise_occurrence: None,
        };
        self.client.call(&revoke).await.expect("revoked");
    }
}

fn id(group: u8) -> GroupId {
    GroupId([group; 16])
}

fn name(group: u8) -> String {
    format!("room {group}")
}

/// The name of a group's object.
fn group_object(group: u8) -> String {
    format!("group.{}", id(group))
}

/// The name of the object of a generation on level 1.
fn key_object(group: u8, generation: u32) -> String {
    format!("key.{}.1.1-{generation}", id(group))
}

fn created(policy: &GroupPolicy) -> Event {
    Event::GroupCreated {
        suite: Suite::One,
        master: MasterId(1),
        nonce: Some("22".repeat(32)),
        policy: Box::new(policy.clone()),
    }
}

fn rekeyed(generation: u32) -> Event {
    changed(generation, 0, false)
}

/// A new epoch, by a rollover or not.
fn changed(generation: u32, step: u16, rollover: bool) -> Event {
    Event::Rekeyed {
        epoch: Epoch(generation.into()),
        joined: 0,
        departed: 0,
        keys: 1,
        rolled_to: rollover.then_some(MasterId(1)),
        root: Some(Root {
            level: 1,
            generation,
            step,
        }),
        suite: rollover.then_some(Suite::One),
        nonce: rollover.then(|| "33".repeat(32)),
    }
}

/// Names and states, to be compared.
fn are<const N: usize>(all: [(String, &str); N]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = all
        .into_iter()
        .map(|(name, state)| (name, state.to_owned()))
        .collect();
    all.sort();
    all
}
