//! The up-edge as it stands on the wire.

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use super::codec::refuse;
use crate::group::ids::{KeyRef, NodeId};
use crate::group::limits::{DEGREE, MAX_LEVELS};
use crate::group::operations::WrappedKey;

/// A parent's key wrapped under its child's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The key that wraps.
    pub child: KeyRef,
    /// The key that is wrapped.
    pub parent: KeyRef,
    /// The ciphertext.
    pub wrapped: WrappedKey,
}

impl<C> Encode<C> for Edge {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let Edge {
            child,
            parent,
            wrapped,
        } = self;
        e.array(7)?
            .u8(child.node.level)?
            .u32(child.node.index)?
            .u32(child.generation)?
            .u16(child.step)?
            .u32(parent.generation)?
            .u16(parent.step)?
            .bytes(wrapped)?
            .ok()
    }
}

impl<'b, C> Decode<'b, C> for Edge {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        if d.array()? != Some(7) {
            return Err(refuse("an edge is an array of seven", at));
        }
        let (level, index) = (d.u8()?, d.u32()?);
        if level >= MAX_LEVELS - 1 {
            return Err(refuse("an edge lies within the tree's levels", at));
        }
        let child = KeyRef {
            node: NodeId { level, index },
            generation: d.u32()?,
            step: d.u16()?,
        };
        let parent = KeyRef {
            node: NodeId {
                level: level + 1,
                index: index / DEGREE,
            },
            generation: d.u32()?,
            step: d.u16()?,
        };
        let at = d.position();
        let wrapped = WrappedKey::try_from(d.bytes()?)
            .map_err(|_| refuse("a wrapped key is 40 bytes", at))?;
        Ok(Edge {
            child,
            parent,
            wrapped,
        })
    }
}
