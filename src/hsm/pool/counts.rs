//! What a pool counts: for itself, so that whoever runs it can ask, and as metrics of the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::group::operations::{Batch, Operation};
use crate::hsm::Usage;
use crate::hsm::catalogue::OPERATIONS;

/// What a pool has done since it started. The metrics `wardcast_token_*_total` say the same of all pools of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls into tokens that execute batches.
    pub calls: u64,
    /// Batches executed.
    pub batches: u64,
    /// Up-edges wrapped.
    pub wraps: u64,
    /// Leaf keys granted.
    pub grants: u64,
    /// Epoch headers sealed.
    pub seals: u64,
    /// Batches that failed for good.
    pub failures: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// What the calls cost the tokens.
    pub usage: Usage,
    /// What went wrong.
    pub trouble: Trouble,
}

/// What went wrong in a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Batches refused at the door: no room, or no usable lane.
    pub refused: u64,
    /// Batches that waited longer than they may.
    pub expired: u64,
    /// Batches that nobody waited for any more when their turn came.
    pub abandoned: u64,
    /// Batches put back for another session after a failure.
    pub repeated: u64,
    /// Workers that did not come back from a call in time.
    pub workers_lost: u64,
    /// Lost workers that came back after all.
    pub workers_returned: u64,
    /// Sessions given up to open a new one.
    pub relogins: u64,
    /// Attempts to open a session that failed.
    pub refusals: u64,
}

/// One thing that is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Calls,
    Batches,
    Wraps,
    Grants,
    Seals,
    Failures,
    Sessions,
    Derivations,
    Ratchets,
    KeyWraps,
    Agreements,
    Tags,
    Signatures,
    Reused,
    Refused,
    Expired,
    Abandoned,
    Repeated,
    WorkersLost,
    WorkersReturned,
    Relogins,
    Refusals,
}

/// In the order of [`Count`].
const NAMES: [&str; 22] = [
    "wardcast_token_calls_total",
    "wardcast_token_batches_total",
    "wardcast_token_wraps_total",
    "wardcast_token_grants_total",
    "wardcast_token_seals_total",
    "wardcast_token_failures_total",
    "wardcast_token_sessions_total",
    "wardcast_token_derivations_total",
    "wardcast_token_ratchets_total",
    "wardcast_token_key_wraps_total",
    "wardcast_token_agreements_total",
    "wardcast_token_tags_total",
    "wardcast_token_signatures_total",
    "wardcast_token_reused_total",
    "wardcast_token_refused_total",
    "wardcast_token_expired_total",
    "wardcast_token_abandoned_total",
    "wardcast_token_repeated_total",
    "wardcast_token_workers_lost_total",
    "wardcast_token_workers_returned_total",
    "wardcast_token_relogins_total",
    "wardcast_token_session_failures_total",
];

/// The counters of a pool. The metrics' handles are looked up once: a lookup for each wrap would be seen.
pub(super) struct Counters {
    counted: [(AtomicU64, metrics::Counter); NAMES.len()],
    /// In the order of [`OPERATIONS`].
    call_seconds: [metrics::Histogram; OPERATIONS.len()],
}

impl Counters {
    pub(super) fn new() -> Self {
        Counters {
            counted: NAMES.map(|name| (AtomicU64::new(0), metrics::counter!(name))),
            call_seconds: OPERATIONS.map(|operation| {
                metrics::histogram!("wardcast_token_call_seconds", "operation" => operation)
            }),
        }
    }

    pub(super) fn add(&self, what: Count, number: u64) {
        if number == 0 {
            return;
        }
        let (value, metric) = &self.counted[what as usize];
        value.fetch_add(number, Ordering::Relaxed);
        metric.increment(number);
    }

    /// Operations that were executed; the batch itself is counted when the last of them is.
    pub(super) fn executed(&self, operations: &[Operation]) {
        let counts = |wanted: fn(&Operation) -> bool| {
            let wanted = operations.iter().filter(|operation| wanted(operation));
            wanted.count() as u64
        };
        let wraps = counts(|operation| matches!(operation, Operation::Wrap { .. }));
        let grants = counts(|operation| matches!(operation, Operation::Grant { .. }));
        let seals = counts(|operation| matches!(operation, Operation::Seal { .. }));
        self.add(Count::Wraps, wraps);
        self.add(Count::Grants, grants);
        self.add(Count::Seals, seals);
    }

    /// A call that came back in time, and what it cost.
    pub(super) fn called(&self, batches: &[Batch], usage: Usage, took: Duration) {
        self.add(Count::Calls, 1);
        self.call_seconds[purpose(batches)].record(took);
        self.add(Count::Derivations, usage.derivations);
        self.add(Count::Ratchets, usage.ratchets);
        self.add(Count::KeyWraps, usage.wraps);
        self.add(Count::Agreements, usage.agreements);
        self.add(Count::Tags, usage.tags);
        self.add(Count::Signatures, usage.signatures);
        self.add(Count::Reused, usage.reused);
    }

    pub(super) fn counts(&self) -> Counts {
        let get = |what: Count| self.counted[what as usize].0.load(Ordering::Relaxed);
        Counts {
            calls: get(Count::Calls),
            batches: get(Count::Batches),
            wraps: get(Count::Wraps),
            grants: get(Count::Grants),
            seals: get(Count::Seals),
            failures: get(Count::Failures),
            sessions: get(Count::Sessions),
            usage: Usage {
                derivations: get(Count::Derivations),
                ratchets: get(Count::Ratchets),
                wraps: get(Count::KeyWraps),
                agreements: get(Count::Agreements),
                tags: get(Count::Tags),
                signatures: get(Count::Signatures),
                reused: get(Count::Reused),
            },
            trouble: Trouble {
                refused: get(Count::Refused),
                expired: get(Count::Expired),
                abandoned: get(Count::Abandoned),
                repeated: get(Count::Repeated),
                workers_lost: get(Count::WorkersLost),
                workers_returned: get(Count::WorkersReturned),
                relogins: get(Count::Relogins),
                refusals: get(Count::Refusals),
            },
        }
    }
}

/// What a call is for, as its place among [`OPERATIONS`].
fn purpose(batches: &[Batch]) -> usize {
    let operations = batches.iter().flat_map(|batch| &batch.operations);
    let mut purposes = operations.map(|operation| match operation {
        Operation::Wrap { .. } | Operation::Seal { .. } => 0,
        Operation::Grant { .. } => 1,
        Operation::PushKey { .. } => 2,
        Operation::SignHead { .. } => 3,
        Operation::Escrow { .. } => 4,
    });
    let mixed = OPERATIONS.len() - 1;
    match purposes.next() {
        Some(first) if purposes.all(|other| other == first) => first,
        _ => mixed,
    }
}
