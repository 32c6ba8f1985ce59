//! What can be wrong with `[front]`.

use crate::config::{Front, Jwt, Upstream};

/// Entries of one role.
const MAX_ENTRIES: usize = 10_000;
/// Identities of key stores: of each address one, and as many again while certificates change.
const MAX_NOTIFIERS: usize = 16;

pub(super) fn check(
    front: &Front,
    jwt: &Jwt,
    upstream: &Upstream,
    report: &mut dyn FnMut(&str, String),
) {
    notifiers(front, upstream, report);
    let roles = front.roles.by_name();
    let somebody = roles.iter().any(|(_, whom)| !whom.is_empty());
    if front.address.is_some() && !somebody && front.notifiers.is_empty() {
        let why = "nobody has a role, so nobody could use the front at front.address; name identities, such as \"spiffe://example.org/officer\"";
        report("front.roles.operator", why.into());
    }
    if front.address.is_none() && somebody {
        let why = "not set, so the front is off and front.roles has no meaning; set it, such as \"127.0.0.1:7445\"";
        report("front.address", why.into());
    }
    for (role, whom) in roles {
        if whom.len() > MAX_ENTRIES {
            let why = format!("{} entries; at most {MAX_ENTRIES}", whom.len());
            report(&format!("front.roles.{role}"), why);
        }
        for (at, one) in whom.iter().enumerate() {
            if let Err(why) = entry(&one.0, jwt) {
                report(&format!("front.roles.{role}[{at}]"), why);
            }
        }
    }
}

fn notifiers(front: &Front, upstream: &Upstream, report: &mut dyn FnMut(&str, String)) {
    let all = &front.notifiers;
    if !all.is_empty() && front.address.is_none() {
        let why =
            "front.address is not set, so nobody can notify; set it, such as \"127.0.0.1:7445\"";
        report("front.notifiers", why.into());
    }
    if !all.is_empty() && upstream.addresses.is_empty() {
        let why =
            "there is no key store that could notify; name its addresses in upstream.addresses";
        report("front.notifiers", why.into());
    }
    if all.len() > MAX_NOTIFIERS {
        let why = format!("{} entries; at most {MAX_NOTIFIERS}", all.len());
        report("front.notifiers", why);
    }
    for (at, one) in all.iter().enumerate() {
        if let Err(why) = identity(&one.0, "") {
            report(&format!("front.notifiers[{at}]"), why);
        }
    }
}

/// Whether it is one that a certificate may have; and what it may be besides, in words.
fn identity(one: &str, or: &str) -> Result<(), String> {
    let kinds = ["spiffe://", "dns:", "cn:"];
    let named = |kind: &&str| one.strip_prefix(*kind).is_some_and(|rest| !rest.is_empty());
    match kinds.iter().any(named) && !one.contains('*') {
        true => Ok(()),
        false => Err(format!(
            "{one:?} is no identity; it must be spelled out and begin with spiffe://, dns: or cn:{or}"
        )),
    }
}

fn entry(one: &str, jwt: &Jwt) -> Result<(), String> {
    let Some(claim) = one.strip_prefix("claim:") else {
        return identity(one, ", or be like claim:NAME=VALUE");
    };
    match claim.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            if jwt.issuer.is_empty() {
                return Err("no token is looked at, because jwt.issuer is empty; set it".into());
            }
            match jwt.claims.iter().any(|known| known == name) {
                true => Ok(()),
                false => Err(format!("{name:?} is not among jwt.claims; add it there")),
            }
        }
        _ => Err(format!("{one:?}; must be like claim:NAME=VALUE")),
    }
}
