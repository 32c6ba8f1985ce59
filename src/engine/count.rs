//! The engine's metrics, in one place. No label names a group, a member or a key: there may be very many of them.

/// An epoch is given out to those who are connected.
pub(super) fn rekeyed() {
    metrics::counter!("wardcast_rekeys_total").increment(1);
}

/// For so many members an epoch replaced one that was not sent yet.
pub(super) fn conflated(members: u64) {
    metrics::counter!("wardcast_conflated_total").increment(members);
}

/// Senders were told to switch to an epoch.
pub(super) fn activated() {
    metrics::counter!("wardcast_activations_total").increment(1);
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
pub(super) fn removed() {
    metrics::counter!("wardcast_removals_total").increment(1);
}

/// A group's share of all registrations; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Population(u32);

impl Population {
    /// The group has so many members now.
    pub(super) fn is(&mut self, members: u32) {
        let change = f64::from(members) - f64::from(std::mem::replace(&mut self.0, members));
        if change != 0.0 {
            metrics::gauge!("wardcast_members").increment(change);
        }
    }
}

impl Drop for Population {
    fn drop(&mut self) {
        self.is(0);
    }
}
