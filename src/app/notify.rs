//! What the service manager is told (sd_notify): ready, reloading, stopping, and now and then that the gateway is alive.
//!
//! Where nobody asked for it ($NOTIFY_SOCKET), nothing is told.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::admin::Vital;

/// It serves.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It reads its configuration anew; [`ready`] is told once that is done.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of a reload"),
    }
}

/// It ends.
pub(super) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how the gateway is");
    }
}

/// Tells the watchdog twice as often as it wants to hear, as long as every loop answers, until the set is dropped. A gateway that hangs
/// says nothing, and is restarted.
pub(super) fn watch(vital: Vital) -> JoinSet<()> {
    let mut watching = JoinSet::new();
    if let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) {
        watching.spawn(async move {
            let mut look = interval((within / 2).max(Duration::from_millis(1)));
            loop {
                look.tick().await;
                let hanging = vital.hanging().await;
                match hanging.is_empty() {
                    true => tell(&[NotifyState::Watchdog]),
                    false => tracing::error!(?hanging, "loops hang; the watchdog is not told"),
                }
            }
        });
    }
    watching
}
