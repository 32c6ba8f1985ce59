//! What a record of the trail says, put for those who take it: who, what, to whom, with which outcome, how severe.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::identifiers::Identifiers;
use crate::audit::{Actor, Event, SEVERAL};
use crate::relay::Line;

/// A record of the trail, with identifiers as a sink may have them.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) sequence: u64,
    /// When it happened: RFC 3339, UTC, with microseconds.
    pub(super) time: String,
    /// The SHA-256 of its line in the trail, in hexadecimal digits.
    pub(super) hash: String,
    /// What happened, in a word: the trail's own name of it.
    pub(super) event: String,
    /// What kind of actor it was: `gateway`, `member`, `operator` or `caller`.
    pub(super) actor: &'static str,
    /// Who, if it was not the gateway.
    pub(super) name: Option<String>,
    /// The group, by identifier and name.
    pub(super) group: Option<(String, String)>,
    pub(super) outcome: Outcome,
    pub(super) severity: Severity,
    /// What else the event says, by name; and the `request` that it was done for.
    pub(super) fields: Map<String, Value>,
}

/// What became of what somebody wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
    /// Another record says it.
    Open,
    /// It was wanted several times, and did not become the same each time: nobody counted how often which.
    Several,
}

/// How much somebody should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// It is as it should be.
    Informational,
    /// It may be as it should be or not.
    Unknown,
    /// Somebody wanted what he may not, or could not have.
    Medium,
    /// The gateway is in trouble, or a key is.
    High,
}

impl Outcome {
    pub(super) fn word(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Open => "open",
            Outcome::Several => SEVERAL,
        }
    }
}

impl Told {
    pub(super) fn new(line: &Line, identifiers: &Identifiers) -> Self {
        let entry = &line.record.entry;
        let (actor, name) = match &entry.actor {
            Actor::Gateway => ("gateway", None),
            Actor::Member(who) => ("member", Some(who)),
            Actor::Operator(who) => ("operator", Some(who)),
            Actor::Caller(who) => ("caller", Some(who)),
        };
        let outcome = outcome(&entry.event);
        let mut value = serde_json::to_value(&entry.event).unwrap_or_default();
        identifiers.field("", &mut value);
        let mut fields = match value {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        let event = match fields.remove("event") {
            Some(Value::String(event)) => event,
            _ => "unknown".to_owned(),
        };
        if let Some(request) = &entry.request {
            fields.insert("request".into(), request.as_str().into());
        }
        Told {
            sequence: line.record.sequence,
            time: line.record.time.clone(),
            hash: HEXLOWER.encode(&line.digest.0),
            event,
            actor,
            name: name.map(|who| identifiers.name(&who.0)),
            group: entry.group.as_ref().map(|group| {
                // The identifier is a random number: it says nothing of the name.
                (group.id.clone(), identifiers.name(&group.name))
            }),
            outcome,
            severity: severity(&entry.event, outcome),
            fields,
        }
    }

    /// A field's text, or its number.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        match self.fields.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The same, or a word for what is not known.
    pub(super) fn text(&self, name: &str) -> String {
        self.field(name).unwrap_or_else(|| "unknown".to_owned())
    }

    /// When it happened, in milliseconds since 1970.
    pub(super) fn milliseconds(&self) -> i64 {
        let time = OffsetDateTime::parse(&self.time, &Rfc3339).ok();
        let time = time.map(|time| time.unix_timestamp_nanos() / 1_000_000);
        time.and_then(|time| i64::try_from(time).ok())
            .unwrap_or_default()
    }

    /// The whole record as JSON: as it stands in the trail, but for its place in the chain, which is the digest of its line.
    pub(super) fn json(&self) -> Map<String, Value> {
        let mut json = self.fields.clone();
        json.insert("sequence".into(), self.sequence.into());
        json.insert("time".into(), self.time.clone().into());
        json.insert("event".into(), self.event.clone().into());
        json.insert("result".into(), self.outcome.word().into());
        json.insert("hash".into(), self.hash.clone().into());
        let mut actor = Map::new();
        actor.insert("kind".into(), self.actor.into());
        if let Some(name) = &self.name {
            actor.insert("name".into(), name.clone().into());
        }
        json.insert("actor".into(), actor.into());
        if let Some((id, name)) = &self.group {
            let mut group = Map::new();
            group.insert("id".into(), id.clone().into());
            group.insert("name".into(), name.clone().into());
            json.insert("group".into(), group.into());
        }
        json
    }
}

fn outcome(event: &Event) -> Outcome {
    match event {
        Event::Refused { .. }
        | Event::Unauthenticated { .. }
        | Event::Denied { .. }
        | Event::Interrupted { .. }
        | Event::TokenLost { .. }
        | Event::UpstreamLost { .. }
        | Event::Document {
            refused: Some(_), ..
        }
        | Event::Reloaded {
            refused: Some(_), ..
        } => Outcome::Failure,
        Event::Administered { status, .. } if *status >= 400 => Outcome::Failure,
        Event::Relayed { outcome, .. } => match outcome.as_str() {
            "done" => Outcome::Success,
            "begun" | "pending" => Outcome::Open,
            SEVERAL => Outcome::Several,
            _ => Outcome::Failure,
        },
        _ => Outcome::Success,
    }
}

fn severity(event: &Event, outcome: Outcome) -> Severity {
    match (event, outcome) {
        (
            Event::Interrupted { .. }
            | Event::TokenLost { .. }
            | Event::UpstreamLost { .. }
            | Event::UpstreamEnded { .. },
            _,
        ) => Severity::High,
        (_, Outcome::Failure) => Severity::Medium,
        (_, Outcome::Several) => Severity::Unknown,
        _ => Severity::Informational,
    }
}
