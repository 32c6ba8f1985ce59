//! Values out of bounds, combinations that cannot work, and files that are not there.

mod admin;
mod attributes;
mod front;
mod siem;
mod token;
mod trace;
mod upstream;

use std::fs::File;
use std::path::Path;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::error::Problem;
use super::load::Origins;
use super::{Config, Multicast};

/// The most sessions that a gateway opens with its token.
const MAX_WORKERS: usize = 64;
/// Bounds of the deadline of a call into a token: shorter ones lose workers to a busy machine, longer ones help nobody.
const MIN_DEADLINE_MS: usize = 100;
const MAX_DEADLINE_MS: usize = 600_000;
/// Upper bound of all other counts: what fits memory is for the operator to say, nonsense is not.
const MAX_COUNT: usize = 10_000_000;
/// Upper bound of sockets on one port.
const MAX_SOCKETS: usize = 64;
/// Upper bound of what is sent, in megabits a second.
const MAX_PACE: usize = 1_000_000;
/// Upper bound of shards.
const MAX_SHARDS: usize = 1_024;
/// How often a rekey may be multicast again, and how long the pauses before may be.
const MAX_REPEATS: usize = 8;
const MAX_REPEAT_AFTER_MS: usize = 10_000;
/// Bounds of heartbeats: more frequent ones are traffic for its own sake, and rarer ones leave members behind.
const MIN_HEARTBEAT_MS: usize = 100;
const MAX_HEARTBEAT_MS: usize = 60_000;
/// Upper bound of time-outs, in seconds: a day.
const MAX_TIMEOUT_S: usize = 86_400;
const MAX_ALIVE_MS: usize = 300_000;

/// All that is wrong with a configuration by itself.
pub(super) fn check(config: &Config, origins: &Origins) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |key: &str, why: String| problems.push(origins.problem(key, why));
    check_bounds(config, &mut report);
    check_paths(config, &mut report);
    token::check(&config.token, origins, &mut report);
    check_multicast(&config.multicast, &mut report);
    admin::check(&config.admin, &mut report);
    admin::check_addresses(&config.listen.drain_to, &mut report);
    upstream::check(&config.upstream, &mut report);
    attributes::check_jwt(&config.jwt, &mut report);
    front::check(&config.front, &config.jwt, &config.upstream, &mut report);
    attributes::check_ldap(&config.ldap, &mut report);
    siem::check(&config.siem, &mut report);
    if let Err(error) = config.policy.default.validate() {
        report(&format!("policy.default.{}", error.key), error.why);
    }
    if config.policy.default.escrow && config.token.escrow_label.is_none() {
        let why = "true, but there is no key to escrow under; set token.escrow_label, or set this to false";
        report("policy.default.escrow", why.to_owned());
    }
    trace::check(&config.trace, &mut report);
    if let Err(why) = check_level(&config.log.level) {
        report("log.level", why);
    }
    problems
}

/// Whether these are directives about what is logged. A single word that is no level would be taken for a program's part, all of it logged and nothing else: with a
/// misspelt level the log would fall silent.
pub fn check_level(level: &str) -> Result<(), String> {
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
    let (listen, limits, pool) = (&config.listen, &config.limits, &config.token.pool);
    let count = |value: u32| value as usize;
    let per_identity = count(limits.connections_per_identity);
    let bounds = [
        ("listen.sockets", listen.sockets.into(), 0, MAX_SOCKETS),
        ("listen.pace_mbit_s", count(listen.pace_mbit_s), 0, MAX_PACE),
        ("listen.drain_s", count(listen.drain_s), 0, MAX_TIMEOUT_S),
        ("listen.alive_ms", count(listen.alive_ms), 100, MAX_ALIVE_MS),
        ("token.pool.workers", pool.workers, 1, MAX_WORKERS),
        ("token.pool.queue", pool.queue, 1, MAX_COUNT),
        (
            "token.pool.deadline_ms",
            count(pool.deadline_ms),
            MIN_DEADLINE_MS,
            MAX_DEADLINE_MS,
        ),
        ("token.pool.lost_workers", pool.lost_workers, 0, MAX_WORKERS),
        ("audit.max_mb", count(config.audit.max_mb), 1, MAX_COUNT),
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

fn check_multicast(multicast: &Multicast, report: &mut dyn FnMut(&str, String)) {
    let Multicast {
        ttl,
        repeat_after_ms,
        heartbeat_ms,
        report_s,
        ..
    } = multicast;
    let count = |value: u32| value as usize;
    let mut bounds = vec![
        ("multicast.ttl".to_owned(), usize::from(*ttl), 1, 255),
        (
            "multicast.heartbeat_ms".to_owned(),
            count(*heartbeat_ms),
            MIN_HEARTBEAT_MS,
            MAX_HEARTBEAT_MS,
        ),
        (
            "multicast.report_s".to_owned(),
            count(*report_s),
            1,
            MAX_TIMEOUT_S,
        ),
    ];
    let pauses = repeat_after_ms.iter().enumerate().map(|(at, pause)| {
        let key = format!("multicast.repeat_after_ms[{at}]");
        (key, count(*pause), 1, MAX_REPEAT_AFTER_MS)
    });
    bounds.extend(pauses);
    for (key, value, least, most) in bounds {
        if !(least..=most).contains(&value) {
            report(&key, format!("{value}; must be from {least} to {most}"));
        }
    }
    if repeat_after_ms.len() > MAX_REPEATS {
        let why = format!("{} pauses; at most {MAX_REPEATS}", repeat_after_ms.len());
        report("multicast.repeat_after_ms", why);
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
    if token::is_file(&config.token, &config.store.path) {
        report(
            "token.path",
            "is the same file as store.path; each needs its own".into(),
        );
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
    must_read.extend(token::must_read(token));
    must_read.extend(upstream::must_read(&config.upstream));
    if !config.policy.rules.as_os_str().is_empty() {
        must_read.push(("policy.rules".to_owned(), &config.policy.rules));
    }
    must_read.extend(attributes::must_read(&config.jwt, &config.ldap));
    must_read.extend(siem::must_read(&config.siem));
    if !config.trace.ca.as_os_str().is_empty() {
        must_read.push(("trace.ca".to_owned(), &config.trace.ca));
    }
    for (key, path) in must_read {
        if let Err(error) = File::open(path) {
            problems.push(origins.problem(&key, format!("{}: {error}", path.display())));
        }
    }
    let files = token::files(token).chain([("store.path".to_owned(), store.path.as_path())]);
    for (key, path) in files {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        if !folder.is_dir() {
            problems.push(origins.problem(
                &key,
                format!("its folder {} does not exist; create it", folder.display()),
            ));
        }
    }
    problems
}
