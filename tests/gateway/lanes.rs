//! A gateway with several sockets on one port: whoever moves stays with the one that has its connection.

use std::time::{Duration, Instant};

use serde_json::json;
use wardcast::member::{Membership, Options};

use crate::channel::{Network, agree, current, enter};
use crate::support::{GROUP, SOON, Setup, Site};

/// Packets that came in by another socket than that of their connection.
const MOVED: &str = "wardcast_quic_packets_moved_total";

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_in_by_another_socket_keeps_its_connection() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let network = Network::start(site.quic).await;
    let mut members: Vec<Membership> = Vec::new();
    for name in ["anna", "bert", "cleo"] {
        let options = Options {
            address: network.address,
            keep_alive: Duration::from_millis(300),
            ..site.options(name)
        };
        members.push(enter(options).await);
    }
    current(&site, &mut members).await;
    assert_eq!(site.counter(MOVED).await, 0, "nobody has moved");
    // Each move has three chances of four for each member.
    let began = Instant::now();
    while site.counter(MOVED).await < 20 {
        assert!(began.elapsed() < SOON, "nobody comes in by another socket");
        network.moves();
        site.rotate(GROUP).await;
        let epoch = current(&site, &mut members).await;
        agree(&site, &members, epoch).await;
    }
    for member in &members {
        assert_eq!(member.counters().resumes, 0);
    }
}
