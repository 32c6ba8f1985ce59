//! Plans: which steps a group's life comes to, and that none comes twice.

use std::sync::Arc;

use super::known::{Due, Ended, Key, Known};
use super::names::describes;
use super::plan::{Step, plan};
use super::*;
use crate::audit::{Digest, Entry, Event, Group, Record, Root};
use crate::group::ids::{Epoch, GroupId, MasterId, Revision, Suite};
use crate::group::policy::{GroupPolicy, OnRevoked};
use crate::relay::Place;

/// After a record.
fn after(sequence: u64) -> Place {
    Place {
        sequence,
        head: Digest::of(&sequence.to_be_bytes()),
    }
}

const ID: GroupId = GroupId([0xab; 16]);

/// A trail of one group, and what is known by it.
struct Trail {
    names: Names,
    revision: u64,
    known: Option<Known>,
}

impl Trail {
    fn of(policy: GroupPolicy) -> Self {
        let mut trail = Trail {
            names: Names::new("test"),
            revision: 0,
            known: None,
        };
        let steps = trail.goes_on(Event::GroupCreated {
            suite: Suite::One,
            master: MasterId(1),
            nonce: Some("00".repeat(32)),
            policy: Box::new(policy),
        });
        assert_eq!(steps, [format!("+group.{ID}")]);
        trail
    }

    fn record(&self, event: Event) -> Record {
        Record {
            sequence: self.revision,
            time: "2026-11-27T00:00:00.000000Z".to_owned(),
            entry: Entry {
                group: Some(Arc::new(Group::new(ID, "room"))),
                revision: Some(Revision(self.revision)),
                ..Entry::of_gateway(event)
            },
            previous: Digest::default(),
        }
    }

    /// The steps of what happens next, in short; none when they are planned again.
    fn goes_on(&mut self, event: Event) -> Vec<String> {
        self.revision += 1;
        let record = self.record(event);
        let steps = plan(&self.names, &mut self.known, &record);
        let again = plan(&self.names, &mut self.known, &record);
        assert_eq!(again, [], "once is enough");
        steps.iter().map(short).collect()
    }

    fn rekeyed(&mut self, level: u8, generation: u32, step: u16) -> Vec<String> {
        self.goes_on(rekeyed(level, generation, step, None))
    }

    fn known(&mut self) -> &mut Known {
        self.known.as_mut().expect("the group is known")
    }
}

fn rekeyed(level: u8, generation: u32, step: u16, rolled_to: Option<u32>) -> Event {
    Event::Rekeyed {
        epoch: Epoch(7),
        joined: 0,
        departed: 0,
        keys: 1,
        rolled_to: rolled_to.map(MasterId),
        root: Some(Root {
            level,
            generation,
            step,
        }),
        suite: rolled_to.map(|_| Suite::Two),
        nonce: rolled_to.map(|_| "11".repeat(32)),
    }
}

fn short(step: &Step) -> String {
    let name = |name: &str| name.strip_prefix("test.").expect("the prefix").to_owned();
    match step {
        Step::Begin(begin) => {
            let escrow = if begin.escrow.is_some() {
                " escrowed"
            } else {
                ""
            };
            format!("+{}{escrow}", name(&begin.name))
        }
        Step::End(end) => {
            let revoked = if end.revoked { " revoked" } else { "" };
            let archive = if end.archive { " archived" } else { "" };
            format!("-{} {:?}{revoked}{archive}", name(&end.name), end.reason)
        }
    }
}

#[test]
fn a_generation_begins_before_the_one_before_it_ends_and_steps_are_none() {
    let mut trail = Trail::of(GroupPolicy::default());
    let key = |which: &str| format!("key.{ID}.{which}");
    assert_eq!(trail.rekeyed(1, 1, 0), [format!("+{}", key("1.1-1"))]);
    assert_eq!(trail.rekeyed(1, 1, 1), Vec::<String>::new());
    let ended = |which: &str| format!("-{} Superseded", key(which));
    let mut second = trail.rekeyed(1, 2, 0);
    second.sort();
    assert_eq!(second, [format!("+{}", key("1.1-2")), ended("1.1-1")]);
    // The tree has grown.
    let grown = trail.rekeyed(2, 1, 0);
    assert!(grown.contains(&format!("+{}", key("1.2-1"))) && grown.contains(&ended("1.1-2")));
    let rolled = trail.goes_on(rekeyed(2, 2, 0, Some(3)));
    assert!(rolled.contains(&format!("+{}", key("3.2-2"))) && rolled.contains(&ended("1.2-1")));
    assert_eq!(
        trail.goes_on(Event::GroupDestroyed),
        [
            format!("-{} Ceased", key("3.2-2")),
            format!("-group.{ID} Ceased")
        ]
    );
    assert!(trail.known().over);
}

#[test]
fn the_policy_of_the_moment_says_what_is_escrowed_and_archived() {
    let mut trail = Trail::of(GroupPolicy::default());
    trail.rekeyed(1, 1, 0);
    let policy = Box::new(GroupPolicy {
        escrow: true,
        archive: true,
        ..GroupPolicy::default()
    });
    assert_eq!(
        trail.goes_on(Event::PolicyChanged { policy }),
        Vec::<String>::new()
    );
    let mut steps = trail.rekeyed(1, 2, 0);
    steps.sort();
    assert_eq!(
        steps,
        [
            format!("+key.{ID}.1.1-2 escrowed"),
            format!("-key.{ID}.1.1-1 Superseded archived")
        ]
    );
    let Some(Key { root, .. }) = trail.known().key else {
        panic!("there is a key");
    };
    assert_eq!((root.level, root.generation), (1, 2));
}

#[test]
fn what_somebody_ended_has_a_successor_after_a_rollover_or_a_thaw() {
    let mut trail = Trail::of(GroupPolicy::default());
    trail.rekeyed(1, 1, 0);
    let group = |trail: &mut Trail, how| {
        if let Some(object) = &mut trail.known().group {
            object.found = Some(how);
        }
    };
    group(&mut trail, Ended::Destroyed);
    // An ordinary epoch is no answer to it.
    trail.rekeyed(1, 2, 0);
    let mut rolled = trail.goes_on(rekeyed(1, 3, 0, Some(1)));
    rolled.sort();
    assert_eq!(
        rolled,
        [
            format!("+group.{ID}.2"),
            format!("+key.{ID}.1.1-3"),
            format!("-key.{ID}.1.1-2 Superseded")
        ],
        "what was destroyed cannot end again"
    );
    group(&mut trail, Ended::Revoked);
    if let Some(key) = &mut trail.known().key {
        key.object.found = Some(Ended::Compromised);
    }
    let mut thawed = trail.goes_on(Event::Thawed);
    thawed.sort();
    assert_eq!(
        thawed,
        [
            format!("+group.{ID}.3"),
            format!("+key.{ID}.1.1-3.2"),
            format!("-group.{ID}.2 Superseded revoked"),
            format!("-key.{ID}.1.1-3 Superseded revoked")
        ]
    );
    assert_eq!(trail.goes_on(Event::Thawed), Vec::<String>::new());
}

#[test]
fn nothing_is_planned_for_groups_of_which_nothing_is_known() {
    let trail = Trail::of(GroupPolicy::default());
    for event in [rekeyed(1, 1, 0, None), Event::Thawed, Event::GroupDestroyed] {
        let mut known = None;
        assert_eq!(plan(&trail.names, &mut known, &trail.record(event)), []);
        assert_eq!(known, None);
    }
}

#[test]
fn a_descriptor_says_what_the_object_is_and_no_secret() {
    let mut trail = Trail::of(GroupPolicy::default());
    trail.rekeyed(2, 5, 0);
    trail.revision += 1;
    let record = trail.record(rekeyed(2, 6, 0, None));
    let steps = plan(&trail.names, &mut trail.known, &record);
    let descriptor = steps.iter().find_map(|step| match step {
        Step::Begin(begin) => Some(begin.descriptor.text()),
        Step::End(_) => None,
    });
    let expected = format!(
        r#"{{"what":"key","group":"{ID}","name":"room","suite":1,"master":1,"time":"2026-11-27T00:00:00.000000Z","level":2,"generation":6,"epoch":7,"escrow":"none"}}"#
    );
    assert_eq!(descriptor.as_deref(), Some(expected.as_str()));
}

#[tokio::test]
async fn the_ledger_keeps_what_is_known_and_hides_what_is_busy_or_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    let ledger = ledger::Ledger::open(&path).expect("opens");
    let mut trail = Trail::of(GroupPolicy::default());
    let known = trail.known().clone();
    ledger
        .commit(vec![known.clone()], after(3))
        .await
        .expect("kept");
    let page = ledger.page("", 9).await.expect("read");
    assert_eq!(page, std::slice::from_ref(&known));
    ledger.begin(vec![known.id.clone()]).await.expect("marked");
    assert_eq!(ledger.page("", 9).await.expect("read"), []);
    assert_eq!(ledger.get(&known.id, true).await.expect("read"), None);
    let found = ledger.get(&known.id, false).await.expect("read");
    assert_eq!(found, Some(known.clone()));
    ledger.put(known.clone()).await.expect("kept");
    let page = ledger.page("", 9).await.expect("read");
    assert_eq!(page, [], "it is busy still");
    let ids = [("a".to_owned(), "1".to_owned())].into();
    ledger.all_begun(8, ids).await.expect("kept");
    drop(ledger);
    let ledger = ledger::Ledger::open(&path).expect("opens again");
    let ids = ledger.begun(8).await.expect("read");
    assert_eq!(ids.expect("is there")["a"], "1");
    assert_eq!(ledger.begun(9).await.expect("read"), None);
    let over = Known {
        over: true,
        ..known.clone()
    };
    ledger
        .commit(vec![over.clone()], after(8))
        .await
        .expect("kept");
    assert_eq!(ledger.page("", 9).await.expect("read"), []);
    ledger.commit(Vec::new(), after(8)).await.expect("kept");
    let found = ledger.get(&known.id, false).await.expect("read");
    assert_eq!(found, Some(over), "its batch may come again");
    ledger.commit(Vec::new(), after(9)).await.expect("kept");
    assert_eq!(ledger.applied().await.expect("is read"), Some(after(9)));
    let found = ledger.get(&known.id, false).await.expect("read");
    assert_eq!(found, None);
}

#[test]
fn the_strongest_action_wins_whichever_comes_first() {
    use OnRevoked::{Destroy, Freeze, Roll};
    let due = |action| Due {
        action,
        why: format!("{action:?}"),
        rollovers: 0,
    };
    for (one, other, wins) in [
        (Freeze, Roll, Roll),
        (Roll, Destroy, Destroy),
        (Freeze, Destroy, Destroy),
    ] {
        assert_eq!(due(one).with(due(other)), due(wins));
        assert_eq!(due(other).with(due(one)), due(wins));
    }
}

#[test]
fn a_descriptor_is_of_the_object_of_its_name_and_its_successors() {
    let key = r#"{"what":"key","group":"ab","master":1,"level":2,"generation":3}"#;
    let group = r#"{"what":"group","group":"ab","master":1}"#;
    let is = |data, name| describes("wardcast", data, name);
    assert!(is(group, "gw.group.ab") && is(group, "gw.group.ab.2"));
    assert!(is(key, "gw.key.ab.1.2-3") && is(key, "gw.key.ab.1.2-3.2"));
    assert!(!is(group, "gw.group.abc") && !is(key, "gw.group.ab"));
    assert!(!is(key, "gw.key.ab.1.2-30") && !is(key, "gw.key.ab.2.2-3"));
    assert!(!describes("another", group, "gw.group.ab"));
    assert!(!is("", "gw.group.ab") && !is("7", "gw.group.ab"));
}
