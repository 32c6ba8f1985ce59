//! Who gets which edges of a rekey: everyone gets those on their own path, and members with the same need share bytes.

use bytes::Bytes;
use minicbor::Encoder;

use super::Edge;
use crate::group::index;
use crate::group::tree::Tree;

/// The edges that the members of neighbouring leaves need, encoded once for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The first leaf that it is for.
    pub first_leaf: u32,
    /// The last leaf that it is for.
    pub last_leaf: u32,
    /// A CBOR array of [`Edge`], from the leaves up.
    pub edges: Bytes,
}

/// Cuts the edges of a rekey into chunks: sorted, disjoint, one for each run of leaves with the same edges on their
/// paths. `tree` is the tree after the change; leaves without members get no chunk, and a leaf in no chunk needs
/// the epoch's header alone. All chunks share one buffer.
pub fn chunks(tree: &Tree, rekey: &[Edge]) -> Vec<Chunk> {
    let mut sorted: Vec<&Edge> = rekey.iter().collect();
    // From the left, and from the top where several begin at one leaf.
    sorted.sort_unstable_by_key(|edge| {
        let node = edge.child.node;
        (index::first_leaf(node), u8::MAX - node.level)
    });
    sorted.dedup_by_key(|edge| edge.child.node);
    let mut cutter = Cutter::new(tree);
    for edge in sorted {
        cutter.close_before(index::first_leaf(edge.child.node));
        cutter.open(edge);
    }
    cutter.close_before(u32::MAX);
    cutter.finish()
}

/// A sweep over the leaves from the left.
struct Cutter<'a> {
    tree: &'a Tree,
    /// Edges over the leaf where the sweep is, from the top.
    open: Vec<&'a Edge>,
    /// The first leaf that is in no chunk yet.
    next: u32,
    buffer: Vec<u8>,
    /// First leaf, last leaf, and where the buffer's share begins.
    cuts: Vec<(u32, u32, usize)>,
}

impl<'a> Cutter<'a> {
    fn new(tree: &'a Tree) -> Self {
        Cutter {
            tree,
            open: Vec::new(),
            next: 0,
            buffer: Vec::new(),
            cuts: Vec::new(),
        }
    }

    /// The sweep arrives at the first leaf below this edge's child.
    fn open(&mut self, edge: &'a Edge) {
        let first = index::first_leaf(edge.child.node);
        if first > self.next {
            self.cut(first - 1);
        }
        self.next = first;
        self.open.push(edge);
    }

    /// The sweep passes the last leaf of every open edge that ends before `leaf`.
    fn close_before(&mut self, leaf: u32) {
        while let Some(edge) = self.open.last() {
            let last = index::last_leaf(edge.child.node);
            if last >= leaf {
                break;
            }
            self.cut(last);
            self.open.pop();
        }
    }

    /// Ends a chunk for the leaves from `next` to `last`, when there are any with members and edges.
    fn cut(&mut self, last: u32) {
        let first = self.next;
        if first > last {
            return;
        }
        self.next = last + 1;
        if self.open.is_empty() || !self.tree.any_member(first, last) {
            return;
        }
        self.cuts.push((first, last, self.buffer.len()));
        let mut encoder = Encoder::new(&mut self.buffer);
        encoder
            .array(self.open.len() as u64)
            .and_then(|encoder| {
                self.open
                    .iter()
                    .rev()
                    .try_for_each(|edge| encoder.encode(edge).map(drop))
            })
            .expect("writing to memory does not fail");
    }

    fn finish(self) -> Vec<Chunk> {
        let buffer = Bytes::from(self.buffer);
        let ends = self
            .cuts
            .iter()
            .skip(1)
            .map(|cut| cut.2)
            .chain([buffer.len()]);
        self.cuts
            .iter()
            .zip(ends)
            .map(|(&(first_leaf, last_leaf, begin), end)| Chunk {
                first_leaf,
                last_leaf,
                edges: buffer.slice(begin..end),
            })
            .collect()
    }
}
