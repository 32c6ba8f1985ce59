//! Durable state under `kill -9`: a child process appends until it is killed, and what it was told is durable is there.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use wardcast::group::ids::{GroupId, Revision};
use wardcast::store::{SqliteStore, Store, load};

const CHILD: &str = "WARDCAST_TEST_APPEND_TO";
const GROUPS: u8 = 8;
const ROUNDS: u32 = 12;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// What the child appends at a revision: of every length, so that records straddle pages.
fn record(group: u8, revision: u64) -> Vec<u8> {
    let length = (usize::from(group) * 977 + revision as usize * 131) % 9_000;
    vec![group ^ revision as u8; length]
}

/// Not a test by itself: the process that the test below starts and kills. Without its variable it does nothing.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    runtime().block_on(async {
        let store = Arc::new(SqliteStore::open(path).expect("opens"));
        let mut groups = load(&*store);
        let mut revisions = [Revision(0); GROUPS as usize];
        while let Some(group) = groups.next().await.expect("loads") {
            revisions[usize::from(group.id.0[0])] = group.revision;
        }
        let writers = (0..GROUPS)
            .map(|number| append_for_ever(store.clone(), number, revisions[usize::from(number)]));
        let tasks: Vec<_> = writers.map(tokio::spawn).collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}

async fn append_for_ever(store: Arc<SqliteStore>, number: u8, mut revision: Revision) {
    let group = GroupId([number; 16]);
    loop {
        let bytes = record(number, revision.0 + 1);
        revision = store.append(group, revision, bytes).await.expect("appends");
        if revision.0.is_multiple_of(40) {
            let sum = revision.0.to_be_bytes().to_vec();
            store
                .snapshot(group, revision, sum)
                .await
                .expect("snapshots");
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "ack {number} {}", revision.0).expect("prints");
        out.flush().expect("flushes");
    }
}

fn start_child(path: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "child_that_appends_until_it_is_killed",
            "--exact",
            "--nocapture",
        ])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("starts")
}

/// The newest revision of each group that a child reported before it was killed after `lines` reports.
fn run_and_kill(path: &Path, lines: usize, acknowledged: &mut [u64; GROUPS as usize]) {
    let mut child = start_child(path);
    let mut output = BufReader::new(child.stdout.take().expect("its output"));
    let mut seen = 0;
    while seen < lines {
        let mut line = String::new();
        assert_ne!(
            output.read_line(&mut line).expect("reads"),
            0,
            "the child ended by itself"
        );
        seen += usize::from(note(&line, acknowledged));
    }
    child.kill().expect("kills");
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("reads");
    child.wait().expect("ends");
    // The last line may be cut short by the kill; only whole ones count.
    for line in rest
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        note(line, acknowledged);
    }
}

fn note(line: &str, acknowledged: &mut [u64; GROUPS as usize]) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["ack", group, revision] = words[..] else {
        return false;
    };
    let group: usize = group.parse().expect("a group");
    acknowledged[group] = revision.parse().expect("a revision");
    true
}

#[test]
fn every_acknowledged_append_survives_kill_9() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("state.db");
    let mut acknowledged = [0; GROUPS as usize];
    for round in 0..ROUNDS {
        run_and_kill(&path, 20 + 37 * round as usize, &mut acknowledged);
        runtime().block_on(check(&path, &acknowledged, round));
    }
}

async fn check(path: &Path, acknowledged: &[u64; GROUPS as usize], round: u32) {
    let store = SqliteStore::open(path).expect("opens after the kill");
    let mut groups = load(&store);
    let mut found = [0; GROUPS as usize];
    while let Some(group) = groups.next().await.expect("loads") {
        let number = group.id.0[0];
        let first = group.revision.0 - group.records.len() as u64;
        if let Some(snapshot) = &group.snapshot {
            assert_eq!(*snapshot, first.to_be_bytes());
        }
        for (revision, stored) in (first + 1..).zip(&group.records) {
            assert_eq!(*stored, record(number, revision));
        }
        found[usize::from(number)] = group.revision.0;
    }
    for (number, (found, acknowledged)) in found.iter().zip(acknowledged).enumerate() {
        let lost = acknowledged.saturating_sub(*found);
        assert_eq!(
            lost, 0,
            "round {round}: group {number} lost acknowledged records"
        );
        // At most one append of a group is under way: it may have become durable before it was reported.
        assert!(
            *found <= acknowledged + 1,
            "round {round}: group {number} grew by itself"
        );
    }
}
