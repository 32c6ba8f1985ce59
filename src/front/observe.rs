//! What the front shows of itself: every call on record, and metrics by operation and outcome.

use metrics::{counter, gauge};

use super::Shared;
use super::caller::Who;
use crate::audit::{Actor, Entry, Event};
use crate::kmip::codec::{tag, value_name, value_text};
use crate::trace;

/// What a caller says of an object goes on record up to this, in characters.
const MAX_OBJECT: usize = 256;
/// The same of a call.
const MAX_CALL: usize = 512;
/// What metrics call an operation that has no name.
pub(super) const OTHER: &str = "other";

/// What became of one thing that was asked for.
pub(super) struct Outcome {
    /// For metrics: what callers make up is one label.
    label: &'static str,
    operation: String,
    weight: Weight,
    outcome: String,
}

/// How much of the trail something is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Somebody may not: counted by who it is.
    Denied,
    /// It changed nothing and handed out no key: counted where it is repeated, for whoever has any role can ask for it all day.
    Counted,
    /// One record, each time.
    Each,
}

impl Weight {
    /// Of what only looks, or does not.
    pub(super) fn of(only_looks: bool) -> Self {
        match only_looks {
            true => Self::Counted,
            false => Self::Each,
        }
    }
}

impl Outcome {
    /// Of an operation of KMIP.
    pub(super) fn of(operation: u32, weight: Weight, outcome: String) -> Self {
        Self {
            label: value_name(tag::Operation, operation).unwrap_or(OTHER),
            operation: value_text(tag::Operation, operation),
            weight,
            outcome,
        }
    }

    /// Of a call of the REST interface.
    pub(super) fn of_call(name: &'static str, weight: Weight, outcome: String) -> Self {
        Self {
            label: name,
            operation: name.to_owned(),
            weight,
            outcome,
        }
    }

    /// Of a call of the REST interface by somebody who may not.
    pub(super) fn denied(name: &'static str) -> Self {
        Self::of_call(name, Weight::Denied, "denied".to_owned())
    }

    /// Of whatever somebody asks for who is not known.
    pub(super) fn of_stranger(call: &str) -> Self {
        Self {
            operation: call.chars().take(MAX_CALL).collect(),
            ..Self::denied(OTHER)
        }
    }

    /// As it goes on record. It is counted.
    pub(super) fn record(self, who: &Who, object: Option<&str>) -> Entry {
        let outcome = match (self.weight, self.outcome.as_str()) {
            (Weight::Denied, _) => "denied",
            (_, "done") => "done",
            (_, "pending") => "pending",
            _ => "failed",
        };
        counter!("wardcast_front_calls_total", "operation" => self.label, "outcome" => outcome)
            .increment(1);
        let event = match self.weight {
            Weight::Denied => Event::Denied {
                identity: (*who.name).clone(),
                call: self.operation,
                times: 1,
            },
            weight => Event::Relayed {
                operation: self.operation,
                object: object.map(told),
                outcome: self.outcome,
                times: (weight == Weight::Counted).then_some(1),
            },
        };
        entry(who, event)
    }
}

/// What is about to be asked of the store and changes something there goes on record before it is asked, so that a kill cannot leave
/// a change without a record.
pub(super) fn begun(operation: u32, who: &Who, object: Option<&str>) -> Entry {
    let event = Event::Relayed {
        operation: value_text(tag::Operation, operation),
        object: object.map(told),
        outcome: "begun".to_owned(),
        times: None,
    };
    entry(who, event)
}

fn told(object: &str) -> String {
    object.chars().take(MAX_OBJECT).collect()
}

fn entry(who: &Who, event: Event) -> Entry {
    Entry {
        actor: Actor::Caller((*who.name).clone()),
        request: trace::current(),
        ..Entry::of_gateway(event)
    }
}

/// Puts calls on record before they are answered.
pub(super) async fn put_on_record(shared: &Shared, records: Vec<Entry>) {
    if !records.is_empty() {
        shared.audit.note(records).await;
    }
}

/// Something was not taken because of a bound.
pub(super) fn bounded(kind: &'static str) {
    counter!("wardcast_front_refused_total", "bound" => kind).increment(1);
}

/// Exchanges were forgotten because of their age; so many are left.
pub(super) fn expired(gone: usize, left: i64) {
    counter!("wardcast_front_exchanges_expired_total").increment(gone as u64);
    gauge!("wardcast_front_exchanges").set(left as f64);
}
