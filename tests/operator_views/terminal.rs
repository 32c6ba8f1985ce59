//! `wardcast top` in a real pseudo-terminal, and its snapshots for pipes.

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, Setup, Site};
use crate::{command, overview, run, says, until};

/// A terminal with `wardcast top` in it. `script` (bsdutils) makes the pseudo-terminal; what it shows is kept as a terminal would.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn open(site: &Site, (rows, columns): (u16, u16)) -> Self {
        let top = command(site, &["top"]);
        let words = std::iter::once(top.get_program()).chain(top.get_args());
        // Paths of temporary folders need no quoting, nor does anything else here.
        let words: Vec<&str> = words.map(|word| word.to_str().expect("text")).collect();
        let line = format!("stty rows {rows} cols {columns}; exec {}", words.join(" "));
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script runs");
        let some = |length| NonZero::new(length).expect("it has some");
        let screen = vt100::Parser::new(some(rows), some(columns), 0);
        let screen = Arc::new(Mutex::new(screen));
        let (mut output, shown) = (child.stdout.take().expect("it is piped"), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                shown.lock().expect("no panic").process(&bytes[..read]);
            }
        });
        Self {
            keys: child.stdin.take().expect("it is piped"),
            child,
            screen,
        }
    }

    fn text(&self) -> String {
        self.screen.lock().expect("no panic").screen().contents()
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads keys");
        self.keys.flush().expect("it reads keys");
    }

    async fn shows(&self, parts: &[&str]) {
        let began = std::time::Instant::now();
        loop {
            let text = self.text();
            let missing: Vec<_> = parts.iter().filter(|part| !text.contains(**part)).collect();
            if missing.is_empty() {
                return;
            }
            assert!(
                began.elapsed() < 2 * crate::support::SOON,
                "{missing:?} of:\n{text}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn site() -> (Site, Vec<Member>) {
    let site = Site::start(Setup::default()).await;
    for name in [GROUP, "arena"] {
        site.create(name, json!({})).await;
    }
    let ledger = Ledger::default();
    let mut members = Vec::new();
    for name in ["anna", "bert"] {
        members.push(Member::join(&site, name, &ledger).await);
    }
    site.rotate(GROUP).await;
    until("all are known to hold it", async || {
        site.group(GROUP).await.acknowledged == 2
    })
    .await;
    (site, members)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_follows_the_gateway_and_its_keys_work() {
    let (mut site, members) = site().await;
    let mut terminal = Terminal::open(&site, (24, 80));
    let rows = [
        "wardcast at localhost",
        "ready",
        "groups 2, members 2, present 2, behind 0",
    ];
    terminal.shows(&rows).await;
    terminal
        .shows(&[
            "token usable",
            "half within",
            "2 of 2 groups by activity",
            GROUP,
            "arena",
        ])
        .await;
    terminal
        .shows(&["nobody who is present lacks", "q quit"])
        .await;
    println!("{}", terminal.text());

    terminal.press("s");
    terminal.shows(&["by members behind"]).await;
    terminal.press("/are\r");
    terminal
        .shows(&["1 of 2 groups by members behind, named *are*"])
        .await;
    assert!(!terminal.text().contains(GROUP), "{}", terminal.text());
    terminal.press("?");
    terminal.shows(&["filter groups by name"]).await;
    terminal.press("?");
    site.create("late", json!({})).await;
    terminal.shows(&["1 of 3 groups"]).await;

    site.kill();
    terminal.shows(&["gateway away: "]).await;
    site.restart().await;
    // Its members come back by themselves.
    terminal.shows(&["ready", "groups 3, members 2"]).await;
    terminal.press("q");
    let mut ended = None;
    until("q ends it", async || {
        ended = terminal.child.try_wait().expect("it can be waited for");
        ended.is_some()
    })
    .await;
    assert_eq!(ended.and_then(|ended| ended.code()), Some(0));
    drop(members);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_terminal_has_room_for_more() {
    let (site, members) = site().await;
    let terminal = Terminal::open(&site, (50, 140));
    terminal
        .shows(&["groups 2, members 2", "joins/min", "epoch"])
        .await;
    let last = terminal.text().lines().last().map(str::to_owned);
    assert!(
        last.is_some_and(|last| last.starts_with("q quit")),
        "{}",
        terminal.text()
    );
    drop(members);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_goes_into_a_pipe() {
    let (site, members) = site().await;
    let text = says(&site, &["top", "--once"]).await;
    for part in [
        "wardcast ",
        "ready",
        "groups 2, members 2, present 2, behind 0",
        "token usable, waiting: urgent 0, grant 0",
        "no upstream",
        "change to acknowledgement: half within",
        GROUP,
        "arena",
        "rekeys/min",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours: {text}");
    let json: Value = serde_json::from_str(&says(&site, &["top", "--json"]).await).expect("JSON");
    let view = overview(&site).await;
    for part in ["groups", "members"] {
        assert_eq!(json[part], view[part], "{part}");
    }
    assert_eq!(
        json["latency"]["points"].as_array().map(Vec::len),
        Some(120)
    );
    let told = json["latency"]["points"].as_array().expect("a list").iter();
    assert!(
        told.filter(|point| !point.is_null())
            .any(|point| point["p50_ms"].as_u64() > Some(0))
    );

    let piped = run(&site, &["top"]).await;
    assert_eq!(piped.status.code(), Some(2), "{piped:?}");
    assert!(String::from_utf8_lossy(&piped.stderr).contains("--once"));
    drop(members);
}
