//! A run at the most talkative log level leaves no secret in the log, and none on disk.

use std::collections::HashMap;
use std::fs;

use serde_json::json;
use tokio::sync::mpsc;
use wardcast::crypto::{EpochSecret, Key, ratchet, unwrap};
use wardcast::group::ids::{KeyRef, NodeId, Role};
use wardcast::group::wire::EpochHeader;
use wardcast::member::{Client, Event, Membership, Observed};

use crate::support::{GROUP, PIN, Setup, Site};

/// The keys that one member comes by, by the same rules as the client library but kept for good.
struct Keys {
    known: HashMap<NodeId, (KeyRef, Key)>,
    all: Vec<(String, Vec<u8>)>,
}

impl Keys {
    fn of(membership: &Membership) -> Self {
        let ticket = membership.ticket();
        let mut keys = Self {
            known: HashMap::new(),
            all: Vec::new(),
        };
        keys.add(ticket.leaf, ticket.leaf_key.clone());
        keys
    }

    fn add(&mut self, name: KeyRef, key: Key) {
        self.all
            .push((format!("{name:?}"), key.as_bytes().to_vec()));
        self.known.insert(name.node, (name, key));
    }

    /// The key of that name, ratcheted forward if an earlier step is known.
    fn get(&mut self, name: KeyRef) -> Option<Key> {
        let (known, key) = self.known.get(&name.node)?.clone();
        if known.generation != name.generation || known.step > name.step {
            return None;
        }
        let mut key = key;
        for step in known.step..name.step {
            key = ratchet(&key);
            let step = step + 1;
            self.add(KeyRef { step, ..name }, key.clone());
        }
        Some(key)
    }

    /// What an epoch teaches.
    fn learn(&mut self, membership: &Membership, observed: &Observed) {
        for edge in &observed.edges {
            if let Some(child) = self.get(edge.child)
                && let Some(parent) = unwrap(&child, &edge.wrapped)
            {
                self.add(edge.parent, parent);
            }
        }
        let header = EpochHeader::parse(&observed.header)
            .expect("a header")
            .header;
        let Some(root) = self.get(header.root) else {
            return;
        };
        let secret = EpochSecret::of(&root, membership.ticket().group_id, header.epoch);
        let export = secret.export("srtp", b"", 32).expect("a key");
        self.all
            .push((format!("export of {}", header.epoch), export.to_vec()));
    }
}

/// The ways in which bytes get into a log: hexadecimal, base64, a list of numbers, an escaped string.
fn forms(secret: &[u8]) -> Vec<String> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal: Vec<String> = secret.iter().map(u8::to_string).collect();
    let hex_list: Vec<String> = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    // At the places where it can begin within a longer text, without the digits that depend on its neighbours.
    let base64 = (0..3).map(|skip| base64(&secret[skip..secret.len() - (secret.len() - skip) % 3]));
    let mut forms: Vec<String> = base64.collect();
    forms.push(forms[0].replace('+', "-").replace('/', "_"));
    forms.push(hex.to_uppercase());
    forms.push(hex);
    forms.push(decimal.join(", "));
    forms.push(decimal.join(","));
    forms.push(hex_list.join(", 0x"));
    forms.push(hex_list.join(" "));
    forms.push(hex_list.join(":"));
    forms.push(secret.escape_ascii().to_string());
    forms
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| char::from(DIGITS[bits as usize & 63]);
    let group = |three: &[u8]| {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        [18, 12, 6, 0].map(|shift| digit(bits >> shift))
    };
    bytes.chunks_exact(3).flat_map(group).collect()
}

fn leaks(text: &str, secrets: &[(String, Vec<u8>)]) -> Vec<String> {
    let leaked = |(what, secret): &(String, Vec<u8>)| {
        let found = forms(secret)
            .into_iter()
            .find(|form| text.contains(form.as_str()));
        found.map(|form| format!("{what} as {form}"))
    };
    secrets.iter().filter_map(leaked).collect()
}

#[test]
fn the_search_finds_what_it_should() {
    let secret = [("it".to_owned(), (1..=32).collect::<Vec<u8>>())];
    let key = Key::from_bytes(std::array::from_fn(|index| index as u8 + 1));
    assert!(
        leaks(&format!("{key:?}"), &secret).is_empty(),
        "keys do not show themselves"
    );
    for text in [
        format!("{:?}", secret[0].1),
        format!("{:?}", bytes::Bytes::from(secret[0].1.clone())),
        "0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20".to_owned(),
        "x=AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=".to_owned(),
        // One byte before it.
        "x=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g".to_owned(),
    ] {
        assert_eq!(leaks(&text, &secret).len(), 1, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_log_or_the_disk() {
    let setup = Setup {
        log: "trace",
        ..Setup::default()
    };
    let mut site = Site::start(setup).await;
    site.create(GROUP, json!({})).await;
    let (tap, mut tapped) = mpsc::channel(10_000);
    let mut options = site.options("anna");
    options.tap = Some(tap);
    let client = Client::new(options).expect("a client");
    let mut anna = client.join(GROUP, Role::Both).await.expect("a grant");
    let mut keys = Keys::of(&anna);
    let others = [
        site.client("bert"),
        site.client("cleo"),
        site.client("dora"),
    ];
    let mut crowd = Vec::new();
    for other in &others {
        crowd.push(other.join(GROUP, Role::Both).await.expect("a grant"));
    }
    site.rotate(GROUP).await;
    site.evict(GROUP, crowd[0].member()).await;
    site.rotate(GROUP).await;
    let newest = site.group(GROUP).await.epoch;
    while anna.next().await.expect("it goes on") != (Event::Installed { epoch: newest }) {}
    site.terminate().await;

    while let Ok(observed) = tapped.try_recv() {
        keys.learn(&anna, &observed);
    }
    let roots = keys
        .all
        .iter()
        .filter(|(what, _)| what.starts_with("export"));
    assert!(
        roots.count() >= 3,
        "the keys of several epochs are known here"
    );
    for membership in &crowd {
        let leaf = membership.ticket().leaf_key.as_bytes().to_vec();
        keys.all.push(("a leaf key".to_owned(), leaf));
    }
    let mut secrets = keys.all;
    secrets.push(("the PIN".to_owned(), PIN.as_bytes().to_vec()));

    let log = site.log_text();
    assert!(log.contains("TRACE"), "the log says all that it can");
    assert_eq!(leaks(&log, &secrets), Vec::<String>::new());
    assert!(!log.contains(PIN), "the PIN");
    for file in fs::read_dir(site.folder()).expect("a folder") {
        let path = file.expect("an entry").path();
        if path.ends_with("pin") {
            continue;
        }
        let bytes = fs::read(&path).expect("a file");
        for (what, secret) in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{what} is in {}", path.display());
        }
    }
}
