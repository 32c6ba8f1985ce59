//! Real media: RTP through GStreamer's srtpenc to a multicast address and into two srtpdec receivers, over rekeys and an eviction.
//!
//! Peer: GStreamer with its Python binding, installed by tests/install.sh. Each of the three is a `wardcast join` whose lines of
//! JSON go to a `peer.py` through a pipe; master key, salt and MKI are exported from each epoch.

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use support::{GROUP, Setup, Site};
use tokio::time::sleep;
use wardcast::admin::api::{GroupView, MemberView};
use wardcast::group::ids::MemberId;

const PATIENCE: Duration = Duration::from_secs(20);
/// How long packets flow under each key: hundreds of them.
const FLOW: Duration = Duration::from_millis(1500);
const EXPORTS: [&str; 3] = ["srtp key:16", "srtp salt:14", "srtp mki:4"];
/// Of the administratively scoped block (RFC 2365); the packets stay on the loopback interface.
const ADDRESS: &str = "239.255.87.67";

/// A member with its media pipeline.
struct Peer {
    member: Child,
    media: Child,
    said: Receiver<Value>,
}

/// RTP sequence numbers by the MKI they were sent under.
type Packets = BTreeMap<String, Vec<u64>>;

impl Peer {
    fn start(site: &Site, name: &str, role: &str, media_role: &str, port: &str) -> Self {
        let mut join = Command::new(env!("CARGO_BIN_EXE_wardcast"));
        join.arg("join")
            .args(["--server", &site.quic.to_string(), "--name", "localhost"]);
        join.args(site.certificate_arguments(name))
            .args(["--group", GROUP, "--role", role, "--json"]);
        for export in EXPORTS {
            join.args(["--export", export]);
        }
        let mut member = join
            .stdout(Stdio::piped())
            .spawn()
            .expect("wardcast starts");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gstreamer/peer.py");
        let lines = member.stdout.take().expect("its output is a pipe");
        let mut python = Command::new("/usr/bin/python3");
        python
            .arg(script)
            .args([media_role, ADDRESS, port])
            .stdin(lines)
            .stdout(Stdio::piped());
        let mut media = python
            .spawn()
            .expect("/usr/bin/python3 starts: tests/install.sh installs it");
        let said = listen(media.stdout.take().expect("its output is a pipe"));
        Self {
            member,
            media,
            said,
        }
    }

    /// Waits for an event of the pipeline that `wanted` picks; an error, or its end, fails the test.
    fn wait<T>(&self, what: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.said.recv_timeout(left).unwrap_or_else(|error| {
                panic!("waiting for {what}: {error}; if GStreamer or a plugin is missing, run tests/install.sh")
            });
            assert_ne!(event["event"], "error", "waiting for {what}: {event}");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    fn playing(&self) {
        self.wait("the pipeline to play", |event| {
            (event["event"] == "playing").then_some(())
        });
    }

    /// Waits until the sender sends with an epoch later than `epoch`; returns it and its MKI.
    fn switched_after(&self, epoch: u64) -> (u64, String) {
        self.wait("the sender to switch", |event| {
            let switched = event["event"] == "switched" && event["epoch"].as_u64()? > epoch;
            switched.then(|| Some((event["epoch"].as_u64()?, event["mki"].as_str()?.to_owned())))?
        })
    }

    /// Stops the pipeline and returns its report.
    fn report(&mut self) -> Value {
        let pid = self.media.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(
            told.expect("kill runs").success(),
            "the pipeline could be told to stop"
        );
        self.wait("the report", |event| {
            (event["event"] == "report").then(|| event.clone())
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for child in [&mut self.member, &mut self.media] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn listen(output: ChildStdout) -> Receiver<Value> {
    let (sender, said) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let event = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            if sender.send(event).is_err() {
                break;
            }
        }
    });
    said
}

fn packets(report: &Value, what: &str) -> Packets {
    serde_json::from_value(report[what].clone()).expect("a report has packets by MKI")
}

/// The registration of this certificate.
async fn member_of(site: &Site, name: &str) -> MemberId {
    let members = site
        .admin(Method::GET, &format!("/{GROUP}/members"), None)
        .await;
    let members: Vec<MemberView> = serde_json::from_value(members).expect("members");
    let found = members
        .iter()
        .find(|member| member.identity.0 == format!("cn:{name}"));
    found.expect("it is a member").member
}

/// Waits until the group is as `is` wants it.
async fn until(site: &Site, what: &str, is: impl Fn(&GroupView) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is(&site.group(GROUP).await) {
        assert!(
            Instant::now() < deadline,
            "waiting for {what}: {:?}",
            site.group(GROUP).await
        );
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stayer_loses_no_packet_and_the_evicted_decodes_none_after_the_switch() {
    let site = Site::start(Setup::default()).await;
    let admit = json!([{ "identity": "**", "roles": ["receiver", "sender"] }]);
    site.create(GROUP, json!({ "admit": admit })).await;
    let port = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.local_addr());
    let port = port.expect("a free UDP port").port().to_string();
    let mut stayer = Peer::start(&site, "stayer", "receiver", "receive", &port);
    let mut evicted = Peer::start(&site, "evicted", "receiver", "receive", &port);
    stayer.playing();
    evicted.playing();
    until(&site, "two receivers", |group| group.members == 2).await;
    let mut sender = Peer::start(&site, "camera", "sender", "send", &port);
    let (mut epoch, first) = sender.switched_after(0);
    until(&site, "all to hold its epoch", |group| {
        group.acknowledged == 3
    })
    .await;
    let mut mkis = vec![first];
    sleep(FLOW).await;
    for _ in 0..2 {
        site.rotate(GROUP).await;
        let (next, mki) = sender.switched_after(epoch);
        epoch = next;
        mkis.push(mki);
        sleep(FLOW).await;
    }
    site.evict(GROUP, member_of(&site, "evicted").await).await;
    let (_, after_eviction) = sender.switched_after(epoch);
    sleep(FLOW).await;

    let sent = packets(&sender.report(), "sent");
    sleep(Duration::from_millis(300)).await; // the last packets are on their way
    let (stayer, evicted) = (stayer.report(), evicted.report());

    mkis.push(after_eviction.clone());
    for mki in &mkis {
        assert!(
            sent[mki].len() > 100,
            "{} packets under {mki}: too few to show anything",
            sent[mki].len()
        );
    }
    assert_eq!(
        packets(&stayer, "decoded"),
        sent,
        "the stayer decodes every packet that was sent"
    );

    let mut before = sent.clone();
    let hidden = before
        .remove(&after_eviction)
        .expect("packets were sent after the eviction");
    assert_eq!(
        packets(&evicted, "heard").get(&after_eviction),
        Some(&hidden),
        "the evicted still hears all"
    );
    assert_eq!(
        packets(&evicted, "decoded"),
        before,
        "the evicted decodes what was sent before, and nothing after"
    );
}
