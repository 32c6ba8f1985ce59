//! Up-edges: a parent's key wrapped under its child's, cached and cut into chunks for delivery.
//!
//! An edge is ciphertext. It names its two keys and needs no signature: a changed one fails AES key wrap, a
//! misplaced one the epoch's confirmation tag. AES key wrap is deterministic, so an edge can always be made again.

mod cache;
mod chunks;
mod packets;
#[cfg(test)]
mod tests;

pub use cache::EdgeCache;
pub use chunks::{Chunk, chunks};
pub use packets::{Packet, packets};

use minicbor::decode::{Decode, Decoder};
use minicbor::encode::{self, Encode, Encoder, Write};
use minicbor::{bytes::ByteArray, decode};
use thiserror::Error;

use super::ids::{KeyRef, NodeId};
use super::index;
use super::limits::MAX_RATCHET_STEPS;
use super::operations::WrappedKey;
use super::planner::PlannedEdge;

/// A parent's key wrapped under its child's: who holds the child's key at this step or an earlier one, of the same
/// generation, learns the parent's.
///
/// ```cddl
/// edge = [level: uint, index: uint, child-generation: uint, child-step: uint,
///         parent-generation: uint, parent-step: uint, wrapped: bstr .size 40]
/// ```
/// `level` and `index` are the child's; which node the parent is follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The key that wraps.
    pub child: KeyRef,
    /// The key that is wrapped: of the node right above.
    pub parent: KeyRef,
    /// The parent's key, wrapped.
    pub wrapped: WrappedKey,
}

/// Why a well-formed array is no edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EdgeError {
    /// Not an array of seven.
    #[error("an edge is an array of seven items")]
    Length,
    /// No tree has the child's node, or it has no parent.
    #[error("no tree has a node above {0:?}")]
    Node(NodeId),
    /// Generation 0, a ratcheted leaf or more steps than a key is ratcheted.
    #[error("{0:?} never exists")]
    Key(KeyRef),
}

impl Edge {
    /// The edge that was planned, now that its parent's key is wrapped.
    pub fn new(planned: PlannedEdge, wrapped: WrappedKey) -> Self {
        Edge {
            child: planned.child,
            parent: planned.parent,
            wrapped,
        }
    }
}

impl<C> Encode<C> for Edge {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(7)?
            .u8(self.child.node.level)?
            .u32(self.child.node.index)?
            .u32(self.child.generation)?
            .u16(self.child.step)?
            .u32(self.parent.generation)?
            .u16(self.parent.step)?
            .bytes(&self.wrapped)?;
        Ok(())
    }
}

/// Refuses what can be no edge of any tree; the error's source is the [`EdgeError`].
impl<'b, C> Decode<'b, C> for Edge {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(7) {
            return Err(decode::Error::custom(EdgeError::Length));
        }
        let node = NodeId {
            level: d.u8()?,
            index: d.u32()?,
        };
        if !index::exists(node) || node.level == index::MAX_HEIGHT {
            return Err(decode::Error::custom(EdgeError::Node(node)));
        }
        Ok(Edge {
            child: read_key(d, node)?,
            parent: read_key(d, index::parent(node))?,
            wrapped: ByteArray::<40>::decode(d, ctx)?.into(),
        })
    }
}

fn read_key(d: &mut Decoder<'_>, node: NodeId) -> Result<KeyRef, decode::Error> {
    let key = KeyRef {
        node,
        generation: d.u32()?,
        step: d.u16()?,
    };
    let most = if node.level == 0 {
        0
    } else {
        MAX_RATCHET_STEPS
    };
    if key.generation == 0 || key.step > most {
        return Err(decode::Error::custom(EdgeError::Key(key)));
    }
    Ok(key)
}
