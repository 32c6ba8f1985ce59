//! What the front shows of itself: every call on record, and metrics by operation and outcome.

use metrics::{counter, gauge};

use super::Shared;
use super::caller::Who;
use crate::audit::{Actor, Entry, Event};
use crate::kmip::codec::{tag, value_name};

/// What a caller says of an object goes on record up to this, in characters.
const MAX_OBJECT: usize = 256;
/// The same of a call.
const MAX_CALL: usize = 512;

/// What became of one thing that was asked for.
pub(super) struct Outcome {
    operation: String,
    denied: bool,
    outcome: String,
}

impl Outcome {
    /// Of an operation of KMIP.
    pub(super) fn of(operation: u32, denied: bool, outcome: String) -> Self {
        let name = value_name(tag::Operation, operation);
        let operation = name.map_or_else(|| format!("{operation:#010X}"), str::to_owned);
        Self {
            operation,
            denied,
            outcome,
        }
    }

    /// Of a call of the REST interface.
    pub(super) fn of_call(name: &str, outcome: impl Into<String>) -> Self {
        Self {
            operation: name.to_owned(),
            denied: false,
            outcome: outcome.into(),
        }
    }

    /// Of a call by somebody who may not.
    pub(super) fn denied(call: &str) -> Self {
        Self {
            operation: call.chars().take(MAX_CALL).collect(),
            denied: true,
            outcome: "denied".to_owned(),
        }
    }

    /// As it goes on record. It is counted.
    pub(super) fn record(self, who: &Who, object: Option<&str>) -> Entry {
        let outcome = match (self.denied, self.outcome.as_str()) {
            (true, _) => "denied",
            (_, "done") => "done",
            (_, "pending") => "pending",
            _ => "failed",
        };
        counter!("wardcast_front_calls_total", "operation" => self.label(), "outcome" => outcome)
            .increment(1);
        let event = match self.denied {
            true => Event::Denied {
                identity: (*who.name).clone(),
                call: self.operation,
                times: 1,
            },
            false => Event::Relayed {
                operation: self.operation,
                object: object.map(told),
                outcome: self.outcome,
            },
        };
        entry(who, event)
    }

    /// What callers make up is one label.
    fn label(&self) -> String {
        let known = |number| {
            let name = value_name(tag::Operation, number);
            name == Some(&self.operation)
        };
        let relayed = (0..=0xff).any(known);
        let called = self
            .operation
            .chars()
            .all(|sign| sign.is_ascii_lowercase() || sign == '_');
        match relayed || called {
            true => self.operation.clone(),
            false => "other".to_owned(),
        }
    }
}

/// What is about to be asked of the store and changes something there goes on record before it is asked, so that a kill cannot leave
/// a change without a record.
pub(super) fn begun(operation: u32, who: &Who, object: Option<&str>) -> Entry {
    let Outcome {
        operation, outcome, ..
    } = Outcome::of(operation, false, "begun".to_owned());
    let event = Event::Relayed {
        operation,
        object: object.map(told),
        outcome,
    };
    entry(who, event)
}

fn told(object: &str) -> String {
    object.chars().take(MAX_OBJECT).collect()
}

fn entry(who: &Who, event: Event) -> Entry {
    Entry {
        actor: Actor::Caller((*who.name).clone()),
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
