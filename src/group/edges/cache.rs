//! Edges kept so that a member that catches up costs the token nothing.

use std::collections::BTreeMap;

use super::Edge;
use crate::group::ids::{KeyRef, NodeId};
use crate::group::index;
use crate::group::limits::MAX_CACHED_EDGES;
use crate::group::operations::WrappedKey;
use crate::group::planner::{Plan, PlannedEdge};
use crate::group::tree::Tree;

/// One edge for each child node, as far as there is room.
///
/// An edge is used while its child's key is the tree's current one and its parent's key is of the current
/// generation, at the current step or an earlier one, from which the holder ratchets forward. Both halves matter:
/// - Whoever joins below a node changes that node's key. So the child being current means that nobody joined below it
///   since the edge was made, and an earlier step of the parent tells nobody anything from before they joined.
/// - Whoever leaves below a node ends its generation. So nobody who left can open an edge in use.
///
/// The rule is checked at every use, not trusted to bookkeeping: an output that arrives late, or a plan that nobody
/// told the cache of, costs a wrap and not a secret.
#[derive(Clone, Debug)]
pub struct EdgeCache {
    /// By the child's level, then by its index: 60 bytes an edge, the least shared edges first.
    edges: BTreeMap<NodeId, Cached>,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Cached {
    child_generation: u32,
    parent_generation: u32,
    child_step: u16,
    parent_step: u16,
    wrapped: WrappedKey,
}

impl Cached {
    fn edge(&self, node: NodeId) -> Edge {
        Edge {
            child: KeyRef {
                node,
                generation: self.child_generation,
                step: self.child_step,
            },
            parent: KeyRef {
                node: index::parent(node),
                generation: self.parent_generation,
                step: self.parent_step,
            },
            wrapped: self.wrapped,
        }
    }
}

impl Default for EdgeCache {
    fn default() -> Self {
        Self::new()
    }
}

impl EdgeCache {
    /// An empty cache with room for [`MAX_CACHED_EDGES`].
    pub fn new() -> Self {
        Self::with_limit(MAX_CACHED_EDGES)
    }

    /// An empty cache with room for so many edges.
    pub fn with_limit(limit: usize) -> Self {
        EdgeCache {
            edges: BTreeMap::new(),
            limit,
        }
    }

    /// How many edges are cached.
    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// Whether no edge is cached.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// Forgets every edge that a plan replaces. Call it when the plan is committed.
    pub fn forget(&mut self, plan: &Plan) {
        for edge in plan.rekey.iter().chain(&plan.grants) {
            self.edges.remove(&edge.child.node);
        }
        for leaf in &plan.diff.leaves {
            self.edges.remove(&index::leaf(leaf.index));
        }
    }

    /// Forgets every edge: all keys were renewed.
    pub fn clear(&mut self) {
        self.edges.clear();
    }

    /// Keeps an edge, unless the tree has moved on since it was asked for. When there is no room, one of
    /// the lowest level makes some: those are the least shared, a leaf's edge serves a single member.
    pub fn insert(&mut self, tree: &Tree, edge: &Edge) {
        let node = edge.child.node;
        if node.level >= tree.height() || !in_use(tree, edge) {
            return;
        }
        self.edges.remove(&node);
        if self.edges.len() >= self.limit {
            match self.edges.first_entry() {
                Some(least) if least.key().level <= node.level => drop(least.remove()),
                // What is cached is of more use than this edge, or the limit is zero.
                _ => return,
            }
        }
        let cached = Cached {
            child_generation: edge.child.generation,
            parent_generation: edge.parent.generation,
            child_step: edge.child.step,
            parent_step: edge.parent.step,
            wrapped: edge.wrapped,
        };
        self.edges.insert(node, cached);
    }

    /// The edges from a leaf's key to the root's, from the leaf up: all that its member needs, whatever it missed.
    /// None when no member is at the leaf.
    ///
    /// # Errors
    /// With the edges that are not cached, at the tree's current keys: have the token wrap them, insert them, ask again
    /// or complete the path with [`EdgeCache::path_with`].
    pub fn path(&self, tree: &Tree, leaf: u32) -> Result<Vec<Edge>, Vec<PlannedEdge>> {
        self.path_with(tree, leaf, &[])
    }

    /// The same, taking what the cache lacks from edges just wrapped: so a path is complete however little room the
    /// cache has.
    ///
    /// # Errors
    /// With the edges that neither has.
    pub fn path_with(
        &self,
        tree: &Tree,
        leaf: u32,
        wrapped: &[Edge],
    ) -> Result<Vec<Edge>, Vec<PlannedEdge>> {
        let keys: Vec<KeyRef> = tree.path(leaf).collect();
        let mut edges = Vec::with_capacity(keys.len());
        let mut missing = Vec::new();
        for pair in keys.windows(2) {
            let (child, parent) = (pair[0], pair[1]);
            let fresh = || {
                let of_child = |edge: &&Edge| edge.child == child && in_use(tree, edge);
                wrapped.iter().find(of_child).copied()
            };
            match self.get(tree, child.node).or_else(fresh) {
                Some(edge) => edges.push(edge),
                None => missing.push(PlannedEdge { child, parent }),
            }
        }
        if missing.is_empty() {
            Ok(edges)
        } else {
            Err(missing)
        }
    }

    fn get(&self, tree: &Tree, node: NodeId) -> Option<Edge> {
        let edge = self.edges.get(&node)?.edge(node);
        in_use(tree, &edge).then_some(edge)
    }
}

/// Whether an edge may be given to whoever is below its child now.
fn in_use(tree: &Tree, edge: &Edge) -> bool {
    let parent = tree.key(index::parent(edge.child.node));
    tree.population(edge.child.node) > 0
        && edge.child == tree.key(edge.child.node)
        && edge.parent.node == parent.node
        && edge.parent.generation == parent.generation
        && edge.parent.step <= parent.step
}
