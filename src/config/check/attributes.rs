//! What can be wrong with `[jwt]`.

use std::path::Path;

use crate::config::attributes::Jwt;

/// A leeway is for clocks that differ, not for tokens that have run out.
const MAX_LEEWAY_S: u32 = 600;
const MAX_REFRESH_S: u32 = 86_400;
/// For a week, keys that nobody vouches for any more are used at most.
const MAX_STALE_S: u32 = 604_800;
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

/// Files that have to be there.
pub(super) fn must_read(jwt: &Jwt) -> impl Iterator<Item = (String, &Path)> {
    let ca = std::iter::once(&jwt.ca).filter(|path| !path.as_os_str().is_empty());
    ca.map(|path| ("jwt.ca".to_owned(), path.as_path()))
}
