//! When members that listen to a multicast group report, ask, and stop believing.

use crate::group::ids::{Epoch, Time};
use crate::group::multicast::MulticastTimes;
use crate::group::session::{Hearing, HearingEffect};

const TIMES: MulticastTimes = MulticastTimes {
    heartbeat_ms: 1_000,
    report_ms: 30_000,
    settle_ms: 300,
};

fn hearing(seed: u64) -> Hearing {
    Hearing::new(TIMES, seed)
}

/// When it reports within this time, with a heartbeat every second.
fn reports(hearing: &mut Hearing, until: u64) -> Vec<u64> {
    let mut at = Vec::new();
    for now in (0..until).step_by(100) {
        if now % 1_000 == 0 {
            hearing.heard(Time(now));
        }
        match hearing.due(Time(now)) {
            Some(HearingEffect::Report) => at.push(now),
            Some(other) => panic!("{other:?} at {now}"),
            None => {}
        }
    }
    at
}

#[test]
fn reports_come_at_a_steady_pace_of_each_members_own() {
    let [first, second] = [7, 8_000_000].map(|seed| reports(&mut hearing(seed), 600_000));
    assert_ne!(first, second);
    for all in [first, second] {
        assert!(all[0] <= 1_000, "the first comes soon: {}", all[0]);
        let apart = all.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(apart.clone().all(|ms| (15_000..=30_100).contains(&ms)));
        assert!(apart.count() >= 19);
    }
}

#[test]
fn nothing_is_reported_before_something_is_heard_nor_after_it_fell_silent() {
    let mut hearing = hearing(3);
    assert_eq!(
        (hearing.next_timeout(), hearing.due(Time(99_000))),
        (None, None)
    );
    hearing.heard(Time(100_000));
    let mut due = Vec::new();
    while let Some(at) = hearing.next_timeout() {
        due.extend(hearing.due(at).map(|effect| (at, effect)));
    }
    let (last, silent) = due.pop().expect("it falls silent");
    assert_eq!(silent, HearingEffect::Silent { within_ms: 1_000 });
    assert!((105_000..=110_000).contains(&last.0), "{last:?}");
    assert!(
        due.iter()
            .all(|(_, effect)| *effect == HearingEffect::Report)
    );
    hearing.heard(Time(200_000));
    assert!(hearing.next_timeout().is_some(), "and is heard again");
}

#[test]
fn a_claim_is_asked_about_after_the_last_repetition_and_a_false_one_costs_belief() {
    let mut hearing = hearing(3);
    assert_eq!(hearing.lacks(Time(0), Epoch(5)), Some((300, 1_300)));
    hearing.answered(Time(900), Epoch(5));
    assert_eq!(hearing.lacks(Time(1_000), Epoch(9)), Some((300, 1_300)));
    hearing.answered(Time(2_000), Epoch(6));
    assert_eq!(hearing.lacks(Time(2_001), Epoch(10)), None);
    assert!(!hearing.may_verify(Time(31_999)));
    assert!(hearing.lacks(Time(32_000), Epoch(10)).is_some());
}

#[test]
fn so_many_forgeries_are_looked_at_and_no_more() {
    let mut hearing = hearing(3);
    let mut checked = 0;
    for now in 0..60_000 {
        if hearing.may_verify(Time(now)) {
            checked += 1;
            hearing.verified(Time(now), false);
        }
    }
    assert_eq!(checked, 6, "three in each half minute");
    // What verifies in between begins the count anew.
    let mut hearing = self::hearing(3);
    for round in 0..10 {
        for sound in [false, false, true] {
            hearing.verified(Time(round), sound);
        }
    }
    assert!(hearing.may_verify(Time(10)));
}
