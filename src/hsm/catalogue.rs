//! Metrics of tokens and their pool.

use crate::meter::{CALL, Metric, Values};

/// What a call into a token is for; mixed is one with several of these.
pub(super) const OPERATIONS: [&str; 6] =
    ["rekey", "grant", "push_key", "sign_head", "escrow", "mixed"];

const PRIORITY: &[(&str, Values)] = &[(
    "priority",
    Values::Of(&["urgent", "grant", "scheduled", "prefetch"]),
)];
const LANE: (&str, Values) = ("lane", Values::Configured);

/// Metrics of tokens.
pub const METRICS: &[Metric] = &[
    Metric::histogram("wardcast_token_call_seconds", CALL, "How long calls that execute batches took, by what they are for: rekey wraps keys and signs headers.")
        .by(&[("operation", Values::Of(&OPERATIONS))]),
    Metric::counter("wardcast_token_calls_total", "Calls into tokens that execute batches."),
    Metric::counter("wardcast_token_batches_total", "Batches executed."),
    Metric::counter("wardcast_token_wraps_total", "Edges wrapped for rekeys and paths."),
    Metric::counter("wardcast_token_grants_total", "Leaf keys granted."),
    Metric::counter("wardcast_token_seals_total", "Epoch headers signed."),
    Metric::counter("wardcast_token_failures_total", "Batches that failed for good."),
    Metric::counter("wardcast_token_sessions_total", "Sessions opened."),
    Metric::counter("wardcast_token_derivations_total", "Keys derived inside tokens."),
    Metric::counter("wardcast_token_ratchets_total", "Steps that keys were moved on inside tokens."),
    Metric::counter("wardcast_token_key_wraps_total", "Key wraps done by tokens."),
    Metric::counter("wardcast_token_agreements_total", "Key agreements with members done by tokens."),
    Metric::counter("wardcast_token_tags_total", "Confirmation tags computed by tokens."),
    Metric::counter("wardcast_token_signatures_total", "Signatures made by tokens."),
    Metric::counter("wardcast_token_reused_total", "Keys that a session still held, and had not to be derived again."),
    Metric::counter("wardcast_token_refused_total", "Batches refused at the door: no room, or no usable token."),
    Metric::counter("wardcast_token_expired_total", "Batches that waited for longer than they may."),
    Metric::counter("wardcast_token_abandoned_total", "Batches that nobody waited for any more when their turn came."),
    Metric::counter("wardcast_token_repeated_total", "Batches put back for another session after a failure."),
    Metric::counter("wardcast_token_workers_lost_total", "Workers that did not come back from a call in time."),
    Metric::counter("wardcast_token_workers_returned_total", "Lost workers that came back after all."),
    Metric::counter("wardcast_token_relogins_total", "Sessions given up to open new ones."),
    Metric::counter("wardcast_token_session_failures_total", "Attempts to open a session that failed."),
    Metric::counter("wardcast_token_host_restarts_total", "Times that a token host had to be started anew."),
    Metric::gauge("wardcast_token_queue_batches", "Batches that wait for a worker, by priority.").by(PRIORITY),
    Metric::gauge("wardcast_token_queue_operations", "Operations in them.").by(PRIORITY),
    Metric::gauge("wardcast_token_queue_oldest_seconds", "How long the oldest of them has waited.").by(PRIORITY),
    Metric::gauge("wardcast_token_lane_state", "1 for the state that a token is in, else 0.")
        .by(&[LANE, ("state", Values::Of(&["probing", "usable", "unusable"]))]),
    Metric::gauge("wardcast_token_lane_sessions", "Open sessions with a token.").by(&[LANE]),
    Metric::gauge("wardcast_token_lane_lost_workers", "Workers of a token that hang in a call.").by(&[LANE]),
    Metric::gauge("wardcast_token_lane_operation_seconds", "How long an operation takes of late.").by(&[LANE]),
];
