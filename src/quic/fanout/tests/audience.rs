//! Who listens is not sent datagrams of its own, nor looked at, until it does not report any more.

use super::*;
use crate::engine::testing::multicasts;

/// A stage whose group multicasts.
struct Air {
    stage: Stage,
}

impl Air {
    fn new() -> Self {
        Air {
            stage: Stage::new(),
        }
    }

    /// Members with these leaves, all of which listen.
    fn listeners<const N: usize>(&mut self, leaves: [u64; N]) -> [Member; N] {
        let members = self.stage.members(leaves);
        for member in &members {
            multicasts(&member.channel, true);
            self.reports(member, 3);
        }
        members
    }

    fn reports(&mut self, member: &Member, epoch: u64) {
        if member.channel.reported(Epoch(epoch)).hears {
            self.stage
                .fanout
                .volley(Volley::Hears(member.channel.clone()));
        }
    }

    fn rekey(&mut self, previous: u64, is_multicast: bool) {
        let sealed = SealedRekey {
            rekey: rekey(previous),
            chunks: vec![],
            others: Bytes::from_static(b"own"),
            is_multicast,
        };
        self.stage.fanout.volley(Volley::Rekey(Arc::new(sealed)));
    }

    fn review(&mut self) {
        let clock = self.clock().expect("it runs");
        self.stage.fanout.review(GROUP, clock);
    }

    fn clock(&self) -> Option<u64> {
        self.stage.fanout.groups[&GROUP].audience.clock
    }

    /// How many timers of reviews there are.
    fn timers(&self) -> usize {
        let timers = self.stage.fanout.timers.iter();
        timers.filter(|due| matches!(due, Due::Review(..))).count()
    }
}

#[tokio::test]
async fn who_listens_is_not_looked_at_when_a_rekey_is_sent() {
    let mut air = Air::new();
    let [first] = air.listeners([0]);
    let address = first.socket.local_addr().expect("is bound").to_string();
    for leaf in 1..2_000 {
        let (channel, _) = opened(&air.stage.channels, leaf, &address).expect("is opened");
        air.stage.fanout.volley(Volley::Open(channel.clone()));
        channel.acknowledged(Epoch(3));
        if leaf >= 10 {
            multicasts(&channel, true);
            channel.reported(Epoch(3));
            air.stage.fanout.volley(Volley::Hears(channel));
        }
    }
    air.rekey(3, true);
    let group = &air.stage.fanout.groups[&GROUP];
    assert_eq!(group.targets.len(), 9);
    let round = group.round.as_ref().expect("it is on its way");
    assert_eq!(round.waiting, (1..10).collect::<Vec<u32>>());
    assert_eq!(std::iter::from_fn(|| first.got()).count(), 9);
    assert!(!first.has_by_stream().await);
}

#[test]
fn there_is_one_timer_of_reviews_however_often_they_begin() {
    let mut air = Air::new();
    let [listener] = air.listeners([1]);
    let first = air.clock();
    assert_eq!((first.is_some(), air.timers()), (true, 1));
    air.stage.fanout.volley(Volley::Silence(GROUP));
    assert_eq!((air.clock(), listener.channel.reports()), (None, 0));
    air.reports(&listener, 3);
    let second = air.clock();
    assert!(second.is_some() && second != first);
    // The older one ends when it comes.
    let now = Instant::now() + REPORT;
    while let Some(due) = air.stage.fanout.timers.next(now) {
        if let Due::Review(group, clock) = due {
            air.stage.fanout.review(group, clock);
        }
    }
    assert_eq!(air.timers(), 1);
}

#[test]
fn who_reports_where_nothing_is_multicast_is_sent_its_own() {
    let mut air = Air::new();
    let [listener] = air.stage.members([1]);
    air.reports(&listener, 3);
    assert_eq!(listener.channel.reports(), 0);
    air.rekey(3, false);
    assert!(std::iter::from_fn(|| listener.got()).any(|got| got == b"own"));
}

#[tokio::test]
async fn who_does_not_report_any_more_is_sent_datagrams_of_its_own_again() {
    let mut air = Air::new();
    let [reports, silent] = air.listeners([1, 2]);
    air.rekey(3, true);
    for _ in 0..3 {
        air.reports(&reports, 4);
        air.review();
    }
    assert!(silent.has_by_stream().await && !silent.channel.is_up());
    assert!(!reports.has_by_stream().await);
    silent.channel.acknowledged(Epoch(4));
    air.rekey(4, true);
    assert!(std::iter::from_fn(|| silent.got()).any(|got| got == b"own"));
    assert_eq!(reports.got(), None);
    // Once it reports again it is one of the others.
    silent.channel.acknowledged(Epoch(5));
    air.reports(&silent, 5);
    air.rekey(5, true);
    assert!(!std::iter::from_fn(|| silent.got()).any(|got| got == b"own"));
}

#[tokio::test]
async fn who_reports_without_what_was_delivered_long_ago_gets_it_by_stream() {
    let mut air = Air::new();
    let [current, behind] = air.listeners([1, 2]);
    air.rekey(3, true);
    for look in 0..2 {
        air.reports(&current, 4);
        air.reports(&behind, 3);
        assert!(!behind.has_by_stream().await, "{look}");
        air.review();
    }
    assert!(behind.has_by_stream().await);
    assert!(!current.has_by_stream().await);
    let group = &air.stage.fanout.groups[&GROUP];
    assert!(group.targets.is_empty(), "both still listen");
}

#[tokio::test]
async fn a_rekey_that_is_not_multicast_goes_to_each_of_them_again() {
    let mut air = Air::new();
    let [current, behind] = air.listeners([1, 2]);
    air.rekey(3, true);
    current.channel.reported(Epoch(4));
    air.rekey(4, false);
    for member in [&current, &behind] {
        // Whether datagrams get through to it is not known: it gets this one by stream.
        assert!(member.has_by_stream().await && !member.channel.is_up());
        assert_eq!(member.channel.reports(), 0);
    }
    assert_eq!(air.stage.fanout.groups[&GROUP].targets.len(), 2);
}

#[test]
fn whoever_is_gone_is_forgotten() {
    let mut air = Air::new();
    let [listener] = air.listeners([2]);
    air.stage
        .fanout
        .volley(Volley::Close(listener.channel.clone()));
    assert!(!air.stage.fanout.groups.contains_key(&GROUP));
    // What it said last comes after it is gone.
    air.stage
        .fanout
        .volley(Volley::Hears(listener.channel.clone()));
    assert_eq!(listener.channel.reports(), 0);
}
