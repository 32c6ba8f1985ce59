//! What a member does about the multicast group that it listens to: when it reports what it holds, when it takes the group for
//! silent, and when it believes that it lacks something. Members do each at a time of their own, so that no gateway is asked by
//! all at once.
//!
//! Whoever holds the group's push key can say anything there: former members for a moment, members always. So what is heard
//! costs a bounded number of signature checks and of questions to the gateway, whatever it says.

use crate::group::ids::{Epoch, Time};
use crate::group::multicast::MulticastTimes;

/// A group is silent when so many heartbeats did not come.
const SILENT_HEARTBEATS: u64 = 5;
/// Headers that do not verify, before no more are looked at for a while.
const MAX_FORGERIES: u32 = 3;
/// How long nothing is believed after it was said falsely, in milliseconds.
const DISBELIEF_MS: u64 = 30_000;
/// No timer here is shorter, whatever a gateway says; in milliseconds.
const LEAST_MS: u64 = 50;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HearingEffect {
    /// Report what is held, and that the group is heard.
    Report,
    /// The group is silent: have datagrams sent to this member alone again, and see within so many milliseconds whether
    /// something was missed.
    Silent {
        /// Spreads the members of a group that falls silent for all of them.
        within_ms: u64,
    },
}

/// A multicast group, as one member hears it.
#[derive(Clone, Debug)]
pub struct Hearing {
    times: MulticastTimes,
    random: u64,
    /// When to report; none while nothing has been heard.
    report: Option<Time>,
    /// When the group is silent.
    silent: Time,
    /// The newest epoch that somebody said there is.
    claimed: Epoch,
    forgeries: u32,
    /// What claims to be newer is not believed before this.
    disbelief: Time,
}

impl Hearing {
    /// Nothing has been heard yet. `seed` differs from member to member.
    pub fn new(times: MulticastTimes, seed: u64) -> Self {
        Hearing {
            times,
            // The generator below stays at zero if it begins there.
            random: seed | 1,
            report: None,
            silent: Time(0),
            claimed: Epoch(0),
            forgeries: 0,
            disbelief: Time(0),
        }
    }

    /// Something came that the newest push key opens.
    pub fn heard(&mut self, now: Time) {
        let heartbeat = self.heartbeat();
        let silence = SILENT_HEARTBEATS * heartbeat;
        // When it falls silent for all, not all open their channels anew at once.
        self.silent = now.after(silence + self.below(silence));
        if self.report.is_none() {
            self.report = Some(now.after(self.below(heartbeat)));
        }
    }

    /// Somebody says that there is an epoch newer than the one that is held: between which times from now on to ask for it, in
    /// milliseconds. None when that is not to be believed.
    pub fn lacks(&mut self, now: Time, claimed: Epoch) -> Option<(u64, u64)> {
        if now < self.disbelief {
            return None;
        }
        self.claimed = self.claimed.max(claimed);
        let settle = u64::from(self.times.settle_ms);
        Some((settle, settle + self.heartbeat()))
    }

    /// The gateway was asked, and this is the newest epoch.
    pub fn answered(&mut self, now: Time, newest: Epoch) {
        if std::mem::take(&mut self.claimed) > newest {
            self.disbelief = now.after(DISBELIEF_MS);
        }
    }

    /// Whether another signature may be checked.
    pub fn may_verify(&self, now: Time) -> bool {
        now >= self.disbelief
    }

    /// An epoch came that verifies, or one that does not.
    pub fn verified(&mut self, now: Time, sound: bool) {
        self.forgeries = if sound { 0 } else { self.forgeries + 1 };
        if self.forgeries >= MAX_FORGERIES {
            self.forgeries = 0;
            self.disbelief = now.after(DISBELIEF_MS);
        }
    }

    /// When [`due`](Self::due) is to be asked.
    pub fn next_timeout(&self) -> Option<Time> {
        self.report.map(|report| report.min(self.silent))
    }

    /// What is due by now. A silent group is not reported on until it is heard again.
    pub fn due(&mut self, now: Time) -> Option<HearingEffect> {
        let report = self.report?;
        if self.silent <= now {
            self.report = None;
            let within_ms = self.heartbeat();
            return Some(HearingEffect::Silent { within_ms });
        }
        if report > now {
            return None;
        }
        // Between half of the period and the whole: so many reports come in any moment, however many rekeys there are.
        let half = (u64::from(self.times.report_ms) / 2).max(LEAST_MS);
        self.report = Some(now.after(half + self.below(half)));
        Some(HearingEffect::Report)
    }

    fn heartbeat(&self) -> u64 {
        u64::from(self.times.heartbeat_ms).max(LEAST_MS)
    }

    /// Marsaglia's xorshift: spread is all that is asked of it.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }
}
