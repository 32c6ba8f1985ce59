//! What an epoch is for, and since when: through batches, overtaking and a store that fails.

use super::*;
use crate::group::machine::{Cause, Held};

/// Of each epoch delivered since the last look.
fn whys(bench: &mut Bench) -> Vec<(Cause, u64)> {
    let seen = bench.seen.drain(..);
    let whys = seen.filter_map(|effect| match effect {
        Effect::Deliver(rekey) => Some((rekey.why.cause, rekey.why.since.0)),
        _ => None,
    });
    whys.collect()
}

#[test]
fn an_epoch_is_for_the_weightiest_change_of_its_batch_since_the_first() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 8);
    let began = bench.now;
    bench.join(Role::Both);
    bench.after(10);
    bench.input(Input::Leave {
        member: MemberId(1),
    });
    assert_eq!(bench.machine.removing_since(), Some(Time(began)));
    bench.after(60_000);
    bench.settle();
    assert_eq!(whys(&mut bench), [(Cause::Departure, began)]);
    assert_eq!(bench.machine.removing_since(), None);
    bench.all_acknowledge();
    let began = bench.now;
    bench.input(Input::Rotate);
    bench.after(60_000);
    bench.settle();
    assert_eq!(whys(&mut bench), [(Cause::Rotation, began)]);
}

#[test]
fn an_epoch_that_overtakes_is_for_both() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 8);
    let began = bench.now;
    bench.evict(&[1], true);
    bench.persist();
    bench.after(30);
    bench.evict(&[2], true);
    bench.persist();
    assert_eq!(bench.machine.removing_since(), Some(Time(began)));
    bench.settle();
    assert_eq!(whys(&mut bench), [(Cause::Eviction, began)]);
    bench.all_acknowledge();
    let held = Held {
        members: 6,
        after_ms: 30,
    };
    assert_eq!(bench.machine.take_held(), Some(held));
    assert_eq!(bench.machine.take_held(), None);
}

#[test]
fn a_store_that_fails_does_not_make_anybody_forget_since_when_a_member_is_to_be_out() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 8);
    let began = bench.now;
    bench.evict(&[1], true);
    for _ in 0..3 {
        assert!(bench.persisting.take().is_some());
        bench.input(Input::PersistFailed);
        bench.after(30_000);
        assert_eq!(bench.machine.removing_since(), Some(Time(began)));
    }
    bench.settle();
    assert_eq!(whys(&mut bench), [(Cause::Eviction, began)]);
    assert_eq!(bench.machine.removing_since(), None);
}
