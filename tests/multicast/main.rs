//! Rekeys by IP multicast between machines of their own, network namespaces, that lose a fifth of what is multicast.
//!
//! Needs root, iproute2 and nftables, as `tests/install.sh` and `tests/run.sh` have it.

mod network;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use network::{GATEWAY, INTERFACE, Network, Running};
use serde_json::Value;

/// Nothing that is waited for takes longer.
const SOON: Duration = Duration::from_secs(60);
/// Machines with a member each.
const MEMBERS: usize = 5;
const GROUP: &str = "studio";
const ADDRESS: &str = "239.77.77.7";
/// Of what is multicast, in percent.
const LOSS: u32 = 20;
const ROTATIONS: u64 = 40;
const ADMIN: &str = "127.0.0.1:7444";

/// What members print.
type Said = Arc<Mutex<BTreeMap<usize, Vec<Value>>>>;

struct Site {
    // Ended before the network is taken away under them.
    members: Vec<Running>,
    gateway: Option<Running>,
    network: Network,
    folder: tempfile::TempDir,
    said: Said,
}

impl Site {
    /// A gateway that multicasts, and a group with an address.
    fn start() -> Self {
        let site = Site {
            members: Vec::new(),
            gateway: None,
            network: Network::new(MEMBERS + 1),
            folder: tempfile::tempdir().expect("a folder"),
            said: Said::default(),
        };
        let gateway = Network::address(GATEWAY);
        site.run("pki init --dir pki");
        site.run("pki issue --dir pki --name gateway --server --dns localhost --out gateway");
        site.run("pki issue --dir pki --name operator --client --out operator");
        for member in 1..=MEMBERS {
            site.run(&format!(
                "pki issue --dir pki --name member-{member} --client --out member-{member}"
            ));
        }
        site.write("pin", "k9-Zebra-Quartz-Plum");
        let configuration = format!(
            r#"
            [listen]
            address = "{gateway}:7443"
            [tls]
            certificate = "gateway.pem"
            key = "gateway.key"
            client_ca = "pki/ca.pem"
            [token]
            kind = "soft"
            path = "token.sealed"
            pin_file = "pin"
            [store]
            path = "state.db"
            [multicast]
            interface = "{INTERFACE}"
            repeat_after_ms = [30]
            heartbeat_ms = 200
            report_s = 2
            [admin]
            address = "{ADMIN}"
            operators = ["cn:operator"]
            "#
        );
        site.write("wardcast.toml", &configuration);
        site.run("check-config wardcast.toml");
        site.run("token provision --config wardcast.toml");
        let policy = format!(
            "multicast = \"{ADDRESS}:7445\"\n\
             batch_interval_ms = 10\n\
             activation_delay_ms = 100\n\
             admit = [{{ identity = \"**\", roles = [\"both\"] }}]\n"
        );
        site.write("policy.toml", &policy);
        site
    }

    fn serve(&mut self) {
        let program = env!("CARGO_BIN_EXE_wardcast");
        let mut gateway = self.network.command(GATEWAY, program);
        gateway
            .args(["serve", "--config", "wardcast.toml"])
            .current_dir(self.folder.path())
            .stdout(Stdio::piped())
            .stderr(File::create(self.folder.path().join("log")).expect("a log"));
        let mut gateway = gateway.spawn().expect("it starts");
        let output = gateway.stdout.take().expect("it is piped");
        self.gateway = Some(Running(gateway));
        let started = BufReader::new(output).lines().next();
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(started.is_some(), "the gateway does not start:\n{}", log());
        let began = Instant::now();
        while !self.try_admin(&format!("group create {GROUP} --policy policy.toml")) {
            assert!(began.elapsed() < SOON, "no group:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A member on a machine of its own; it listens there, or not.
    fn join(&mut self, member: usize, listens: bool) {
        let gateway = format!("{}:7443", Network::address(GATEWAY));
        let program = env!("CARGO_BIN_EXE_wardcast");
        // Who sends is told by stream when to switch, and finds out then what it lacks: the others have to by themselves.
        let role = if member == 1 { "both" } else { "receiver" };
        let mut command = self.network.command(member, program);
        command
            .args([
                "join",
                "--server",
                &gateway,
                "--name",
                "localhost",
                "--ca",
                "pki/ca.pem",
            ])
            .args(["--cert", &format!("member-{member}.pem")])
            .args(["--key", &format!("member-{member}.key")])
            .args([
                "--group", GROUP, "--role", role, "--export", "test:16", "--json",
            ])
            .current_dir(self.folder.path())
            .stdout(Stdio::piped());
        if listens {
            command.args(["--multicast", INTERFACE]);
        }
        let mut child = command.spawn().expect("it starts");
        let output = child.stdout.take().expect("it is piped");
        self.members.push(Running(child));
        let said = self.said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("JSON");
                let mut said = said.lock().expect("nobody panics with it");
                said.entry(member).or_default().push(line);
            }
        });
    }

    /// What a member said of the epochs that it installed: each with its key and whether it was multicast.
    fn installed(&self, member: usize) -> BTreeMap<u64, (String, bool)> {
        let said = self.said.lock().expect("nobody panics with it");
        let lines = said.get(&member).into_iter().flatten();
        let installed = lines.filter(|line| line["event"] == "installed");
        installed
            .filter_map(|line| {
                // One that came and went at once has no key to be shown any more.
                let key = line["exports"]["test"].as_str()?.to_owned();
                let epoch = line["epoch"].as_u64().expect("a number");
                Some((epoch, (key, line["multicast"] == true)))
            })
            .collect()
    }

    fn newest(&self, member: usize) -> u64 {
        let said = self.said.lock().expect("nobody panics with it");
        let lines = said.get(&member).into_iter().flatten();
        let installed = lines.filter(|line| line["event"] == "installed");
        installed
            .filter_map(|line| line["epoch"].as_u64())
            .max()
            .unwrap_or(0)
    }

    /// Waits until all members hold an epoch.
    fn all_hold(&self, epoch: u64) {
        let began = Instant::now();
        for member in 1..=MEMBERS {
            while self.newest(member) < epoch {
                let held = self.newest(member);
                let since = began.elapsed();
                assert!(since < SOON, "member {member} is at {held}, not {epoch}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Waits until the gateway knows that all hold its newest epoch; which that is.
    fn all_acknowledged(&self) -> u64 {
        let began = Instant::now();
        loop {
            let group = self.group();
            if group["acknowledged"].as_u64() == Some(MEMBERS as u64) {
                return group["epoch"].as_u64().expect("a number");
            }
            assert!(began.elapsed() < SOON, "{group}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn rotate(&self) -> u64 {
        let before = self.group()["epoch"].as_u64().expect("a number");
        assert!(self.try_admin(&format!("group rotate {GROUP}")));
        let began = Instant::now();
        loop {
            let epoch = self.group()["epoch"].as_u64().expect("a number");
            if epoch > before {
                return epoch;
            }
            assert!(began.elapsed() < SOON, "no epoch after {before}");
        }
    }

    fn group(&self) -> Value {
        let shown = self.admin(&format!("--json group show {GROUP}"));
        serde_json::from_slice(&shown.stdout).expect("JSON")
    }

    fn try_admin(&self, line: &str) -> bool {
        self.admin(line).status.success()
    }

    fn admin(&self, line: &str) -> std::process::Output {
        let mut command = self
            .network
            .command(GATEWAY, env!("CARGO_BIN_EXE_wardcast"));
        command
            .args(["admin", "--ca", "pki/ca.pem"])
            .args(line.split(' '))
            .current_dir(self.folder.path());
        command.output().expect("it runs")
    }

    /// The gateway's counters, asked for on its own machine.
    fn counter(&self, name: &str) -> u64 {
        let mut curl = self.network.command(GATEWAY, "curl");
        curl.args(["--silent", "--cacert", "pki/ca.pem"])
            .args(["--cert", "operator.pem", "--key", "operator.key"])
            .args(["--resolve", "localhost:7444:127.0.0.1"])
            .arg("https://localhost:7444/metrics")
            .current_dir(self.folder.path());
        let got = curl.output().expect("tests/install.sh installs curl");
        let text = String::from_utf8_lossy(&got.stdout).into_owned();
        let line = text.lines().find_map(|line| {
            let (found, count) = line.split_once(' ')?;
            (found == name).then(|| count.parse().expect("a number"))
        });
        assert!(text.contains("wardcast_"), "no metrics: {got:?}");
        line.unwrap_or(0)
    }

    fn run(&self, line: &str) {
        let ran = Command::new(env!("CARGO_BIN_EXE_wardcast"))
            .args(line.split(' '))
            .current_dir(self.folder.path())
            .output()
            .expect("it runs");
        let why = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "wardcast {line}: {why}");
    }

    fn write(&self, name: &str, text: &str) {
        let path: &Path = self.folder.path();
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path.join(name));
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("written");
    }
}

/// Whoever installed an epoch has the same key; how many were multicast, and how many installed.
fn agree(site: &Site, members: std::ops::RangeInclusive<usize>, from: u64) -> (usize, usize) {
    let mut keys: BTreeMap<u64, String> = BTreeMap::new();
    let (mut heard, mut all) = (0, 0);
    for member in members {
        for (epoch, (key, multicast)) in site.installed(member).split_off(&from) {
            let first = keys.entry(epoch).or_insert_with(|| key.clone());
            assert_eq!(*first, key, "epoch {epoch} forked");
            heard += usize::from(multicast);
            all += 1;
        }
    }
    (heard, all)
}

#[test]
fn members_behind_a_network_that_loses_a_fifth_reach_every_newest_epoch() {
    let mut site = Site::start();
    site.serve();
    for member in 1..=MEMBERS {
        site.network.lose(member, ADDRESS, LOSS);
        site.join(member, true);
    }
    let began = Instant::now();
    while site.counter("wardcast_multicast_listeners_total") < MEMBERS as u64 {
        assert!(began.elapsed() < SOON, "not all say that they hear it");
        std::thread::sleep(Duration::from_millis(50));
    }
    site.all_hold(site.all_acknowledged());
    let [unicast, pulled] = [
        "wardcast_datagrams_sent_total",
        "wardcast_repairs_asked_total",
    ];
    let before = [unicast, pulled].map(|name| site.counter(name));
    let mut first = None;
    for _ in 0..ROTATIONS {
        let epoch = site.rotate();
        first.get_or_insert(epoch);
        site.all_hold(epoch);
    }
    let newest = site.all_acknowledged();
    site.all_hold(newest);
    let (heard, all) = agree(&site, 1..=MEMBERS, first.expect("there was one"));
    let after = [unicast, pulled].map(|name| site.counter(name));
    let lost: u64 = (1..=MEMBERS).map(|member| site.network.lost(member)).sum();
    let [sent, repeated] = ["sent", "repeated"]
        .map(|what| site.counter(&format!("wardcast_multicast_datagrams_{what}_total")));
    println!(
        "{ROTATIONS} rotations, {MEMBERS} members: {heard} of {all} epochs were heard; {} paths pulled, {} datagrams to one member; \
         {sent} multicast, {repeated} of them again; {lost} lost on arrival",
        after[1] - before[1],
        after[0] - before[0],
    );
    assert!(lost > ROTATIONS, "the network loses");
    // With one repetition a member misses 4 of 100. A member that fell silent for once is served by datagrams for a moment.
    assert!(heard * 10 > all * 8, "{heard} of {all} were heard");
    assert!(after[1] > before[1] || heard == all, "none was repaired");
    let to_one = after[0] - before[0];
    assert!(
        to_one < ROTATIONS * MEMBERS as u64 / 5,
        "{to_one} datagrams to one"
    );

    // Where nothing gets through any more they are served as ever, and where it does again they listen.
    for member in 1..=MEMBERS {
        site.network.lose(member, ADDRESS, 100);
    }
    for _ in 0..5 {
        site.all_hold(site.rotate());
    }
    site.all_acknowledged();
    for member in 1..=MEMBERS {
        site.network.lose(member, ADDRESS, 0);
    }
    let began = Instant::now();
    loop {
        let epoch = site.rotate();
        site.all_hold(epoch);
        let heard = |member| {
            site.installed(member)
                .get(&epoch)
                .is_some_and(|(_, heard)| *heard)
        };
        if (1..=MEMBERS).all(heard) {
            break;
        }
        assert!(began.elapsed() < SOON, "not all hear it again");
        std::thread::sleep(Duration::from_millis(100));
    }
    agree(&site, 1..=MEMBERS, 0);
}

#[test]
fn members_that_do_not_listen_are_served_beside_those_that_do() {
    let mut site = Site::start();
    site.serve();
    for member in 1..=MEMBERS {
        site.join(member, member % 2 == 0);
    }
    let began = Instant::now();
    while site.counter("wardcast_multicast_listeners_total") < MEMBERS as u64 / 2 {
        assert!(began.elapsed() < SOON, "not all say that they hear it");
        std::thread::sleep(Duration::from_millis(50));
    }
    site.all_hold(site.all_acknowledged());
    let mut first = None;
    for _ in 0..5 {
        let epoch = site.rotate();
        first.get_or_insert(epoch);
        site.all_hold(epoch);
    }
    site.all_acknowledged();
    agree(&site, 1..=MEMBERS, 0);
    let first = first.expect("there was one");
    for member in 1..=MEMBERS {
        let (heard, all) = agree(&site, member..=member, first);
        match member % 2 {
            0 => assert!(heard > 0, "member {member} heard none of {all}"),
            _ => assert_eq!(heard, 0),
        }
    }
}
