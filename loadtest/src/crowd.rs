//! The members of a run: each with a certificate, a socket and a connection of its own, all in this process.
//!
//! Real members are the client library: they unwrap, check the confirmation tag and the signature, and only then acknowledge.
//! Sampled ones acknowledge what they are sent without looking into it, so that this process can drive more members than it
//! could compute keys for.

mod datagrams;
mod sampled;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wardcast::group::ids::{Epoch, MemberId, Role};
use wardcast::group::wire::{Message, Push, RekeyDelivery};
use wardcast::member::{Client, Event, Membership, Observed, Options};

use datagrams::Opener;

use crate::Failure;
use crate::operator::GROUP;
use crate::report::Progress;
use crate::site::Site;
use crate::sockets::Sockets;

/// How long nothing may happen before a run is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a join is tried, over passing refusals.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);
/// Reports that are read at once, and how long others are waited for while more than that are missing.
const AT_ONCE: usize = 128;
const LOOK: Duration = Duration::from_millis(1);

/// Who the members of a run are.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Manner {
    /// How many members may send; the others only receive, and are not told when senders switch to a new key.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    senders: u32,
    /// The share of members that acknowledge without computing keys, in percent; the report says so.
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=99))]
    sampled: u32,
}

impl Manner {
    fn role(self, member: usize) -> Role {
        match member < self.senders as usize {
            true => Role::Both,
            false => Role::Receiver,
        }
    }
}

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
    /// None if it only receives.
    sends: Option<Epoch>,
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
    /// Lets one member after the other join, so many at a time.
    pub(crate) async fn join(
        site: &Site,
        gateway: SocketAddr,
        at_once: usize,
        manner: Manner,
    ) -> Result<Self, Failure> {
        let (report, seen) = mpsc::unbounded_channel();
        let (tap, observed) = mpsc::channel(1024);
        let shared = sampled::Shared {
            sockets: Sockets::start()?,
            opener: Arc::default(),
        };
        let members = site.members().len();
        let seat = |member| Seat {
            sends: manner.role(member).sends().then_some(Epoch(0)),
            ..Seat::default()
        };
        let mut crowd = Crowd {
            seats: (0..members).map(seat).collect(),
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
            let role = manner.role(member);
            if is_sampled(member, manner.sampled) {
                let joined = sampled::join(options, role, reporter, shared.clone());
                joining.spawn(async move { Ok((member, joined.await?)) });
                continue;
            }
            crowd.real += 1;
            let options = Options {
                tap: (member == 0).then(|| tap.clone()),
                patience: JOIN_PATIENCE,
                ..options
            };
            let opener = (member == 0).then(|| shared.opener.clone());
            let joined = join(options, role, reporter, opener);
            joining.spawn(async move { Ok((member, joined.await?)) });
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
        let holds = |seat: &Seat| seat.holds >= epoch;
        self.until(&format!("hold epoch {epoch}"), holds, |seen| {
            took.push(seen.at.saturating_duration_since(since));
        })
        .await?;
        Ok(took)
    }

    /// Waits until all send with `epoch` or a newer one.
    pub(crate) async fn send(&mut self, epoch: Epoch) -> Result<(), Failure> {
        let sends = |seat: &Seat| seat.sends.is_none_or(|sends| sends >= epoch);
        self.until(&format!("send with epoch {epoch}"), sends, |_| {})
            .await
    }

    /// Waits until that holds of all; tells when it came to hold of each.
    async fn until(
        &mut self,
        what: &str,
        done: impl Fn(&Seat) -> bool,
        mut came: impl FnMut(&Seen),
    ) -> Result<(), Failure> {
        let mut missing = self.missing(&done);
        let mut seen = Vec::with_capacity(AT_ONCE);
        while missing > 0 {
            let received = timeout(PATIENCE, self.seen.recv_many(&mut seen, AT_ONCE)).await;
            if !matches!(received, Ok(1..)) {
                let patience = PATIENCE.as_secs();
                return Err(format!(
                    "{missing} members do not {what}, and nothing happened for {patience} s"
                )
                .into());
            }
            for seen in seen.drain(..) {
                let before = done(&self.seats[seen.member]);
                self.note(&seen)?;
                let seat = &self.seats[seen.member];
                if !before && done(seat) {
                    came(&seen);
                    missing -= usize::from(!seat.evicted);
                }
            }
            if missing > AT_ONCE {
                // Nobody who reports meanwhile has to wake this task: that would be most of what members cost.
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// The size of a rekey as it was pushed to member 0, of all that were since the last call; the mean.
    pub(crate) fn rekey_bytes(&mut self) -> Option<usize> {
        let mut sizes = Vec::new();
        while let Ok(Observed { header, edges }) = self.observed.try_recv() {
            let delivery = RekeyDelivery {
                group: wardcast::group::ids::GroupId([0; 16]),
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

    /// Notes what was seen. An end that nobody asked for is an error.
    fn note(&mut self, seen: &Seen) -> Result<(), Failure> {
        let seat = &mut self.seats[seen.member];
        match &seen.what {
            What::Holds(now) => seat.holds = seat.holds.max(*now),
            What::Sends(now) => seat.sends = seat.sends.map(|sends| sends.max(*now)),
            What::Over(why) if !seat.evicted => {
                return Err(format!("member {} was lost: {why}", seen.member).into());
            }
            What::Over(_) => {}
        }
        Ok(())
    }
}

/// Sampled members are spread evenly; the first one is real.
fn is_sampled(member: usize, percent: u32) -> bool {
    let percent = percent as usize;
    member > 0 && (member * percent) / 100 != ((member - 1) * percent) / 100
}

/// A real member, which is followed by a task of its own.
async fn join(
    options: Options,
    role: Role,
    reporter: Reporter,
    opener: Option<Arc<Opener>>,
) -> Result<MemberId, Failure> {
    let membership = Client::new(options)?.join(GROUP, role).await?;
    let id = membership.member();
    tokio::spawn(follow(membership, reporter, opener));
    Ok(id)
}

/// Reports what happens, and tells those who only acknowledge what this member reads pushes with.
async fn follow(mut membership: Membership, reporter: Reporter, opener: Option<Arc<Opener>>) {
    while let Some(event) = membership.next().await {
        match event {
            Event::Installed { epoch } => {
                if let Some((opener, cipher)) = opener.as_ref().zip(membership.push_cipher()) {
                    opener.learn(cipher);
                }
                reporter.tell(What::Holds(epoch));
            }
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
