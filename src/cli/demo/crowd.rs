//! The demo's members: each with a connection, a certificate and a membership of its own, and what is known of them all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::group::ids::{Epoch, MemberId, Role};
use crate::member::{Client, End, Event, Membership, Observed, Options, Ticket};

use super::ledger::Ledger;
use super::outsider::Outsider;
use super::place::{GROUP, Place};
use super::show::Row;

/// Members that join at the same time: the storm is for the gateway to weather, not for this process.
const JOINING_AT_ONCE: usize = 64;
/// A gateway that was killed is noticed within three times this.
const KEEP_ALIVE: Duration = Duration::from_millis(500);
/// What members compare: a key that they export from each epoch.
const LABEL: &str = "wardcast demo agreement";
/// Epochs that a member observed and nobody took yet.
const TAP: usize = 1024;

/// What became of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is in the group.
    Present,
    /// It left by its own will.
    Left,
    /// The gateway removed it.
    Evicted,
    /// It ended in a way that nobody asked for.
    Lost(String),
}

/// What is known of one member. Its place in the list is its number in the demo.
struct Seat {
    ticket: Ticket,
    newest: Epoch,
    fate: Fate,
    resumed: u32,
    /// The epochs as the gateway sent them to it: those that were looked at, and those that were not yet.
    history: Vec<Observed>,
    observed: mpsc::Receiver<Observed>,
    /// Tells the member's task to leave.
    leave: mpsc::Sender<oneshot::Sender<Result<(), String>>>,
}

#[derive(Default)]
struct Known {
    seats: Vec<Seat>,
    ledger: Ledger,
}

/// What is done as soon as the first member holds an epoch.
type Tripwire = (Epoch, Box<dyn FnOnce() + Send>);

/// Shared between the members' tasks and the phases.
#[derive(Default)]
struct Board {
    tripwire: Mutex<Option<Tripwire>>,
    known: Mutex<Known>,
    changed: Notify,
}

impl Board {
    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic elsewhere is reported there; what was written before it is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member holds this epoch: springs the tripwire, in that member's own task.
    fn spring(&self, epoch: Epoch) {
        let mut tripwire = self.tripwire.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, then)) = tripwire.take_if(|(at, _)| epoch >= *at) {
            then();
        }
    }

    fn update(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known());
        self.changed.notify_waiters();
    }
}

/// All members, past and present.
#[derive(Default)]
pub(super) struct Crowd {
    board: Arc<Board>,
}

impl Crowd {
    /// `count` new members join; returns when all have.
    pub(super) async fn join(&self, place: &Place, count: usize, row: &Row) -> Result<(), String> {
        let gate = Arc::new(Semaphore::new(JOINING_AT_ONCE));
        let mut joining = JoinSet::new();
        for _ in 0..count {
            let (tap, observed) = mpsc::channel(TAP);
            let options = Options {
                keep_alive: KEEP_ALIVE,
                tap: Some(tap),
                ..Options::new(
                    place.address(),
                    "localhost",
                    place.member()?,
                    place.trust()?,
                )
            };
            let (board, gate) = (self.board.clone(), gate.clone());
            joining.spawn(async move {
                let _place = gate
                    .acquire_owned()
                    .await
                    .map_err(|error| error.to_string())?;
                enter(board, options, observed).await
            });
        }
        let mut done = 0;
        while let Some(joined) = joining.join_next().await {
            joined
                .map_err(|error| format!("a member's task failed: {error}"))?
                .map_err(|why| format!("a join failed: {why}"))?;
            done += 1;
            row.at(done);
        }
        Ok(())
    }

    /// These members leave; returns when the gateway has it on record.
    pub(super) async fn leave(&self, members: &[usize]) -> Result<(), String> {
        let mut leaving = JoinSet::new();
        for member in members {
            let leave = self.board.known().seats[*member].leave.clone();
            leaving.spawn(async move {
                let (answer, left) = oneshot::channel();
                let asked = leave.send(answer).await.is_ok();
                if asked {
                    left.await.unwrap_or_else(|_| Err("it ended".to_owned()))
                } else {
                    Err("it ended".to_owned())
                }
            });
        }
        while let Some(left) = leaving.join_next().await {
            left.map_err(|error| error.to_string())?
                .map_err(|why| format!("a leave failed: {why}"))?;
        }
        Ok(())
    }

    /// The members that are in the group.
    pub(super) fn present(&self) -> Vec<usize> {
        self.board.known().present()
    }

    /// Their numbers at the gateway.
    pub(super) fn ids(&self, members: &[usize]) -> Vec<MemberId> {
        let known = self.board.known();
        members
            .iter()
            .map(|member| known.seats[*member].ticket.member)
            .collect()
    }

    /// The newest epoch that anyone holds.
    pub(super) fn newest(&self) -> Epoch {
        self.board.known().newest()
    }

    /// How many of those present hold this epoch.
    pub(super) fn holders(&self, epoch: Epoch) -> usize {
        let known = self.board.known();
        known.ledger.holders(epoch, known.present().into_iter())
    }

    /// How many epochs there were and how many secrets members computed.
    pub(super) fn totals(&self) -> (usize, usize) {
        self.board.known().ledger.totals()
    }

    /// How often members resumed.
    pub(super) fn resumptions(&self) -> u32 {
        self.board
            .known()
            .seats
            .iter()
            .map(|seat| seat.resumed)
            .sum()
    }

    /// Waits until `done` finds what it looks for; `late` says what was missing when it did not.
    async fn until<T>(
        &self,
        patience: Duration,
        done: impl Fn(&Known) -> Option<T>,
        late: impl Fn(&Known) -> String,
    ) -> Result<T, String> {
        let deadline = Instant::now() + patience;
        loop {
            let changed = self.board.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = done(&self.board.known()) {
                return Ok(found);
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Err(format!(
                    "{} after {} s",
                    late(&self.board.known()),
                    patience.as_secs()
                ));
            }
        }
    }

    /// Waits until all present members hold the same newest epoch, `at_least` this one.
    pub(super) async fn settle(
        &self,
        at_least: Epoch,
        row: &Row,
        patience: Duration,
    ) -> Result<Epoch, String> {
        let behind = |known: &Known| {
            let newest = known.newest().max(at_least);
            let present = known.present();
            let behind = present
                .iter()
                .filter(|member| known.seats[**member].newest != newest)
                .count();
            (behind, present.len())
        };
        let done = |known: &Known| {
            let (behind, present) = behind(known);
            row.at(present - behind);
            (behind == 0 && present > 0).then(|| known.newest())
        };
        let late = |known: &Known| {
            let (behind, present) = behind(known);
            format!(
                "{behind} of {present} members still lack epoch {}",
                known.newest().max(at_least)
            )
        };
        self.until(patience, done, late).await
    }

    /// Does `then` as soon as the first member holds this epoch: while the others are being sent it.
    pub(super) fn when_first_holds(&self, epoch: Epoch, then: impl FnOnce() + Send + 'static) {
        let mut tripwire = self
            .board
            .tripwire
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *tripwire = Some((epoch, Box::new(then)));
    }

    /// Waits until the first member holds this epoch, or a later one.
    pub(super) async fn first_with(
        &self,
        epoch: Epoch,
        patience: Duration,
    ) -> Result<Epoch, String> {
        let done = |known: &Known| Some(known.newest()).filter(|newest| *newest >= epoch);
        self.until(patience, done, |_| format!("nobody holds epoch {epoch}"))
            .await
    }

    /// Waits until the gateway told these members that they are out.
    pub(super) async fn evicted(
        &self,
        members: &[usize],
        patience: Duration,
    ) -> Result<(), String> {
        let done = |known: &Known| {
            members
                .iter()
                .all(|member| known.seats[*member].fate == Fate::Evicted)
                .then_some(())
        };
        let late = |known: &Known| {
            let fates: Vec<&Fate> = members
                .iter()
                .map(|member| &known.seats[*member].fate)
                .collect();
            format!("the evicted were not told: {fates:?}")
        };
        self.until(patience, done, late).await
    }

    /// Waits until all of these have resumed.
    pub(super) async fn resumed(
        &self,
        members: &[usize],
        row: &Row,
        patience: Duration,
    ) -> Result<(), String> {
        let back = |known: &Known| {
            members
                .iter()
                .filter(|member| known.seats[**member].resumed > 0)
                .count()
        };
        let done = |known: &Known| {
            row.at(back(known));
            (back(known) == members.len()).then_some(())
        };
        let late = |known: &Known| {
            format!(
                "{} of {} members have not resumed",
                members.len() - back(known),
                members.len()
            )
        };
        self.until(patience, done, late).await
    }

    /// Nobody was lost, nobody of `members` ended: whoever is there is there with its first registration.
    pub(super) fn nobody_lost(&self, members: &[usize]) -> Result<(), String> {
        let known = self.board.known();
        let gone: Vec<String> = members
            .iter()
            .filter(|member| known.seats[**member].fate != Fate::Present)
            .map(|member| format!("member {member}: {:?}", known.seats[*member].fate))
            .collect();
        if gone.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "{} members would have to join afresh: {}",
                gone.len(),
                gone.join(", ")
            ))
        }
    }

    /// Compares all secrets, and looks for members that ended without having been asked to.
    pub(super) fn check(&self) -> Result<(), String> {
        let known = self.board.known();
        let mut outsiders = Vec::new();
        for (member, seat) in known.seats.iter().enumerate() {
            match &seat.fate {
                Fate::Present => {}
                Fate::Left | Fate::Evicted => outsiders.push((member, seat.newest)),
                Fate::Lost(why) => return Err(format!("member {member} was lost: {why}")),
            }
        }
        known.ledger.check(&outsiders)
    }

    /// Those who are out try to compute `epoch` with all that they ever held and all that anybody was sent since.
    pub(super) fn try_to_compute(&self, outside: &[usize], epoch: Epoch) -> Result<String, String> {
        let mut known = self.board.known();
        let present = known.present();
        let published: Vec<Observed> = present
            .into_iter()
            .flat_map(|member| known.seats[member].history().to_vec())
            .collect();
        let mut tried = 0;
        for member in outside {
            let seat = &mut known.seats[*member];
            let mut outsider = Outsider::new(&seat.ticket);
            outsider.replay(seat.history());
            let held = outsider.newest();
            if held < seat.newest {
                return Err(format!(
                    "the attempt is worthless: replaying member {member} led to epoch {held} only"
                ));
            }
            outsider.replay(&published);
            if outsider.newest() > held {
                return Err(format!(
                    "member {member} is out since epoch {held} and computed epoch {}",
                    outsider.newest()
                ));
            }
            if outsider.last_tried() < epoch {
                return Err(format!(
                    "the attempt is worthless: epoch {epoch} was not observed"
                ));
            }
            tried = outsider.tried();
        }
        Ok(format!(
            "those outside tried {tried} deliveries and computed none"
        ))
    }
}

impl Seat {
    /// All epochs as the gateway sent them to this member.
    fn history(&mut self) -> &[Observed] {
        self.history
            .extend(std::iter::from_fn(|| self.observed.try_recv().ok()));
        &self.history
    }
}

impl Known {
    fn present(&self) -> Vec<usize> {
        let seats = self.seats.iter().enumerate();
        seats
            .filter(|(_, seat)| seat.fate == Fate::Present)
            .map(|(member, _)| member)
            .collect()
    }

    fn newest(&self) -> Epoch {
        self.seats
            .iter()
            .map(|seat| seat.newest)
            .max()
            .unwrap_or_default()
    }
}

/// Joins, takes a seat and follows the group in a task of its own.
async fn enter(
    board: Arc<Board>,
    options: Options,
    observed: mpsc::Receiver<Observed>,
) -> Result<(), String> {
    let client = Client::new(options).map_err(|error| error.to_string())?;
    let membership = client
        .join(GROUP, Role::Receiver)
        .await
        .map_err(|error| error.to_string())?;
    let (leave, asked) = mpsc::channel(1);
    let ticket = membership.ticket();
    let mut member = 0;
    board.update(|known| {
        member = known.seats.len();
        let (newest, fate) = (Epoch(0), Fate::Present);
        let history = Vec::new();
        known.seats.push(Seat {
            ticket,
            newest,
            fate,
            resumed: 0,
            history,
            observed,
            leave,
        });
    });
    tokio::spawn(follow(board, member, membership, asked));
    Ok(())
}

async fn follow(
    board: Arc<Board>,
    member: usize,
    mut membership: Membership,
    mut asked: mpsc::Receiver<oneshot::Sender<Result<(), String>>>,
) {
    loop {
        let event = tokio::select! {
            event = membership.next() => event,
            Some(answer) = asked.recv() => {
                board.update(|known| known.seats[member].fate = Fate::Left);
                let left = membership.leave().await.map_err(|error| error.to_string());
                // Whoever asked may have given up.
                let _ = answer.send(left);
                return;
            }
        };
        match event {
            Some(Event::Installed { epoch }) => {
                board.spring(epoch);
                // It may be retired already, by a newer one that waits behind this event.
                if let Ok(key) = membership.export(epoch, LABEL, b"", 32) {
                    let fingerprint = key.as_slice().try_into().expect("32 bytes were exported");
                    board.update(|known| {
                        known.ledger.write(member, epoch, fingerprint);
                        known.seats[member].newest = epoch;
                    });
                }
            }
            Some(Event::Resumed { .. }) => board.update(|known| known.seats[member].resumed += 1),
            Some(Event::Rejoined { .. }) => {
                // Not allowed by the demo's options: being known again after a restart is what it shows.
                let fate = Fate::Lost("it joined afresh".to_owned());
                return board.update(|known| known.seats[member].fate = fate);
            }
            Some(Event::Ended(end)) => {
                let fate = match end {
                    End::Removed(crate::group::wire::RemovalReason::Evicted) => Fate::Evicted,
                    other => Fate::Lost(format!("{other:?}")),
                };
                return board.update(|known| known.seats[member].fate = fate);
            }
            Some(Event::Send { .. } | Event::Retired { .. } | Event::Disconnected { .. }) => {}
            None => return,
        }
    }
}
