//! A shard: the only writer of its groups.

mod watch;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, WeakSender};
use tokio::time::sleep_until;
use tracing::{Instrument, Span};

use super::census::Census;
use super::channels::Channels;
use super::directory::Directory;
use super::event::{Event, Operate, UnderWay, What};
use super::group::{Outward, Served};
use super::standing::{SHOWN_AFTER_MS, Standing};
use super::trail::{Granting, Trail};
use super::{Clock, Parts};
use crate::group::ids::{GroupId, Revision, Time};
use crate::group::machine::{Input, JobId};
use crate::group::operations::{Batch, Issuers, Priority};
use crate::group::wire::{Refusal, RefusalCode};
use crate::hsm::Pool;
use crate::store::{Store, StoreError};

/// Events handled before timers are looked at again.
const TURN: usize = 256;
/// When a caller may ask again after trouble of the store.
const STORE_RETRY_MS: u64 = 1_000;

/// The loop's own state.
pub(super) struct Shard {
    store: Arc<dyn Store>,
    token: Arc<Pool>,
    directory: Arc<Directory>,
    channels: Arc<Channels>,
    trail: Trail,
    clock: Clock,
    /// Where what was begun beside the loop reports back; weak, so that the loop ends with its last handle.
    events: WeakSender<Event>,
    groups: HashMap<GroupId, Served>,
    timers: BTreeSet<(Time, GroupId)>,
    shown: Shown,
    /// Whether the last append failed: logged once, not for every group and attempt.
    store_trouble: bool,
}

/// What the groups are together, for metrics and for operators who look; and which of them are to be looked at for that, when.
struct Shown {
    standing: Standing,
    census: Census,
    stale: Vec<GroupId>,
    due: Option<Time>,
}

impl Shard {
    pub(super) fn new(
        parts: &Parts,
        directory: Arc<Directory>,
        (channels, trail): (Arc<Channels>, Trail),
        (clock, number): (Clock, usize),
        events: WeakSender<Event>,
    ) -> Self {
        Self {
            store: parts.store.clone(),
            token: parts.token.clone(),
            directory,
            channels,
            trail,
            clock,
            events,
            groups: HashMap::new(),
            timers: BTreeSet::new(),
            shown: Shown {
                standing: Standing::new(number, clock.now()),
                census: Census::default(),
                stale: Vec::new(),
                due: None,
            },
            store_trouble: false,
        }
    }

    /// Serves until the last handle is gone.
    pub(super) async fn run(mut self, groups: Vec<Served>, mut inbox: Receiver<Event>) {
        for served in groups {
            let group = served.id();
            self.groups.insert(group, served);
            self.settle(group);
        }
        let mut turn = Vec::with_capacity(TURN);
        loop {
            let timer = self.timers.first().map(|&(time, _)| time);
            let next = timer.into_iter().chain(self.shown.due).min();
            let next = next.map(|time| self.clock.instant(time));
            tokio::select! {
                received = inbox.recv_many(&mut turn, TURN) => if received == 0 { break },
                () = async { sleep_until(next.unwrap_or_else(far)).await }, if next.is_some() => {}
            }
            self.turn(&mut turn);
        }
        for served in self.groups.values_mut() {
            served.vanish(&mut self.shown.standing);
        }
    }

    /// What has happened, and what is due. Not inlined: the benchmark `rekey` counts its instructions.
    #[inline(never)]
    fn turn(&mut self, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            self.event(event);
        }
        self.tick();
    }

    fn event(&mut self, event: Event) {
        let now = self.clock.now();
        let (group, what) = match event {
            Event::Group(group, what) => (group, what),
            Event::TokenKnown(issuers) => return self.token_known(&issuers),
            // Nobody waits for it any more, if it is not taken.
            Event::Echo(reply) => {
                let _ = reply.send(());
                return;
            }
            Event::UnderWay(reply) => {
                let _ = reply.send(self.under_way());
                return;
            }
            // Whoever does not wait any more needs no answer.
            Event::Overview(reply) => return drop(reply.send(self.overview())),
            Event::Lacking(only, from, reply) => {
                return drop(reply.send(self.lacking(only, from)));
            }
        };
        if let What::Operate(_, Operate::Create(machine, reply)) = what {
            self.groups
                .entry(group)
                .or_insert_with(|| Served::create(*machine, reply, (&self.channels, &self.trail)));
            self.settle(group);
            return;
        }
        // A request for a group that is no more is dropped, and its handle answers for it.
        let Some(served) = self.groups.get_mut(&group) else {
            return;
        };
        match what {
            What::Ask(asker, ask) => served.ask(now, &asker, ask),
            What::Operate(request, operate) => served.operate(now, request, operate),
            What::Acknowledged(member, epoch) => served.acknowledged(now, member, epoch),
            What::AllAcknowledged(all) => served.all_acknowledged(now, all),
            What::PushKey(epoch, answer) => served.push_key(epoch, answer),
            What::Silent(member, channel) => served.silent(now, member, channel),
            What::PathFor(member, reply) => served.path_for(now, member, reply),
            What::Detached(member, outbox) => served.detached(now, member, &outbox),
            What::Executed(job, Ok(outputs)) => {
                served.handle(now, Input::TokenDone { job, outputs })
            }
            What::Executed(job, Err(error)) => {
                tracing::warn!(%group, %error, "the token did not execute a batch; it is asked again");
                let retry = error.retry_after();
                let retry_ms =
                    retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
                served.handle(now, Input::TokenFailed { job, retry_ms });
            }
            What::Stored(answer) => return self.stored(group, answer),
        }
        self.settle(group);
    }

    fn under_way(&self) -> UnderWay {
        let mut all = UnderWay::default();
        for group in self.groups.values() {
            let own = group.under_way();
            all.rekeys += own.rekeys;
            all.behind += own.behind;
        }
        all
    }

    fn token_known(&mut self, issuers: &Arc<Issuers>) {
        let groups: Vec<GroupId> = self.groups.keys().copied().collect();
        for group in groups {
            let now = self.clock.now();
            if let Some(served) = self.groups.get_mut(&group) {
                served.handle(now, Input::TokenKnown(issuers.clone()));
            }
            self.settle(group);
        }
    }

    fn stored(&mut self, group: GroupId, answer: Result<Revision, StoreError>) {
        let now = self.clock.now();
        let Some(served) = self.groups.get_mut(&group) else {
            return;
        };
        match answer {
            Ok(revision) => {
                self.store_trouble = false;
                served.persisted(now, revision);
                self.settle(group);
                let snapshot = self.groups.get_mut(&group).and_then(Served::stored);
                if let Some((at, bytes)) = snapshot {
                    self.snapshot(group, at, bytes);
                }
            }
            Err(error @ StoreError::Conflict { .. }) => {
                // Another writer is ahead: what is in memory is not the group any more. Members keep their keys.
                tracing::error!(%group, %error, "fenced out: this gateway stops serving the group; restart it to load the group again");
                self.forget(group, false);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.store_trouble, true) {
                    tracing::error!(%group, %error, "a change could not be persisted; members keep the keys they hold");
                }
                let refusal = Refusal::retry(RefusalCode::StoreTrouble, STORE_RETRY_MS);
                if served.was_not_created(&refusal) {
                    self.forget(group, true);
                } else {
                    served.not_persisted(now);
                    self.settle(group);
                }
            }
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        if self.shown.due.is_some_and(|due| due <= now) {
            self.show();
        }
        while let Some(&(time, group)) = self.timers.first() {
            if time > now {
                return;
            }
            self.timers.remove(&(time, group));
            if let Some(served) = self.groups.get_mut(&group) {
                served.timer = None;
                served.handle(now, Input::Tick);
            }
            self.settle(group);
        }
    }

    /// Shows what has become of groups to which anything happened.
    fn show(&mut self) {
        let Shown {
            standing,
            stale,
            due,
            ..
        } = &mut self.shown;
        *due = None;
        for group in stale.drain(..) {
            if let Some(served) = self.groups.get_mut(&group) {
                served.show(standing);
            }
        }
    }

    /// Runs a group's effects to the end and sets its timer.
    fn settle(&mut self, group: GroupId) {
        let now = self.clock.now();
        while let Some(outward) = self
            .groups
            .get_mut(&group)
            .and_then(|served| served.poll(now))
        {
            match outward {
                Outward::Persist(expected, record) => self.persist(group, expected, record),
                Outward::Grant(granting) => self.grant(group, granting),
                Outward::Token(job, priority, batch) => self.execute(group, job, priority, batch),
                Outward::PushKey(epoch, batch) => {
                    let token = self.token.clone();
                    self.beside(group, async move {
                        What::PushKey(epoch, token.execute(Priority::Prefetch, batch).await)
                    });
                }
                Outward::Destroyed => {
                    self.forget(group, true);
                    self.remove(group);
                }
            }
        }
        let Some(served) = self.groups.get_mut(&group) else {
            return;
        };
        let next = served.next_timeout();
        if next != served.timer {
            if let Some(before) = served.timer {
                self.timers.remove(&(before, group));
            }
            if let Some(next) = next {
                self.timers.insert((next, group));
            }
            served.timer = next;
        }
        if served.grows_stale() {
            self.shown.stale.push(group);
            self.shown.due.get_or_insert(now.after(SHOWN_AFTER_MS));
        }
        self.shown.census.saw(group, now, served.seen());
    }

    fn forget(&mut self, group: GroupId, release: bool) {
        if let Some(mut served) = self.groups.remove(&group) {
            served.vanish(&mut self.shown.standing);
            self.shown.census.forget(group, served.told());
            if let Some(timer) = served.timer {
                self.timers.remove(&(timer, group));
            }
            if release {
                self.directory.release(served.name(), group);
            }
        }
    }

    /// Persist, then audit: what follows is sent once both are done.
    fn persist(&self, group: GroupId, expected: Revision, record: Vec<u8>) {
        let (store, trail) = (self.store.clone(), self.trail.clone());
        let served = self.groups.get(&group);
        let own = served.map(|own| own.trail().clone());
        let span = served.map_or_else(Span::none, |own| own.spans().store());
        let work = async move {
            let next = Revision(expected.0 + 1);
            let changes = own.map(|own| own.changes(next, &record));
            let answer = store.append(group, expected, record).await;
            if answer.is_ok() {
                trail.note(changes.unwrap_or_default()).await;
            }
            What::Stored(answer)
        };
        self.beside(group, work.instrument(span));
    }

    fn grant(&self, group: GroupId, granting: Granting) {
        if let Some(own) = self.groups.get(&group) {
            own.trail().grant(granting, self.events.clone());
        }
    }

    fn execute(&self, group: GroupId, job: JobId, priority: Priority, batch: Batch) {
        let token = self.token.clone();
        let operations = batch.operations.len();
        let served = self.groups.get(&group);
        let span = served.map_or_else(Span::none, |own| own.spans().token(operations));
        let work = async move { What::Executed(job, token.execute(priority, batch).await) };
        self.beside(group, work.instrument(span));
    }

    /// Does something beside the loop; what comes of it is an event.
    fn beside(&self, group: GroupId, work: impl Future<Output = What> + Send + 'static) {
        let events = self.events.clone();
        tokio::spawn(async move {
            let what = work.await;
            if let Some(events) = events.upgrade() {
                // The loop has ended: nobody is left to be told.
                let _ = events.send(Event::Group(group, what)).await;
            }
        });
    }

    fn snapshot(&self, group: GroupId, at: Revision, bytes: Vec<u8>) {
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.snapshot(group, at, bytes).await {
                tracing::warn!(%group, %error, "a snapshot was not stored; the log stays as it is");
            }
        });
    }

    fn remove(&self, group: GroupId) {
        if !self.trail.is_current() {
            return; // the next start puts its end on record, and removes it
        }
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.remove(group).await {
                tracing::warn!(%group, %error, "a destroyed group stays in the store until the next start");
            }
        });
    }
}

/// A time that does not come: the branch that waits for it is disabled.
fn far() -> tokio::time::Instant {
    tokio::time::Instant::now() + std::time::Duration::from_secs(86_400)
}
