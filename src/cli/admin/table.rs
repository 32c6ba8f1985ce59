//! What the admin interface answers, as tables for people.

use std::fmt;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde_json::{Value, json};

use super::member;
use crate::admin::api::{
    GroupView, LackingMember, MemberView, PolicyView, SinkView, TokenView, TraceView, UpstreamView,
};

/// What a command has to say.
pub(super) enum Answer {
    /// One group in full.
    Group(Box<GroupView>),
    /// Groups, a row each.
    Groups(Vec<GroupView>),
    /// Members, a row each.
    Members(Vec<MemberView>),
    /// Policies, a row each.
    Policies(Vec<PolicyView>),
    /// The tokens in full.
    Token(Box<TokenView>),
    /// The key store upstream in full.
    Upstream(Box<UpstreamView>),
    /// What follows the audit trail, a row each.
    Sinks(Vec<SinkView>),
    /// Something about the gateway as a whole.
    Told(Value),
    /// One member in full.
    Trace(Box<TraceView>),
    /// Who lacks the newest epoch, a row each.
    Lacking(Vec<LackingMember>),
    /// That it is done.
    Done(&'static str),
}

impl Answer {
    /// For programs.
    pub(super) fn json(&self) -> String {
        let value = match self {
            Self::Group(group) => json!(group),
            Self::Groups(groups) => json!(groups),
            Self::Members(members) => json!(members),
            Self::Policies(policies) => json!(policies),
            Self::Token(token) => json!(token),
            Self::Upstream(upstream) => json!(upstream),
            Self::Sinks(sinks) => json!(sinks),
            Self::Told(told) => told.clone(),
            Self::Trace(trace) => json!(trace),
            Self::Lacking(members) => json!(members),
            Self::Done(_) => json!({ "ok": true }),
        };
        value.to_string()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(what) => f.write_str(what),
            Self::Told(told) => whole(told).fmt(f),
            Self::Trace(trace) => f.write_str(&member::trace(trace)),
            Self::Lacking(members) => f.write_str(&member::lacking(members)),
            Self::Group(group) => whole(&json!(group)).fmt(f),
            Self::Token(token) => whole(&json!(token)).fmt(f),
            Self::Upstream(upstream) => whole(&json!(upstream)).fmt(f),
            Self::Groups(groups) => {
                let mut table = empty(&[
                    "group",
                    "members",
                    "present",
                    "epoch",
                    "active",
                    "acknowledged",
                    "frozen",
                ]);
                for group in groups {
                    let GroupView {
                        name,
                        members,
                        present,
                        epoch,
                        active,
                        acknowledged,
                        frozen,
                        ..
                    } = group;
                    let frozen = if frozen.is_some() { "yes" } else { "no" };
                    let cells: [&dyn fmt::Display; 7] =
                        [name, members, present, epoch, active, acknowledged, &frozen];
                    table.add_row(cells.map(ToString::to_string));
                }
                table.fmt(f)
            }
            Self::Policies(policies) => rows(policies).fmt(f),
            Self::Sinks(sinks) => behind(sinks).fmt(f),
            Self::Members(members) => {
                let mut table = empty(&[
                    "member",
                    "identity",
                    "role",
                    "joined",
                    "acknowledged",
                    "present",
                ]);
                for row in members {
                    let MemberView {
                        member,
                        identity,
                        role,
                        joined,
                        acknowledged,
                        present,
                    } = row;
                    let role = format!("{role:?}").to_lowercase();
                    let present = if *present { "yes" } else { "no" };
                    let cells: [&dyn fmt::Display; 6] =
                        [member, identity, &role, joined, acknowledged, &present];
                    table.add_row(cells.map(ToString::to_string));
                }
                table.fmt(f)
            }
        }
    }
}

/// One thing in full.
fn whole(value: &Value) -> Table {
    let mut table = empty(&["", ""]);
    fill(&mut table, "", value);
    table
}

fn rows(policies: &[PolicyView]) -> Table {
    let mut table = empty(&["about", "from", "revision", "since", "refused since"]);
    for policy in policies {
        table.add_row(row(policy));
    }
    table
}

fn behind(sinks: &[SinkView]) -> Table {
    let mut table = empty(&[
        "sink",
        "up to record",
        "behind",
        "since (s)",
        "batches",
        "failures",
        "gaps",
        "what is wrong",
    ]);
    for sink in sinks {
        let wrong = sink.error.clone().unwrap_or_default();
        let cells: [&dyn fmt::Display; 8] = [
            &sink.name,
            &sink.sequence,
            &sink.lag_records,
            &sink.lag_seconds,
            &sink.batches,
            &sink.failures,
            &sink.gaps,
            &wrong,
        ];
        table.add_row(cells.map(ToString::to_string));
    }
    table
}

fn row(policy: &PolicyView) -> [String; 5] {
    let about = match &policy.group {
        Some(group) => format!("group {group}"),
        None => policy.about.clone(),
    };
    let refused = policy.refused.as_ref();
    [
        about,
        policy.source.clone().unwrap_or_default(),
        policy.revision.clone().unwrap_or_default(),
        policy.since.clone(),
        refused.map_or_else(String::new, |refused| {
            format!("{}: {}", refused.source, refused.why)
        }),
    ]
}

pub(in crate::cli) fn empty(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    table
}

/// A row for each value, those of inner objects with the path of their names.
fn fill(table: &mut Table, path: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                fill(table, &path, value);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                fill(table, &format!("{path}[{index}]"), item);
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(cell).collect();
            table.add_row([path, &items.join(", ")]);
        }
        value => {
            table.add_row([path, &cell(value)]);
        }
    }
}

fn cell(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
