//! `kill -9` at random points of joins, evictions and rotations: no epoch that a member saw is lost, none forks, no
//! member is stuck, and nobody has to join afresh.
//!
//! `WARDCAST_TEST_KILLS` says how often for each of two gateways, `WARDCAST_TEST_SEED` from which seed the times and operations are drawn.

mod support;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wardcast::audit::{Event, verify};
use wardcast::group::ids::{Epoch, MemberId};
use wardcast::member::JoinError;

use support::members::{Ledger, Member};
use support::{GROUP, Setup, Site};

/// How often each of two gateways is killed unless told otherwise: most of the time they only start.
const KILLS: u64 = 30;
/// After so many kills everybody must be well.
const CALM_EVERY: u64 = 6;
/// The group's size that joins and evictions keep to.
const SIZE: std::ops::Range<usize> = 6..20;
/// A life of the gateway is at most so long, in milliseconds, from the moment that it listens.
const LIFE_MS: u64 = 1_500;

/// xorshift64*: enough for times and choices, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// What the test knows about everyone's fate.
struct Crowd {
    random: Random,
    ledger: Ledger,
    named: u64,
    joining: JoinSet<Result<Member, JoinError>>,
    members: HashMap<MemberId, Member>,
    /// An eviction was asked for, and the gateway was killed before it answered.
    doubtful: Vec<Member>,
    /// The eviction is on record.
    evicted: Vec<Member>,
}

impl Crowd {
    fn join(&mut self, site: &Site) {
        self.named += 1;
        let name = format!("member-{}", self.named);
        let mut options = site.options(&name);
        options.patience = Duration::from_secs(60);
        let client = wardcast::member::Client::new(options).expect("a client");
        let ledger = self.ledger.clone();
        self.joining
            .spawn(async move { Member::try_join(client, &name, &ledger).await });
    }

    /// Whoever has joined meanwhile; a join that fails for good is a fault.
    fn welcome(&mut self) {
        while let Some(joined) = self.joining.try_join_next() {
            self.admit(joined.expect("no panic"));
        }
    }

    fn admit(&mut self, joined: Result<Member, JoinError>) {
        let member = joined.expect("a join outlives any kill");
        self.members.insert(member.id(), member);
    }

    /// Operations without end, for as long as the gateway lives.
    async fn stir(&mut self, site: &Site) {
        loop {
            sleep(Duration::from_millis(self.random.below(60))).await;
            self.welcome();
            let size = self.members.len() + self.joining.len();
            match self.random.below(10) {
                0..=4 if size < SIZE.end => self.join(site),
                5..=7 if self.members.len() > SIZE.start => self.evict(site).await,
                _ => {
                    let rotate = format!("/{GROUP}/rotate");
                    // Killed before it answers: it may have happened or not.
                    let _ = site.try_admin(Method::POST, &rotate, None).await;
                }
            }
        }
    }

    async fn evict(&mut self, site: &Site) {
        let mut numbers: Vec<MemberId> = self.members.keys().copied().collect();
        numbers.sort();
        let chosen = numbers[self.random.below(numbers.len() as u64) as usize];
        let Some(member) = self.members.remove(&chosen) else {
            return;
        };
        // In this order: this future ends wherever it waits.
        self.doubtful.push(member);
        let urgent = self.random.below(2) == 0;
        let body = json!({ "members": [chosen], "urgent": urgent, "reason": "a test" });
        let path = format!("/{GROUP}/evict");
        let answer = site.try_admin(Method::POST, &path, Some(body)).await;
        if let Ok((status, _)) = answer
            && status.is_success()
        {
            self.evicted.extend(self.doubtful.pop());
        }
    }

    /// Lets everything come to rest, and asks everyone how they are.
    async fn calm(&mut self, site: &Site) {
        while let Some(joined) = self.joining.join_next().await {
            self.admit(joined.expect("no panic"));
        }
        site.rotate(GROUP).await;
        let newest = site.group(GROUP).await.epoch;
        for member in self.members.values() {
            member.holds(newest).await;
            let record = member.record();
            assert_eq!(record.ended, None, "{} had to join afresh", member.name);
        }
        for member in self.evicted.drain(..) {
            member
                .until("is told", |record| record.ended.is_some())
                .await;
            let held = member.record().newest;
            assert!(
                held < newest,
                "{} was evicted and holds {held}",
                member.name
            );
        }
        for member in self.doubtful.drain(..) {
            // It is in the group or not, and knows which.
            member
                .until("knows whether it is a member", |record| {
                    record.ended.is_some() || record.newest >= newest
                })
                .await;
            if member.record().ended.is_none() {
                self.members.insert(member.id(), member);
            }
        }
        self.ledger.check();
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().expect("a number"))
}

fn seed() -> u64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let now = now.expect("a clock after 1970").as_nanos() as u64;
    number("WARDCAST_TEST_SEED", now).clamp(1, u64::MAX - 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_epoch_is_lost_or_forked_and_no_member_is_stuck() {
    let seed = seed();
    println!("WARDCAST_TEST_SEED={seed}");
    // Tasks of their own, for each waits with its thread for what it kills and starts.
    let mut both = JoinSet::new();
    for seed in [seed, !seed] {
        both.spawn(killed(seed));
    }
    both.join_all().await;
}

async fn killed(seed: u64) {
    let mut site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let mut crowd = Crowd {
        random: Random(seed),
        ledger: Ledger::default(),
        named: 0,
        joining: JoinSet::new(),
        members: HashMap::new(),
        doubtful: Vec::new(),
        evicted: Vec::new(),
    };
    for _ in 0..10 {
        crowd.join(&site);
    }
    crowd.calm(&site).await;
    for kill in 1..=number("WARDCAST_TEST_KILLS", KILLS) {
        let life = Duration::from_millis(crowd.random.below(LIFE_MS));
        let endless = timeout(life, crowd.stir(&site)).await;
        assert!(endless.is_err(), "it is stirred until the kill");
        site.kill();
        let seen = crowd.ledger.newest();
        site.restart().await;
        let view: Value = site.admin(Method::GET, &format!("/{GROUP}"), None).await;
        let restored = view["epoch"].as_u64().expect("an epoch");
        assert!(
            restored >= seen.0,
            "kill {kill}: epoch {seen} is lost, {restored} is there"
        );
        if kill % CALM_EVERY == 0 {
            crowd.calm(&site).await;
        }
    }
    crowd.calm(&site).await;
    let epochs = crowd.ledger.check();
    println!("{epochs} epochs, {} members joined", crowd.named);
    assert!(site.terminate().await.success());
    check_trail(&site, crowd.ledger.newest());
}

/// The audit trail has every epoch once, in order, and every member before it is granted keys; no kill kept anything from it.
fn check_trail(site: &Site, newest: Epoch) {
    let mut epoch = Epoch(0);
    let mut members = HashSet::new();
    let (mut granted, mut starts) = (0, 0);
    let whole = verify(&site.folder().join("audit"), |record, _| {
        match &record.entry.event {
            Event::Started { .. } => starts += 1,
            Event::Rekeyed { epoch: next, .. } => {
                assert_eq!(next.0, epoch.0 + 1, "record {}", record.sequence);
                epoch = *next;
            }
            Event::Joined { member, .. } => assert!(members.insert(*member), "{member} once"),
            Event::Granted { member, .. } => {
                assert!(members.contains(member), "{member} joined before");
                granted += 1;
            }
            Event::Departed { member, .. } => {
                assert!(members.contains(member), "{member} joined before");
            }
            _ => {}
        }
    });
    let records = whole.expect("the trail is whole").records;
    assert!(
        epoch >= newest,
        "{epoch} is the last on the trail, {newest} was seen"
    );
    println!("{records} audit records of {starts} lives, {granted} grants, {epoch} epochs");
}
