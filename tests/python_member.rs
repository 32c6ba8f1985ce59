//! A second implementation: a member in Python, which stands on the wire module's documentation, against a real
//! gateway. It joins, follows joins, rotations and evictions, pulls, survives the gateway's `kill -9`, leaves, is evicted; and
//! in every epoch it has the same key as the Rust members.

mod support;
#[path = "support/venv.rs"]
mod venv;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};
use support::members::{Ledger, Member};
use support::{GROUP, SOON, Setup, Site};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::timeout;
use venv::python;
use wardcast::admin::api::GroupView;
use wardcast::group::ids::{Epoch, GroupId, MemberId};
use wardcast::group::wire::{RemovalReason, spi};

const EXPORT: &str = "test:32";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/python")
        .join(name)
}

/// The Python member at work, and all that it printed.
struct Python {
    name: String,
    child: Child,
    commands: ChildStdin,
    events: watch::Receiver<Vec<Value>>,
}

impl Python {
    /// Starts a member with a certificate of this name; its keys go into the ledger.
    fn start(site: &Site, name: &str, ledger: &Ledger) -> Self {
        let mut child = Command::new(python())
            .arg(script("member.py"))
            .args([
                "--connect",
                &site.quic.to_string(),
                "--server-name",
                "localhost",
            ])
            .args(["--group", GROUP, "--role", "both", "--export", EXPORT])
            .args(site.certificate_arguments(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the interpreter runs");
        let (publish, events) = watch::channel(Vec::new());
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let (who, ledger) = (name.to_owned(), ledger.clone());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let event: Value = serde_json::from_str(&line).expect("a line is JSON");
                if event["event"] == "installed" {
                    enter(&ledger, &event, &who);
                }
                publish.send_modify(|events| events.push(event));
            }
        });
        Python {
            name: name.to_owned(),
            commands: child.stdin.take().expect("it is piped"),
            child,
            events,
        }
    }

    /// The first event from the given one on for which something holds, when it comes.
    async fn event(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut events = self.events.clone();
        let found = events.wait_for(|events| events.iter().any(&is));
        let came = timeout(SOON, found).await.is_ok_and(|found| found.is_ok());
        let events = self.events.borrow();
        assert!(
            came,
            "{}: {what}: not within {SOON:?}: {events:#?}",
            self.name
        );
        events
            .iter()
            .find(|event| is(event))
            .cloned()
            .expect("it came")
    }

    async fn joined(&self) -> MemberId {
        let joined = self
            .event("joins", |event| event["event"] == "joined")
            .await;
        MemberId(joined["member"].as_u64().expect("a number"))
    }

    async fn holds(&self, Epoch(epoch): Epoch) {
        let what = format!("holds epoch {epoch}");
        let newer = |event: &Value| event["epoch"].as_u64() >= Some(epoch);
        self.event(&what, |event| event["event"] == "installed" && newer(event))
            .await;
    }

    /// How often something happened, or was done by these means.
    fn count(&self, key: &str, value: &str) -> usize {
        let events = self.events.borrow();
        events.iter().filter(|event| event[key] == value).count()
    }

    async fn tell(&mut self, command: &str) {
        let line = format!("{command}\n");
        self.commands
            .write_all(line.as_bytes())
            .await
            .expect("it listens");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let told = std::process::Command::new("kill")
            .args([signal, &pid])
            .status();
        assert!(told.expect("kill runs").success());
    }

    async fn ends_well(mut self) {
        let status = timeout(SOON, self.child.wait()).await;
        let status = status.expect("it ends in time").expect("it ran");
        assert!(status.success(), "{status}: {:#?}", self.events.borrow());
    }
}

fn enter(ledger: &Ledger, event: &Value, who: &str) {
    let digits = event["exported"][EXPORT].as_str().expect("a key");
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    let key: Result<Vec<u8>, _> = pairs.map(|pair| u8::from_str_radix(pair, 16)).collect();
    let epoch = Epoch(event["epoch"].as_u64().expect("a number"));
    ledger.enter(group_of(event), epoch, &key.expect("hexadecimal"), who);
}

fn group_of(event: &Value) -> GroupId {
    let digits = event["group"].as_str().expect("a group");
    let number = u128::from_str_radix(digits, 16).expect("hexadecimal");
    GroupId(number.to_be_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_member_has_the_keys_that_rust_members_have() {
    let mut site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();

    // It joins beside others, the tree grows over it, and some leave.
    let anna = Member::join(&site, "anna", &ledger).await;
    let mut python = Python::start(&site, "python", &ledger);
    let id = python.joined().await;
    let mut others = Vec::new();
    for number in 0..6 {
        others.push(Member::join(&site, &format!("member-{number}"), &ledger).await);
    }
    both_hold(&anna, &python, newest(&site).await).await;
    for member in others.drain(..2) {
        member.leave().await.expect("it may leave");
    }
    site.rotate(GROUP).await;
    both_hold(&anna, &python, newest(&site).await).await;

    // A mixed batch, and the eviction of another member.
    let evicted = others.pop().expect("a member").id();
    site.evict(GROUP, evicted).await;
    others.push(Member::join(&site, "late", &ledger).await);
    site.rotate(GROUP).await;
    both_hold(&anna, &python, newest(&site).await).await;
    let pushed = python.count("by", "rekey") + python.count("by", "datagram");
    assert!(pushed >= 4, "{:#?}", python.events.borrow());

    // It is held up while epochs pass, and goes on with the newest.
    python.signal("-STOP");
    for _ in 0..3 {
        site.rotate(GROUP).await;
    }
    python.signal("-CONT");
    both_hold(&anna, &python, newest(&site).await).await;

    // What a concentrator asks for.
    python.tell("pull").await;
    let key_set = python
        .event("pulls", |event| event["event"] == "key set")
        .await;
    let epoch = &key_set["epochs"][0];
    let group = group_of(
        &python
            .event("joins", |event| event["event"] == "joined")
            .await,
    );
    let number = Epoch(epoch[0].as_u64().expect("a number"));
    assert_eq!(epoch[1].as_u64(), Some(u64::from(spi(&group, number))));

    // The gateway is killed and comes back; nobody joins afresh.
    site.kill();
    site.restart().await;
    python
        .event("resumes", |event| event["event"] == "resumed")
        .await;
    site.rotate(GROUP).await;
    both_hold(&anna, &python, newest(&site).await).await;
    assert_eq!(python.count("event", "joined"), 1);
    assert!(python.count("event", "active") > 0 && python.count("event", "retired") > 0);

    // It is evicted, told so, and sees nothing of what follows.
    site.evict(GROUP, id).await;
    let removed = python
        .event("is removed", |event| event["event"] == "removed")
        .await;
    let evicted = u64::from(RemovalReason::Evicted.number());
    assert_eq!(removed["reason"].as_u64(), Some(evicted));
    site.rotate(GROUP).await;
    anna.holds(newest(&site).await).await;
    assert_eq!(python.count("event", "bad header"), 0);
    python.ends_well().await;
    assert!(ledger.check() >= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_member_is_pushed_rekeys_by_datagram() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let python = Python::start(&site, "python", &ledger);
    python.joined().await;
    python
        .event("opens a channel", |event| event["event"] == "channel")
        .await;
    let anna = Member::join(&site, "anna", &ledger).await;
    // A rekey goes by datagram once the channel was probed and the token has told its key: both may take a moment.
    let began = Instant::now();
    while python.count("by", "datagram") < 3 {
        assert!(began.elapsed() < SOON, "{:#?}", python.events.borrow());
        site.rotate(GROUP).await;
        both_hold(&anna, &python, newest(&site).await).await;
    }
    // It is believed.
    let all = |view: &GroupView| (view.members, view.acknowledged) == (2, 2);
    while !all(&site.group(GROUP).await) {
        assert!(began.elapsed() < SOON, "both acknowledge");
    }
    assert!(site.counter("wardcast_datagrams_acknowledged_total").await >= 3);
    assert!(ledger.check() >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_member_leaves() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let mut python = Python::start(&site, "python", &ledger);
    python.joined().await;
    let together = newest(&site).await;
    both_hold(&anna, &python, together).await;
    python.tell("leave").await;
    python
        .event("leaves", |event| event["event"] == "left")
        .await;
    python.ends_well().await;
    anna.holds(Epoch(together.0 + 1)).await;
    assert_eq!(site.group(GROUP).await.members, 1);
    ledger.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_member_goes_where_it_is_sent() {
    let mut site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let python = Python::start(&site, "python", &ledger);
    python.joined().await;
    // Another address of the same gateway's, where it is started again.
    let free = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    let there = free.local_addr().expect("an address");
    drop(free);
    let to = format!("127.0.0.1:{}", there.port());
    site.order("v1/drain", Some(json!({ "to": [to] }))).await;
    assert!(site.ended().await.success());
    let told = python
        .event("is told", |event| event["event"] == "go away")
        .await;
    assert_eq!(told["to"], json!([to]));
    site.quic = there;
    site.restart().await;
    python
        .event("resumes there", |event| event["event"] == "resumed")
        .await;
    python
        .event("connects there", |event| event["to"] == *to)
        .await;
    site.rotate(GROUP).await;
    both_hold(&anna, &python, newest(&site).await).await;
    assert_eq!(python.count("event", "joined"), 1);
    ledger.check();
}

async fn both_hold(anna: &Member, python: &Python, epoch: Epoch) {
    anna.holds(epoch).await;
    python.holds(epoch).await;
}

/// The group's newest epoch, as the gateway says.
async fn newest(site: &Site) -> Epoch {
    site.group(GROUP).await.epoch
}

/// The Python member's own tests: its keys and messages against the vectors.
#[test]
fn the_python_members_keys_and_messages_match_the_vectors() {
    let output = std::process::Command::new(python())
        .args(["-m", "unittest", "-q", "test_vectors"])
        .current_dir(script(""))
        .output()
        .expect("the interpreter runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("OK"), "{said}");
}
