//! The way up: records of the trail become steps, and the steps are done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::apply::{Applier, Progress};
use super::groups::Groups;
use super::known::{Known, Rules, Seed};
use super::ledger::on_disk;
use super::plan::{Begin, End, Step, plan, remember};
use crate::audit::{Event, Record};
use crate::group::ids::Revision;
use crate::kmip::client::Register;
use crate::relay::{Batch, Bounds, Place, Resume, Sink, SinkError, Start};

/// Records of one batch: each comes to four operations at most.
const RECORDS: usize = 256;
/// Bytes of one batch's lines.
const BYTES: usize = 1 << 20;
/// How long records are collected.
const PATIENCE: Duration = Duration::from_millis(200);

/// Follows the trail, and keeps the objects upstream as it says.
pub struct LifecycleSink<G> {
    shared: Arc<Shared<G>>,
    progress: Progress,
    /// It was asked where it goes on before.
    asked: bool,
    /// Up to this record all was taken before: where the ledger is older than that, it is remembered and no more.
    taken: u64,
    /// Up to this record, the newest as it began, objects may be upstream whatever the ledger knows.
    newest: u64,
}

/// What a batch comes to.
#[derive(Default)]
struct Planned {
    /// The groups that it is about, by identifier.
    groups: BTreeMap<String, Option<Known>>,
    /// Of some of them nothing was known, though they are there: so may be their objects.
    adopted: bool,
    begins: Vec<Begin>,
    ends: Vec<End>,
}

impl<G: Groups> LifecycleSink<G> {
    pub(super) fn new(shared: Arc<Shared<G>>) -> Self {
        LifecycleSink {
            shared,
            progress: Progress::default(),
            asked: false,
            taken: 0,
            newest: 0,
        }
    }

    /// What is done of a batch that is given for the first time in this life.
    async fn done_of(&self, batch: &Batch) -> Result<Progress, SinkError> {
        let begun = match batch.again {
            true => self.shared.ledger.begun(batch.first()).await,
            false => Ok(None),
        };
        let begun = begun.map_err(on_disk)?;
        Ok(Progress {
            batch: batch.first(),
            uncertain: batch.again || batch.first() <= self.newest,
            under_way: batch.again,
            begun: begun.is_some(),
            ids: begun.unwrap_or_default(),
            ..Progress::default()
        })
    }

    async fn plan(&self, batch: &Batch) -> Result<Planned, SinkError> {
        let mut planned = Planned::default();
        for line in &batch.lines {
            let record = &line.record;
            let is_past = record.sequence <= self.taken;
            let matters = matters(record) || is_past && is_remembered(record);
            let Some(group) = record.entry.group.as_ref().filter(|_| matters) else {
                continue;
            };
            if !planned.groups.contains_key(&group.id) {
                let mut known = self.known(&group.id).await?;
                if known.is_none() && !matches!(record.entry.event, Event::GroupCreated { .. }) {
                    known = self.adopt(&group.id, &group.name).await?;
                    planned.adopted |= known.is_some() && !is_past;
                }
                planned.groups.insert(group.id.clone(), known);
            }
            let Some(known) = planned.groups.get_mut(&group.id) else {
                continue;
            };
            if is_past {
                remember(&self.shared.names, known, record);
                continue;
            }
            for step in plan(&self.shared.names, known, record) {
                match step {
                    Step::Begin(begin) => planned.begins.push(begin),
                    Step::End(end) => planned.ends.push(end),
                }
            }
        }
        Ok(planned)
    }

    async fn known(&self, id: &str) -> Result<Option<Known>, SinkError> {
        self.shared.ledger.get(id, false).await.map_err(on_disk)
    }

    /// A group whose creation the trail does not have (any more), but which is there, is taken up as it is now. A generation that
    /// began before is left upstream as it is.
    async fn adopt(&self, id: &str, name: &str) -> Result<Option<Known>, SinkError> {
        let facts = self.shared.groups.group(name).await;
        let facts = facts.map_err(SinkError::Unreachable)?;
        Ok(facts.filter(|facts| facts.id == id).map(|facts| Known {
            id: facts.id,
            name: name.to_owned(),
            revision: Revision(0),
            seed: Seed {
                suite: facts.suite,
                master: facts.master,
                nonce: None,
            },
            rules: Rules::from(&facts.policy),
            group: None,
            key: None,
            due: None,
            over: false,
        }))
    }

    async fn apply(&mut self, planned: &Planned) -> Result<(), SinkError> {
        if planned.begins.is_empty() && planned.ends.is_empty() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let mut applier = Applier::new(&shared, &mut self.progress);
        // What has begun is not wrapped again: the token may be down, or the master gone.
        let objects = match applier.progress.begun {
            true => Vec::new(),
            false => applier.objects(&planned.begins).await?,
        };
        let names = planned.begins.iter().map(|begin| begin.name.as_str());
        let registers: Vec<(&str, Register)> = names.zip(objects).collect();
        let ids = planned.groups.keys().cloned().collect();
        shared.ledger.begin(ids).await.map_err(on_disk)?;
        applier.run(&registers, &planned.ends).await
    }
}

impl<G: Groups> Sink for LifecycleSink<G> {
    fn name(&self) -> &'static str {
        "lifecycle"
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            records: RECORDS,
            bytes: BYTES,
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// The ledger is what the sink knows: it goes on from there. A ledger that is behind the cursor was lost, or restored from a
    /// backup: what was done since is remembered from the trail.
    async fn begin(&mut self, start: Start) -> Result<Option<Resume>, SinkError> {
        let Shared { ledger, asides, .. } = &*self.shared;
        asides.load(ledger).await.map_err(on_disk)?;
        let applied = ledger.applied().await.map_err(on_disk)?;
        let taken = start.taken.unwrap_or_default();
        let again = std::mem::replace(&mut self.asked, true);
        let after = match applied {
            // What the ledger was applied from is another trail than this.
            _ if again => taken,
            Some(applied) if start.taken.is_none() => applied,
            Some(applied) if applied.sequence < taken.sequence => applied,
            None => Place::default(),
            // The cursor is a batch behind, at most, or as far.
            Some(_) => taken,
        };
        if after.sequence < taken.sequence {
            tracing::warn!(
                ledger = after.sequence,
                cursor = taken.sequence,
                "what is known of objects upstream is older than what was done there: it is read up from the audit trail"
            );
        }
        (self.taken, self.newest) = (taken.sequence, start.newest);
        if after.sequence >= start.newest {
            self.shared.caught_up.send_replace(true);
        }
        Ok((after != taken).then_some(Resume {
            after,
            must_follow: false,
        }))
    }

    async fn take(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let shared = self.shared.clone();
        let _turn = shared.turn.lock().await;
        if self.progress.batch != batch.first() {
            self.progress = self.done_of(batch).await?;
        }
        let planned = self.plan(batch).await?;
        self.progress.uncertain |= planned.adopted;
        self.apply(&planned).await?;
        let mut groups: Vec<Known> = planned.groups.into_values().flatten().collect();
        for object in groups.iter_mut().flat_map(Known::objects_mut) {
            if object.id.is_none() {
                object.id = self.progress.ids.get(&object.name).cloned();
            }
        }
        let applied = Place {
            sequence: batch.last(),
            head: batch.head(),
        };
        let done = shared.ledger.commit(groups, applied).await;
        done.map_err(on_disk)?;
        if batch.last() >= self.newest {
            shared.caught_up.send_replace(true);
        }
        Ok(())
    }
}

/// Whether it means something where all of it was done before.
fn is_remembered(record: &Record) -> bool {
    matches!(
        record.entry.event,
        Event::UpstreamEnded { .. } | Event::Frozen { .. }
    )
}

/// Whether a record can mean anything for objects upstream.
fn matters(record: &Record) -> bool {
    matches!(
        record.entry.event,
        Event::GroupCreated { .. }
            | Event::PolicyChanged { .. }
            | Event::Rekeyed { .. }
            | Event::Thawed
            | Event::GroupDestroyed
    )
}
