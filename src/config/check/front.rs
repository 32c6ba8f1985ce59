//! What can be wrong with `[front]`.

use crate::config::{Front, Jwt};

/// Entries of one role.
const MAX_ENTRIES: usize = 10_000;

pub(super) fn check(front: &Front, jwt: &Jwt, report: &mut dyn FnMut(&str, String)) {
    let roles = front.roles.by_name();
    let somebody = roles.iter().any(|(_, whom)| !whom.is_empty());
    if front.address.is_some() && !somebody {
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

fn entry(one: &str, jwt: &Jwt) -> Result<(), String> {
    let Some(claim) = one.strip_prefix("claim:") else {
        let kinds = ["spiffe://", "dns:", "cn:"];
        let named = |kind: &&str| one.strip_prefix(*kind).is_some_and(|rest| !rest.is_empty());
        return match kinds.iter().any(named) && !one.contains('*') {
            true => Ok(()),
            false => Err(format!(
                "{one:?} is no identity; it must be spelled out and begin with spiffe://, dns: or cn:, or be like claim:NAME=VALUE"
            )),
        };
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
