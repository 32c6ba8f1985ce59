//! The engine's metrics, in one place. No label names a group, a member or a key: there may be very many of them.

use std::time::Duration;

use super::catalogue::SHARES;
use crate::group::machine::Cause;
use crate::group::wire::RemovalReason;

/// How many of the members that are there hold an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Half,
    Most,
    All,
}

impl Share {
    pub(super) const ALL: [Share; 3] = [Share::Half, Share::Most, Share::All];

    /// Whether so many that hold it are that share of those who are there.
    pub(super) fn is_reached(self, present: u32, current: u32) -> bool {
        let percent = match self {
            Share::Half => 50,
            Share::Most => 99,
            Share::All => 100,
        };
        u64::from(current) * 100 >= u64::from(present) * percent
    }
}

/// An epoch is given out to those who are connected, so long after it was first asked for.
pub(super) fn delivered(cause: Cause, took: Duration) {
    metrics::counter!("wardcast_rekeys_total", "cause" => cause.word()).increment(1);
    metrics::histogram!("wardcast_rekey_delivered_seconds", "cause" => cause.word()).record(took);
}

/// A share of the members holds an epoch, so long after it was first asked for.
pub(super) fn reached(share: Share, took: Duration) {
    let members = SHARES[share as usize];
    metrics::histogram!("wardcast_rekey_acknowledged_seconds", "members" => members).record(took);
}

/// An epoch was followed by another before all had acknowledged it.
pub(super) fn overtaken() {
    metrics::counter!("wardcast_rekeys_overtaken_total").increment(1);
}

/// For so many members an epoch replaced one that was not sent yet.
pub(super) fn conflated(members: u64) {
    metrics::counter!("wardcast_conflated_total").increment(members);
}

/// Senders were told to switch to an epoch, so long after it was first asked for.
pub(super) fn activated(cause: Cause, took: Duration) {
    metrics::counter!("wardcast_activations_total").increment(1);
    metrics::histogram!("wardcast_rekey_activated_seconds", "cause" => cause.word()).record(took);
}

/// So many members hold an epoch.
pub(super) fn acknowledged(members: u64) {
    metrics::counter!("wardcast_acknowledgements_total").increment(members);
}

/// A member asked for its path.
pub(super) fn repair_asked() {
    metrics::counter!("wardcast_repairs_asked_total").increment(1);
}

/// A member asked for its path where very many did: it was told when to come back.
pub(super) fn repair_refused() {
    metrics::counter!("wardcast_repairs_refused_total").increment(1);
}

/// A registration was granted.
pub(super) fn joined() {
    metrics::counter!("wardcast_joins_total").increment(1);
}

/// A member gave its connection up and is served by datagram alone.
pub(super) fn parked() {
    metrics::counter!("wardcast_parkings_total").increment(1);
}

/// A registration is over.
pub(super) fn removed(reason: RemovalReason) {
    metrics::counter!("wardcast_removals_total", "reason" => reason.name()).increment(1);
}
