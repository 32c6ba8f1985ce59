//! What the trail says of a change: all of it comes from the record that the store has of the change.

use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::event::{Actor, Entry, Event, Group, Root};
use crate::group::ids::{Epoch, GroupNonce, Identity, Revision};
use crate::group::record::{Changed, Departed, Frozen, Joined, Record, Thawed};
use crate::group::tree::TreeDiff;
use crate::group::wire::RemovalReason;

/// What happened to a group, by the record that made this revision of its log.
pub fn changes(group: &Arc<Group>, revision: Revision, record: Record) -> Vec<Entry> {
    let entry = |actor, event| Entry {
        actor,
        group: Some(group.clone()),
        revision: Some(revision),
        request: None,
        event,
    };
    match record {
        Record::Created(created) => vec![entry(
            Actor::Gateway,
            Event::GroupCreated {
                suite: created.suite,
                master: created.master,
                nonce: Some(hexadecimal(&created.nonce)),
                policy: Box::new(created.policy),
            },
        )],
        Record::PolicyChanged(policy) => {
            let policy = Box::new(policy);
            vec![entry(Actor::Gateway, Event::PolicyChanged { policy })]
        }
        Record::Frozen(Frozen { why, by }) => {
            vec![entry(by_whom(by), Event::Frozen { why })]
        }
        Record::Thawed(Thawed { by }) => vec![entry(by_whom(by), Event::Thawed)],
        Record::Destroyed => vec![entry(Actor::Gateway, Event::GroupDestroyed)],
        Record::Changed(changed) => {
            let Changed {
                epoch,
                diff,
                joined,
                left,
                renewal,
                ..
            } = *changed;
            let rekeyed = Event::Rekeyed {
                epoch,
                joined: joined.len(),
                departed: left.len(),
                keys: diff.nodes.len(),
                rolled_to: renewal.map(|renewal| renewal.master),
                root: root(&diff),
                suite: renewal.map(|renewal| renewal.suite),
                nonce: renewal.map(|renewal| hexadecimal(&renewal.nonce)),
            };
            let came = joined.into_iter().map(|joined| came(epoch, joined));
            let went = left.into_iter().map(|left| went(epoch, left));
            let all = came.chain(went).map(|(actor, event)| entry(actor, event));
            all.chain([entry(Actor::Gateway, rekeyed)]).collect()
        }
    }
}

fn by_whom(by: Option<Identity>) -> Actor {
    by.map_or(Actor::Gateway, Actor::Operator)
}

fn hexadecimal(nonce: &GroupNonce) -> String {
    HEXLOWER.encode(&nonce.0)
}

/// The root after a change: it changes with each, and stands last.
fn root(diff: &TreeDiff) -> Option<Root> {
    let last = diff.nodes.last()?;
    (last.node.level == diff.height).then_some(Root {
        level: last.node.level,
        generation: last.generation,
        step: last.step,
    })
}

fn came(epoch: Epoch, joined: Joined) -> (Actor, Event) {
    let event = Event::Joined {
        epoch,
        member: joined.member,
        identity: joined.identity.clone(),
        role: joined.role,
        sender: joined.sender,
    };
    (Actor::Member(joined.identity), event)
}

fn went(epoch: Epoch, left: Departed) -> (Actor, Event) {
    let actor = match (left.reason, &left.identity, left.by) {
        (RemovalReason::Evicted, _, Some(operator)) => Actor::Operator(operator),
        (RemovalReason::Left, Some(identity), _) => Actor::Member(identity.clone()),
        _ => Actor::Gateway,
    };
    let event = Event::Departed {
        epoch,
        member: left.member,
        identity: left.identity,
        reason: left.reason.text().to_owned(),
        note: left.note,
    };
    (actor, event)
}
