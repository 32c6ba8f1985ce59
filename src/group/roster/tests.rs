//! Counts against a recount, and who is found when.

use proptest::prelude::*;

use super::*;

fn member(number: u64) -> Member {
    let identity = Arc::new(Identity(format!("cn:{}", number % 5)));
    let role = if number.is_multiple_of(2) {
        Role::Both
    } else {
        Role::Receiver
    };
    Member::new(
        identity,
        role,
        number as u32,
        Epoch(number % 3),
        Suites::of(Suite::One),
    )
}

fn roster(members: u64) -> Roster {
    let mut roster = Roster::default();
    for number in 0..members {
        roster.insert(MemberId(number), member(number));
    }
    roster
}

fn acknowledge(roster: &mut Roster, all: &[(u64, u64)]) {
    let all = all.iter().map(|&(id, epoch)| (MemberId(id), Epoch(epoch)));
    let mut all: Vec<_> = all.collect();
    all.sort();
    roster.acknowledge(&all, Time(0), |_, _| {});
}

#[derive(Clone, Debug)]
enum Step {
    Insert,
    Remove(u64),
    Arrive(u64),
    Depart(u64),
    /// Of whom some may be named twice.
    Acknowledge(Vec<(u64, u64)>),
    Begin,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Insert),
        (0..20_u64).prop_map(Step::Remove),
        (0..20_u64).prop_map(Step::Arrive),
        (0..20_u64).prop_map(Step::Depart),
        proptest::collection::vec((0..20_u64, 0..6_u64), 1..9).prop_map(Step::Acknowledge),
        Just(Step::Begin),
    ]
}

proptest! {
    #[test]
    fn counts_are_what_a_recount_finds(steps in proptest::collection::vec(step(), 0..60)) {
        let mut roster = Roster::default();
        let mut next = 0;
        for (now, step) in steps.into_iter().enumerate() {
            let now = Time(now as u64);
            match step {
                Step::Insert => {
                    roster.insert(MemberId(next), member(next));
                    next += 1;
                }
                Step::Remove(id) => drop(roster.remove(MemberId(id))),
                Step::Arrive(id) => drop(roster.arrive(MemberId(id), now)),
                Step::Depart(id) => drop(roster.depart(MemberId(id), now)),
                Step::Acknowledge(all) => acknowledge(&mut roster, &all),
                Step::Begin => roster.begin(now),
            }
            let all: Vec<(MemberId, &Member)> = roster.iter().collect();
            let present = all.iter().filter(|(_, m)| m.is_present());
            prop_assert_eq!(roster.len() as usize, all.len());
            prop_assert_eq!(roster.present_count() as usize, present.clone().count());
            let senders = all.iter().filter(|(_, m)| m.role.sends()).count();
            prop_assert_eq!(roster.senders() as usize, senders);
            for epoch in (0..7).map(Epoch) {
                let holds = |(_, m): &&(MemberId, &Member)| m.acknowledged >= epoch;
                prop_assert_eq!(roster.acknowledged(epoch) as usize, all.iter().filter(holds).count());
                let holding = present.clone().filter(holds).count();
                prop_assert_eq!(roster.acknowledged_present(epoch) as usize, holding);
            }
            for number in 0..5 {
                let identity = Identity(format!("cn:{number}"));
                let same = all.iter().filter(|(_, m)| *m.identity == identity);
                let same: Vec<MemberId> = same.map(|(id, _)| *id).collect();
                prop_assert_eq!(roster.of(&identity), same);
            }
        }
    }
}

#[test]
fn whoever_stays_away_is_found_once_and_in_time() {
    let mut roster = roster(100);
    roster.begin(Time(1_000));
    for id in (0..50).map(MemberId) {
        assert!(roster.arrive(id, Time(1_500)));
    }
    let due = roster.next_timeout(10_000, 1).expect("somebody is away");
    assert!((11_000..11_200).contains(&due.0), "{due:?}");
    assert!(roster.absent_since(Time(due.0 - 1), 10_000).is_empty());
    let gone: Vec<MemberId> = (50..100).map(MemberId).collect();
    assert_eq!(roster.absent_since(due, 10_000), gone);
    assert_eq!(roster.next_timeout(10_000, 1), None);
}

#[test]
fn coming_and_going_queues_nobody_twice_and_starts_the_delay_anew() {
    let mut roster = roster(1);
    roster.begin(Time(0));
    for at in 1..1_000 {
        roster.arrive(MemberId(0), Time(at));
        roster.depart(MemberId(0), Time(at));
    }
    assert!(
        roster.absent_since(Time(2_000), 1_500).is_empty(),
        "it was last there at 999"
    );
    assert_eq!(roster.absent_since(Time(3_000), 1_500), [MemberId(0)]);
}

#[test]
fn only_those_with_a_connection_that_had_time_to_answer_are_silent() {
    let mut roster = roster(4);
    for id in (0..3).map(MemberId) {
        roster.arrive(id, Time(0));
    }
    roster.delivered(Epoch(5), Time(100), 1_000);
    acknowledge(&mut roster, &[(0, 5)]);
    roster.depart(MemberId(2), Time(200));
    roster.arrive(MemberId(2), Time(300));
    assert_eq!(roster.next_timeout(u64::MAX, 1_000), Some(Time(1_100)));
    assert_eq!(
        roster.silent_since(Time(1_100), 1_000),
        [MemberId(1)],
        "2 was away meanwhile"
    );
    assert_eq!(
        roster.silent_since(Time(2_100), 1_000),
        [MemberId(1), MemberId(2)]
    );
    roster.remove(MemberId(1));
    acknowledge(&mut roster, &[(2, 5)]);
    assert!(roster.silent_since(Time(9_000), 1_000).is_empty());
    let next = roster.next_timeout(u64::MAX, 1_000);
    assert_eq!(next, Some(Time(u64::MAX)), "nobody owes anything");
}

#[test]
fn whoever_comes_late_is_found_silent_though_no_epoch_follows() {
    let mut roster = roster(1);
    roster.delivered(Epoch(5), Time(100), 1_000);
    assert!(roster.silent_since(Time(1_100), 1_000).is_empty());
    roster.arrive(MemberId(0), Time(2_000));
    assert_eq!(roster.next_timeout(u64::MAX, 1_000), Some(Time(3_000)));
    assert_eq!(roster.silent_since(Time(3_000), 1_000), [MemberId(0)]);
}

#[test]
fn epochs_that_follow_fast_leave_a_few_marks_only() {
    let mut roster = roster(1);
    for at in 0..10_000 {
        roster.delivered(Epoch(at), Time(at), 1_000);
        roster.arrive(MemberId(0), Time(at));
        acknowledge(&mut roster, &[(0, at)]);
        assert!(roster.silent_since(Time(at), 1_000).is_empty());
    }
}
