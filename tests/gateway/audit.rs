//! The audit trail of a gateway: who did what, in which order; across kills, and while its disk is full.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;
use wardcast::audit::{Actor, Event, Record, verify};
use wardcast::group::ids::{Epoch, Identity};
use wardcast::group::wire::{RefusalCode, Request};

use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON, Setup, Site, Token, raw};

/// All records of a trail of a gateway that stopped, which is whole and signed up to its end, without the signatures.
fn trail(directory: &Path) -> Vec<Record> {
    let mut all = Vec::new();
    let whole = verify(directory, |record, _| all.push(record.clone()));
    let whole = whole.expect("is whole");
    assert_eq!(whole.signatures.up_to, Some(whole.last - 1));
    assert_eq!(whole.signatures.issuers.len(), 1);
    all.retain(|record| !matches!(record.entry.event, Event::Signed(_)));
    all
}

/// The names of what happened, without what the harness asks for.
fn told(records: &[Record]) -> Vec<String> {
    let name = |record: &Record| match &record.entry.event {
        Event::Started { .. } => "started".to_owned(),
        Event::Stopped => "stopped".to_owned(),
        Event::Reloaded { applied, .. } => format!("reloaded {}", applied.join(", ")),
        Event::LogLevel { level, .. } => format!("logs {level}"),
        Event::Draining { .. } => "draining".to_owned(),
        Event::GroupCreated { .. } => "created".to_owned(),
        Event::PolicyChanged { .. } => "policy".to_owned(),
        Event::Frozen { why } => format!("frozen: {why}"),
        Event::Thawed => "thawed".to_owned(),
        Event::GroupDestroyed => "destroyed".to_owned(),
        Event::Joined { member, .. } => format!("joined {member}"),
        Event::Granted { member, .. } => format!("granted {member}"),
        Event::Departed { member, reason, .. } => format!("{member}: {reason}"),
        Event::Rekeyed { epoch, .. } => format!("rekeyed {epoch}"),
        Event::Refused { identity, .. } => format!("refused {identity}"),
        Event::Relayed { operation, .. } => format!("relayed {operation}"),
        Event::Denied { identity, .. } => format!("denied {identity}"),
        Event::Document { about, .. } => format!("document: {about}"),
        Event::Unauthenticated { why, .. } => format!("unauthenticated: {why}"),
        Event::Administered { call, status } => format!("{call} {status}"),
        Event::Interrupted { lost, .. } => format!("interrupted {lost}"),
        Event::UpstreamEnded { object, state, .. } => format!("{object} {state}"),
        Event::TokenLost { .. } => "token lost".to_owned(),
        Event::TokenBack => "token back".to_owned(),
        Event::Signed(signature) => format!("signed {}", signature.up_to),
        Event::UpstreamLost { .. } => "upstream lost".to_owned(),
        Event::UpstreamBack { .. } => "upstream back".to_owned(),
    };
    records.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_says_who_did_what_in_which_order_and_outlives_a_kill() {
    let mut site = Site::start(Setup::default()).await;
    let directory = site.folder().join("audit");
    let policy =
        json!({ "batch_interval_ms": 0, "admit": [{ "identity": "cn:a*", "roles": ["both"] }] });
    site.create(GROUP, policy).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    anna.holds(Epoch(1)).await;
    let mallory = raw::connect(&site, "mallory").await.expect("a connection");
    let join = Request::Join(raw::join(GROUP));
    for _ in 0..3 {
        let refusal = raw::refused(&mallory, &join).await;
        assert_eq!(refusal.code, RefusalCode::NotAdmitted);
    }
    site.kill();
    site.restart().await;
    site.evict(GROUP, anna.id()).await;
    assert!(site.terminate().await.success());
    let records = trail(&directory);
    let path = format!("/v1/groups/{GROUP}");
    let expected = [
        "started".to_owned(),
        "created".into(),
        "POST /v1/groups 201".into(),
        "joined 1".into(),
        "rekeyed 1".into(),
        "granted 1".into(),
        "refused cn:mallory".into(), // and twice more, which the kill kept from being said
        "started".into(),
        "1: the member was evicted".into(),
        "rekeyed 2".into(),
        format!("POST {path}/evict 204"),
        "stopped".into(),
    ];
    assert_eq!(told(&records), expected);
    let actor = |at: usize| &records[at].entry.actor;
    let operator = Actor::Operator(Identity("cn:operator".into()));
    assert_eq!((actor(2), actor(8)), (&operator, &operator));
    assert_eq!(actor(5), &Actor::Member(Identity("cn:anna".into())));
    let Event::Refused { why, times: 1, .. } = &records[6].entry.event else {
        panic!("{:?}", records[6]);
    };
    assert_eq!(
        why,
        "no rule permits it; no admit rule's pattern matches cn:mallory"
    );
    let Event::Departed { identity, note, .. } = &records[8].entry.event else {
        panic!("{:?}", records[8]);
    };
    assert_eq!(identity, &Some(Identity("cn:anna".into())));
    assert!(note.is_some());
}

/// What `wardcast` says, and whether it succeeds.
fn wardcast(arguments: &[&str]) -> (bool, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_wardcast"))
        .args(arguments)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("is text");
    (done.status.success(), text(done.stdout), text(done.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_signed_in_the_token_and_anybody_can_check_it() {
    for token in [Token::Soft, Token::SoftHsm, Token::Kryoptic] {
        let mut site = Site::start(Setup {
            token,
            ..Setup::default()
        })
        .await;
        let directory = site.folder().join("audit");
        // While it runs: nobody has to stop it for that.
        let began = Instant::now();
        while verify(&directory, |_, _| {})
            .expect("is whole")
            .signatures
            .count
            == 0
        {
            assert!(began.elapsed() < SOON, "it is signed: {}", site.log_text());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        site.create(GROUP, json!({})).await;
        assert!(site.terminate().await.success());
        let [key] = &verify(&directory, |_, _| {})
            .expect("is whole")
            .signatures
            .issuers[..]
        else {
            panic!("one key signs");
        };
        checked(&directory, site.folder(), &key.to_string());
    }
}

/// What the command says of a trail that one key has signed up to its end.
fn checked(directory: &Path, folder: &Path, key: &str) {
    let directory = directory.to_str().expect("text");
    let (done, said, _) = wardcast(&["audit", "verify", directory]);
    assert!(
        done && said.contains("not pinned") && said.contains(key),
        "{said}"
    );
    let (done, said, _) = wardcast(&["audit", "verify", directory, "--issuer", key, "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let up_to = said["last"].as_u64().expect("a number") - 1;
    assert!(done && said["signed_up_to"] == up_to, "{said}");
    assert_eq!(said["issuers_pinned"], true);
    assert_eq!(said["issuers"], json!([key]));
    // From a file, beside another one.
    let file = folder.join("issuers");
    std::fs::write(&file, format!("{}\nissuer {key}\n", "0".repeat(64))).expect("writes");
    let file = file.to_str().expect("text");
    let (done, said, _) = wardcast(&["audit", "verify", directory, "--issuer", file]);
    assert!(done && said.contains("pinned with --issuer"), "{said}");
    assert!(!said.contains("not signed"), "{said}");
    let other = "0".repeat(64);
    let (done, said, why) = wardcast(&["audit", "verify", directory, "--issuer", &other]);
    assert!(!done && said.is_empty(), "{said}");
    assert!(
        why.contains("is a signature by the key") && why.contains(key),
        "{why}"
    );
    // The last line is the last signature: without it the trail is signed less far, and no more is wrong with it.
    let segment = Path::new(directory).join("00000000000000000001.jsonl");
    let text = std::fs::read_to_string(&segment).expect("reads");
    let (before, last) = text.trim_end().rsplit_once('\n').expect("has lines");
    assert!(last.contains("\"event\":\"signed\""), "{last}");
    std::fs::write(&segment, format!("{before}\n")).expect("writes");
    let (done, said, _) = wardcast(&["audit", "verify", directory, "--issuer", key]);
    assert!(done && said.contains("are not signed yet"), "{said}");
    // A flipped digit of it.
    let at = last.rfind("\"signature\":\"").expect("has one") + 20;
    let flipped = if &last[at..=at] == "0" { "1" } else { "0" };
    let wrong = format!("{}{flipped}{}", &last[..at], &last[at + 1..]);
    std::fs::write(&segment, format!("{before}\n{wrong}\n")).expect("writes");
    let (done, _, why) = wardcast(&["audit", "verify", directory]);
    assert!(!done && why.contains("holds a wrong signature"), "{why}");
}

/// A disk of its own, which can be filled.
struct Disk(PathBuf);

impl Disk {
    fn new(at: PathBuf) -> Self {
        std::fs::create_dir(&at).expect("a folder");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(&at)
            .status();
        assert!(mount.expect("mount runs").success(), "root alone may mount");
        Disk(at)
    }

    fn fill(&self) {
        // It takes what there is room for.
        let _ = std::fs::write(self.0.join("filler"), vec![0; 2 << 20]);
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("it was filled");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_is_full_nobody_is_admitted_and_members_are_still_evicted() {
    let place = tempfile::tempdir().expect("a folder");
    let disk = Disk::new(place.path().join("disk"));
    let directory = disk.0.join("audit");
    let more = format!("[audit]\ndirectory = {directory:?}");
    let mut site = Site::start(Setup {
        more: &more,
        ..Setup::default()
    })
    .await;
    site.create(GROUP, json!({ "batch_interval_ms": 0 })).await;
    let ledger = Ledger::default();
    let anna = Member::join(&site, "anna", &ledger).await;
    let bert = Member::join(&site, "bert", &ledger).await;
    site.ready(true).await;

    disk.fill();
    // Records fit until a page is full; whatever finds out is not lost.
    let mut newest = 2;
    while site
        .try_root(Method::GET, "readyz", None)
        .await
        .is_ok_and(|(code, _)| code == StatusCode::OK)
    {
        site.rotate(GROUP).await;
        newest += 1;
        bert.holds(Epoch(newest)).await;
    }
    let ready = site.ready(false).await;
    let why = ready["why"].as_str().unwrap_or_default();
    assert!(why.contains("audit trail cannot be written"), "{why}");
    site.evict(GROUP, anna.id()).await;
    anna.until("is told", |record| record.ended.is_some()).await;
    bert.holds(Epoch(newest + 1)).await;
    let connection = raw::connect(&site, "carl").await.expect("a connection");
    let join = Request::Join(raw::join(GROUP));
    let refusal = raw::refused(&connection, &join).await;
    assert_eq!(refusal.code, RefusalCode::StoreTrouble);
    assert!(refusal.message.contains("audit") && refusal.retry_after_ms.is_some());

    disk.free();
    site.ready(true).await;
    let carl = tokio::time::timeout(SOON, Member::join(&site, "carl", &ledger)).await;
    carl.expect("is admitted").holds(Epoch(newest + 2)).await;
    assert!(site.terminate().await.success());
    check_changes(&told(&trail(&directory)), newest);
}

/// Nothing is missing, and all is in its order: two joined, the group was rekeyed up to this epoch, then one went and one came.
fn check_changes(told: &[String], newest: u64) {
    let gaps = told.iter().filter(|what| *what == "interrupted 0").count();
    assert_eq!(gaps, 1, "{told:?}");
    let mut changes = told
        .iter()
        .filter(|what| !what.contains("/v1/") && *what != "interrupted 0");
    let mut are = |expected: &[&str]| {
        let next: Vec<&String> = changes.by_ref().take(expected.len()).collect();
        assert_eq!(next, expected, "{told:?}");
    };
    are(&[
        "started",
        "created",
        "joined 1",
        "rekeyed 1",
        "granted 1",
        "joined 2",
        "rekeyed 2",
        "granted 2",
    ]);
    for epoch in 3..=newest {
        are(&[&format!("rekeyed {epoch}")]);
    }
    let (evicted, joined) = (
        format!("rekeyed {}", newest + 1),
        format!("rekeyed {}", newest + 2),
    );
    are(&[
        "1: the member was evicted",
        &evicted,
        "joined 3",
        &joined,
        "granted 3",
    ]);
}
