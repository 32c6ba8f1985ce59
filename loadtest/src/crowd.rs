//! The members of a run: each with a certificate, a socket and a connection of its own, all in this process.
//!
//! Real members are the client library: they unwrap, check the confirmation tag and the signature, and only then acknowledge.
//! Sampled ones acknowledge what they are sent without looking into it, so that this process can drive more members than it
//! could compute keys for.

mod datagrams;
mod door;
pub(crate) mod sampled;
mod seen;
mod socket;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wardcast::group::ids::{Epoch, MemberId, Role};
use wardcast::group::wire::{Message, Push, RekeyDelivery};
use wardcast::member::Observed;

use crate::Failure;
use crate::report::Progress;
use crate::site::Site;
pub(crate) use door::Door;
use door::Entered;
pub(crate) use sampled::Sampled;
use seen::{Seen, What};

/// How long nothing may happen before a run is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// While more than so many are missing, others are waited for so long: nobody who reports has to wake who reads.
const MANY: usize = 128;
const LOOK: Duration = Duration::from_millis(1);

/// Who the members of a run are.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Manner {
    /// How many members may send; the others only receive, and are not told when senders switch to a new key.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    senders: u32,
    /// The share of members that acknowledge without computing keys, in percent; the report says so. The first always computes them.
    /// Beside other systems (`peers`), whose subscribers compute nothing, it is 100 if not named, else 0.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    sampled: Option<u32>,
    /// How often members test an idle connection; as often as the client library does if nothing is said.
    #[arg(skip)]
    keep_alive: Option<Duration>,
}

impl Manner {
    /// One sender, and such a share of members that only acknowledge.
    pub(crate) fn sampling(percent: u32) -> Self {
        Manner {
            senders: 1,
            sampled: Some(percent),
            keep_alive: None,
        }
    }

    /// The same, with connections that are tested so often.
    pub(crate) fn keeping_alive(self, every: Duration) -> Self {
        Manner {
            keep_alive: Some(every),
            ..self
        }
    }

    /// The same, with such a share of members that only acknowledge if none is named.
    pub(crate) fn or_sampling(self, percent: u32) -> Self {
        Manner {
            sampled: self.sampled.or(Some(percent)),
            ..self
        }
    }

    fn role(self, member: usize) -> Role {
        match member < self.senders as usize {
            true => Role::Both,
            false => Role::Receiver,
        }
    }

    /// Whether this member only acknowledges: evenly spread, and never the first.
    fn is_sampled(self, member: usize) -> bool {
        let percent = self.sampled.unwrap_or(0) as usize;
        member > 0 && (member * percent) / 100 != ((member - 1) * percent) / 100
    }
}

/// What the task of a join ended with.
type Joined = Result<Result<(usize, Entered), Failure>, tokio::task::JoinError>;

/// What is known of a member.
#[derive(Default)]
struct Seat {
    id: Option<MemberId>,
    holds: Epoch,
    /// None if it only receives.
    sends: Option<Epoch>,
    /// Its end is part of the run.
    evicted: bool,
    /// It reads nothing, and is not waited for.
    stalled: bool,
    /// It has not joined, or has left.
    absent: bool,
    /// None if it computes keys.
    sampled: Option<Box<Sampled>>,
}

impl Seat {
    fn is_waited_for(&self) -> bool {
        !self.evicted && !self.stalled && !self.absent
    }
}

/// All members.
pub(crate) struct Crowd {
    seats: Vec<Seat>,
    observed: mpsc::Receiver<Observed>,
    door: Door,
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
        let mut crowd = Crowd::outside(site, gateway, manner)?;
        crowd.enter(site, site.members().len(), at_once).await?;
        Ok(crowd)
    }

    /// All members, of whom none has joined.
    pub(crate) fn outside(
        site: &Site,
        gateway: SocketAddr,
        manner: Manner,
    ) -> Result<Self, Failure> {
        let members = site.members().len();
        let (door, observed) = Door::new(gateway, manner)?;
        let seat = |member| Seat {
            sends: manner.role(member).sends().then_some(Epoch(0)),
            absent: true,
            ..Seat::default()
        };
        Ok(Crowd {
            seats: (0..members).map(seat).collect(),
            observed,
            door,
            real: 0,
        })
    }

    /// Lets the first ones join, so many at a time.
    pub(crate) async fn enter(
        &mut self,
        site: &Site,
        members: usize,
        at_once: usize,
    ) -> Result<(), Failure> {
        let mut progress = Progress::begin("joins");
        let mut joining = JoinSet::new();
        let mut joined = 0;
        for member in 0..members {
            if joining.len() >= at_once {
                self.take(joining.join_next().await)?;
                joined += 1;
                progress.at(joined, members);
            }
            let door = self.door.clone();
            let options = door.options(site, member);
            joining.spawn(async move { Ok((member, door.enter(options, member).await?)) });
        }
        while let Some(last) = joining.join_next().await {
            self.take(Some(last))?;
        }
        let real = self.real;
        progress.end(&format!("{members} members joined, {real} of them real"));
        Ok(())
    }

    /// Has those who only acknowledge leave what comes in their sockets, or read again.
    pub(crate) fn sleep(&self, asleep: bool) {
        self.door.sleep(asleep);
    }

    /// The way in for others.
    pub(crate) fn door(&self) -> Door {
        self.door.clone()
    }

    /// A member is in that came through the door.
    pub(crate) fn seat(&mut self, member: usize, sampled: Sampled) {
        let seat = &mut self.seats[member];
        seat.absent = false;
        seat.id = Some(sampled.member);
        seat.sampled = Some(Box::new(sampled));
    }

    /// A member that only acknowledges is to leave: it is not waited for any more.
    pub(crate) fn unseat(&mut self, member: usize) -> Option<Sampled> {
        let seat = &mut self.seats[member];
        let sampled = seat.sampled.take()?;
        seat.absent = true;
        (seat.id, seat.holds) = (None, Epoch(0));
        Some(*sampled)
    }

    /// Who is there and only acknowledges.
    pub(crate) fn seated(&self) -> Vec<usize> {
        let seated = self.seats.iter().enumerate();
        let seated = seated.filter(|(_, seat)| seat.sampled.is_some());
        seated.map(|(member, _)| member).collect()
    }

    /// Takes note of what was seen so far. An end that nobody asked for is an error.
    pub(crate) fn look(&mut self) -> Result<(), Failure> {
        let mut seen = Vec::new();
        self.door.board.take(&mut seen);
        seen.iter().try_for_each(|seen| self.note(seen))
    }

    fn take(&mut self, joined: Option<Joined>) -> Result<(), Failure> {
        let Some(joined) = joined else {
            return Ok(());
        };
        let (member, entered) = joined??;
        match entered {
            Entered::Real(id) => {
                self.seats[member].id = Some(id);
                self.seats[member].absent = false;
                self.real += 1;
            }
            Entered::Sampled(sampled) => self.seat(member, *sampled),
        }
        Ok(())
    }

    /// Has so many members stall: of those that only acknowledge, from all over the group. Returns how many did.
    pub(crate) fn stall(&mut self, count: usize) -> usize {
        let mut sampled = self.seated();
        sampled.retain(|member| !self.seats[*member].evicted);
        let chosen = evenly(sampled.len(), count);
        for place in &chosen {
            let seat = &mut self.seats[sampled[*place]];
            seat.stalled = true;
            if let Some(sampled) = &seat.sampled {
                sampled.line.stall();
            }
        }
        chosen.len()
    }

    /// Lets those that stalled read again, and be waited for; who they are.
    pub(crate) fn read_on(&mut self) -> Vec<usize> {
        let stalled = |member: &usize| self.seats[*member].stalled;
        let stalled: Vec<usize> = (0..self.seats.len()).filter(stalled).collect();
        for member in &stalled {
            let seat = &mut self.seats[*member];
            seat.stalled = false;
            if let Some(sampled) = &seat.sampled {
                sampled.line.read_on();
            }
        }
        stalled
    }

    /// How many deliveries by stream each of these needed since it began to read again.
    pub(crate) fn caught_up_by(&self, members: &[usize]) -> Vec<u64> {
        let sampled = members
            .iter()
            .filter_map(|member| self.seats[*member].sampled.as_ref());
        sampled.map(|sampled| sampled.line.caught_up_by()).collect()
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
        let mut seen = Vec::new();
        while missing > 0 {
            if timeout(PATIENCE, self.door.board.wait()).await.is_err() {
                let patience = PATIENCE.as_secs();
                return Err(format!(
                    "{missing} members do not {what}, and nothing happened for {patience} s"
                )
                .into());
            }
            self.door.board.take(&mut seen);
            for seen in &seen {
                let before = done(&self.seats[seen.member]);
                self.note(seen)?;
                let seat = &self.seats[seen.member];
                if !before && seat.is_waited_for() && done(seat) {
                    came(seen);
                    missing -= 1;
                }
            }
            if missing > MANY {
                // That would be most of what members cost.
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
        let there = self.seats.iter().filter(|seat| seat.is_waited_for());
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

/// So many places of all, evenly spread; all of them if there are fewer.
fn evenly(all: usize, count: usize) -> Vec<usize> {
    let before = |place: usize| place * count.min(all) / all;
    let places = (0..all).filter(|place| before(place + 1) > before(*place));
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_evenly_spread() {
        assert_eq!(evenly(10, 2), [4, 9]);
        assert_eq!(evenly(3, 5), [0, 1, 2]);
        assert_eq!(evenly(7, 7).len(), 7);
        assert!(evenly(0, 3).is_empty() && evenly(3, 0).is_empty());
    }

    #[test]
    fn sampled_members_are_the_share_that_was_asked_for() {
        for percent in [0, 1, 10, 50, 99, 100] {
            let manner = Manner::sampling(percent);
            let sampled = (0..1000)
                .filter(|member| manner.is_sampled(*member))
                .count();
            assert!(!manner.is_sampled(0));
            assert!(
                sampled.abs_diff(percent as usize * 10) <= 1,
                "{percent}: {sampled}"
            );
        }
    }
}
