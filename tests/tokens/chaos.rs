//! A hundred members, and a token that is killed, frozen, crashed and locked out again and again: nobody loses its
//! keys, no epoch forks or is skipped, and rekeys go on by themselves.
//!
//! `WARDCAST_TEST_CHAOS_MEMBERS` and `WARDCAST_TEST_CHAOS_ROUNDS` make it larger.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;
use wardcast::group::ids::Epoch;
use wardcast_shim::Shim;

use crate::processes;
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, SOON, Setup, Site, Token};

const MEMBERS: usize = 100;
const ROUNDS: usize = 8;
/// Joins that are under way at a time.
const TOGETHER: usize = 50;
/// Epochs that must come after each trouble has begun: not by luck of what was in the queue.
const EPOCHS: u64 = 3;

fn number(variable: &str, default: usize) -> usize {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().expect(variable))
}

/// What is done to the token.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Killed,
    Frozen,
    Crashed,
    LoginsFail,
}

const TROUBLES: [Trouble; 4] = [
    Trouble::Killed,
    Trouble::Frozen,
    Trouble::Crashed,
    Trouble::LoginsFail,
];

impl Trouble {
    /// Whether it is over by itself: a crash would come again in every process that follows.
    fn is_over(self, gateway: u32, host: Option<u32>) -> bool {
        matches!(self, Trouble::Crashed) && processes::token_host(gateway) != host
    }

    /// Begins it. What is frozen is never thawed: somebody has to notice.
    fn begin(self, gateway: u32, shim: &Shim) {
        let host = processes::token_host(gateway);
        match (self, host) {
            (Trouble::Killed, Some(host)) => processes::signal(host, "KILL"),
            (Trouble::Frozen, Some(host)) => processes::signal(host, "STOP"),
            (Trouble::Crashed, _) => shim.set(&["C_WrapKey abort"]),
            (Trouble::LoginsFail, host) => {
                // CKR_DEVICE_ERROR: the sessions to come need some tries.
                shim.set(&["C_Login rv=0x30 times=3"]);
                host.into_iter()
                    .for_each(|host| processes::signal(host, "KILL"));
            }
            // It is being started again: the trouble before goes on.
            (_, None) => {}
        }
    }
}

async fn crowd(site: &Site, ledger: &Ledger, size: usize) -> Vec<Member> {
    let mut joining = JoinSet::new();
    let mut members = Vec::with_capacity(size);
    for number in 0..size {
        if joining.len() == TOGETHER {
            members.extend(joining.join_next().await);
        }
        let mut options = site.options(&format!("member-{number}"));
        options.patience = Duration::from_secs(120);
        // Five hundred of them on two processors: a keep-alive that is late is no loss.
        options.keep_alive = Duration::from_secs(5);
        let client = wardcast::member::Client::new(options).expect("a client");
        let ledger = ledger.clone();
        joining.spawn(async move {
            let name = format!("member-{number}");
            let joined = Member::try_join(client, &name, &ledger).await;
            joined.unwrap_or_else(|error| panic!("{name} cannot join: {error}"))
        });
    }
    members.extend(joining.join_all().await.into_iter().map(Ok));
    members.into_iter().map(|m| m.expect("no panic")).collect()
}

/// Rekeys without end, as fast as epochs are delivered; remembers the longest time between two.
async fn rekey(site: &Site, until: Epoch, mut meanwhile: impl FnMut()) -> Duration {
    let mut worst = Duration::ZERO;
    let mut last = Instant::now();
    let mut seen = site.group(GROUP).await.epoch;
    while seen < until {
        let rotate = format!("/{GROUP}/rotate");
        site.admin(Method::POST, &rotate, None).await;
        let epoch = site.group(GROUP).await.epoch;
        meanwhile();
        if epoch > seen {
            worst = worst.max(last.elapsed());
            last = Instant::now();
            seen = epoch;
        }
        assert!(last.elapsed() < SOON * 2, "no epoch after {seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worst
}

#[tokio::test(flavor = "multi_thread")]
async fn members_outlive_every_trouble_of_the_token() {
    let size = number("WARDCAST_TEST_CHAOS_MEMBERS", MEMBERS);
    let rounds = number("WARDCAST_TEST_CHAOS_ROUNDS", ROUNDS);
    let site = Site::start(Setup {
        token: Token::Shim,
        more: "[token.pool]\ndeadline_ms = 1000\n",
        log: "info,wardcast::admin=warn",
        ..Setup::default()
    })
    .await;
    let shim = site.shim();
    site.ready(true).await;
    site.create(GROUP, json!({ "silence_s": 600 })).await;
    let ledger = Ledger::default();
    let members = crowd(&site, &ledger, size).await;
    let mut worst = Duration::ZERO;
    for round in 0..rounds {
        let trouble = TROUBLES[round % TROUBLES.len()];
        let before = site.group(GROUP).await.epoch;
        let host = processes::token_host(site.pid());
        trouble.begin(site.pid(), &shim);
        let gap = rekey(&site, Epoch(before.0 + EPOCHS), || {
            if trouble.is_over(site.pid(), host) {
                shim.set(&[]);
            }
        })
        .await;
        shim.set(&[]);
        println!("round {round:2}, {trouble:?}: worst gap between epochs {gap:?}");
        worst = worst.max(gap);
    }
    site.rotate(GROUP).await;
    let newest = site.group(GROUP).await.epoch;
    for member in &members {
        member.holds(newest).await;
        let record = member.record();
        assert_eq!(record.ended, None, "{} lost its registration", member.name);
    }
    let group = site.group(GROUP).await;
    assert_eq!(group.members as usize, size, "nobody had to join afresh");
    // Every epoch that was made reached somebody, each with one key.
    let epochs = ledger.check();
    println!("{size} members, {rounds} troubles, {epochs} epochs: worst gap {worst:?}");
    assert!(epochs as u64 > rounds as u64 * EPOCHS);
}
