//! What can be wrong with `[jwt]` and `[ldap]`.

use std::path::Path;

use crate::config::attributes::{Jwt, Ldap};

/// A leeway is for clocks that differ, not for tokens that have run out.
const MAX_LEEWAY_S: u32 = 600;
const MAX_REFRESH_S: u32 = 86_400;
/// For a week, keys that nobody vouches for any more are used at most.
const MAX_STALE_S: u32 = 604_800;
/// Bounds of what a question may take: shorter ones fail on a busy machine, longer ones keep members waiting.
const MIN_DEADLINE_MS: u32 = 100;
const MAX_DEADLINE_MS: u32 = 30_000;
const MAX_FRESH_S: u32 = 86_400;
const MAX_ADDRESSES: usize = 8;
/// Names of claims, and how long they may be.
const MAX_NAMES: usize = 64;
const MAX_NAME: usize = 256;

pub(super) fn check_jwt(jwt: &Jwt, report: &mut dyn FnMut(&str, String)) {
    let bounds = [
        ("leeway_s", jwt.leeway_s, 0, MAX_LEEWAY_S),
        ("refresh_s", jwt.refresh_s, 1, MAX_REFRESH_S),
        ("stale_s", jwt.stale_s, jwt.refresh_s, MAX_STALE_S),
    ];
    for (key, value, least, most) in bounds {
        if !(least..=most).contains(&value) {
            let why = format!("{value}; must be from {least} to {most}");
            report(&format!("jwt.{key}"), why);
        }
    }
    check_names("jwt.claims", &jwt.claims, report);
    let needed = [("audience", &jwt.audience), ("jwks", &jwt.jwks)];
    for (key, value) in needed {
        let key = format!("jwt.{key}");
        match (jwt.issuer.is_empty(), value.is_empty()) {
            (true, false) => {
                let why = "set, but jwt.issuer is not, so no token is looked at; set both";
                report(&key, why.into());
            }
            (false, true) => report(&key, "empty; jwt.issuer needs it".into()),
            _ => {}
        }
    }
    let https = jwt.jwks.strip_prefix("https://");
    if !jwt.jwks.is_empty() && https.is_none_or(str::is_empty) {
        let why = format!(
            "{:?}; must be https://HOST/PATH: keys that come any other way could be anybody's",
            jwt.jwks
        );
        report("jwt.jwks", why);
    }
}

/// Names of claims or of a directory's attributes.
pub(super) fn check_names(key: &str, names: &[String], report: &mut dyn FnMut(&str, String)) {
    if names.len() > MAX_NAMES {
        report(key, format!("{} names; at most {MAX_NAMES}", names.len()));
    }
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() || name.len() > MAX_NAME {
            let why = format!("{} bytes; must be 1 to {MAX_NAME}", name.len());
            report(&format!("{key}[{at}]"), why);
        }
    }
}

pub(super) fn check_ldap(ldap: &Ldap, report: &mut dyn FnMut(&str, String)) {
    let bounds = [
        (
            "deadline_ms",
            ldap.deadline_ms,
            MIN_DEADLINE_MS,
            MAX_DEADLINE_MS,
        ),
        ("fresh_s", ldap.fresh_s, 0, MAX_FRESH_S),
        ("stale_s", ldap.stale_s, ldap.fresh_s, MAX_STALE_S),
    ];
    for (key, value, least, most) in bounds {
        if !(least..=most).contains(&value) {
            let why = format!("{value}; must be from {least} to {most}");
            report(&format!("ldap.{key}"), why);
        }
    }
    check_names("ldap.attributes", &ldap.attributes, report);
    if ldap.addresses.len() > MAX_ADDRESSES {
        let why = format!(
            "{} addresses; at most {MAX_ADDRESSES}",
            ldap.addresses.len()
        );
        report("ldap.addresses", why);
    }
    for (at, address) in ldap.addresses.iter().enumerate() {
        let host = address
            .split_once("://")
            .filter(|(scheme, _)| ["ldaps", "ldap"].contains(scheme));
        if host.is_none_or(|(_, host)| host.is_empty() || host.contains('/')) {
            let why = format!(
                "{address:?}; must be ldaps://HOST or ldaps://HOST:PORT, or with ldap:// for StartTLS"
            );
            report(&format!("ldap.addresses[{at}]"), why);
        }
    }
    check_bind(ldap, report);
}

fn check_bind(ldap: &Ldap, report: &mut dyn FnMut(&str, String)) {
    let files = [
        !ldap.password_file.as_os_str().is_empty(),
        !ldap.password_credential.is_empty(),
    ];
    match (ldap.bind_dn.is_empty(), files) {
        (_, [true, true]) => {
            let why = "set, and ldap.password_credential too: set one of them";
            report("ldap.password_file", why.into());
        }
        (true, [true, _] | [_, true]) => {
            let why = "empty, but there is a password: whose is it?";
            report("ldap.bind_dn", why.into());
        }
        (false, [false, false]) => {
            let why = "empty, and ldap.password_credential too: ldap.bind_dn needs a password";
            report("ldap.password_file", why.into());
        }
        _ => {}
    }
    let name = &ldap.password_credential;
    if name.contains('/') || name == ".." {
        report(
            "ldap.password_credential",
            format!("{name:?}; a credential's name has no slash"),
        );
    }
}

/// Files that have to be there.
pub(super) fn must_read<'a>(
    jwt: &'a Jwt,
    ldap: &'a Ldap,
) -> impl Iterator<Item = (String, &'a Path)> {
    let files = [
        ("jwt.ca", &jwt.ca),
        ("ldap.ca", &ldap.ca),
        ("ldap.password_file", &ldap.password_file),
    ];
    let named = files
        .into_iter()
        .filter(|(_, path)| !path.as_os_str().is_empty());
    named.map(|(key, path)| (key.to_owned(), path.as_path()))
}
