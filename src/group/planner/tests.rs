//! Properties of plans on random histories.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::group::limits::DEGREE;

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
fn one_leave_of_a_full_tree_costs_degree_times_height_less_one() {
    for height in 2..=6 {
        let members = DEGREE.pow(height);
        let tree = History::full(members).tree;
        for leaf in [0, members / 3, members - 1] {
            let change = Change {
                leaves: vec![leaf],
                ..Change::default()
            };
            let plan = plan(&tree, &change).unwrap();
            assert_eq!(plan.rekey.len() as u32, DEGREE * height - 1);
            assert_eq!(plan.grants, []);
        }
    }
}
