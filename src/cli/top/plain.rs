//! One snapshot as text, for pipes: nothing in it moves, and no colour is in it.

use std::fmt::Write;

use super::screen::{long, size};
use crate::admin::api::{OverviewView, UpstreamState};
use crate::cli::admin::member::plain;
use crate::cli::admin::table::empty;

/// The whole snapshot.
pub(super) fn text(view: &OverviewView) -> String {
    let mut text = String::new();
    let gateway = &view.gateway;
    // A String takes whatever is written to it.
    let _ = writeln!(
        text,
        "wardcast {}, up {}, {}; as of {}",
        gateway.version,
        long(gateway.uptime_s),
        ready(view),
        view.at
    );
    let _ = writeln!(
        text,
        "{}\n{}\n{}",
        members(view),
        token(view),
        keeping(view)
    );
    let _ = writeln!(text, "{}", latency(view));
    let mut groups = empty(&[
        "group",
        "members",
        "present",
        "behind",
        "rekeys/min",
        "joins/min",
        "epoch",
        "active",
        "frozen",
    ]);
    for group in &view.busiest {
        let counts = group.counts;
        groups.add_row([
            plain(&group.name),
            counts.members.to_string(),
            counts.present.to_string(),
            counts.behind.to_string(),
            group.rekeys.to_string(),
            group.joins.to_string(),
            group.epoch.to_string(),
            group.active.to_string(),
            if group.frozen { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let _ = write!(text, "{groups}");
    if !view.slowest.is_empty() {
        let mut slow = empty(&["slowest", "member", "group", "epochs behind", "waited"]);
        for member in &view.slowest {
            slow.add_row([
                plain(&member.identity.0),
                member.member.to_string(),
                plain(&member.group),
                member.behind.to_string(),
                long(member.waited_s),
            ]);
        }
        let _ = write!(text, "\n{slow}");
    }
    text
}

/// Whether members can be admitted, and what is wrong besides.
pub(super) fn ready(view: &OverviewView) -> String {
    let ready = &view.gateway.ready;
    let silent = view
        .gateway
        .shards
        .iter()
        .filter(|shard| shard.is_none())
        .count();
    let mut says = match (&ready.why, &ready.upstream) {
        (Some(why), _) => format!("not ready: {why}"),
        (None, Some(upstream)) => format!("ready, but {upstream}"),
        (None, None) => "ready".to_owned(),
    };
    if silent > 0 {
        let _ = write!(
            says,
            "; {silent} shards do not answer, and their groups are missing"
        );
    }
    plain(&says)
}

/// Groups and members.
pub(super) fn members(view: &OverviewView) -> String {
    let counts = view.members;
    format!(
        "groups {}, members {}, present {}, behind {}",
        view.groups, counts.members, counts.present, counts.behind
    )
}

/// The tokens and what waits for them.
pub(super) fn token(view: &OverviewView) -> String {
    let token = &view.token;
    let state = format!("{:?}", token.state).to_lowercase();
    let waiting = ["urgent", "grant", "scheduled", "prefetch"].map(|name| {
        let batches = token.waiting.get(name).copied().unwrap_or(0);
        format!("{name} {batches}")
    });
    format!("token {state}, waiting: {}", waiting.join(", "))
}

/// What is kept, here and upstream.
pub(super) fn keeping(view: &OverviewView) -> String {
    let audit = match &view.audit {
        Some(audit) => {
            let failing = if audit.writable { "" } else { ", NOT WRITABLE" };
            let (bytes, most) = (size(audit.bytes), size(audit.max_bytes));
            format!(
                "audit {} records, {bytes} of {most}{failing}",
                audit.sequence
            )
        }
        None => "no audit trail".to_owned(),
    };
    let upstream = match &view.upstream {
        Some(upstream) => {
            let lag = upstream.sinks.iter().map(|sink| sink.lag_records).max();
            let state = match upstream.state {
                UpstreamState::Unasked => "not asked yet",
                UpstreamState::Up => "up",
                UpstreamState::Down => "down",
            };
            format!("upstream {state}, {} records behind", lag.unwrap_or(0))
        }
        None => "no upstream".to_owned(),
    };
    format!("{audit}; {upstream}")
}

/// How long the last rekeys took.
pub(super) fn latency(view: &OverviewView) -> String {
    match view.latency.points.iter().flatten().next_back() {
        Some(point) => format!(
            "change to acknowledgement: half within {} ms, 99 of 100 within {} ms",
            point.p50_ms, point.p99_ms
        ),
        None => "change to acknowledgement: no rekey in this time".to_owned(),
    }
}
