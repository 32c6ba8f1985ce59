//! Sends what is multicast, once for all who listen, however many they are: one thread.
//!
//! What was sent is sent again, unchanged, after each of the pauses that are configured: some of those who missed it get it
//! then. Heartbeats tell the others that there is something to ask for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::timers::Timers;
use crate::engine::{Cast, Multicast};
use crate::group::ids::GroupId;
use crate::udp::multicast::Sender;

/// How a gateway multicasts.
pub(super) struct Multicaster {
    sender: Sender,
    /// The pauses before what was sent is sent again.
    repeat_after: Vec<Duration>,
    heartbeat: Duration,
    groups: HashMap<GroupId, Heart>,
    timers: Timers<Due>,
    /// Whether the last one could not be sent: logged once, not for each.
    failing: bool,
}

/// What a group's heartbeats are, and the number of the timers that they come by.
struct Heart {
    beats: Arc<Multicast>,
    clock: u64,
}

enum Due {
    /// What was sent, and repeated so often.
    Repeat(Arc<Multicast>, usize),
    /// The heartbeats of a group, as long as its clock is this one.
    Heartbeat(GroupId, u64),
}

impl Multicaster {
    pub(super) fn new(sender: Sender, times: &super::Multicast) -> Self {
        Multicaster {
            sender,
            repeat_after: times.repeat_after.clone(),
            heartbeat: times.heartbeat,
            groups: HashMap::new(),
            timers: Timers::default(),
            failing: false,
        }
    }

    /// Runs until the engine has ended.
    pub(super) fn run(mut self, casts: &Receiver<Cast>) {
        loop {
            match casts.recv_timeout(self.timers.wait()) {
                Ok(cast) => self.cast(cast),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tick(Instant::now());
        }
    }

    fn cast(&mut self, cast: Cast) {
        match cast {
            Cast::Now(all) => {
                let sent = self.send(&all);
                metrics::counter!("wardcast_multicast_datagrams_sent_total").increment(sent);
                self.repeat_later(Arc::new(all), 0);
            }
            Cast::Heartbeats(group, None) => drop(self.groups.remove(&group)),
            Cast::Heartbeats(group, Some(beats)) => self.heartbeats(group, Arc::new(beats)),
        }
    }

    fn heartbeats(&mut self, group: GroupId, beats: Arc<Multicast>) {
        if let Some(heart) = self.groups.get_mut(&group) {
            heart.beats = beats;
            return;
        }
        let clock = self.timers.number();
        self.groups.insert(group, Heart { beats, clock });
        let due = Due::Heartbeat(group, clock);
        self.timers.after(self.heartbeat, due);
    }

    fn tick(&mut self, now: Instant) {
        while let Some(due) = self.timers.next(now) {
            match due {
                Due::Repeat(all, repeated) => {
                    let sent = self.send(&all);
                    metrics::counter!("wardcast_multicast_datagrams_repeated_total")
                        .increment(sent);
                    self.repeat_later(all, repeated + 1);
                }
                Due::Heartbeat(group, clock) => self.beat(group, clock),
            }
        }
    }

    fn beat(&mut self, group: GroupId, clock: u64) {
        let heart = self.groups.get(&group).filter(|heart| heart.clock == clock);
        let Some(beats) = heart.map(|heart| heart.beats.clone()) else {
            return; // it beats no more, or by another clock
        };
        let sent = self.send(&beats);
        metrics::counter!("wardcast_multicast_heartbeats_sent_total").increment(sent);
        let due = Due::Heartbeat(group, clock);
        self.timers.after(self.heartbeat, due);
    }

    fn repeat_later(&mut self, all: Arc<Multicast>, repeated: usize) {
        if let Some(pause) = self.repeat_after.get(repeated) {
            self.timers.after(*pause, Due::Repeat(all, repeated));
        }
    }

    /// How many datagrams that were.
    fn send(&mut self, all: &Multicast) -> u64 {
        for datagram in &all.datagrams {
            let sent = self.sender.send(all.to, datagram);
            let failed = sent.is_err();
            if let Err(error) = sent
                && !self.failing
            {
                tracing::warn!(to = %all.to, %error, "cannot multicast; members are served by other means. Look at multicast.interface");
            }
            self.failing = failed;
        }
        all.datagrams.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use bytes::Bytes;

    use super::*;
    use crate::engine::testing::GROUP;
    use crate::group::multicast::MulticastAddress;
    use crate::quic;
    use crate::udp::multicast::{LOOPBACK, listen};

    const REPEATS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(100)];
    const SECOND: Duration = Duration::from_secs(1);

    /// A multicaster, and what is heard of it.
    struct Air {
        multicaster: Multicaster,
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
            Air {
                multicaster: Multicaster::new(sender, &times),
                to,
                ear: listen(to, LOOPBACK).expect("listens"),
                now: Instant::now(),
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
            self.multicaster.cast(Cast::Heartbeats(GROUP, beats));
        }

        /// What was sent to all since the last look.
        fn heard(&self) -> Vec<String> {
            std::thread::sleep(Duration::from_millis(20)); // on loopback it is there once it is sent, or a moment later
            let mut buffer = [0; 100];
            let next = || {
                let length = self.ear.recv(&mut buffer).ok()?;
                Some(buffer[..length].to_vec())
            };
            let all = std::iter::from_fn(next);
            all.map(|bytes| String::from_utf8(bytes).expect("text"))
                .collect()
        }

        /// Whatever is due within this time is done.
        fn after(&mut self, pause: Duration) {
            self.now += pause;
            self.multicaster.tick(self.now);
        }

        fn clock(&self) -> u64 {
            self.multicaster.groups[&GROUP].clock
        }
    }

    #[test]
    fn what_is_sent_is_sent_again_unchanged() {
        let mut air = Air::new(7461);
        let packets = air.some(&["first", "second"]);
        air.multicaster.cast(Cast::Now(packets));
        assert_eq!(air.heard(), ["first", "second"]);
        air.after(REPEATS[0] + Duration::from_millis(30));
        assert_eq!(air.heard(), ["first", "second"]);
        air.after(REPEATS[1]);
        assert_eq!(air.heard(), ["first", "second"]);
        air.after(SECOND / 2);
        assert_eq!(air.heard(), Vec::<String>::new(), "that was all");
    }

    #[test]
    fn heartbeats_go_on_and_tell_what_they_are_told_to() {
        let mut air = Air::new(7463);
        air.beats(Some("beat"));
        let clock = air.clock();
        air.multicaster.beat(GROUP, clock);
        assert_eq!(air.heard(), ["beat"]);
        assert_eq!(
            air.multicaster.timers.iter().count(),
            2,
            "the first one's, and another"
        );
        air.beats(Some("newer"));
        assert_eq!(air.clock(), clock);
        air.multicaster.beat(GROUP, clock);
        assert_eq!(air.heard(), ["newer"]);
        // Timers of before do not go on beside those of later.
        air.beats(None);
        air.multicaster.beat(GROUP, clock);
        air.beats(Some("again"));
        air.multicaster.beat(GROUP, clock);
        assert_eq!(air.heard(), Vec::<String>::new());
        let clock = air.clock();
        air.multicaster.beat(GROUP, clock);
        assert_eq!(air.heard(), ["again"]);
    }
}
