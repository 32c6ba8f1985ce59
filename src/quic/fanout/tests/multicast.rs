//! Who listens is not sent datagrams of its own, nor looked at, until it does not report any more.

use super::*;
use crate::engine::Multicast;
use crate::group::multicast::MulticastAddress;
use crate::quic;
use crate::udp::multicast::{LOOPBACK, Sender, listen};

const REPEATS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(100)];
const SECOND: Duration = Duration::from_secs(1);

/// A stage that multicasts, and what is heard there.
struct Air {
    stage: Stage,
    to: MulticastAddress,
    ear: UdpSocket,
    now: Instant,
}

impl Air {
    fn new(port: u16) -> Self {
        let to: MulticastAddress = format!("239.77.4.1:{port}").parse().expect("is one");
        let times = quic::Multicast {
            interface: LOOPBACK.to_owned(),
            ttl: 1,
            repeat_after: REPEATS.to_vec(),
            heartbeat: SECOND,
            report: 30 * SECOND,
        };
        let sender = Sender::new(LOOPBACK, 1).expect("a loopback interface");
        let mut stage = Stage::new();
        stage.fanout.multicaster = Some(Multicaster::new(sender, &times));
        Air {
            stage,
            to,
            ear: listen(to, LOOPBACK).expect("listens"),
            now: Instant::now(),
        }
    }

    /// Members with these leaves, all of which listen.
    fn listeners<const N: usize>(&mut self, leaves: [u64; N]) -> [Member; N] {
        let members = self.stage.members(leaves);
        self.beats(Some("beat"));
        for member in &members {
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

    fn some(&self, datagrams: &[&'static str]) -> Multicast {
        let datagrams = datagrams
            .iter()
            .map(|bytes| Bytes::from_static(bytes.as_bytes()));
        Multicast {
            to: self.to,
            datagrams: datagrams.collect(),
        }
    }

    fn beats(&mut self, what: Option<&'static str>) {
        let beats = what.map(|what| self.some(&[what]));
        self.stage.fanout.volley(Volley::Heartbeats(GROUP, beats));
    }

    fn rekey(&mut self, previous: u64, packets: Option<&[&'static str]>) {
        let packets = packets.map(|packets| self.some(packets));
        self.stage.fanout.volley(Volley::Rekey(SealedRekey {
            rekey: rekey(previous),
            chunks: vec![],
            others: Bytes::from_static(b"own"),
            packets,
        }));
    }

    /// What was sent to all since the last look.
    fn heard(&self) -> Vec<String> {
        std::thread::sleep(Duration::from_millis(20)); // on loopback it is there once it is sent, or a moment later
        let mut buffer = [0; 100];
        let next = || {
            self.ear
                .recv(&mut buffer)
                .ok()
                .map(|length| buffer[..length].to_vec())
        };
        let all = std::iter::from_fn(next);
        all.map(|bytes| String::from_utf8(bytes).expect("text"))
            .collect()
    }

    /// Whatever is due within this time is done.
    fn after(&mut self, pause: Duration) {
        self.now += pause;
        self.stage.fanout.tick(self.now);
    }

    fn review(&mut self) {
        let clock = self.clock();
        self.stage.fanout.review(GROUP, clock);
    }

    fn clock(&self) -> u64 {
        let group = &self.stage.fanout.groups[&GROUP];
        group.audience.clock.expect("it runs")
    }

    /// How many timers of heartbeats and of reviews there are.
    fn timers(&self) -> (usize, usize) {
        let timers = self.stage.fanout.timers.values();
        let beats = timers
            .clone()
            .filter(|due| matches!(due, Due::Heartbeat(..)));
        let reviews = timers.filter(|due| matches!(due, Due::Review(..)));
        (beats.count(), reviews.count())
    }
}

#[tokio::test]
async fn a_rekey_is_sent_once_for_all_who_listen_and_again_unchanged() {
    let mut air = Air::new(7461);
    let listeners = air.listeners([1, 2, 5]);
    let [alone] = air.stage.members([3]);
    air.rekey(3, Some(&["first", "second"]));
    assert_eq!(air.heard(), ["first", "second"]);
    assert_eq!(alone.got().as_deref(), Some(&b"own"[..]));
    alone.channel.acknowledged(Epoch(4));
    air.after(REPEATS[0] + Duration::from_millis(30));
    assert_eq!(air.heard(), ["first", "second"]);
    air.after(REPEATS[1]);
    assert_eq!(air.heard(), ["first", "second"]);
    air.after(SECOND / 2);
    assert_eq!(air.heard(), Vec::<String>::new(), "that was all");
    for member in &listeners {
        assert_eq!(member.got(), None);
        assert!(!member.has_by_stream().await);
    }
}

#[test]
fn who_listens_is_not_looked_at_when_a_rekey_is_sent() {
    let mut air = Air::new(7462);
    let [first] = air.listeners([0]);
    let address = first.socket.local_addr().expect("is bound").to_string();
    for leaf in 1..2_000 {
        let (channel, _) = opened(&air.stage.channels, leaf, &address).expect("is opened");
        air.stage.fanout.volley(Volley::Open(channel.clone()));
        channel.acknowledged(Epoch(3));
        if leaf >= 10 {
            channel.reported(Epoch(3));
            air.stage.fanout.volley(Volley::Hears(channel));
        }
    }
    air.rekey(3, Some(&["one"]));
    let group = &air.stage.fanout.groups[&GROUP];
    assert_eq!(group.targets.len(), 9);
    let round = group.round.as_ref().expect("it is on its way");
    assert_eq!(round.waiting, (1..10).collect::<Vec<u32>>());
    assert_eq!(air.heard(), ["one"]);
    assert_eq!(std::iter::from_fn(|| first.got()).count(), 9);
}

#[tokio::test]
async fn heartbeats_go_on_and_tell_what_they_are_told_to() {
    let mut air = Air::new(7463);
    let [_listener] = air.listeners([1]);
    assert_eq!(air.timers(), (1, 1));
    let clock = air.clock();
    air.stage.fanout.heartbeat(GROUP, clock);
    assert_eq!(
        (air.heard(), air.timers()),
        (vec!["beat".to_owned()], (2, 1))
    );
    air.beats(Some("newer"));
    air.stage.fanout.heartbeat(GROUP, clock);
    assert_eq!(air.heard(), ["newer"]);
    // Timers of before do not go on beside those of later.
    air.beats(None);
    air.stage.fanout.heartbeat(GROUP, clock);
    air.beats(Some("again"));
    air.stage.fanout.heartbeat(GROUP, clock);
    assert_eq!(air.heard(), Vec::<String>::new());
    let clock = air.clock();
    air.stage.fanout.heartbeat(GROUP, clock);
    assert_eq!(air.heard(), ["again"]);
}

#[tokio::test]
async fn who_does_not_report_any_more_is_sent_datagrams_of_its_own_again() {
    let mut air = Air::new(7464);
    let [reports, silent] = air.listeners([1, 2]);
    air.rekey(3, Some(&["one"]));
    for _ in 0..3 {
        air.reports(&reports, 4);
        air.review();
    }
    assert!(silent.has_by_stream().await && !silent.channel.is_up());
    assert!(!reports.has_by_stream().await);
    silent.channel.acknowledged(Epoch(4));
    air.rekey(4, Some(&["two"]));
    assert!(std::iter::from_fn(|| silent.got()).any(|got| got == b"own"));
    assert_eq!(reports.got(), None);
    // Once it reports again it is one of the others.
    silent.channel.acknowledged(Epoch(5));
    air.reports(&silent, 5);
    air.rekey(5, Some(&["three"]));
    assert!(!std::iter::from_fn(|| silent.got()).any(|got| got == b"own"));
}

#[tokio::test]
async fn who_reports_without_what_was_delivered_long_ago_gets_it_by_stream() {
    let mut air = Air::new(7465);
    let [current, behind] = air.listeners([1, 2]);
    air.rekey(3, Some(&["one"]));
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
    let mut air = Air::new(7466);
    let [current, behind] = air.listeners([1, 2]);
    air.rekey(3, Some(&["one"]));
    current.channel.reported(Epoch(4));
    air.rekey(4, None);
    assert_eq!(air.heard(), ["one"]);
    for member in [&current, &behind] {
        // Whether datagrams get through to it is not known: it gets this one by stream.
        assert!(member.has_by_stream().await && !member.channel.is_up());
        assert_eq!(member.channel.reports(), 0);
    }
    assert_eq!(air.stage.fanout.groups[&GROUP].targets.len(), 2);
}

#[tokio::test]
async fn an_activation_is_multicast_and_whoever_is_gone_is_forgotten() {
    let mut air = Air::new(7467);
    let [listener] = air.listeners([2]);
    let switch = Bytes::from_static(b"switch");
    air.stage
        .fanout
        .volley(Volley::Activate(GROUP, Epoch(4), switch.clone()));
    assert_eq!(air.heard(), ["switch"]);
    assert_eq!(listener.got(), None);
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
