//! With the token in a process of its own, the gateway's memory holds none of a group's keys, whenever one looks.
//!
//! The keys are those that a member knows: it climbs from its leaf to the root of every epoch. That the search would find them
//! is shown on this very process, which does hold them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;
use wardcast::crypto::{self, EphemeralKey, Key};
use wardcast::group::ids::{Epoch, Suite};
use wardcast::group::wire::{
    EpochHeader, Grant, Offer, PathDelivery, Pull, Request, Response, grant_transcript,
};

use crate::scan::scan;
use crate::support::members::{Ledger, Member};
use crate::support::{GROUP, Setup, Site, Token, raw};

/// Epochs that are made while the gateway is looked at.
const REKEYS: usize = 60;

/// What one member knows.
struct Knowledge {
    leaf: Key,
    /// Every node key of every epoch, as bytes to look for.
    keys: Vec<Vec<u8>>,
}

impl Knowledge {
    fn of(grant: &Grant, ephemeral: &EphemeralKey) -> Self {
        let transcript = grant_transcript(
            grant.suite,
            &grant.group,
            grant.member,
            &grant.leaf,
            &ephemeral.public(),
            &grant.agreement,
        );
        let leaf = ephemeral.open_grant(&grant.agreement, &transcript, &grant.wrapped);
        let leaf = leaf.expect("the grant is ours");
        let mut known = Self {
            keys: vec![leaf.as_bytes().to_vec()],
            leaf,
        };
        known.climb(&grant.path);
        known
    }

    /// Opens a path, and makes sure that it led to the root of its epoch.
    fn climb(&mut self, path: &PathDelivery) {
        let header = EpochHeader::parse(&path.header).expect("a header");
        let mut key = self.leaf.clone();
        let mut step = 0;
        for edge in &path.edges {
            key = self.ratchet(key, step, edge.child.step);
            key = crypto::unwrap(Suite::One, &key, &edge.wrapped).expect("the edge opens");
            step = edge.parent.step;
            self.keys.push(key.as_bytes().to_vec());
        }
        let root = self.ratchet(key, step, header.header.root.step);
        let tag = crypto::confirmation_tag(Suite::One, &root, header.prefix());
        assert_eq!(tag, header.tag, "the path leads to the root");
    }

    fn ratchet(&mut self, mut key: Key, from: u16, to: u16) -> Key {
        for _ in from..to {
            key = crypto::ratchet(Suite::One, &key);
            self.keys.push(key.as_bytes().to_vec());
        }
        key
    }
}

async fn crowd(site: &Site, ledger: &Ledger) -> Vec<Member> {
    let mut crowd = Vec::new();
    for number in 0..20 {
        crowd.push(Member::join(site, &format!("member-{number}"), ledger).await);
    }
    crowd
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_never_holds_a_key() {
    let site = Site::start(Setup {
        token: Token::SoftHsm,
        ..Setup::default()
    })
    .await;
    site.ready(true).await;
    site.create(GROUP, json!({})).await;
    let ledger = Ledger::default();
    let mut crowd = crowd(&site, &ledger).await;
    let connection = raw::connect(&site, "watcher").await.expect("connects");
    let ephemeral = EphemeralKey::generate();
    let mut join = raw::join(GROUP);
    join.offer = Offer::of(Suite::One, ephemeral.public().to_vec());
    let Response::Granted(grant) = raw::ask(&connection, &Request::Join(join)).await else {
        panic!("not granted");
    };
    let mut known = Knowledge::of(&grant, &ephemeral);

    // Looked at all the while, for the keys that are known by then: those of the epoch in use among them.
    let needles = Arc::new(Mutex::new(known.keys.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    let watching = {
        let (needles, stop, pid) = (needles.clone(), stop.clone(), site.pid());
        thread::spawn(move || {
            let mut looks = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let needles = needles.lock().expect("no panic").clone();
                looks.push(scan(pid, &needles).expect("its memory can be read"));
            }
            looks
        })
    };
    for number in 0..REKEYS {
        match number % 3 {
            0 => {
                site.evict(GROUP, crowd.pop().expect("somebody is left").id())
                    .await
            }
            1 => crowd.push(Member::join(&site, &format!("late-{number}"), &ledger).await),
            _ => site.rotate(GROUP).await,
        }
        let pull = Request::Pull(Pull {
            group: GROUP.to_owned(),
            member: grant.member,
            epoch: Epoch(0),
            leaf: None,
            offer: None,
        });
        match raw::ask(&connection, &pull).await {
            Response::KeySet(keys) => known.climb(&keys.path),
            other => panic!("no keys: {other:?}"),
        }
        needles.lock().expect("no panic").clone_from(&known.keys);
    }
    stop.store(true, Ordering::Relaxed);
    let mut looks = watching.join().expect("no panic");
    known.keys.sort_unstable();
    known.keys.dedup();
    assert!(known.keys.len() > REKEYS, "{} keys", known.keys.len());
    looks.push(scan(site.pid(), &known.keys).expect("its memory can be read"));
    for look in &looks {
        assert!(look.found.is_empty(), "{:?}", look.found);
        assert!(look.bytes > 0 && look.mappings > 0);
    }

    they_would_be_found(&known.keys);
    println!(
        "{} keys, looked for {} times in {} MiB of the gateway's memory: none found",
        known.keys.len(),
        looks.len(),
        looks.iter().map(|look| look.bytes).sum::<u64>() >> 20
    );
}

/// This process, a member, holds them all.
fn they_would_be_found(keys: &[Vec<u8>]) {
    let own = scan(std::process::id(), keys).expect("its memory can be read");
    let mut found: Vec<usize> = own.found.iter().map(|found| found.needle).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), keys.len());
}
