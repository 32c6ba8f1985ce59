//! Chunks packed for a multicast: each member's edges are in one packet, and an edge that several need is there once.
//!
//! User-oriented key assignment (Yang, Li, Zhang and Lam, "Reliable group rekeying", SIGCOMM 2001): members are taken in the
//! order of their leaves, and a packet is begun where the next one's edges do not fit any more. So a member needs one packet to
//! arrive, not several, and most of the edges near the root, which all need, are sent once a packet.

use std::collections::HashSet;

use super::{Chunk, Edge};
use crate::group::ids::NodeId;

/// The edges that the members of neighbouring leaves need between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The first leaf that it is for.
    pub first_leaf: u32,
    /// The last leaf that it is for.
    pub last_leaf: u32,
    /// In no order that means anything; of one child one.
    pub edges: Vec<Edge>,
}

/// Packs the chunks of one rekey into packets with room for so many bytes of encoded edges. The packets share out all leaves:
/// one in no chunk needs no edges, and finds so in its packet. None when the edges of one chunk do not fit.
pub fn packets(chunks: &[Chunk], room: usize) -> Option<Vec<Packet>> {
    let mut packed = Vec::new();
    let mut open = Open::at(0);
    for chunk in chunks {
        let edges: Vec<Edge> = minicbor::decode(&chunk.edges).ok()?;
        if !open.take(&edges, room) {
            let next = std::mem::replace(&mut open, Open::at(chunk.first_leaf));
            packed.push(next.close(chunk.first_leaf.checked_sub(1)?));
            if !open.take(&edges, room) {
                return None;
            }
        }
    }
    packed.push(open.close(u32::MAX));
    Some(packed)
}

fn encoded(edge: &Edge) -> usize {
    let bytes = minicbor::to_vec(edge);
    bytes.expect("writing to memory does not fail").len()
}

/// A packet that more may fit into.
struct Open {
    first_leaf: u32,
    edges: Vec<Edge>,
    children: HashSet<NodeId>,
    bytes: usize,
}

impl Open {
    fn at(first_leaf: u32) -> Self {
        Open {
            first_leaf,
            edges: Vec::new(),
            children: HashSet::new(),
            bytes: 0,
        }
    }

    /// Takes all of them or none.
    fn take(&mut self, edges: &[Edge], room: usize) -> bool {
        let new = edges
            .iter()
            .filter(|edge| !self.children.contains(&edge.child.node));
        let new: Vec<Edge> = new.copied().collect();
        let bytes = self.bytes + new.iter().map(encoded).sum::<usize>();
        if bytes > room {
            return false;
        }
        self.bytes = bytes;
        self.children.extend(new.iter().map(|edge| edge.child.node));
        self.edges.extend(new);
        true
    }

    fn close(self, last_leaf: u32) -> Packet {
        Packet {
            first_leaf: self.first_leaf,
            last_leaf,
            edges: self.edges,
        }
    }
}
