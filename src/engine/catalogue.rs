//! The engine's metrics.

use crate::group::machine::Cause;
use crate::group::wire::RemovalReason;
use crate::meter::{CHANGE, Metric, Values};

/// How many epochs members are behind, in classes; the last are those that acknowledged nothing since the gateway was started.
pub(super) const BEHIND: [&str; 5] = ["1", "2-3", "4-15", "16+", "unknown"];
/// What an epoch that is in use is.
pub(super) const EPOCH_STATES: [&str; 3] = ["coming", "active", "retiring"];
/// What waits in groups.
pub(super) const WAITING: [&str; 3] = ["join", "departure", "path"];
/// How many of the members that are there.
pub(super) const SHARES: [&str; 3] = ["half", "most", "all"];

const CAUSE: &[(&str, Values)] = &[("cause", Values::Of(Cause::WORDS))];

/// The engine's metrics.
pub const METRICS: &[Metric] = &[
    Metric::gauge("wardcast_groups", "Groups that are served."),
    Metric::gauge("wardcast_groups_frozen", "Groups that an operator froze: they admit nobody."),
    Metric::gauge("wardcast_members", "Registered members of all groups."),
    Metric::gauge("wardcast_members_present", "Members with a connection, or parked."),
    Metric::gauge("wardcast_members_current", "Members known to hold their group's newest epoch; beside wardcast_members it is the delivery assurance."),
    Metric::gauge("wardcast_members_behind", "Members that are there and not known to hold the newest epoch, by how many epochs they are behind; unknown is who acknowledged none since the gateway was started.")
        .by(&[("epochs", Values::Of(&BEHIND))]),
    Metric::gauge("wardcast_epochs", "Epochs in use: delivered and not active yet, active, and retiring (still held to receive what is under way).")
        .by(&[("state", Values::Of(&EPOCH_STATES))]),
    Metric::gauge("wardcast_requests_waiting", "What waits in groups: joins and departures for the next change, grants and paths for the token.")
        .by(&[("kind", Values::Of(&WAITING))]),
    Metric::gauge("wardcast_removal_oldest_pending_timestamp_seconds", "When the oldest departure or eviction was asked for whose epoch is not delivered, in seconds since 1970; 0 for none.")
        .by(&[("shard", Values::When(is_shard))]),
    Metric::counter("wardcast_joins_total", "Registrations granted."),
    Metric::counter("wardcast_removals_total", "Registrations that are over, by reason.")
        .by(&[("reason", Values::Of(RemovalReason::NAMES))]),
    Metric::counter("wardcast_parkings_total", "Members that gave their connection up and are served by datagram alone."),
    Metric::counter("wardcast_rekeys_total", "Epochs given out, by the weightiest of their causes.").by(CAUSE),
    Metric::histogram("wardcast_rekey_delivered_seconds", CHANGE, "From the first request of a change until its epoch is on its way to the members: batch interval, store, audit trail and token.").by(CAUSE),
    Metric::histogram("wardcast_rekey_acknowledged_seconds", CHANGE, "From the first request of a change until half, 99 in 100 and all of the members that are there acknowledged its epoch.")
        .by(&[("members", Values::Of(&SHARES))]),
    Metric::histogram("wardcast_rekey_activated_seconds", CHANGE, "From the first request of a change until senders are told to use its epoch.").by(CAUSE),
    Metric::counter("wardcast_rekeys_overtaken_total", "Epochs that a newer one followed before all members that are there had acknowledged them."),
    Metric::counter("wardcast_activations_total", "Switches of senders to a new epoch."),
    Metric::counter("wardcast_acknowledgements_total", "Acknowledgements of epochs by members."),
    Metric::counter("wardcast_conflated_total", "Deliveries that a newer epoch replaced before they were sent."),
    Metric::counter("wardcast_repairs_asked_total", "Paths that members asked for because they missed something."),
    Metric::counter("wardcast_repairs_refused_total", "Paths that were put off because very many members of a group asked."),
];

fn is_shard(value: &str) -> bool {
    value.parse::<u16>().is_ok()
}
