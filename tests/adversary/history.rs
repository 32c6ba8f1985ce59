//! A group that lives through a history: what a gateway does with the core, and what members do with deliveries.

use std::collections::{BTreeMap, BTreeSet};

use wardcast::group::edges::{Chunk, Edge, EdgeCache, chunks};
use wardcast::group::ids::{KeyRef, MemberId, NodeId};
use wardcast::group::index;
use wardcast::group::limits::MAX_RATCHET_STEPS;
use wardcast::group::planner::{Change, Plan, PlannedEdge, plan};
use wardcast::group::tree::Tree;

use crate::closure::Published;

/// One change and what goes wrong around it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) joins: usize,
    /// Who leaves: by place in the order of the leaves, modulo the number of members.
    pub(crate) leaves: Vec<u16>,
    pub(crate) rotate: bool,
    /// Whether every key is renewed: the group has another seed from then on.
    pub(crate) renew: bool,
    /// Before it, more single joins in a row than a ratchet has steps.
    pub(crate) storm: bool,
    /// Who gets the rekey: a member whose id, modulo 64, is a bit that is not set misses it.
    pub(crate) online: u64,
    /// Who asks for a path afterwards, chosen as those who leave.
    pub(crate) asks: Vec<u16>,
    /// Whether the joiners' edges come back from the token only after the next change.
    pub(crate) late: bool,
    /// Whether the gateway dies and restores its tree from a snapshot, its cache lost.
    pub(crate) restart: bool,
}

/// One epoch: its root's key and who was in it.
struct Epoch {
    root: KeyRef,
    members: BTreeSet<MemberId>,
    /// Which seed its keys come from: how many rollovers there were.
    seed: usize,
}

/// A leaf key, and the epoch in which its member was granted it: it can compute that one's root, and later ones.
#[derive(Clone, Copy)]
struct Granted {
    leaf: KeyRef,
    epoch: usize,
}

/// What a member holds: one key a level, from its leaf up.
struct Member {
    id: MemberId,
    held: Vec<KeyRef>,
    /// Whether it has the newest epoch.
    current: bool,
}

impl Member {
    /// Opens edges in order and ratchets to the root that the header names, as a member's session does.
    fn follow(&mut self, edges: &[Edge], root: KeyRef) -> Result<(), String> {
        for edge in edges {
            self.ratchet(edge.child)?;
            let above = usize::from(edge.child.node.level) + 1;
            if self.held.len() == above {
                self.held.push(edge.parent);
            } else {
                self.held[above] = edge.parent;
            }
        }
        self.ratchet(root)
    }

    /// Turns a held key forward to one that is named.
    fn ratchet(&mut self, named: KeyRef) -> Result<(), String> {
        let held = self.held.get_mut(usize::from(named.node.level));
        match held {
            Some(held)
                if (held.node, held.generation) == (named.node, named.generation)
                    && held.step <= named.step =>
            {
                *held = named;
                Ok(())
            }
            held => Err(format!(
                "member {} holds {held:?} where {named:?} is named",
                self.id
            )),
        }
    }
}

/// The gateway, its members, and everything that was on the wire.
#[derive(Default)]
pub(crate) struct World {
    tree: Tree,
    cache: EdgeCache,
    late: Vec<Edge>,
    members: BTreeMap<u32, Member>,
    /// The leaf keys of every registration there ever was, by seed: the n-th is member n's.
    leaf_keys: Vec<BTreeMap<usize, Granted>>,
    /// How many rollovers there were.
    seed: usize,
    /// Which seed each key comes from that was ever wrapped or wrapped another.
    seeds: BTreeMap<(NodeId, u32), usize>,
    epochs: Vec<Epoch>,
    published: Published,
    worn_out_below_root: usize,
}

impl World {
    pub(crate) fn epochs(&self) -> usize {
        self.epochs.len()
    }

    pub(crate) fn edges(&self) -> usize {
        self.published.len()
    }

    pub(crate) fn worn_out_below_root(&self) -> usize {
        self.worn_out_below_root
    }

    /// Lives through one step; an error says who could not follow.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), String> {
        if step.storm {
            for _ in 0..=MAX_RATCHET_STEPS {
                self.change(
                    &[],
                    &Step {
                        joins: 1,
                        ..step.clone()
                    },
                )?;
            }
        }
        let leaves: BTreeSet<u32> = self.pick(&step.leaves);
        let leaves: Vec<u32> = leaves.into_iter().collect();
        if step.joins > 0 || !leaves.is_empty() || step.rotate || step.renew {
            self.change(&leaves, step)?;
        }
        if step.restart {
            self.tree =
                Tree::from_bytes(&self.tree.to_bytes()).map_err(|fault| fault.to_string())?;
            self.cache = EdgeCache::new();
        }
        for leaf in self.pick(&step.asks) {
            self.catch_up(leaf)?;
        }
        Ok(())
    }

    fn pick(&self, places: &[u16]) -> BTreeSet<u32> {
        let occupied: Vec<u32> = self.members.keys().copied().collect();
        let at = |&place: &u16| occupied.get(usize::from(place).checked_rem(occupied.len())?);
        places.iter().filter_map(at).copied().collect()
    }

    fn change(&mut self, leaves: &[u32], step: &Step) -> Result<(), String> {
        let first = self.leaf_keys.len() as u64;
        let change = Change {
            joins: (first..).take(step.joins).map(MemberId).collect(),
            leaves: leaves.to_vec(),
            rotate: step.rotate,
            renew: step.renew,
        };
        let plan = plan(&self.tree, &change).map_err(|fault| fault.to_string())?;
        self.count_worn_out(&plan);
        self.tree
            .apply(&plan.diff)
            .map_err(|fault| fault.to_string())?;
        self.cache.forget(&plan);
        for leaf in leaves {
            self.members.remove(leaf);
        }
        if step.renew {
            self.seed += 1;
            self.cache.clear();
            for member in self.members.values_mut() {
                member.current = false;
            }
        }
        let rekey = self.wrap(&plan.rekey);
        rekey
            .iter()
            .for_each(|edge| self.cache.insert(&self.tree, edge));
        self.deliver(&plan, &rekey, step.online)?;
        let overdue = std::mem::take(&mut self.late);
        overdue
            .iter()
            .for_each(|edge| self.cache.insert(&self.tree, edge));
        let grants = self.wrap(&plan.grants);
        if step.late {
            self.late = grants;
        } else {
            grants
                .iter()
                .for_each(|edge| self.cache.insert(&self.tree, edge));
        }
        for &(id, leaf) in &plan.placed {
            let epoch = self.epochs.len();
            self.leaf_keys
                .push(BTreeMap::from([(self.seed, Granted { leaf, epoch })]));
            let member = Member {
                id,
                held: vec![leaf],
                current: false,
            };
            self.members.insert(leaf.node.index, member);
        }
        self.epochs.push(Epoch {
            root: plan.root,
            members: self.members.values().map(|member| member.id).collect(),
            seed: self.seed,
        });
        plan.placed
            .iter()
            .try_for_each(|(_, leaf)| self.catch_up(leaf.node.index))
    }

    fn count_worn_out(&mut self, plan: &Plan) {
        let worn_out = |edge: &&PlannedEdge| {
            let before = self.tree.key(edge.parent.node);
            before.step == MAX_RATCHET_STEPS && edge.parent.node != plan.root.node
        };
        let root_is_not = plan.root.generation == self.tree.key(plan.root.node).generation;
        self.worn_out_below_root +=
            usize::from(root_is_not) * plan.rekey.iter().filter(worn_out).count();
    }

    /// The token: whatever it wraps is on the wire from now on.
    fn wrap(&mut self, planned: &[PlannedEdge]) -> Vec<Edge> {
        planned
            .iter()
            .map(|edge| {
                for key in [edge.child, edge.parent] {
                    let name = (key.node, key.generation);
                    let seed = *self.seeds.entry(name).or_insert(self.seed);
                    assert_eq!(seed, self.seed, "{key:?} comes from two seeds");
                }
                self.published.add(edge.child, edge.parent);
                Edge::new(*edge, [0; 40])
            })
            .collect()
    }

    /// Pushes a rekey. Who was current and gets it must be current again: no path is needed.
    fn deliver(&mut self, plan: &Plan, rekey: &[Edge], online: u64) -> Result<(), String> {
        let chunks: Vec<Chunk> = chunks(&self.tree, rekey);
        for (&leaf, member) in &mut self.members {
            let was_current = std::mem::replace(&mut member.current, false);
            if online >> (member.id.0 % 64) & 1 == 0 {
                continue;
            }
            let chunk = chunks.partition_point(|chunk| chunk.last_leaf < leaf);
            let edges: Vec<Edge> = match chunks.get(chunk).filter(|c| c.first_leaf <= leaf) {
                Some(chunk) => minicbor::decode(&chunk.edges).map_err(|fault| fault.to_string())?,
                None => Vec::new(),
            };
            match member.follow(&edges, plan.root) {
                Ok(()) => member.current = true,
                Err(fault) if was_current => return Err(fault),
                // It missed something before: it asks for its path one day.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// A member asks for its path, whatever it has missed, and must have the newest root then. Since a rollover it is
    /// granted its leaf key first.
    fn catch_up(&mut self, leaf: u32) -> Result<(), String> {
        let granted = self.tree.key(index::leaf(leaf));
        if let Some(member) = self.members.get_mut(&leaf)
            && member.held[0] != granted
        {
            member.held = vec![granted];
            let granted = Granted {
                leaf: granted,
                epoch: self.epochs.len() - 1,
            };
            self.leaf_keys[member.id.0 as usize].insert(self.seed, granted);
        }
        let path = match self.cache.path(&self.tree, leaf) {
            Ok(path) => path,
            Err(missing) => {
                let wrapped = self.wrap(&missing);
                wrapped
                    .iter()
                    .for_each(|edge| self.cache.insert(&self.tree, edge));
                self.cache
                    .path(&self.tree, leaf)
                    .map_err(|gap| format!("still missing {gap:?}"))?
            }
        };
        let root = self.tree.root();
        let member = self.members.get_mut(&leaf).ok_or("nobody is there")?;
        // Only what its leaf key opens counts: a path needs nothing that it held before.
        member.held.truncate(1);
        member.follow(&path, root)?;
        member.current = true;
        Ok(())
    }

    /// Ends the history: all members agree, and for every epoch everyone who was not in it colludes.
    ///
    /// Knowledge only grows with more keys, so whoever finds nothing with all of them finds nothing with some.
    pub(crate) fn attack(&mut self) -> Result<(), String> {
        let leaves: Vec<u32> = self.members.keys().copied().collect();
        leaves
            .into_iter()
            .try_for_each(|leaf| self.catch_up(leaf))?;
        for (at, epoch) in self.epochs.iter().enumerate() {
            let outside = |&id: &usize| !epoch.members.contains(&MemberId(id as u64));
            let leaves = (0..self.leaf_keys.len())
                .filter(outside)
                .flat_map(|id| self.leaf_keys[id].values().map(|granted| granted.leaf));
            let others = self.seeds.iter().filter(|(_, seed)| **seed != epoch.seed);
            let others = others.map(|(&(node, generation), _)| KeyRef {
                node,
                generation,
                step: 0,
            });
            let colluding: Vec<KeyRef> = leaves.chain(others).collect();
            if self.published.closure(&colluding).knows(epoch.root) {
                return Err(format!("epoch {at}: {:?} is known outside", epoch.root));
            }
            // The adversary is no weaker than a member: from a leaf key alone it finds what a member finds.
            let member = epoch.members.iter().nth(at % epoch.members.len().max(1));
            // One that stayed away was granted its key later, or never before the next rollover.
            let own = member.and_then(|member| self.leaf_keys[member.0 as usize].get(&epoch.seed));
            let own = own.filter(|granted| granted.epoch <= at);
            if let (Some(member), Some(&Granted { leaf: own, .. })) = (member, own)
                && !self.published.closure(&[own]).knows(epoch.root)
            {
                return Err(format!(
                    "epoch {at}: member {member} cannot compute its root"
                ));
            }
        }
        Ok(())
    }
}
