//! What no plan asks for is refused before it reaches a token.

use super::TokenError;
use crate::group::ids::KeyRef;
use crate::group::limits::{DEGREE, MAX_LEVELS, MAX_RATCHET_STEPS};
use crate::group::operations::{Batch, Operation};
use crate::group::wire::is_of_a_header;

/// Refuses a batch that no planner makes: it would derive a key that must not exist, wrap one for the wrong members, or sign
/// what a verifier could take for something else.
pub(super) fn check(batch: &Batch) -> Result<(), TokenError> {
    let of_no_group = batch.is_of_no_group();
    for operation in &batch.operations {
        if of_no_group != matches!(operation, Operation::SignHead { .. }) {
            return Err(TokenError::BadBatch(
                "an operation of a group without one, or one of none in a group's batch".into(),
            ));
        }
        match operation {
            Operation::Wrap { child, parent } => {
                key(child)?;
                key(parent)?;
                let above = child.node.level + 1 == parent.node.level
                    && child.node.index / DEGREE == parent.node.index;
                if !above {
                    return Err(TokenError::BadBatch(
                        "a key is to be wrapped under a node that is not its child".into(),
                    ));
                }
            }
            Operation::Grant { leaf, .. } => {
                key(leaf)?;
                if leaf.node.level != 0 {
                    return Err(TokenError::BadBatch(
                        "a grant of a key that is no leaf's".into(),
                    ));
                }
            }
            Operation::Seal { root, prefix } => {
                key(root)?;
                if !is_of_a_header(prefix) {
                    return Err(TokenError::BadBatch(
                        "a seal of what is no epoch header".into(),
                    ));
                }
            }
            Operation::PushKey { root } => key(root)?,
            Operation::SignHead { .. } => {}
            Operation::Escrow { root } => {
                key(root)?;
                if root.node.level == 0 || root.node.index != 0 {
                    return Err(TokenError::BadBatch(
                        "an escrow of a key that is no root's".into(),
                    ));
                }
            }
        }
    }
    Ok(())
}

/// What passes for the beginning of an epoch header, for tests: an empty protected header, the headers' context.
#[cfg(test)]
pub(super) const PREFIX: &[u8] = b"\x84\x6aSignature1\x40\x50wardcast/1 epoch";

fn key(key: &KeyRef) -> Result<(), TokenError> {
    if key.node.level >= MAX_LEVELS {
        return Err(TokenError::BadBatch("a node above the tallest tree".into()));
    }
    if key.generation == 0 {
        return Err(TokenError::BadBatch(
            "a key of a node that was never keyed".into(),
        ));
    }
    if key.step > MAX_RATCHET_STEPS {
        return Err(TokenError::BadBatch(
            "a key ratcheted past the limit".into(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::group::ids::{GroupId, GroupNonce, MasterId, MemberId, Suite};
    use crate::group::planner::{Change, plan};
    use crate::group::request::Requests;
    use crate::group::tree::Tree;

    /// Joins that make a tree grow and ratchet past the limit, leaves, rotations: nothing that is planned is refused.
    #[test]
    fn every_plan_passes() {
        let mut tree = Tree::new();
        for round in 0..400u32 {
            let change = Change {
                joins: vec![MemberId(u64::from(round))],
                leaves: match round % 150 {
                    149 => vec![round / 3, round / 2],
                    _ => vec![],
                },
                rotate: round % 90 == 89,
                renew: false,
            };
            let plan = plan(&tree, &change).expect("the change fits");
            let edges = plan.rekey.iter().chain(&plan.grants);
            let mut operations: Vec<_> = edges
                .map(|edge| Operation::Wrap {
                    child: edge.child,
                    parent: edge.parent,
                })
                .collect();
            operations.extend(plan.placed.iter().map(|(_, leaf)| Operation::Grant {
                leaf: *leaf,
                member: Bytes::from_static(&[4; 65]),
                transcript: vec![],
            }));
            operations.push(Operation::Seal {
                root: plan.root,
                prefix: PREFIX.to_vec(),
            });
            let batch = Batch {
                suite: Suite::One,
                group: GroupId([0; 16]),
                master: MasterId(1),
                nonce: GroupNonce([0; 32]),
                requests: Requests::default(),
                operations,
            };
            assert_eq!(check(&batch), Ok(()), "round {round}");
            tree.apply(&plan.diff).expect("a plan of this tree");
        }
        assert!(tree.height() > 4);
    }
}
