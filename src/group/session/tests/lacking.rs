//! What a member does that is told of an epoch which it does not hold.

use super::*;

fn lacking(after_ms: u64, within_ms: u64) -> SessionInput {
    SessionInput::Lacking {
        after_ms,
        within_ms,
    }
}

#[test]
fn it_asks_in_the_time_that_is_given_and_not_when_the_epoch_comes_first() {
    let mut asked = std::collections::BTreeSet::new();
    for seed in 1..50 {
        let mut bench = Bench::joined(Role::Receiver);
        bench.session.repair = Repair::new(seed * 7_919);
        bench.input(lacking(300, 1_300)).expect("is taken");
        bench.input(lacking(300, 1_300)).expect("is taken");
        assert_eq!(bench.drain(), []);
        let Time(at) = bench.session.next_timeout().expect("it waits");
        assert!((300..1_300).contains(&at), "{at}");
        asked.insert(at);
        assert_eq!(bench.after(at), [need_path(1)]);
    }
    assert!(asked.len() > 40, "members differ");
    let mut bench = Bench::joined(Role::Receiver);
    bench.input(lacking(300, 1_300)).expect("is taken");
    assert_eq!(bench.ratcheted(2, 1), Ok(()));
    bench.drain();
    let later = bench.after(20_000);
    assert!(!later.contains(&need_path(2)), "{later:?}");
}

#[test]
fn a_lie_costs_one_question() {
    let mut bench = Bench::joined(Role::Receiver);
    bench.input(lacking(0, 100)).expect("is taken");
    assert_eq!(bench.after(100), [need_path(1)]);
    assert_eq!(bench.path(1, key(2, 0, 1, 0), 1, 0), Ok(()));
    bench.drain();
    assert_eq!(bench.after(60_000), []);
}
