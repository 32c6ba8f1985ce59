//! Properties of plans on random histories.

mod cost;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// A tree, who is in it, and every leaf key that was ever given out.
#[derive(Default)]
struct History {
    tree: Tree,
    members: BTreeMap<u32, MemberId>,
    given: BTreeSet<KeyRef>,
    next: u64,
}

impl History {
    fn full(members: u32) -> Self {
        let mut history = History::default();
        history.step(members as usize, &[], false);
        history
    }

    /// Plans and applies a change and checks what holds for every change.
    fn step(&mut self, joins: usize, leaves: &[u32], rotate: bool) -> Plan {
        let joins: Vec<MemberId> = (self.next..).take(joins).map(MemberId).collect();
        self.next += joins.len() as u64;
        let change = Change {
            joins,
            leaves: leaves.to_vec(),
            rotate,
            renew: false,
        };
        let plan = plan(&self.tree, &change).expect("the change is sound");
        let before = self.tree.clone();
        self.tree.apply(&plan.diff).expect("a plan's diff fits");
        for leaf in leaves {
            self.members.remove(leaf);
        }
        let placed: Vec<MemberId> = plan.placed.iter().map(|placed| placed.0).collect();
        assert_eq!(placed, change.joins);
        for &(member, key) in &plan.placed {
            assert!(self.given.insert(key), "{key:?} is given a second time");
            assert_eq!(self.members.insert(key.node.index, member), None);
        }
        assert_ne!(plan.root, before.root());
        check_edges(&before, &self.tree, &change, &plan);
        assert_eq!(plan.root, self.tree.root());
        assert_eq!(
            self.tree.iter().collect::<Vec<_>>(),
            self.members.clone().into_iter().collect::<Vec<_>>()
        );
        for level in 0..=self.tree.height() {
            for index in 0..=index::ancestor(self.tree.leaves(), level).index {
                let node = NodeId { level, index };
                let (old, new) = (before.key(node), self.tree.key(node));
                assert!(
                    (old.generation, old.step) <= (new.generation, new.step),
                    "{old:?} went back to {new:?}"
                );
                let below = index::first_leaf(node)..=index::last_leaf(node);
                let population = self.members.range(below).count() as u32;
                assert_eq!(self.tree.population(node), population, "{node:?}");
            }
        }
        plan
    }
}

/// Whoever joined finds a whole path among the plan's edges; who was there pays for leaves, rotations, growth and
/// worn-out ratchets alone.
fn check_edges(before: &Tree, after: &Tree, change: &Change, plan: &Plan) {
    let edges: BTreeSet<(KeyRef, KeyRef)> = plan
        .rekey
        .iter()
        .chain(&plan.grants)
        .map(|edge| (edge.child, edge.parent))
        .collect();
    assert_eq!(edges.len(), plan.rekey.len() + plan.grants.len());
    for &(child, parent) in &edges {
        assert_eq!(child, after.key(child.node));
        assert_eq!(parent, after.key(index::parent(child.node)));
        assert!(after.population(child.node) > 0, "{child:?} is nobody's");
    }
    for (_, leaf) in &plan.placed {
        let path: Vec<KeyRef> = after.path(leaf.node.index).collect();
        assert_eq!(path[0], *leaf);
        assert_eq!(path[path.len() - 1], plan.root);
        for pair in path.windows(2) {
            assert!(edges.contains(&(pair[0], pair[1])), "{pair:?} is missing");
        }
    }
    let levels: Vec<u8> = plan
        .rekey
        .iter()
        .map(|edge| edge.child.node.level)
        .collect();
    assert!(levels.is_sorted(), "from the leaves up");
    if change.leaves.is_empty() && !change.rotate {
        for edge in &plan.rekey {
            let parent = before.key(edge.parent.node);
            let grown = parent.node.level > before.height();
            assert!(
                grown || parent.step == MAX_RATCHET_STEPS,
                "{edge:?} is a wrap for a join"
            );
        }
        let grown = plan
            .rekey
            .iter()
            .filter(|edge| edge.parent.node.level > before.height());
        let levels = plan.diff.height - before.height();
        assert_eq!(
            grown.count(),
            if before.members() > 0 {
                levels.into()
            } else {
                0
            }
        );
    }
}

#[derive(Clone, Debug)]
struct Step {
    joins: usize,
    leaves: Vec<prop::sample::Index>,
    rotate: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let joins = prop_oneof![4 => 0..4usize, 1 => 0..40usize];
    let leaves = prop::collection::vec(any::<prop::sample::Index>(), 0..6);
    let step = (joins, leaves, any::<bool>()).prop_map(|(joins, leaves, rotate)| Step {
        joins,
        leaves,
        rotate,
    });
    prop::collection::vec(step, 1..20)
}

fn run(steps: &[Step], mut each: impl FnMut(&History, &Plan)) -> History {
    let mut history = History::default();
    for step in steps {
        let occupied: Vec<u32> = history.members.keys().copied().collect();
        let mut leaves: Vec<u32> = match occupied.len() {
            0 => Vec::new(),
            count => step
                .leaves
                .iter()
                .map(|at| occupied[at.index(count)])
                .collect(),
        };
        leaves.sort_unstable();
        leaves.dedup();
        let rotate = step.rotate || (step.joins == 0 && leaves.is_empty());
        let plan = history.step(step.joins, &leaves, rotate);
        each(&history, &plan);
    }
    history
}

proptest! {
    #[test]
    fn every_history_keeps_the_trees_rules(steps in steps()) {
        run(&steps, |_, _| ());
    }

    #[test]
    fn replayed_diffs_give_the_same_tree(steps in steps()) {
        let mut replay = Tree::new();
        let history = run(&steps, |_, plan| {
            let bytes = minicbor::to_vec(&plan.diff).unwrap();
            let diff: TreeDiff = minicbor::decode(&bytes).unwrap();
            assert_eq!(diff, plan.diff);
            replay.apply(&diff).unwrap();
        });
        prop_assert_eq!(&replay, &history.tree);
        prop_assert_eq!(&Tree::from_bytes(&replay.to_bytes()).unwrap(), &replay);
    }
}

#[test]
fn joiners_take_departed_leaves_first_and_then_the_lowest_vacant_ones() {
    let mut history = History::full(20);
    history.step(0, &[3, 5, 18], false);
    let plan = history.step(4, &[9, 12], false);
    let leaves: Vec<u32> = plan
        .placed
        .iter()
        .map(|(_, leaf)| leaf.node.index)
        .collect();
    assert_eq!(leaves, [9, 12, 3, 5]);
    let plan = history.step(2, &[], false);
    let leaves: Vec<u32> = plan
        .placed
        .iter()
        .map(|(_, leaf)| leaf.node.index)
        .collect();
    assert_eq!(leaves, [18, 20]);
}

#[test]
fn the_last_member_may_leave_and_others_come() {
    let mut history = History::full(1);
    let alone = history.tree.root();
    let plan = history.step(0, &[0], false);
    assert_eq!((plan.rekey.len(), plan.grants.len()), (0, 0));
    assert!(plan.root.generation > alone.generation);
    let empty = history.step(0, &[], true).root;
    let plan = history.step(1, &[], false);
    assert!(plan.root.generation > empty.generation);
    assert_eq!(plan.placed[0].1.generation, 2);
}

#[test]
fn contradictions_are_refused() {
    let tree = History::full(5).tree;
    let refused = |joins: &[u64], leaves: &[u32]| {
        let change = Change {
            joins: joins.iter().copied().map(MemberId).collect(),
            leaves: leaves.to_vec(),
            rotate: false,
            renew: false,
        };
        plan(&tree, &change).unwrap_err()
    };
    assert_eq!(refused(&[], &[]), PlanError::Nothing);
    assert_eq!(refused(&[], &[1, 5]), PlanError::Vacant { leaf: 5 });
    assert_eq!(
        refused(&[], &[u32::MAX]),
        PlanError::Vacant { leaf: u32::MAX }
    );
    assert_eq!(refused(&[], &[2, 1, 2]), PlanError::LeavesTwice { leaf: 2 });
    assert_eq!(
        refused(&[7, 8, 7], &[]),
        PlanError::JoinsTwice {
            member: MemberId(7)
        }
    );
    assert_eq!(refused(&[u64::MAX], &[]), PlanError::ReservedMember);
}

#[test]
fn a_used_up_generation_is_refused() {
    let mut encoded = minicbor::Encoder::new(Vec::new());
    encoded.array(3).unwrap().u8(1).unwrap();
    encoded
        .array(4)
        .unwrap()
        .u32(u32::MAX)
        .unwrap()
        .null()
        .unwrap();
    encoded.u32(1).unwrap().u64(7).unwrap();
    encoded
        .array(1)
        .unwrap()
        .array(2)
        .unwrap()
        .u32(u32::MAX)
        .unwrap()
        .u16(0)
        .unwrap();
    let tree = Tree::from_bytes(&encoded.into_writer()).unwrap();
    let refused = |joins: &[u64], leaves: &[u32]| {
        let change = Change {
            joins: joins.iter().copied().map(MemberId).collect(),
            leaves: leaves.to_vec(),
            rotate: false,
            renew: false,
        };
        plan(&tree, &change).unwrap_err()
    };
    assert_eq!(
        refused(&[1], &[]),
        PlanError::Exhausted {
            node: index::leaf(0)
        }
    );
    let root = tree.root().node;
    assert_eq!(refused(&[], &[1]), PlanError::Exhausted { node: root });
}
