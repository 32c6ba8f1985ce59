//! Does what is answered later, as long as the gateway runs, and waits out what keeps the store from it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::gate;
use super::message::{AskedItem, Reply};
use super::relay::{self, Relayed};
use crate::attributes::jwt::Tokens;
use crate::front::caller::Who;
use crate::front::exchanges::{Job, MAX_ANSWER};
use crate::front::observe::{self, Outcome, Weight};
use crate::front::role::{Roles, Rule, rule};
use crate::front::{Shared, now};
use crate::kmip::client::{ClientError, DiscoverVersions, Version};
use crate::kmip::codec::{ttlv, values::ResultReason as reason};
use crate::trace;

/// What a job has for the version that is agreed on with the store.
pub(super) const AGREED: i64 = -1;
/// The pause after the store could not be reached: first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// How often it is looked what is too old.
const EXPIRY: Duration = Duration::from_secs(60);

/// What a job has for a version: it means the same to a gateway that speaks others besides.
pub(super) fn numbered(version: Version) -> i64 {
    let (major, minor) = version.numbers();
    i64::from(major) * 1_000 + i64::from(minor)
}

/// The version of a job, if one is named; nothing where it is none that is spoken.
fn version_of(number: i64) -> Option<Option<Version>> {
    if number == AGREED {
        return Some(None);
    }
    let mut all = Version::ALL.into_iter();
    all.find(|version| numbered(*version) == number).map(Some)
}

/// What is answered where a restart came between. Called before anything else is done.
pub(in crate::front) fn recover(
    exchanges: &crate::front::exchanges::Exchanges,
) -> Result<(), crate::front::DurableError> {
    let unknown = ttlv::encode(&relay::unknown().item());
    let unknown = unknown.expect("a short message");
    let repeatable = |operation| rule(operation).is_some_and(|rule| rule.repeatable);
    let (again, lost) = exchanges.recover(repeatable, &unknown)?;
    if again + lost > 0 {
        tracing::info!(
            again,
            lost,
            "front: exchanges were interrupted: some are done again, of the others nobody knows"
        );
    }
    Ok(())
}

/// Works until the gateway stops.
pub(in crate::front) async fn work(shared: Arc<Shared>, mut stopped: watch::Receiver<()>) {
    let mut pause = PAUSE.0;
    let mut expires = Instant::now();
    // What could not be done lets others go first: a store that is well may be too slow for it, each time.
    let mut after = 0;
    loop {
        if stopped.has_changed().is_err() {
            return;
        }
        if expires.elapsed() >= EXPIRY {
            expires = Instant::now();
            expire(&shared).await;
        }
        let done = match next(&shared, after).await {
            Ok(Next::Job(id, job)) => {
                // Of several that came at once, one call may have woken one worker.
                shared.exchanges.call();
                let named = job.named.clone();
                let done = trace::within(named, run(&shared, id, job, &mut stopped)).await;
                after = if done { 0 } else { id };
                done
            }
            Ok(Next::Outage) => false,
            Ok(Next::Nothing) => {
                let idle = timeout(EXPIRY, shared.exchanges.called());
                tokio::select! {
                    _ = idle => {}
                    _ = stopped.changed() => return,
                }
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "front: the database fails");
                false
            }
        };
        pause = match done {
            true => PAUSE.0,
            false => {
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = stopped.changed() => return,
                }
                (pause * 2).min(PAUSE.1)
            }
        };
    }
}

enum Next {
    Job(i64, Job),
    /// The store does not answer.
    Outage,
    Nothing,
}

/// Takes one, if any waits and the store answers: what is taken and then interrupted may never be known.
async fn next(shared: &Shared, after: i64) -> Result<Next, crate::front::DurableError> {
    if !shared.exchanges.any_waits().await? {
        return Ok(Next::Nothing);
    }
    let answers = match &shared.upstream {
        Some(store) => match store.call(&DiscoverVersions::default()).await {
            Ok(_) | Err(ClientError::Failed { .. } | ClientError::Version { .. }) => true,
            Err(_) => false,
        },
        None => false,
    };
    if !answers {
        return Ok(Next::Outage);
    }
    Ok(match shared.exchanges.take(after).await? {
        Some((id, job)) => Next::Job(id, job),
        None => Next::Nothing,
    })
}

async fn expire(shared: &Shared) {
    match shared.exchanges.expire(now()).await {
        Ok((gone, left)) => observe::expired(gone, left),
        Err(error) => tracing::warn!(%error, "front: the database fails"),
    }
}

/// Does one; false where it waits again, because nothing could be done.
async fn run(shared: &Shared, id: i64, job: Job, stopped: &mut watch::Receiver<()>) -> bool {
    let reply = match execute(shared, &job).await {
        Some(reply) => reply.about(job.operation),
        None => {
            shared.exchanges.settle(id, None, stopped).await;
            return false;
        }
    };
    let fitting = |reply: &Reply| {
        let encoded = ttlv::encode(&reply.item()).ok();
        encoded.filter(|bytes| bytes.len() <= MAX_ANSWER)
    };
    let answer = fitting(&reply).unwrap_or_else(|| {
        let why = format!("it was done, but its answer has more than {MAX_ANSWER} bytes");
        let failed = Reply::failed(reason::ResponseTooLarge, why).about(job.operation);
        fitting(&failed).expect("it is short")
    });
    // On record before anybody can see it. No key is handed out later.
    let weight = Weight::of(rule(job.operation).is_some_and(|rule| rule.repeatable));
    let outcome = Outcome::of(job.operation, weight, reply.outcome());
    let who = Who::remembered(&job.caller);
    observe::put_on_record(shared, vec![outcome.record(&who, job.object.as_deref())]).await;
    shared.exchanges.settle(id, Some(&answer), stopped).await;
    true
}

/// Why something is not done any more that was allowed as it was asked for: an outage may be as long as an exchange is kept.
///
/// Roles are looked at anew, for the configuration may be another since. A token is not there to be shown again, so what it said is what
/// counts, as long as it would be taken itself and no longer: that it runs out is how its issuer takes back what it gave.
fn not_any_more(shared: &Shared, job: &Job, rule: &Rule) -> Option<Reply> {
    let who = Who::remembered(&job.caller);
    let asked = super::message::name(job.operation);
    let access = shared.access.load();
    let appointments = &access.appointments;
    let authority = access.tokens.as_ref().map(Tokens::authority);
    let roles = match &job.bearer {
        None if who.has_certificate() => appointments.of_identity(&who.name),
        Some(bearer) if authority == Some(bearer.authority.as_str()) && now() <= bearer.until => {
            appointments.of_claims(&bearer.claims)
        }
        _ => {
            let why = format!(
                "{asked}: the token that it was asked for with is not taken any more: ask again with another"
            );
            return Some(Reply::failed(reason::AuthenticationNotSuccessful, why));
        }
    };
    (!roles.has_one_of(rule.roles)).then(|| gate::refusal(&asked, rule.roles))
}

/// The answer of the store; none where nothing was done, and it is tried again.
async fn execute(shared: &Shared, job: &Job) -> Option<Reply> {
    let damaged = || {
        Reply::failed(
            reason::GeneralFailure,
            "the request that was kept is damaged",
        )
    };
    let item = ttlv::decode(&job.request).ok();
    let item = item.and_then(|item| AskedItem::kept(&item).ok());
    let (Some(item), Some(rule), Some(version)) =
        (item, rule(job.operation), version_of(job.version))
    else {
        return Some(damaged());
    };
    if let Some(refused) = not_any_more(shared, job, rule) {
        return Some(refused);
    }
    let store = shared.upstream.as_ref()?;
    if !shared.audit.admits() {
        return None;
    }
    if !rule.repeatable {
        let who = Who::remembered(&job.caller);
        let begun = observe::begun(job.operation, &who, job.object.as_deref());
        observe::put_on_record(shared, vec![begun]).await;
    }
    match relay::relay((store, &shared.known), version, &[(&item, rule)], false).await {
        Relayed::Answered(replies) => {
            let reply = replies.into_iter().next().unwrap_or_else(damaged);
            // What is kept holds no key, whoever asked.
            Some(gate::withheld(Roles::default(), job.operation, &reply).unwrap_or(reply))
        }
        Relayed::Failed(_, true) => None,
        Relayed::Failed(reply, false) | Relayed::Unknown(reply) => Some(reply),
    }
}
