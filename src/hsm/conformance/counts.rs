//! What batches cost a token: every kind of token counts the same.

use super::*;
use crate::group::ids::MemberId;
use crate::group::planner::{Change, Plan, plan};
use crate::group::tree::Tree;

/// What suite 2 derives besides: the key that each node of these edges wraps with.
fn wrapping_keys(suite: Suite, edges: u64) -> u64 {
    match suite {
        Suite::One => 0,
        Suite::Two => edges,
    }
}

pub(super) fn execute(token: &mut dyn Token, batch: &Batch) -> (Vec<Output>, Usage) {
    let executed = token.execute(std::slice::from_ref(batch));
    let usage = executed.usage;
    let outputs = executed.into_results().pop();
    let outputs = outputs.expect("one result for one batch");
    (outputs.expect("executes"), usage)
}

/// Makes the group known to a session, which holds no key of one that it sees for the first time.
fn greet(token: &mut dyn Token, suite: Suite) {
    let greeted = token.execute_one(&batch_of(suite, vec![]));
    assert_eq!(greeted, Ok(vec![]));
}

/// A tree of that many members, who joined in several changes so that its nodes have been ratcheted.
pub(super) fn tree(members: u64) -> Tree {
    let mut tree = Tree::new();
    let joins: Vec<MemberId> = (0..members).map(MemberId).collect();
    let size = joins.len().div_ceil(5);
    for joins in joins.chunks(size) {
        let change = Change {
            joins: joins.to_vec(),
            ..Change::default()
        };
        let plan = plan(&tree, &change).expect("they fit");
        tree.apply(&plan.diff).expect("it was planned on this tree");
    }
    tree
}

pub(super) fn leave(tree: &mut Tree, leaf: u32) -> Plan {
    let change = Change {
        leaves: vec![leaf],
        ..Change::default()
    };
    let plan = plan(tree, &change).expect("is somebody's");
    tree.apply(&plan.diff).expect("it was planned on this tree");
    plan
}

/// What the engine asks of the token for that plan.
pub(super) fn rekey(suite: Suite, plan: &Plan) -> Batch {
    let edges = plan.rekey.iter();
    let mut operations: Vec<_> = edges.map(|e| edge(e.child, e.parent)).collect();
    operations.push(Operation::Seal {
        root: plan.root,
        prefix: PREFIX.to_vec(),
    });
    batch_of(suite, operations)
}

/// One of 10,000 is evicted, then a neighbour under the same parent: the bounds that the gateway promises.
pub(super) fn a_leave_costs_what_it_must_and_a_second_one_less(config: &TokenConfig, suite: Suite) {
    let mut token = session(config);
    greet(token.as_mut(), suite);
    let mut tree = tree(10_000);
    let (_, cold) = execute(token.as_mut(), &rekey(suite, &leave(&mut tree, 5_000)));
    assert!(cold.wraps <= 27, "{cold:?}");
    assert!(
        cold.derivations <= 29 + wrapping_keys(suite, 27),
        "{cold:?}"
    );
    assert!(cold.ratchets > 0, "{cold:?}");
    assert_eq!((cold.signatures, cold.tags, cold.reused), (1, 1, 0));

    let second = rekey(suite, &leave(&mut tree, 5_001));
    let (outputs, warm) = execute(token.as_mut(), &second);
    assert!(
        warm.derivations <= 12 + wrapping_keys(suite, 27),
        "{warm:?}"
    );
    assert!(warm.wraps <= 27, "{warm:?}");
    assert_eq!((warm.signatures, warm.tags, warm.ratchets), (1, 1, 0));
    assert!(warm.reused >= 18, "{warm:?}");
    // What was held is what would have been derived.
    let (fresh, _) = execute(session(config).as_mut(), &second);
    let wraps = outputs.len() - 1;
    assert_eq!(outputs[..wraps], fresh[..wraps]);
}

pub(super) fn every_call_is_counted(config: &TokenConfig, suite: Suite) {
    let mut token = session(config);
    greet(token.as_mut(), suite);
    let member = MemberKey::generate(suite);
    let (leaf, middle) = (key(0, 0, 1, 0), key(1, 0, 2, 3));
    let bad = Operation::Grant {
        leaf,
        member: Bytes::from_static(&[4; 65]),
        transcript: vec![],
    };
    let seal = Operation::Seal {
        root: middle,
        prefix: PREFIX.to_vec(),
    };
    let one = batch_of(
        suite,
        vec![grant(leaf, &member), bad, edge(leaf, middle), seal],
    );
    // Suite 2 joins two secrets before it derives a kek from them.
    let (agreements, joined) = match suite {
        Suite::One => (1, 0),
        Suite::Two => (2, 1),
    };
    let once = Usage {
        // Seed, leaf, middle, kek, confirmation key.
        derivations: 5 + joined + wrapping_keys(suite, 1),
        ratchets: 3,
        wraps: 2,
        agreements,
        tags: 1,
        signatures: 1,
        reused: 0,
    };
    assert_eq!(execute(token.as_mut(), &one).1, once);
    let again = Usage {
        derivations: once.derivations - 2,
        ratchets: 0,
        reused: 2,
        ..once
    };
    assert_eq!(execute(token.as_mut(), &one).1, again);
    // Two batches in one go are counted together; what is refused costs nothing.
    let mut nonsense = one.clone();
    nonsense.operations.push(edge(leaf, leaf));
    let executed = token.execute(&[one.clone(), nonsense, one]);
    let mut twice = again;
    twice += again;
    assert_eq!(executed.usage, twice);
    assert_eq!(executed.errors().count(), 1);
}

pub(super) fn a_held_key_is_ratcheted_forward(config: &TokenConfig, suite: Suite) {
    let mut token = session(config);
    greet(token.as_mut(), suite);
    let leaf = key(0, 0, 1, 0);
    let at = |generation, step| batch_of(suite, vec![edge(leaf, key(1, 0, generation, step))]);
    let mut cost = |generation, step| {
        let (outputs, usage) = execute(token.as_mut(), &at(generation, step));
        let (fresh, _) = execute(session(config).as_mut(), &at(generation, step));
        assert_eq!(outputs, fresh, "generation {generation}, step {step}");
        let derivations = usage.derivations - wrapping_keys(suite, 1);
        (derivations, usage.ratchets, usage.reused)
    };
    assert_eq!(cost(3, 5), (3, 5, 0), "seed, leaf, node");
    assert_eq!(cost(3, 5), (1, 0, 2), "leaf");
    assert_eq!(cost(3, 9), (1, 4, 2), "leaf; the node goes on from step 5");
    assert_eq!(cost(3, 7), (2, 7, 1), "no step backward: leaf, node");
    assert_eq!(cost(3, 9), (1, 0, 2), "the newest is the one that is held");
    assert_eq!(cost(4, 0), (2, 0, 1), "another generation: leaf, node");
    assert_eq!(
        cost(3, 9),
        (2, 9, 1),
        "which took the place of the older one"
    );
    assert_eq!(cost(4, 1), (1, 1, 2));
}

pub(super) fn another_group_master_or_nonce_reuses_nothing(config: &TokenConfig, suite: Suite) {
    let mut other = config.clone();
    other.master = MasterId(2);
    provision(&other).expect("provisions");
    let mut token = session(config);
    greet(token.as_mut(), suite);
    let first = batch_of(suite, vec![edge(key(0, 0, 1, 0), key(1, 0, 1, 0))]);
    let (outputs, _) = execute(token.as_mut(), &first);
    let mut others = [first.clone(), first.clone(), first.clone()];
    others[0].group = GroupId([0x34; 16]);
    others[1].nonce = GroupNonce([0x45; 32]);
    others[2].master = other.master;
    for other in &others {
        let (unlike, usage) = execute(token.as_mut(), other);
        let derivations = usage.derivations - wrapping_keys(suite, 1);
        assert_eq!((derivations, usage.reused), (3, 0), "{other:?}");
        assert_ne!(unlike, outputs);
    }
    let (again, usage) = execute(token.as_mut(), &first);
    let derivations = usage.derivations - wrapping_keys(suite, 1);
    assert_eq!((derivations, usage.reused), (1, 2));
    assert_eq!(again, outputs);
}
