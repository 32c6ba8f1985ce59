//! `POST /kmip`: messages in, checked against the caller's roles, relayed to the store, and answered in order.

mod gate;
mod local;
mod message;
mod notify;
mod own;
mod relay;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::caller::Who;
use super::exchanges::{Bound, Job, MAX_AGE_S, MAX_EXCHANGES, MAX_PER_CALLER, MAX_REQUEST, VALUE};
use super::observe::{self, Outcome, Weight};
use super::role::Rule;
use super::{MAX_BODIES, MAX_BODY, MAX_IDLE_BODIES, PATIENCE, Shared};
use crate::kmip::client::Version;
use crate::kmip::codec::{Item, Layout, Value, View, tag, ttlv, values};
use crate::kmip::message::MessageError;
use crate::trace;

use gate::Decision;
use message::{Asked, AskedItem, Later, Rejected, Reply};
use relay::Relayed;
use values::{Operation as operation, ResultReason as reason};

use gate::holds_key;
pub(super) use local::Store;
pub(super) use notify::Notified;
pub(super) use worker::{recover, work};

/// What is answered here and changes nothing: it is counted, but not put on record.
const UNRECORDED: [u32; 3] = [
    operation::Query,
    operation::DiscoverVersions,
    operation::Poll,
];

/// The content types of messages; what stands behind a semicolon means nothing.
fn view(headers: &HeaderMap) -> Option<View> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "application/octet-stream" => Some(View::Ttlv),
        "application/json" => Some(View::Json),
        "text/xml" | "application/xml" => Some(View::Xml),
        _ => None,
    }
}

/// Answers a message. HTTP says no more than whether there is an answer of KMIP.
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    Extension(who): Extension<Who>,
    request: Request,
) -> Response {
    let Some(view) = view(request.headers()) else {
        let why = "KMIP comes as application/octet-stream (TTLV), application/json or text/xml\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, why).into_response();
    };
    let body = match read(request, who.may_something()).await {
        Ok(body) => body,
        Err((status, why)) => return (status, format!("{why}\n")).into_response(),
    };
    let (asked, answer) = match view
        .decode(&body)
        .map_err(|error| Rejected::malformed(error.to_string()))
    {
        Ok(item) => match Asked::read(&item) {
            Ok(asked) => {
                let answer = asked.answer(answer(&shared, &who, &asked).await);
                (Some(asked), answer)
            }
            Err(rejected) => (None, message::rejection(&rejected)),
        },
        Err(rejected) => (None, message::rejection(&rejected)),
    };
    drop(body);
    encoded(view, asked.as_ref(), &answer)
}

/// Reads a body, within bounds of its size, of the time that it may take, and of how many are read at once of callers with a role and
/// of those without.
pub(super) async fn read(request: Request, has_role: bool) -> Result<Bytes, (StatusCode, String)> {
    static READING: Semaphore = Semaphore::const_new(MAX_BODIES);
    static IDLE: Semaphore = Semaphore::const_new(MAX_IDLE_BODIES);
    let places = if has_role { &READING } else { &IDLE };
    let reading = async {
        let _place = places.acquire().await;
        Bytes::from_request(request, &()).await
    };
    match timeout(PATIENCE, reading).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => Err(match too_large(&error) {
            true => {
                let why = format!("the body is longer than {MAX_BODY} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, why)
            }
            false => (StatusCode::BAD_REQUEST, error.body_text()),
        }),
        Err(_) => Err((
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long".to_owned(),
        )),
    }
}

fn too_large(error: &BytesRejection) -> bool {
    error.status() == StatusCode::PAYLOAD_TOO_LARGE
}

/// The answer in the encoding of the question, unless it is longer than the caller takes.
fn encoded(view: View, asked: Option<&Asked>, answer: &Item) -> Response {
    let within = |answer: &Item| {
        let maximum = asked.and_then(|asked| asked.maximum);
        let fits = |maximum| ttlv::encode(answer).is_ok_and(|bytes| bytes.len() <= maximum);
        maximum.is_none_or(fits)
    };
    let written = match within(answer) {
        true => view.encode(answer, Layout::OneLine).ok(),
        false => None,
    };
    let written = written.or_else(|| {
        let why = "the answer is longer than MaximumResponseSize, or than a message may be; what was asked for may have been done";
        let refused = asked?.refused(reason::ResponseTooLarge, why);
        view.encode(&refused, Layout::OneLine).ok()
    });
    match written {
        Some(bytes) => ([(CONTENT_TYPE, view.content_type())], bytes.to_vec()).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Answers items in order, up to the first that fails where the caller does not want to go on. Each is on record then.
async fn answer(shared: &Shared, who: &Who, asked: &Asked) -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::new();
    let mut records = Vec::new();
    let decided: Vec<Decision> = asked
        .items
        .iter()
        .map(|item| {
            let of_store = notify::decide(who, item);
            of_store.unwrap_or_else(|| gate::decide(who.roles, item, &shared.known))
        })
        .collect();
    while let Some(item) = asked.items.get(replies.len()) {
        let at = replies.len();
        let fresh = match &decided[at] {
            Decision::Local => vec![local(shared, who, item).await],
            Decision::Denied(reply) | Decision::Unsupported(reply) => vec![reply.clone()],
            Decision::Notify => vec![shared.notified.answer(item)],
            Decision::Relay(_) => {
                let rules = decided[at..].iter().map_while(|decision| match decision {
                    Decision::Relay(rule) => Some(*rule),
                    _ => None,
                });
                let segment: Vec<(&AskedItem, &Rule)> =
                    asked.items[at..].iter().zip(rules).collect();
                segment_replies(shared, who, asked, &segment).await
            }
        };
        let answered = asked.items[at..].iter().zip(&decided[at..]);
        for ((item, decision), reply) in answered.zip(&fresh) {
            let weight = weight(decision, reply);
            let outcome = Outcome::of(item.operation, weight, reply.outcome());
            let object = item.object().or_else(|| message::object(reply.payload()?));
            let record = outcome.record(who, object);
            // What only asks the gateway changes nothing, and could fill the trail.
            if weight == Weight::Denied || !UNRECORDED.contains(&item.operation) {
                records.push(record);
            }
        }
        let stops = fresh.is_empty() || fresh.iter().any(Reply::is_failure) && !asked.go_on;
        replies.extend(fresh);
        if stops {
            break;
        }
    }
    observe::put_on_record(shared, records).await;
    replies
}

/// What the trail says of an answer: a record for each change and each object that is handed out, and no more of the rest than how
/// often.
fn weight(decision: &Decision, reply: &Reply) -> Weight {
    match decision {
        // What nobody may has as many names as there are numbers.
        Decision::Denied(_) | Decision::Unsupported(_) => Weight::Denied,
        // To cancel one's own exchange changes nothing in the store, and the record names no object.
        Decision::Local => Weight::Counted,
        // Beyond the bound on those that are on record one by one.
        Decision::Notify if reply.is_failure() => Weight::Denied,
        Decision::Notify => Weight::Each,
        Decision::Relay(rule) => {
            Weight::of(rule.repeatable && (rule.deferrable || reply.is_failure()))
        }
    }
}

/// Answers items that follow one another and go to the store.
async fn segment_replies(
    shared: &Shared,
    who: &Who,
    asked: &Asked,
    segment: &[(&AskedItem, &'static Rule)],
) -> Vec<Reply> {
    let all = |reply: Reply| match asked.go_on {
        true => vec![reply; segment.len()],
        false => vec![reply],
    };
    let Some(store) = &shared.upstream else {
        let why = "no key store is upstream: name its addresses in [upstream]";
        return all(Reply::failed(reason::OperationNotSupported, why));
    };
    if !shared.audit.admits() {
        let why = "the audit trail cannot be written, so nothing is relayed: try again later";
        return all(Reply::failed(reason::GeneralFailure, why));
    }
    match (asked.later, segment) {
        (Later::No, _) => {}
        (later, [(item, rule)]) if asked.items.len() == 1 => {
            if rule.deferrable
                && !holds_key(&item.payload)
                && item.beside.iter().all(|item| !holds_key(item))
            {
                return vec![submit(shared, who, Some(asked.version), item).await];
            }
            if later == Later::Must {
                let called = message::name(item.operation);
                let why = format!(
                    "{called}: it may hold a key, and is not kept on disk until it is asked for: leave AsynchronousIndicator out"
                );
                return vec![Reply::failed(reason::FeatureNotSupported, why)];
            }
        }
        (Later::Must, _) => {
            let why =
                "AsynchronousIndicator: Mandatory: a request that is answered later has one item";
            return all(Reply::failed(reason::FeatureNotSupported, why));
        }
        (Later::May, _) => {}
    }
    let changes = segment.iter().filter(|(_, rule)| !rule.repeatable);
    let begun = changes.map(|(item, _)| observe::begun(item.operation, who, item.object()));
    observe::put_on_record(shared, begun.collect()).await;
    let site = (store, &shared.known);
    match relay::relay(site, Some(asked.version), segment, asked.go_on).await {
        Relayed::Answered(replies) => {
            let replies = replies.into_iter().zip(segment);
            let seen = replies.map(|(reply, (item, _))| {
                gate::withheld(who.roles, item.operation, &reply).unwrap_or(reply)
            });
            seen.collect()
        }
        Relayed::Failed(reply, _) => all(reply),
        // Any of them may have been done.
        Relayed::Unknown(reply) => vec![reply; segment.len()],
    }
}

async fn local(shared: &Shared, who: &Who, item: &AskedItem) -> Reply {
    let (store, known) = (shared.upstream.as_ref(), &shared.known);
    let answered = match item.operation {
        operation::Query => local::query(known, store, who.roles, item).await,
        operation::DiscoverVersions => local::discover_versions(known, store, item).await,
        operation::Poll => local::poll(&shared.exchanges, who.key(), item).await,
        _ => local::cancel(&shared.exchanges, who.key(), item).await,
    };
    answered.unwrap_or_else(|error: MessageError| {
        Reply::failed(reason::InvalidMessage, error.to_string())
    })
}

/// Keeps an item to be done later.
async fn submit(shared: &Shared, who: &Who, version: Option<Version>, item: &AskedItem) -> Reply {
    match keep(shared, who, version, item).await {
        Ok(value) => Reply::pending(&value),
        Err(reply) => *reply,
    }
}

async fn keep(
    shared: &Shared,
    who: &Who,
    version: Option<Version>,
    item: &AskedItem,
) -> Result<[u8; VALUE], Box<Reply>> {
    let failed = |reason, why: String| Box::new(Reply::failed(reason, why));
    let request = ttlv::encode(&item.item());
    let request = request.map_err(|error| failed(reason::InvalidMessage, error.to_string()))?;
    let job = Job {
        caller: who.key().to_owned(),
        version: version.map_or(worker::AGREED, worker::numbered),
        operation: item.operation,
        object: item.object().map(str::to_owned),
        request: request.to_vec(),
        bearer: who.bearer.clone(),
        named: trace::current(),
    };
    let taken = shared
        .exchanges
        .submit(super::now(), job)
        .await
        .map_err(|error| {
            tracing::warn!(%error, "front: the database fails");
            let why = "the gateway's database fails: try again later";
            failed(reason::GeneralFailure, why.to_owned())
        })?;
    let value = taken.map_err(|bound| {
        observe::bounded(bound.kind());
        let hours = MAX_AGE_S / 3_600;
        failed(
            reason::ServerLimitExceeded,
            match bound {
                Bound::Caller => format!(
                    "{MAX_PER_CALLER} exchanges of this caller are kept already; each is forgotten after {hours} hours"
                ),
                Bound::Total => format!("{MAX_EXCHANGES} exchanges are kept already: try again later"),
                Bound::Size => format!("a request that is answered later has at most {MAX_REQUEST} bytes"),
            },
        )
    })?;
    shared.exchanges.call();
    Ok(value)
}

/// An operation with this payload, done later, in the version that is agreed on with the store. For operations whose
/// payload is the same in all versions.
pub(super) async fn later(
    shared: &Shared,
    who: &Who,
    operation: u32,
    payload: Item,
) -> Result<[u8; VALUE], Told> {
    let item = AskedItem::of(operation, payload);
    let kept = keep(shared, who, None, &item).await;
    kept.map_err(|reply| told(&reply))
}

/// An answer in words.
pub(super) struct Told {
    /// The object that it is about.
    pub(super) object: Option<String>,
    /// Why it failed, as KMIP calls it.
    pub(super) reason: Option<String>,
    /// What was said about that.
    pub(super) message: Option<String>,
}

fn told(reply: &Reply) -> Told {
    let said = reply
        .items
        .iter()
        .find(|item| item.tag == tag::ResultMessage);
    let message = said.and_then(|said| match &said.value {
        Value::TextString(text) => Some(text.clone()),
        _ => None,
    });
    let object = reply.payload().and_then(message::object);
    Told {
        object: object.map(str::to_owned),
        reason: reply.is_failure().then(|| reply.outcome()),
        message,
    }
}

/// An answer that was kept, in words.
pub(super) fn stored(answer: &[u8]) -> Told {
    told(&local::stored(answer))
}
