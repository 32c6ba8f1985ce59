//! Which leaves a change touches: departed leaves are refilled first, then the lowest vacant ones.

use super::{Change, PlanError};
use crate::group::ids::{KeyRef, MemberId};
use crate::group::index;
use crate::group::tree::{LeafChange, Tree};

/// The leaves that change, from the left, and who was given which leaf key.
pub(super) struct Placement {
    pub(super) leaves: Vec<LeafChange>,
    pub(super) placed: Vec<(MemberId, KeyRef)>,
}

/// Gives joiners their leaves. A departed leaf that is refilled is one change and not two.
pub(super) fn place(tree: &Tree, change: &Change) -> Result<Placement, PlanError> {
    change.leaves.iter().for_each(|&leaf| tree.prefetch(leaf));
    refuse_repeated_joins(&change.joins)?;
    let mut departed = change.leaves.clone();
    departed.sort_unstable();
    if let Some(twice) = departed.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(PlanError::LeavesTwice { leaf: twice[0] });
    }
    if let Some(&leaf) = departed
        .iter()
        .find(|&&leaf| tree.member_at(leaf).is_none())
    {
        return Err(PlanError::Vacant { leaf });
    }
    let mut leaves = Vec::with_capacity(departed.len().max(change.joins.len()));
    let mut placed = Vec::with_capacity(change.joins.len());
    let mut vacant = 0;
    let mut refilled = departed.iter();
    for &member in &change.joins {
        let index = match refilled.next() {
            Some(&leaf) => leaf,
            None => {
                let leaf = tree.next_vacant(vacant);
                if leaf >= index::MAX_LEAVES {
                    return Err(PlanError::Full);
                }
                vacant = leaf + 1;
                leaf
            }
        };
        let node = index::leaf(index);
        let generation = tree
            .key(node)
            .generation
            .checked_add(1)
            .ok_or(PlanError::Exhausted { node })?;
        leaves.push(LeafChange {
            index,
            generation,
            member: Some(member),
        });
        placed.push((
            member,
            KeyRef {
                node,
                generation,
                step: 0,
            },
        ));
    }
    leaves.extend(refilled.map(|&index| LeafChange {
        index,
        generation: tree.key(index::leaf(index)).generation,
        member: None,
    }));
    leaves.sort_unstable_by_key(|leaf| leaf.index);
    Ok(Placement { leaves, placed })
}

fn refuse_repeated_joins(joins: &[MemberId]) -> Result<(), PlanError> {
    if joins.contains(&MemberId(u64::MAX)) {
        return Err(PlanError::ReservedMember);
    }
    let mut sorted = joins.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(PlanError::JoinsTwice { member: twice[0] }),
        None => Ok(()),
    }
}
