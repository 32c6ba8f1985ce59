//! `wardcast token-host`: as a service of its own, and as a gateway's child that dies, freezes and is replaced.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use wardcast::group::ids::{GroupId, GroupNonce, KeyRef, MasterId, NodeId, Suite};
use wardcast::group::operations::{Batch, Operation, Output};
use wardcast::group::request::Requests;
use wardcast::hsm::host::remote;
use wardcast::hsm::host::supervisor::{HostCommand, HostState, Supervisor, SupervisorOptions};
use wardcast::hsm::{Token, TokenError};

use crate::place::{PIN, Place, SOON, wait};

const SERVE: [&str; 5] = [
    "token-host",
    "--config",
    "wardcast.toml",
    "--socket",
    "host",
];

/// A host that serves a place's token; killed at the end if it still runs.
struct Host(Child);

impl Host {
    /// Started, and listening.
    fn start(place: &Place, more: &[&str]) -> Self {
        let log = std::fs::File::create(place.path("log")).expect("a log");
        let mut command = place.command(SERVE.iter().chain(more).copied());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        let host = Host(command.spawn().expect("it starts"));
        // The socket is there a moment before anybody listens.
        eventually("it listens", || {
            UnixStream::connect(place.path("host")).is_ok()
        });
        host
    }

    fn signal(&self, signal: &str) {
        send(self.0.id(), signal);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn send(pid: u32, signal: &str) {
    let mut command = std::process::Command::new("kill");
    let sent = command.args([signal, &pid.to_string()]).status();
    assert!(sent.expect("kill runs").success(), "{signal} to {pid}");
}

fn eventually(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn session(socket: &Path) -> Result<Box<dyn Token>, TokenError> {
    remote::opener(socket, SOON)()
}

/// What a token answers to one and the same batch.
fn edge(token: &mut dyn Token) -> Result<Vec<Output>, TokenError> {
    let key = |level| KeyRef {
        node: NodeId { level, index: 0 },
        generation: 1,
        step: 0,
    };
    token.execute_one(&Batch {
        suite: Suite::One,
        group: GroupId([1; 16]),
        master: MasterId(1),
        nonce: GroupNonce([2; 32]),
        requests: Requests::default(),
        operations: vec![Operation::Wrap {
            child: key(0),
            parent: key(1),
        }],
    })
}

/// A line of what the kernel says of every thread of a process.
fn said_of_threads(pid: u32, name: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let status = tasks.map(|task| {
        let path = task.expect("a thread").path().join("status");
        std::fs::read_to_string(path).expect("its status")
    });
    let line = |status: String| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.expect("it is said")[name.len()..].trim().to_owned()
    };
    status.map(line).collect()
}

#[test]
fn a_host_serves_confined_until_it_is_told_to_stop() {
    let place = Place::provisioned();
    let mut host = Host::start(&place, &[]);
    assert_eq!(place.mode("host"), 0o600);
    let mut token = session(&place.path("host")).expect("opens");
    let description = token.profile().description.clone();
    assert!(
        description.contains("token host (sandboxed)"),
        "{description}"
    );
    assert_eq!(edge(token.as_mut()).expect("executes").len(), 1);

    let pid = host.0.id();
    let filtered = said_of_threads(pid, "Seccomp:");
    assert!(
        filtered.len() >= 3,
        "accept, signals, a session: {filtered:?}"
    );
    assert!(filtered.iter().all(|mode| mode == "2"), "{filtered:?}");
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.expect("a limit").split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "no core is dumped");

    host.signal("-TERM");
    assert_eq!(wait("token-host", &mut host.0), Some(0));
    assert!(edge(token.as_mut()).is_err());
    let log = String::from_utf8(place.read("log")).expect("text");
    assert!(!log.contains(PIN) && !log.contains("panicked"), "{log}");
    // What it left behind does not keep the next one out.
    assert!(place.path("host").exists());
    let _next = Host::start(&place, &[]);
    eventually("the next one serves", || {
        session(&place.path("host")).is_ok()
    });
}

#[test]
fn a_supervised_host_ends_with_its_gateway() {
    let place = Place::provisioned();
    let mut host = Host::start(&place, &["--supervised"]);
    let mut token = session(&place.path("host")).expect("opens");
    edge(token.as_mut()).expect("executes");
    drop(host.0.stdin.take());
    assert_eq!(wait("token-host", &mut host.0), Some(0));
}

#[test]
fn two_hosts_do_not_share_a_socket() {
    let place = Place::provisioned();
    let _first = Host::start(&place, &[]);
    let second = place.run(&SERVE.join(" "));
    second.fails(
        1,
        &[
            "wardcast.toml: [token]",
            "another token host listens on host",
        ],
    );
}

#[test]
fn a_path_that_the_library_may_write_and_that_is_not_there_is_named() {
    let place = Place::provisioned();
    let writable = [("WARDCAST_TOKEN__HOST__WRITABLE", "[\"nowhere\"]")];
    let ran = place.run_with(&SERVE.join(" "), &writable);
    ran.fails(1, &["[token]", "nowhere", "No such file"]);
}

#[test]
fn what_is_wrong_with_the_token_is_told_to_the_gateway() {
    let place = Place::provisioned();
    place.write("pin", "wrong-Otter-Basalt");
    let _host = Host::start(&place, &[]);
    let socket = place.path("host");
    let refused = session(&socket).err().expect("is refused");
    assert!(refused.refuses_pin(), "{refused}");
    // The right one would be one more try; whoever corrected it starts the host again.
    place.write("pin", PIN);
    assert_eq!(session(&socket).err(), Some(refused));
    let log = String::from_utf8(place.read("log")).expect("text");
    assert!(
        !log.contains(PIN) && !log.contains("wrong-Otter-Basalt"),
        "{log}"
    );
}

/// A supervised host of a place, as a gateway has it.
struct Watched {
    socket: PathBuf,
    supervisor: Supervisor,
}

impl Watched {
    fn start(place: &Place) -> Self {
        let socket = place.path("host");
        let mut command = HostCommand::this_program(&place.path("wardcast.toml"), 0, &socket);
        // This program is the test's.
        command.program = env!("CARGO_BIN_EXE_wardcast").into();
        let options = SupervisorOptions {
            ping_every: Duration::from_millis(100),
            ping_patience: Duration::from_millis(500),
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_millis(100),
            ..SupervisorOptions::default()
        };
        Watched {
            socket,
            supervisor: Supervisor::start(command, options),
        }
    }

    /// The process of a host that is not this one and answers.
    async fn other_than(&self, before: Option<u32>) -> u32 {
        let mut state = self.supervisor.state();
        let other = state
            .wait_for(|state| matches!(state, HostState::Alive { pid } if Some(*pid) != before));
        let alive = tokio::time::timeout(SOON, other).await;
        match *alive
            .expect("a host answers in time")
            .expect("it is supervised")
        {
            HostState::Alive { pid } => pid,
            other => panic!("{other:?}"),
        }
    }

    /// What the host answers now.
    async fn answers(&self) -> Vec<Output> {
        let socket = self.socket.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let mut token = session(&socket)?;
            edge(token.as_mut())
        });
        answer.await.expect("no panic").expect("executes")
    }
}

/// Whether a process runs; one that has ended and that nobody asked for yet does not.
fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_or_frozen_is_replaced() {
    let place = Place::provisioned();
    let watched = Watched::start(&place);
    let mut pid = watched.other_than(None).await;
    let before = watched.answers().await;
    for signal in ["-KILL", "-STOP", "-ABRT", "-KILL", "-STOP"] {
        send(pid, signal);
        let next = watched.other_than(Some(pid)).await;
        assert!(!runs(pid), "{signal}: the one before is no more");
        pid = next;
        assert_eq!(watched.answers().await, before, "{signal}");
    }
    assert_eq!(watched.supervisor.restarts(), 5);
    let mut state = watched.supervisor.state();
    watched.supervisor.stop().await;
    assert_eq!(*state.borrow_and_update(), HostState::Stopped);
    assert!(!runs(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_frozen_when_it_is_stopped_is_killed() {
    let place = Place::provisioned();
    let mut watched = Watched::start(&place);
    let pid = watched.other_than(None).await;
    // Far from being noticed as frozen.
    send(pid, "-STOP");
    let stopped = std::mem::replace(&mut watched.supervisor, idle());
    stopped.stop().await;
    assert!(!runs(pid));
}

/// A supervisor whose program does not exist.
fn idle() -> Supervisor {
    let command = HostCommand {
        program: "/nonexistent/program".into(),
        arguments: vec![],
        socket: "/nonexistent/socket".into(),
    };
    Supervisor::start(command, SupervisorOptions::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_start_is_tried_again() {
    let place = Place::provisioned();
    let config = place.read("wardcast.toml");
    place.write("wardcast.toml", "this is no configuration");
    let watched = Watched::start(&place);
    let restarts = || watched.supervisor.restarts();
    let patient = async {
        while restarts() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, patient)
        .await
        .expect("it is tried again");
    place.write("wardcast.toml", std::str::from_utf8(&config).expect("text"));
    watched.other_than(None).await;
    assert_eq!(watched.answers().await.len(), 1);
    watched.supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_supervisor_ends_its_host() {
    let place = Place::provisioned();
    let watched = Watched::start(&place);
    let pid = watched.other_than(None).await;
    drop(watched);
    eventually("it ends", || !runs(pid));
}
