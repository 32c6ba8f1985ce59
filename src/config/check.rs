//! Values out of bounds, combinations that cannot work, and files that are not there.

use std::fs::File;
use std::path::Path;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::error::{Origin, Problem};
use super::load::Origins;
use super::{Admin, Config, Token, TokenKind};

/// The most sessions that a gateway opens with its token.
const MAX_WORKERS: usize = 64;
/// Upper bound of all other counts: what fits memory is for the operator to say, nonsense is not.
const MAX_COUNT: usize = 10_000_000;
/// Upper bound of shards.
const MAX_SHARDS: usize = 1_024;
/// Upper bound of time-outs, in seconds: a day.
const MAX_TIMEOUT_S: usize = 86_400;

/// All that is wrong with a configuration by itself.
pub(super) fn check(config: &Config, origins: &Origins) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |key: &str, why: String| problems.push(origins.problem(key, why));
    check_bounds(config, &mut report);
    check_paths(config, &mut report);
    check_token(&config.token, origins, &mut report);
    check_admin(&config.admin, &mut report);
    if let Err(error) = config.policy.default.validate() {
        report(&format!("policy.default.{}", error.key), error.why);
    }
    if let Err(why) = check_level(&config.log.level) {
        report("log.level", why);
    }
    problems
}

/// A single word that is no level would be taken for a program's part, all of it logged and nothing else: with a
/// misspelt level the log would fall silent.
fn check_level(level: &str) -> Result<(), String> {
    let levels = "a level is error, warn, info, debug, trace or off; a part's is written as wardcast::quic=debug";
    if let Err(error) = EnvFilter::builder().parse(level) {
        return Err(format!("{level:?}: {error}; {levels}"));
    }
    // Spans have commas of their own, and names that nobody mistakes for a level.
    let mut words = level
        .split(',')
        .map(str::trim)
        .filter(|_| !level.contains('['));
    let unknown = |word: &&str| !word.contains('=') && word.parse::<LevelFilter>().is_err();
    match words.find(unknown) {
        Some(word) => Err(format!("{word:?} is no level; {levels}")),
        None => Ok(()),
    }
}

fn check_bounds(config: &Config, report: &mut dyn FnMut(&str, String)) {
    let (listen, limits) = (&config.listen, &config.limits);
    let count = |value: u32| value as usize;
    let per_identity = count(limits.connections_per_identity);
    let bounds = [
        ("listen.drain_s", count(listen.drain_s), 0, MAX_TIMEOUT_S),
        ("token.workers", config.token.workers, 1, MAX_WORKERS),
        ("token.queue", config.token.queue, 1, MAX_COUNT),
        ("engine.shards", config.engine.shards, 0, MAX_SHARDS),
        (
            "limits.connections",
            count(limits.connections),
            1,
            MAX_COUNT,
        ),
        (
            "limits.connections_per_identity",
            per_identity,
            1,
            MAX_COUNT,
        ),
        ("limits.handshakes", count(limits.handshakes), 1, MAX_COUNT),
    ];
    for (key, value, least, most) in bounds {
        if !(least..=most).contains(&value) {
            report(key, format!("{value}; must be from {least} to {most}"));
        }
    }
}

fn check_paths(config: &Config, report: &mut dyn FnMut(&str, String)) {
    let paths = [
        ("tls.certificate", &config.tls.certificate),
        ("tls.key", &config.tls.key),
        ("tls.client_ca", &config.tls.client_ca),
        ("token.path", &config.token.path),
        ("store.path", &config.store.path),
    ];
    for (key, path) in paths {
        if path.as_os_str().is_empty() {
            report(key, "empty; must be a path".into());
        }
    }
    if config.token.kind == TokenKind::Soft && config.token.path == config.store.path {
        report(
            "token.path",
            "is the same file as store.path; each needs its own".into(),
        );
    }
}

fn check_token(token: &Token, origins: &Origins, report: &mut dyn FnMut(&str, String)) {
    match token.kind {
        TokenKind::Soft => {
            for (key, set) in [
                ("token.module", token.module.is_some()),
                ("token.token_label", token.token_label.is_some()),
            ] {
                if set {
                    report(
                        key,
                        "only a PKCS#11 token has one; set token.kind = \"pkcs11\" or remove it"
                            .into(),
                    );
                }
            }
        }
        TokenKind::Pkcs11 => {
            if token.module.is_none() {
                let why = "token.kind = \"pkcs11\" needs the path of the vendor's library, such as /usr/lib/softhsm/libsofthsm2.so";
                report("token.module", why.into());
            }
            if token.token_label.is_none() {
                let why = "token.kind = \"pkcs11\" needs the token's label; the vendor's tool or pkcs11-tool --list-slots shows it";
                report("token.token_label", why.into());
            }
            if origins.of("token.path") != Origin::Default {
                report(
                    "token.path",
                    "only the software token has a file; set token.kind = \"soft\" or remove it"
                        .into(),
                );
            }
        }
    }
    let sources = [
        ("token.pin_file", token.pin_file.is_some()),
        ("token.pin_env", token.pin_env.is_some()),
        ("token.pin_credential", token.pin_credential.is_some()),
    ];
    let mut set = sources.iter().filter(|(_, set)| *set).map(|(key, _)| *key);
    if let (Some(first), Some(second)) = (set.next(), set.next()) {
        report(
            second,
            format!("{first} is set too; the PIN has one source, remove one of the two"),
        );
    }
}

fn check_admin(admin: &Admin, report: &mut dyn FnMut(&str, String)) {
    if admin.address.is_some() && admin.operators.is_empty() {
        let why = "empty, so nobody could use the interface at admin.address; name identities, such as \"spiffe://example.org/operator\"";
        report("admin.operators", why.into());
    }
    if admin.address.is_none() && !admin.operators.is_empty() {
        let why = "not set, so the interface is off and admin.operators has no meaning; set it, such as \"127.0.0.1:7444\"";
        report("admin.address", why.into());
    }
    for (index, operator) in admin.operators.iter().enumerate() {
        let kinds = ["spiffe://", "dns:", "cn:"];
        let named = |kind: &&str| {
            operator
                .0
                .strip_prefix(*kind)
                .is_some_and(|rest| !rest.is_empty())
        };
        if !kinds.iter().any(named) || operator.0.contains('*') {
            let why = format!(
                "{:?} is no identity; it must be spelled out and begin with spiffe://, dns: or cn:",
                operator.0
            );
            report(&format!("admin.operators[{index}]"), why);
        }
    }
}

/// What the files that are named look like from here.
pub(super) fn check_files(config: &Config, origins: &Origins) -> Vec<Problem> {
    let mut problems = Vec::new();
    let Config {
        tls, token, store, ..
    } = config;
    let mut must_read = vec![
        ("tls.certificate".to_owned(), tls.certificate.as_path()),
        ("tls.key".to_owned(), &tls.key),
        ("tls.client_ca".to_owned(), &tls.client_ca),
    ];
    must_read.extend(
        tls.crl
            .iter()
            .enumerate()
            .map(|(index, path)| (format!("tls.crl[{index}]"), path.as_path())),
    );
    let optional = [
        ("token.module", &token.module),
        ("token.pin_file", &token.pin_file),
    ];
    must_read.extend(
        optional
            .iter()
            .filter_map(|(key, path)| Some(((*key).to_owned(), path.as_deref()?))),
    );
    for (key, path) in must_read {
        if let Err(error) = File::open(path) {
            problems.push(origins.problem(&key, format!("{}: {error}", path.display())));
        }
    }
    let soft = (token.kind == TokenKind::Soft).then_some(("token.path", &token.path));
    for (key, path) in soft.into_iter().chain([("store.path", &store.path)]) {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        if !folder.is_dir() {
            problems.push(origins.problem(
                key,
                format!("its folder {} does not exist; create it", folder.display()),
            ));
        }
    }
    problems
}
