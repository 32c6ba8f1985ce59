//! `wardcast admin member show` and `member lacking`: one member in full, and who lacks the newest epoch.

use std::cmp::Reverse;
use std::fmt::Write;

use comfy_table::Table;

use super::table::empty;
use crate::admin::api::{
    EpochAt, LackingMember, ReachView, ReachedBy, RegistrationView, TraceView, TrailNote,
};

/// A member in full, for people.
pub(super) fn trace(view: &TraceView) -> String {
    let mut text = String::new();
    let who = view.identity.as_ref().map(|identity| plain(&identity.0));
    let who = who.unwrap_or_else(|| "nobody".to_owned());
    if view.registrations.is_empty() {
        // A String takes whatever is written to it.
        let _ = writeln!(text, "{who} is no member of {}.", view.group);
    }
    for registration in &view.registrations {
        let mut table = empty(&["member", &registration.member.to_string()]);
        fill(&mut table, &view.group, registration);
        let _ = writeln!(text, "{table}");
    }
    let trail = &view.trail;
    let notes = [
        ("refused", &trail.refused),
        ("granted", &trail.granted),
        ("departed", &trail.departed),
    ];
    let mut table = empty(&["audit trail", "when", "member", "why", "record"]);
    for (name, note) in notes {
        if let Some(note) = note {
            table.add_row(row(name, note));
        }
    }
    if table.row_count() > 0 {
        let _ = writeln!(text, "{table}");
    }
    match trail.searched_from {
        Some(1) => text.push_str("The whole audit trail was searched."),
        Some(from) => {
            let _ = write!(
                text,
                "The audit trail was searched from record {from} on; `wardcast audit export` reads all of it."
            );
        }
        None => text.push_str("No audit trail is kept."),
    }
    text
}

fn fill(table: &mut Table, group: &str, registration: &RegistrationView) {
    let epochs = &registration.epochs;
    let rows = [
        ("group", group.to_owned()),
        ("identity", plain(&registration.identity.0)),
        ("role", format!("{:?}", registration.role).to_lowercase()),
        ("leaf", registration.leaf.to_string()),
        ("joined", told(&registration.joined)),
        ("reached", reached(&registration.reach)),
        ("acknowledged", told(&registration.acknowledged)),
        ("epochs behind", registration.behind.to_string()),
        (
            "group's epochs",
            format!("{} delivered, {} active", epochs.delivered, epochs.active),
        ),
        (
            "asked for keys",
            registration
                .asked_at
                .clone()
                .unwrap_or_else(|| "not since the gateway started".into()),
        ),
        ("sent", sent(registration)),
    ];
    for (name, value) in rows {
        table.add_row([name, &value]);
    }
}

fn told(EpochAt { epoch, at }: &EpochAt) -> String {
    match (epoch.0, at) {
        (0, _) => "nothing since the gateway started".to_owned(),
        (epoch, Some(at)) => format!("epoch {epoch} at {at}"),
        (epoch, None) => format!("epoch {epoch}"),
    }
}

fn reached(reach: &ReachView) -> String {
    let by = match reach.by {
        ReachedBy::Joining => "not yet: its keys are being granted",
        ReachedBy::Stream => "by streams of its connection",
        ReachedBy::Datagram => "by datagrams",
        ReachedBy::Parked => "by datagrams alone: parked",
        ReachedBy::Absent => "not: absent",
    };
    let multicast = if reach.hears_multicast {
        ", by multicast"
    } else {
        ""
    };
    match &reach.since {
        Some(since) => format!("{by}{multicast}, since {since}"),
        None => format!("{by}{multicast}"),
    }
}

fn sent(registration: &RegistrationView) -> String {
    let Some(sent) = &registration.deliveries else {
        return "nothing: it is not reached".to_owned();
    };
    format!(
        "{} by datagram ({} again, {} given up), {} by stream, {} conflated, since it is reached so",
        sent.datagrams, sent.resent, sent.given_up, sent.streams, sent.conflated
    )
}

fn row(name: &str, note: &TrailNote) -> [String; 5] {
    let times = note.times.filter(|times| *times > 1);
    let why = match times {
        Some(times) => format!("{} ({times} times)", plain(&note.why)),
        None => plain(&note.why),
    };
    let member = note.member.map(|member| member.to_string());
    [
        name.to_owned(),
        note.at.clone(),
        member.unwrap_or_default(),
        why,
        note.sequence.to_string(),
    ]
}

/// Who lacks the newest epoch, for people: whoever is there and furthest behind first.
pub(super) fn lacking(members: &[LackingMember]) -> String {
    if members.is_empty() {
        return "everybody holds the newest epoch".to_owned();
    }
    let mut sorted: Vec<&LackingMember> = members.iter().collect();
    sorted.sort_by_key(|member| {
        let away = member.registration.reach.by == ReachedBy::Absent;
        (away, Reverse(member.registration.behind))
    });
    let mut table = empty(&[
        "group",
        "member",
        "identity",
        "reached",
        "since",
        "acknowledged",
        "behind",
    ]);
    for LackingMember {
        group,
        registration,
    } in sorted
    {
        let by = match registration.reach.by {
            ReachedBy::Joining => "joining",
            ReachedBy::Stream => "stream",
            ReachedBy::Datagram => "datagram",
            ReachedBy::Parked => "parked",
            ReachedBy::Absent => "absent",
        };
        table.add_row([
            group.clone(),
            registration.member.to_string(),
            plain(&registration.identity.0),
            by.to_owned(),
            registration.reach.since.clone().unwrap_or_default(),
            registration.acknowledged.epoch.to_string(),
            registration.behind.to_string(),
        ]);
    }
    let present = members
        .iter()
        .filter(|member| member.registration.reach.by != ReachedBy::Absent);
    let (present, all) = (present.count(), members.len());
    format!("{table}\n{all} lack the newest epoch, {present} of them present")
}

/// What others chose to be called, with nothing in it that a terminal would act on.
pub(in crate::cli) fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
