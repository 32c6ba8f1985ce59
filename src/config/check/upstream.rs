//! What can be wrong with `[upstream]`.

use std::path::Path;

use crate::config::upstream::{Encoding, Upstream};

/// Bounds of what a request may take: shorter ones fail on a busy machine, longer ones hold up what follows.
const MIN_DEADLINE_MS: u32 = 100;
const MAX_DEADLINE_MS: u32 = 600_000;
const MAX_CONNECTIONS: u32 = 256;
const MAX_ADDRESSES: usize = 8;
const MAX_POLL_S: u32 = 86_400;
/// Names of objects begin with it: short, and safe in any query.
const MAX_NAME: usize = 64;

pub(super) fn check(upstream: &Upstream, report: &mut dyn FnMut(&str, String)) {
    let Upstream {
        addresses,
        encoding,
        name,
        ..
    } = upstream;
    let bounds = [
        ("connections", upstream.connections, 1, MAX_CONNECTIONS),
        (
            "deadline_ms",
            upstream.deadline_ms,
            MIN_DEADLINE_MS,
            MAX_DEADLINE_MS,
        ),
        ("poll_s", upstream.poll_s, 1, MAX_POLL_S),
    ];
    for (key, value, least, most) in bounds {
        if !(least..=most).contains(&value) {
            let why = format!("{value}; must be from {least} to {most}");
            report(&format!("upstream.{key}"), why);
        }
    }
    if addresses.len() > MAX_ADDRESSES {
        let why = format!("{} addresses; at most {MAX_ADDRESSES}", addresses.len());
        report("upstream.addresses", why);
    }
    for (at, address) in addresses.iter().enumerate() {
        let key = format!("upstream.addresses[{at}]");
        match address.split_once("://") {
            Some(("https", _)) => {}
            Some(("kmips", _)) if *encoding == Encoding::Ttlv => {}
            Some(("kmips", _)) => {
                let why = "JSON and XML need https: use https://HOST/kmip, or encoding = \"ttlv\"";
                report(&key, why.into());
            }
            _ => {
                let why = "must be like kmips://HOST:5696 or https://HOST/kmip";
                report(&key, why.into());
            }
        }
    }
    let good = |sign: char| sign.is_ascii_alphanumeric() || "-_.".contains(sign);
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(good) {
        let why = format!("{name:?}; must be 1 to {MAX_NAME} letters, digits, '-', '_' or '.'");
        report("upstream.name", why);
    }
    let both = [&upstream.certificate, &upstream.key].map(|path| path.as_os_str().is_empty());
    if both[0] != both[1] {
        let key = ["upstream.certificate", "upstream.key"][usize::from(both[1])];
        report(
            key,
            "empty, but the other of certificate and key is set: set both, or neither".into(),
        );
    }
}

/// Files that have to be there.
pub(super) fn must_read(upstream: &Upstream) -> impl Iterator<Item = (String, &Path)> {
    let files = [
        ("certificate", &upstream.certificate),
        ("key", &upstream.key),
        ("ca", &upstream.ca),
    ];
    let named = files
        .into_iter()
        .filter(|(_, path)| !path.as_os_str().is_empty());
    named.map(|(key, path)| (format!("upstream.{key}"), path.as_path()))
}
