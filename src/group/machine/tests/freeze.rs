//! Frozen groups: nobody comes in, everything else goes on, and both outlive trouble.

use super::*;

fn freeze(bench: &mut Bench, why: &str) {
    bench.input(Input::Freeze {
        why: why.into(),
        by: None,
    });
}

fn frozen() -> Bench {
    let mut bench = Bench::with_members(GroupPolicy::default(), 3);
    freeze(&mut bench, "a reason");
    bench.settle();
    assert_eq!(bench.machine.status().frozen.as_deref(), Some("a reason"));
    bench
}

#[test]
fn nobody_is_admitted_and_everything_else_goes_on() {
    let mut bench = frozen();
    let stranger = bench.join(Role::Both);
    assert_eq!(bench.refusal(stranger), Some(RefusalCode::Frozen));
    bench.seen.clear();
    bench.evict(&[1], true);
    bench.input(Input::Rotate);
    bench.settle();
    bench.catch_up(MemberId(2));
    bench.after(60_000);
    bench.settle();
    assert_eq!(
        bench.drain(),
        [
            "removed 1 Evicted",
            "deliver 2 after 1",
            "path 2",
            "activate 2",
            "deliver 3 after 2"
        ]
    );
    bench.input(Input::Thaw { by: None });
    bench.settle();
    assert_eq!(bench.machine.status().frozen, None);
    bench.join(Role::Both);
    bench.after(60_000);
    bench.settle();
    assert_eq!(bench.granted(), 1);
}

#[test]
fn whoever_waits_is_refused_at_once_and_whoever_is_on_record_is_granted() {
    let mut bench = Bench::with_members(GroupPolicy::default(), 1);
    bench.join(Role::Both);
    bench.after(5_000);
    assert!(bench.persisting.is_some());
    let waiting = bench.join(Role::Both);
    freeze(&mut bench, "a reason");
    assert_eq!(bench.refusal(waiting), Some(RefusalCode::Frozen));
    let late = bench.join(Role::Both);
    assert_eq!(bench.refusal(late), Some(RefusalCode::Frozen));
    bench.settle();
    bench.after(5_000);
    bench.settle();
    assert_eq!(bench.granted(), 1);
    assert_eq!(bench.members().len(), 2);
}

#[test]
fn it_outlives_a_restart_and_a_failure_of_the_store() {
    let bench = frozen();
    let mut bench = bench.restart();
    let stranger = bench.join(Role::Both);
    assert_eq!(bench.refusal(stranger), Some(RefusalCode::Frozen));
    bench.input(Input::Thaw { by: None });
    bench.persisting.take();
    bench.input(Input::PersistFailed);
    let early = bench.join(Role::Both);
    assert_eq!(bench.refusal(early), Some(RefusalCode::Frozen));
    bench.after(250);
    bench.settle();
    assert_eq!(bench.machine.frozen(), None);
    assert!(!bench.machine.is_gate_moving());
}

#[test]
fn what_changes_nothing_is_not_put_on_record_and_the_last_word_counts() {
    let mut bench = frozen();
    let records = bench.records.len();
    freeze(&mut bench, "again");
    bench.settle();
    assert_eq!(bench.records.len(), records);
    assert_eq!(bench.machine.frozen(), Some("a reason"));
    bench.input(Input::Thaw { by: None });
    freeze(&mut bench, "after all");
    bench.settle();
    assert_eq!(bench.records.len(), records + 2, "thawed and frozen again");
    assert_eq!(bench.machine.frozen(), Some("after all"));
}
