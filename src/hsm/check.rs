//! What no plan asks for is refused before it reaches a token.

use super::TokenError;
use crate::group::ids::KeyRef;
use crate::group::limits::{DEGREE, MAX_LEVELS, MAX_RATCHET_STEPS};
use crate::group::operations::{Batch, Operation};

/// Refuses a batch that no planner makes: it would derive a key that must not exist, or wrap one for the wrong members.
pub(super) fn check(batch: &Batch) -> Result<(), TokenError> {
    for operation in &batch.operations {
        match operation {
            Operation::Wrap { child, parent } => {
                key(child)?;
                key(parent)?;
                let above = child.node.level + 1 == parent.node.level
                    && child.node.index / DEGREE == parent.node.index;
                if !above {
                    return Err(TokenError::BadBatch(
                        "a key is to be wrapped under a node that is not its child",
                    ));
                }
            }
            Operation::Grant { leaf, .. } => {
                key(leaf)?;
                if leaf.node.level != 0 {
                    return Err(TokenError::BadBatch("a grant of a key that is no leaf's"));
                }
            }
            Operation::Seal { root, .. } => key(root)?,
        }
    }
    Ok(())
}

fn key(key: &KeyRef) -> Result<(), TokenError> {
    if key.node.level >= MAX_LEVELS {
        return Err(TokenError::BadBatch("a node above the tallest tree"));
    }
    if key.generation == 0 {
        return Err(TokenError::BadBatch("a key of a node that was never keyed"));
    }
    if key.step > MAX_RATCHET_STEPS {
        return Err(TokenError::BadBatch("a key ratcheted past the limit"));
    }
    Ok(())
}
