//! What the gateway answers by itself: what it is, which versions it speaks, and how exchanges are that are answered later.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::attributes::together::Together;
use crate::front::exchanges::{Cancelled, Exchanges, Found, VALUE};
use crate::front::role::{LOCAL, RELAYED, Roles};
use crate::group::request::RequestId;
use crate::kmip::client::{Client, DiscoverVersions, Query, Version};
use crate::kmip::codec::{Item, Value, tag, ttlv, values};
use crate::kmip::message::{Field, MessageError};
use crate::trace;

use super::message::{AskedItem, Reply};

use values::{QueryFunction as function, ResultReason as reason};

/// For how long it is taken for true what the store said of itself.
const FRESH: Duration = Duration::from_secs(60);
/// How long is waited for the store to say so.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the store said of itself, as far as callers are told.
#[derive(Clone, Default)]
struct Facts {
    versions: Vec<Version>,
    operations: Vec<u32>,
    object_types: Vec<u32>,
}

/// What the store said last, and when it was asked last; and what the gateway's own objects are called there.
pub(in crate::front) struct Store {
    known: Mutex<(Option<Instant>, Option<Facts>)>,
    /// The store is asked once for all who want to know.
    asking: Together<(), Option<Facts>>,
    own: String,
    /// Whether it is told what requests are called.
    correlates: bool,
}

impl Store {
    /// Nothing is known of it but that names of the gateway's own objects begin with this and a dot.
    pub(in crate::front) fn new(name: &str, correlates: bool) -> Self {
        Self {
            known: Mutex::default(),
            asking: Together::new(),
            own: format!("{name}."),
            correlates,
        }
    }

    /// What the request is called that the store is asked something for, if it is to know.
    pub(in crate::front) fn correlation(&self) -> Option<RequestId> {
        trace::current().filter(|_| self.correlates)
    }

    /// Whether a name, or an object group, is one of the gateway's own objects.
    pub(in crate::front) fn is_own(&self, name: &str) -> bool {
        name.starts_with(&self.own)
    }

    /// Whether an operation that changes what is called so is for the gateway alone. Ends of groups and their keys are not: the
    /// gateway acts on those.
    pub(super) fn keeps(&self, name: &str, operation: u32) -> bool {
        let Some(what) = name.strip_prefix(&self.own) else {
            return false;
        };
        let of_a_group = what.starts_with("group.") || what.starts_with("key.") || what == "keys";
        let ends = [values::Operation::Revoke, values::Operation::Destroy].contains(&operation);
        !(of_a_group && ends)
    }

    /// What is known of it. While it cannot be reached that is what it said last, if anything.
    async fn facts(&self, client: Option<&Client>) -> Option<Facts> {
        let known = || {
            self.known
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        };
        let Some(client) = client else {
            return Some(Facts::default());
        };
        let (asked, facts) = known().clone();
        if asked.is_some_and(|asked| asked.elapsed() < FRESH) {
            return facts;
        }
        let ask = async {
            let all = DiscoverVersions {
                versions: Version::ALL.to_vec(),
            };
            let versions = client.call(&all).await.ok()?;
            let query = client.call(&Query).await.ok()?;
            Some(Facts {
                versions: versions.into_iter().filter_map(Version::of).collect(),
                operations: query.operations,
                object_types: query.object_types,
            })
        };
        let ask = async {
            let told = timeout(PATIENCE, ask).await.ok().flatten();
            let mut known = known();
            if told.is_some() {
                *known = (Some(Instant::now()), told);
            }
            known.1.clone()
        };
        self.asking.find(&(), ask).await
    }
}

/// Answers Query: operations that this caller may ask for, and that the store has as far as is known.
pub(super) async fn query(
    store: &Store,
    client: Option<&Client>,
    roles: Roles,
    item: &AskedItem,
) -> Result<Reply, MessageError> {
    let asked = Field::of(&item.payload, tag::RequestPayload)?;
    let asked = asked.children(tag::QueryFunction)?;
    let asked = asked.map(|asked| asked.enumeration());
    let asked = asked.collect::<Result<Vec<u32>, _>>()?;
    let facts = store.facts(client).await;
    let number = |tag| move |value: u32| Item::new(tag, Value::Enumeration(value));
    let mut payload = Vec::new();
    if asked.contains(&function::QueryOperations) {
        let relayed = RELAYED.iter().filter(|rule| {
            let has = facts
                .as_ref()
                .is_none_or(|facts| facts.operations.contains(&rule.operation));
            has && roles.has_one_of(rule.roles)
        });
        let relayed = relayed.map(|rule| rule.operation);
        payload.extend(LOCAL.into_iter().chain(relayed).map(number(tag::Operation)));
    }
    if asked.contains(&function::QueryObjects) {
        let types = facts
            .iter()
            .flat_map(|facts| facts.object_types.iter().copied());
        payload.extend(types.map(number(tag::ObjectType)));
    }
    if asked.contains(&function::QueryServerInformation) {
        let vendor = format!("Wardcast {}", env!("CARGO_PKG_VERSION"));
        payload.push(Item::new(
            tag::VendorIdentification,
            Value::TextString(vendor),
        ));
    }
    Ok(Reply::done(payload))
}

/// Answers Discover Versions: those that are spoken here and by the store, as far as is known; of those that the caller names, if it does.
pub(super) async fn discover_versions(
    store: &Store,
    client: Option<&Client>,
    item: &AskedItem,
) -> Result<Reply, MessageError> {
    let asked = Field::of(&item.payload, tag::RequestPayload)?;
    let asked = asked.children(tag::ProtocolVersion)?;
    let asked = asked.map(|version| Version::numbers_in(&version));
    let asked = asked.collect::<Result<Vec<_>, _>>()?;
    let facts = store.facts(client).await.unwrap_or_default();
    let mut spoken = Version::ALL.to_vec();
    if !facts.versions.is_empty() {
        spoken.retain(|version| facts.versions.contains(version));
    }
    // The newest first.
    let chosen = spoken.into_iter().rev();
    let chosen = chosen.filter(|version| asked.is_empty() || asked.contains(&version.numbers()));
    Ok(Reply::done(chosen.map(Version::item)))
}

/// Answers Poll.
pub(super) async fn poll(
    exchanges: &Exchanges,
    caller: &str,
    item: &AskedItem,
) -> Result<Reply, MessageError> {
    let value = correlation(item)?;
    Ok(match exchanges.look(caller, value).await {
        Ok(Found::Pending) => Reply::pending(value),
        Ok(Found::Done(answer)) => stored(&answer),
        Ok(Found::Cancelled) => cancelled(),
        Ok(Found::Nothing) => nothing(),
        Err(error) => trouble(&error),
    })
}

/// Answers Cancel.
pub(super) async fn cancel(
    exchanges: &Exchanges,
    caller: &str,
    item: &AskedItem,
) -> Result<Reply, MessageError> {
    use values::CancellationResult as result;
    let value = correlation(item)?;
    let became = match exchanges.cancel(caller, value).await {
        Ok(Cancelled::Now) => result::Canceled,
        Ok(Cancelled::TooLate) => result::UnableToCancel,
        Ok(Cancelled::Done(answer)) => match stored(&answer).is_failure() {
            true => result::Failed,
            false => result::Completed,
        },
        Ok(Cancelled::Nothing) => return Ok(nothing()),
        Err(error) => return Ok(trouble(&error)),
    };
    let value = Value::ByteString(value.into());
    Ok(Reply::done([
        Item::new(tag::AsynchronousCorrelationValue, value),
        Item::new(tag::CancellationResult, Value::Enumeration(became)),
    ]))
}

fn correlation(item: &AskedItem) -> Result<&[u8], MessageError> {
    let asked = Field::of(&item.payload, tag::RequestPayload)?;
    asked.child(tag::AsynchronousCorrelationValue)?.bytes()
}

/// An answer that was kept.
pub(super) fn stored(answer: &[u8]) -> Reply {
    let reply = ttlv::decode(answer).ok();
    let reply = reply.and_then(|item| Reply::kept(&item).ok());
    reply.unwrap_or_else(|| {
        Reply::failed(
            reason::GeneralFailure,
            "the answer that was kept is damaged",
        )
    })
}

/// What is said of an exchange that its caller cancelled.
pub(super) fn cancelled() -> Reply {
    Reply::failed(
        reason::OperationCanceledByRequester,
        "it was cancelled before it was begun",
    )
}

fn nothing() -> Reply {
    let why = format!(
        "AsynchronousCorrelationValue: no exchange of this caller has it, or not any more; a value has {VALUE} bytes, and serves for a day"
    );
    Reply::failed(reason::InvalidAsynchronousCorrelationValue, why)
}

fn trouble(error: &crate::front::DurableError) -> Reply {
    tracing::warn!(%error, "front: the database fails");
    Reply::failed(
        reason::GeneralFailure,
        "the gateway's database fails: try again later",
    )
}
