//! The way back: what somebody did upstream to the objects of groups that live is noticed, and acted on.
//!
//! Every object that should be active is asked for its state, once in each interval. One that is revoked, compromised or destroyed
//! was ended by somebody else: what the gateway ends itself is not looked at while it does so, nor afterwards. That is put on
//! record, and what the group's policy says (`on_revoked`) is done, once for each object: it is on disk that it was found and what is
//! still to be done, and the successor of the object is a new one.
//!
//! A store that was restored from an empty backup, or is another one, looks as if everything had been destroyed. So where more than
//! one in `ONE_IN` of at least `AT_LEAST` objects vanish between two looks, no group is rolled or destroyed for it. Those groups
//! are frozen: nobody is admitted, and nobody loses a key. An operator who has understood it thaws each group, which registers its
//! objects anew, or rolls it over, or destroys it. What was revoked by name is acted on all the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use tokio::task::JoinSet;

use super::aside::{AGAIN, retry};
use super::groups::{Facts, Groups};
use super::known::{Due, Ended, Known, Object};
use super::locate::locate;
use super::upstream::{self, ITEMS, State};
use super::{LookError, Shared};
use crate::audit::{Actor, Entry, Event, Group};
use crate::crypto;
use crate::group::policy::OnRevoked;
use crate::relay::Hints;

/// Fewer objects may all vanish, and it counts as meant.
const AT_LEAST: usize = 10;
/// If more than one in so many vanish between two looks, it does not.
const ONE_IN: usize = 10;
/// Groups that are acted on at a time: each waits for its records to be on disk.
const ACTS: usize = 16;
/// Groups that are looked at with one message: each has two objects at most.
const PAGE: u32 = ITEMS as u32 / 2;

/// An object that somebody ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// The group's identifier.
    group: String,
    /// The object's name.
    object: String,
    how: Ended,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Objects whose state is known.
    pub objects: usize,
    /// Those that somebody had ended since the last look.
    pub ended: usize,
}

/// What all findings of a look come to, if too many objects vanished at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Vanished {
    objects: usize,
    of: usize,
}

/// Looks for ever, each time within an interval, or sooner for a hint.
pub(super) async fn watch<G: Groups>(shared: Arc<Shared<G>>, every: Duration, mut hints: Hints) {
    let (mut trouble, mut retried) = (false, None::<Instant>);
    // The sender is in what is shared.
    let _ = shared.caught_up.subscribe().wait_for(|done| *done).await;
    loop {
        if retried.is_none_or(|retried| retried.elapsed() >= AGAIN) {
            match retry(&shared).await {
                Ok(_) => retried = Some(Instant::now()),
                // The look that follows says that the store is away, once; it is tried again after that.
                Err(error) => {
                    tracing::debug!(%error, "what was set aside cannot be tried again now")
                }
            }
        }
        // Gateways that were started together do not ask all at once.
        hints
            .rest(every.mul_f64(1.0 - crypto::fraction() / 4.0))
            .await;
        match look(&shared).await {
            Ok(Looked { objects, .. }) => {
                trouble = false;
                gauge!("wardcast_lifecycle_objects").set(objects as f64);
            }
            Err(error) => {
                counter!("wardcast_lifecycle_look_failures_total").increment(1);
                // Once, not every time.
                if !std::mem::replace(&mut trouble, true) {
                    tracing::warn!(%error, "what became of objects upstream is not known; it is looked again");
                }
            }
        }
    }
}

/// Looks at all objects once, and acts on what is found.
pub(super) async fn look<G: Groups>(shared: &Arc<Shared<G>>) -> Result<Looked, LookError> {
    if !*shared.caught_up.borrow() {
        return Ok(Looked::default());
    }
    let looked = find(shared).await;
    // What is to be done to groups needs no store.
    let due = shared.ledger.due().await?;
    for some in due.chunks(ACTS) {
        act_on(shared, some).await?;
    }
    looked
}

/// Looks at all objects once, and notes what is to be done for what is found.
async fn find<G: Groups>(shared: &Arc<Shared<G>>) -> Result<Looked, LookError> {
    let mut after = String::new();
    let mut findings = Vec::new();
    // Found before, and nothing has come of it yet: of a look that was interrupted, the next one thinks the same.
    let mut gone = 0;
    let mut looked = Looked::default();
    loop {
        // Nothing is done upstream meanwhile: what is found is somebody else's doing.
        let _turn = shared.turn.lock().await;
        let mut page = shared.ledger.page(&after, PAGE).await?;
        let Some(last) = page.last() else {
            break;
        };
        after.clone_from(&last.id);
        identify(shared, &mut page).await?;
        let live = page.iter().flat_map(Known::objects);
        let before = live.filter(|object| object.found == Some(Ended::Destroyed));
        let before = before.count();
        gone += before;
        looked.objects += before + examine(shared, &page, &mut findings).await?;
    }
    looked.ended = findings.len();
    let vanished = vanished(&findings, gone, looked.objects);
    if let Some(Vanished { objects, of }) = vanished {
        tracing::error!(
            objects,
            of,
            "so many objects vanished from the key store upstream at once that their groups are frozen instead of what policy says; \
             thaw each group once that is understood"
        );
    }
    for finding in findings {
        let mass = vanished.filter(|_| finding.how == Ended::Destroyed);
        match note(shared, &finding, mass).await {
            Err(LookError::Group(group, why)) => {
                tracing::warn!(group, %why, "what was found upstream cannot be acted on now; it is looked at again");
            }
            noted => noted?,
        }
    }
    Ok(looked)
}

/// Does what is to be done to some groups, to all of them at once.
async fn act_on<G: Groups>(shared: &Arc<Shared<G>>, ids: &[String]) -> Result<(), LookError> {
    let mut acts = JoinSet::new();
    for id in ids {
        let (shared, id) = (shared.clone(), id.clone());
        acts.spawn(async move { act(&shared, &id).await });
    }
    while let Some(acted) = acts.join_next().await {
        match acted {
            Ok(Err(LookError::Group(group, why))) => {
                tracing::warn!(group, %why, "what is to be done for an end upstream cannot be done now; it is tried again");
            }
            Ok(acted) => acted?,
            // It is to be done still, after the next look.
            Err(error) => {
                tracing::error!(%error, "what is to be done for an end upstream was given up")
            }
        }
    }
    Ok(())
}

/// Looks objects up whose identifiers are not known, as after the ledger was read up from the trail. One that is not found is left as it
/// is: nobody knows who ended it.
async fn identify<G>(shared: &Shared<G>, page: &mut [Known]) -> Result<(), LookError> {
    let lacks = |object: &&Object| object.id.is_none() && object.found.is_none();
    let names = page.iter().flat_map(Known::objects).filter(lacks);
    let names: Vec<String> = names.map(|object| object.name.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = locate(&shared.client, &names)
        .await
        .map_err(LookError::Names)?;
    for known in page {
        let mut changed = false;
        for object in known.objects_mut() {
            if let (None, Some(id)) = (&object.id, found.ids.get(&object.name)) {
                object.id = Some(id.clone());
                changed = true;
            }
        }
        if changed {
            shared.ledger.put(known.clone()).await?;
        }
    }
    Ok(())
}

/// Asks for the states of the objects of some groups; of how many it is known.
async fn examine<G>(
    shared: &Shared<G>,
    page: &[Known],
    findings: &mut Vec<Finding>,
) -> Result<usize, LookError> {
    let objects = page.iter().flat_map(|known| {
        let live = known.objects().filter(|object| object.found.is_none());
        live.filter_map(|object| {
            Some((known.id.as_str(), object.name.as_str(), object.id.as_ref()?))
        })
    });
    let objects: Vec<(&str, &str, &String)> = objects.collect();
    let mut told = 0;
    for some in objects.chunks(ITEMS) {
        let ids: Vec<String> = some.iter().map(|(.., id)| (*id).clone()).collect();
        let states = upstream::states(&shared.client, &ids).await?;
        for ((group, object, _), state) in some.iter().zip(states) {
            let how = match state {
                Some(State::Deactivated) => Ended::Revoked,
                Some(State::Compromised) => Ended::Compromised,
                Some(State::Gone) => Ended::Destroyed,
                Some(_) => {
                    told += 1;
                    continue;
                }
                None => {
                    tracing::warn!(object, "the key store upstream does not say how it is");
                    continue;
                }
            };
            told += 1;
            findings.push(Finding {
                group: (*group).to_owned(),
                object: (*object).to_owned(),
                how,
            });
        }
    }
    Ok(told)
}

/// Whether more vanished than anybody is thought to have meant.
fn vanished(findings: &[Finding], before: usize, of: usize) -> Option<Vanished> {
    let gone = findings
        .iter()
        .filter(|finding| finding.how == Ended::Destroyed);
    let objects = gone.count();
    if objects == 0 {
        return None;
    }
    let objects = objects + before;
    let many = of >= AT_LEAST && objects * ONE_IN > of;
    many.then_some(Vanished { objects, of })
}

/// Puts on record what was found and what is to be done for it, if it is still news.
async fn note<G: Groups>(
    shared: &Shared<G>,
    finding: &Finding,
    mass: Option<Vanished>,
) -> Result<(), LookError> {
    let _turn = shared.turn.lock().await;
    let Some(mut known) = shared.ledger.get(&finding.group, true).await? else {
        return Ok(());
    };
    let news = |object: &Object| object.name == finding.object && object.found.is_none();
    if !known.objects().any(news) {
        return Ok(());
    }
    let Some(facts) = facts(shared, &known).await? else {
        return Ok(());
    };
    if is_over(&known, &facts, finding) {
        tracing::info!(
            group = known.name,
            object = finding.object,
            "an object ended upstream whose generation is over here: that is on the trail, and the ledger is told yet"
        );
        return Ok(());
    }
    let due = due(&facts, finding, mass);
    let entry = Entry {
        actor: Actor::Gateway,
        group: Some(Arc::new(Group {
            id: known.id.clone(),
            name: known.name.clone(),
        })),
        revision: None,
        request: None,
        event: Event::UpstreamEnded {
            object: finding.object.clone(),
            state: finding.how.word().to_owned(),
            action: word(due.action).to_owned(),
            why: due.why.clone(),
        },
    };
    tracing::warn!(
        group = known.name,
        object = finding.object,
        state = finding.how.word(),
        action = word(due.action),
        "an object was ended upstream"
    );
    counter!("wardcast_lifecycle_ended_upstream_total", "action" => word(due.action)).increment(1);
    shared.audit.note(vec![entry]).await;
    for object in known
        .objects_mut()
        .filter(|object| object.name == finding.object)
    {
        object.found = Some(finding.how);
    }
    known.due = Some(match known.due.take() {
        Some(before) => before.with(due),
        None => due,
    });
    shared.ledger.put(known).await?;
    Ok(())
}

/// Whether it was the object of a generation that is over: the group has another root by now, and need not be given one.
fn is_over(known: &Known, facts: &Facts, finding: &Finding) -> bool {
    let (Some(key), Some(root)) = (&known.key, facts.root) else {
        return false;
    };
    let own = (known.seed.master, (key.root.level, key.root.generation));
    key.object.name == finding.object && own != (facts.master, root)
}

fn due(facts: &Facts, finding: &Finding, mass: Option<Vanished>) -> Due {
    let how = finding.how.word();
    let own = format!("its object {} was {how} upstream", finding.object);
    let (action, why) = match mass {
        None => (facts.policy.on_revoked, own),
        Some(Vanished { objects, of }) => {
            let why = format!(
                "{objects} of {of} objects vanished upstream at once, of this group among them"
            );
            (OnRevoked::Freeze, why)
        }
    };
    Due {
        action,
        why,
        rollovers: facts.rollovers,
    }
}

/// The group, if it is there and the one that is known.
async fn facts<G: Groups>(shared: &Shared<G>, known: &Known) -> Result<Option<Facts>, LookError> {
    let facts = shared.groups.group(&known.name).await;
    let facts = facts.map_err(|why| LookError::Group(known.name.clone(), why))?;
    Ok(facts.filter(|facts| facts.id == known.id))
}

/// Does what is to be done to a group. If it fails, that is tried again after the next look.
async fn act<G: Groups>(shared: &Shared<G>, id: &str) -> Result<(), LookError> {
    let Some(known) = shared.ledger.get(id, false).await? else {
        return Ok(());
    };
    let Some(due) = &known.due else {
        return Ok(());
    };
    if let Some(facts) = facts(shared, &known).await? {
        let rolled = due.action == OnRevoked::Roll && facts.rollovers > due.rollovers;
        if !rolled && let Err(why) = shared.groups.act(&known.name, due.action, &due.why).await {
            tracing::error!(
                group = known.name, action = word(due.action), %why,
                "what is to be done for an end upstream cannot be done now; it is tried again"
            );
            return Ok(());
        }
    }
    // The records of what was done may have been applied meanwhile, and more known. Busy or not: what is done is not done
    // again, for an operator may have thawed the group since.
    let _turn = shared.turn.lock().await;
    if let Some(mut known) = shared.ledger.get(id, false).await?
        && !known.over
    {
        known.due = None;
        shared.ledger.put(known).await?;
    }
    Ok(())
}

fn word(action: OnRevoked) -> &'static str {
    match action {
        OnRevoked::Roll => "roll",
        OnRevoked::Freeze => "freeze",
        OnRevoked::Destroy => "destroy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(count: usize, how: Ended) -> Vec<Finding> {
        let finding = |number| Finding {
            group: format!("{number}"),
            object: format!("object-{number}"),
            how,
        };
        (0..count).map(finding).collect()
    }

    #[test]
    fn few_that_vanish_are_meant_and_many_are_not() {
        let many = |count, of| vanished(&gone(count, Ended::Destroyed), 0, of).is_some();
        assert!(!many(9, 9) && !many(1, 10) && !many(10, 100));
        assert!(many(2, 10) && many(11, 100) && many(10, 10));
        assert_eq!(vanished(&gone(100, Ended::Revoked), 0, 100), None);
        assert_eq!(vanished(&gone(100, Ended::Compromised), 0, 100), None);
        let rest = vanished(&gone(1, Ended::Destroyed), 10, 100);
        assert!(rest.is_some(), "the rest of a look that was interrupted");
        assert_eq!(vanished(&[], 90, 100), None, "no news");
    }
}
