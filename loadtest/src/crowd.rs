//! The members of a run: each with a certificate, a socket and a connection of its own, all in this process.
//!
//! Real members are the client library: they unwrap, check the confirmation tag and the signature, and only then acknowledge.
//! Sampled ones acknowledge what they are sent without looking into it, so that this process can drive more members than it
//! could compute keys for.

mod sampled;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::timeout;
use wardcast::group::ids::{Epoch, MemberId, Role};
use wardcast::group::wire::{Message, Push, RekeyDelivery};
use wardcast::member::{Client, Event, Membership, Observed, Options};

use crate::Failure;
use crate::operator::GROUP;
use crate::report::Progress;
use crate::site::Site;

/// How long nothing may happen before a run is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a join is tried, over passing refusals.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);
/// All that members do at any time waits for an answer of the gateway.
const ROLE: Role = Role::Both;

/// What a member saw, and when.
#[derive(Debug)]
struct Seen {
    member: usize,
    at: Instant,
    what: What,
}

/// What there is to be seen.
#[derive(Debug)]
enum What {
    /// It holds this epoch.
    Holds(Epoch),
    /// It sends with this epoch.
    Sends(Epoch),
    /// Its registration, or its connection, is over.
    Over(String),
}

/// How members report.
#[derive(Clone)]
struct Reporter {
    member: usize,
    seen: UnboundedSender<Seen>,
}

impl Reporter {
    fn tell(&self, what: What) {
        let at = Instant::now();
        let member = self.member;
        // The run may be over already.
        let _ = self.seen.send(Seen { member, at, what });
    }
}

/// What the task of a join ended with.
type Joined = Result<Result<(usize, MemberId), Failure>, tokio::task::JoinError>;

/// What is known of a member.
#[derive(Clone, Debug, Default)]
struct Seat {
    id: Option<MemberId>,
    holds: Epoch,
    sends: Epoch,
    /// Its end is part of the run.
    evicted: bool,
}

/// All members.
pub(crate) struct Crowd {
    seats: Vec<Seat>,
    seen: UnboundedReceiver<Seen>,
    observed: mpsc::Receiver<Observed>,
    real: usize,
}

impl Crowd {
    /// Lets one member after the other join, so many at a time; `sampled` percent of them only acknowledge.
    pub(crate) async fn join(
        site: &Site,
        gateway: SocketAddr,
        at_once: usize,
        sampled: u32,
    ) -> Result<Self, Failure> {
        let (report, seen) = mpsc::unbounded_channel();
        let (tap, observed) = mpsc::channel(1024);
        let members = site.members().len();
        let mut crowd = Crowd {
            seats: vec![Seat::default(); members],
            seen,
            observed,
            real: 0,
        };
        let mut progress = Progress::begin("joins");
        let mut joining = JoinSet::new();
        let mut joined = 0;
        for (member, credentials) in site.members().iter().enumerate() {
            if joining.len() >= at_once {
                crowd.take(joining.join_next().await)?;
                joined += 1;
                progress.at(joined, members);
            }
            let reporter = Reporter {
                member,
                seen: report.clone(),
            };
            let options = Options::new(
                gateway,
                "localhost",
                credentials.clone(),
                site.trust().clone(),
            );
            if is_sampled(member, sampled) {
                joining.spawn(async move { Ok((member, sampled::join(options, reporter).await?)) });
                continue;
            }
            crowd.real += 1;
            let options = Options {
                tap: (member == 0).then(|| tap.clone()),
                patience: JOIN_PATIENCE,
                ..options
            };
            joining.spawn(async move { Ok((member, join(options, reporter).await?)) });
        }
        while let Some(last) = joining.join_next().await {
            crowd.take(Some(last))?;
        }
        progress.end(&format!(
            "{members} members joined, {} of them real",
            crowd.real
        ));
        Ok(crowd)
    }

    fn take(&mut self, joined: Option<Joined>) -> Result<(), Failure> {
        if let Some(joined) = joined {
            let (member, id) = joined??;
            self.seats[member].id = Some(id);
        }
        Ok(())
    }

    /// How many members there were at the beginning.
    pub(crate) fn members(&self) -> usize {
        self.seats.len()
    }

    /// How many members compute keys.
    pub(crate) fn real(&self) -> usize {
        self.real
    }

    /// A member that is still there; another one each time. Member 0 stays: it shows what is sent.
    pub(crate) fn choose(&mut self, round: u32) -> Option<MemberId> {
        // Far apart, so that evictions do not share more of the tree than chance has it.
        let count = self.seats.len();
        let start = (round as usize).wrapping_mul(0x9e37_79b9) % count.max(1);
        let places = (0..count).map(|step| (start + step) % count);
        let chosen = places
            .filter(|place| *place != 0)
            .find(|place| !self.seats[*place].evicted)?;
        self.seats[chosen].evicted = true;
        self.seats[chosen].id
    }

    /// Waits until all hold `epoch` or a newer one; how long after `since` each that did not yet came to hold it.
    pub(crate) async fn hold(
        &mut self,
        epoch: Epoch,
        since: Instant,
    ) -> Result<Vec<Duration>, Failure> {
        let mut took = Vec::with_capacity(self.seats.len());
        while self.missing(|seat| seat.holds >= epoch) > 0 {
            let (seen, before) = self.next("hold", epoch).await?;
            let now = self.seats[seen.member].holds;
            if before < epoch && now >= epoch {
                took.push(seen.at.saturating_duration_since(since));
            }
        }
        Ok(took)
    }

    /// Waits until all send with `epoch` or a newer one.
    pub(crate) async fn send(&mut self, epoch: Epoch) -> Result<(), Failure> {
        while self.missing(|seat| seat.sends >= epoch) > 0 {
            self.next("send with", epoch).await?;
        }
        Ok(())
    }

    /// The size of a rekey as it was pushed to member 0, of all that were since the last call; the mean.
    pub(crate) fn rekey_bytes(&mut self) -> Option<usize> {
        let mut sizes = Vec::new();
        while let Ok(Observed { header, edges }) = self.observed.try_recv() {
            let group = wardcast::group::ids::GroupId([0; 16]);
            let delivery = RekeyDelivery {
                group,
                header,
                active: Epoch(0),
                edges,
            };
            sizes.push(Push::Rekey(delivery).to_bytes().len());
        }
        (!sizes.is_empty()).then(|| sizes.iter().sum::<usize>() / sizes.len())
    }

    fn missing(&self, done: impl Fn(&Seat) -> bool) -> usize {
        let there = self.seats.iter().filter(|seat| !seat.evicted);
        there.filter(|seat| !done(seat)).count()
    }

    /// Notes the next thing that is seen; also what that member held before. An end that nobody asked for is an error.
    async fn next(&mut self, verb: &str, epoch: Epoch) -> Result<(Seen, Epoch), Failure> {
        let Ok(Some(seen)) = timeout(PATIENCE, self.seen.recv()).await else {
            let missing = self.missing(|seat| seat.holds >= epoch && seat.sends >= epoch);
            let patience = PATIENCE.as_secs();
            return Err(format!("{missing} members do not {verb} epoch {epoch}, and nothing happened for {patience} s").into());
        };
        let seat = &mut self.seats[seen.member];
        let before = seat.holds;
        match &seen.what {
            What::Holds(now) => seat.holds = before.max(*now),
            What::Sends(now) => seat.sends = seat.sends.max(*now),
            What::Over(why) if !seat.evicted => {
                return Err(format!("member {} was lost: {why}", seen.member).into());
            }
            What::Over(_) => {}
        }
        Ok((seen, before))
    }
}

/// Sampled members are spread evenly; the first one is real.
fn is_sampled(member: usize, percent: u32) -> bool {
    let percent = percent as usize;
    member > 0 && (member * percent) / 100 != ((member - 1) * percent) / 100
}

/// A real member, which is followed by a task of its own.
async fn join(options: Options, reporter: Reporter) -> Result<MemberId, Failure> {
    let membership = Client::new(options)?.join(GROUP, ROLE).await?;
    let id = membership.member();
    tokio::spawn(follow(membership, reporter));
    Ok(id)
}

async fn follow(mut membership: Membership, reporter: Reporter) {
    while let Some(event) = membership.next().await {
        match event {
            Event::Installed { epoch } => reporter.tell(What::Holds(epoch)),
            Event::Send { epoch } => reporter.tell(What::Sends(epoch)),
            Event::Ended(end) => reporter.tell(What::Over(format!("{end:?}"))),
            Event::Rejoined { .. } => reporter.tell(What::Over("it joined afresh".to_owned())),
            Event::Retired { .. } | Event::Disconnected { .. } | Event::Resumed { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_members_are_the_share_that_was_asked_for() {
        for percent in [0, 1, 10, 50, 99] {
            let sampled = (0..1000)
                .filter(|member| is_sampled(*member, percent))
                .count();
            assert!(
                sampled.abs_diff(percent as usize * 10) <= 1,
                "{percent}: {sampled}"
            );
        }
        assert!(!is_sampled(0, 99));
    }
}
