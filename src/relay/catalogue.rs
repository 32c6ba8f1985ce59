//! Metrics of what goes to the key store upstream, and comes from it.

use super::SinkError;
use crate::meter::{Metric, Values};

const SINKS: Values = Values::Of(&["audit", "lifecycle"]);
const SINK: &[(&str, Values)] = &[("sink", SINKS)];
const FAILURE: &[(&str, Values)] = &[("sink", SINKS), ("kind", Values::Of(&SinkError::KINDS))];
/// What is asked of the store for keys of groups.
const OPERATIONS: &[&str] = &["register", "activate", "revoke", "destroy_or_archive"];

/// Metrics of the relay.
pub const METRICS: &[Metric] = &[
    Metric::gauge("wardcast_upstream_up", "1 while the key store upstream answers, else 0."),
    Metric::gauge("wardcast_relay_lag_records", "Records of the audit trail that a sink has not taken yet: the queue to the key store upstream.").by(SINK),
    Metric::gauge("wardcast_relay_lag_seconds", "How old the oldest record is that a sink has not taken yet.").by(SINK),
    Metric::counter("wardcast_relay_batches_total", "Batches of records that a sink took.").by(SINK),
    Metric::counter("wardcast_relay_failures_total", "Batches of records that a sink did not take, because it is out of reach or refuses one; each is tried again.").by(FAILURE),
    Metric::counter("wardcast_relay_gaps_total", "Times that the trail on disk did not go on where a sink had come to.").by(SINK),
    Metric::gauge("wardcast_lifecycle_objects", "Objects at the key store upstream that are looked at."),
    Metric::counter("wardcast_lifecycle_look_failures_total", "Times that they could not be looked at."),
    Metric::counter("wardcast_lifecycle_escrow_failures_total", "Keys that could not be escrowed yet."),
    Metric::counter("wardcast_lifecycle_operations_total", "What was done to objects of groups and keys at the key store upstream.")
        .by(&[("operation", Values::Of(OPERATIONS))]),
    Metric::counter("wardcast_lifecycle_ended_upstream_total", "What was done to groups because an object of theirs was ended at the key store upstream.")
        .by(&[("action", Values::Of(&["roll", "freeze", "destroy"]))]),
    Metric::gauge("wardcast_lifecycle_set_aside", "Objects that the key store refused again and again, and that hold up no other."),
    Metric::counter("wardcast_upstream_hints_total", "Looks at the key store because it said that something changed there.")
        .by(&[("look", Values::Of(&["policies", "lifecycle"]))]),
    Metric::gauge("wardcast_policy_rules_lost", "1 while nobody is admitted because the rules that were in force cannot be read, else 0."),
    Metric::gauge("wardcast_policy_documents", "Policy documents of groups: those in force, and those whose newest version was refused.")
        .by(&[("state", Values::Of(&["in_force", "refused"]))]),
    Metric::counter("wardcast_policy_polls_total", "Looks at the policy documents upstream.")
        .by(&[("outcome", Values::Of(&["ok", "failed"]))]),
    Metric::counter("wardcast_policy_documents_applied_total", "Policy documents that came into force."),
    Metric::counter("wardcast_policy_documents_refused_total", "Policy documents that were refused."),
];
