//! Which key exchange handshakes agree on: counted where a listener does its half of it.

use std::sync::LazyLock;

use metrics::Counter;
use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, SupportedKxGroup, aws_lc_rs};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, ProtocolVersion};

/// The groups that there are, as metrics call them.
pub(super) const GROUPS: &[&str] = &[
    "X25519MLKEM768",
    "secp256r1MLKEM768",
    "MLKEM768",
    "X25519",
    "secp256r1",
    "secp384r1",
    "other",
];

/// The groups that are offered, the preferred one first; each counts how often a listener uses it.
pub(super) fn counted() -> Vec<&'static dyn SupportedKxGroup> {
    static COUNTED: LazyLock<Vec<Counted>> = LazyLock::new(|| {
        let groups = aws_lc_rs::default_provider().kx_groups.into_iter();
        groups.map(Counted::new).collect()
    });
    let groups = COUNTED.iter();
    groups.map(|group| group as &dyn SupportedKxGroup).collect()
}

#[derive(Debug)]
struct Counted {
    group: &'static dyn SupportedKxGroup,
    word: &'static str,
}

impl Counted {
    fn new(group: &'static dyn SupportedKxGroup) -> Self {
        let name = format!("{:?}", group.name());
        let known = GROUPS.iter().find(|known| **known == name);
        Counted {
            group,
            word: known.copied().unwrap_or("other"),
        }
    }

    /// Looked up each time: a handshake costs a thousand times as much.
    fn counter(&self) -> Counter {
        metrics::counter!("wardcast_key_exchanges_total", "key_exchange" => self.word)
    }
}

impl SupportedKxGroup for Counted {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        self.group.start()
    }

    /// What a server does, and it alone.
    fn start_and_complete(&self, peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let completed = self.group.start_and_complete(peer)?;
        self.counter().increment(1);
        Ok(completed)
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        self.group.ffdhe_group()
    }

    fn name(&self) -> NamedGroup {
        self.group.name()
    }

    fn fips(&self) -> bool {
        self.group.fips()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        self.group.usable_for_version(version)
    }
}
