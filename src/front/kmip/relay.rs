//! To the key store and back: what was asked for in the caller's own version of KMIP, and what an outage looks like to the caller.
//!
//! Messages are not converted between versions: attributes of KMIP 1.x and 2.x have no one-to-one form (indices, custom attributes,
//! template attributes), and what is lost silently is worse than an error. Callers learn by Discover Versions what the store speaks.

use crate::kmip::client::{
    Answer, Batch, Client, ClientError, RawRequest, Request, TransportError, Version,
};
use crate::kmip::codec::values::ResultReason as reason;

use super::local::Store;
use super::message::{AskedItem, Reply};
use super::own;
use crate::front::role::Rule;
use crate::group::request::RequestId;

/// What the store made of some items.
pub(super) enum Relayed {
    /// An answer to each, up to the first after which the store stopped.
    Answered(Vec<Reply>),
    /// Nothing was done, for this reason; the second is whether it may be tried again.
    Failed(Reply, bool),
    /// Whether any was done is unknown.
    Unknown(Reply),
}

/// Asks the store for items that follow one another; in the version that was agreed on with it, if none is named. The first that
/// would change one of the gateway's own objects is refused, and those after it are not asked for yet.
pub(super) async fn relay(
    (store, known): (&Client, &Store),
    version: Option<Version>,
    items: &[(&AskedItem, &'static Rule)],
    go_on: bool,
) -> Relayed {
    let (items, refused) = match own::first_refused(store, known, version, items).await {
        Ok(Some((0, refused))) => return Relayed::Answered(vec![refused]),
        Ok(Some((at, refused))) => (&items[..at], Some(refused)),
        Ok(None) => (items, None),
        Err(error) => return failed(&error),
    };
    let raw: Vec<RawRequest> = items
        .iter()
        .map(|(item, rule)| RawRequest {
            operation: item.operation,
            payload: item.payload.clone(),
            repeatable: rule.repeatable,
            beside: item.beside.clone(),
        })
        .collect();
    let asked: Vec<&dyn Request> = raw.iter().map(|item| item as &dyn Request).collect();
    let request = known.correlation();
    let batch = Batch {
        ordered: true,
        go_on,
        version,
        correlation: request.as_ref().map(RequestId::as_str),
    };
    let answers = match store.exchange(&asked, batch).await {
        Ok(answers) => answers,
        Err(error) => return failed(&error),
    };
    let mut replies = Vec::new();
    for answer in &answers.items {
        let item = match answer {
            Answer::Done(item) | Answer::Failed(_, item) => item,
            Answer::Skipped => break,
        };
        // The client has looked at it already.
        match Reply::of(item) {
            Ok(reply) => replies.push(reply),
            Err(error) => {
                let why = format!("the key store's answer is malformed: {error}");
                return Relayed::Unknown(Reply::failed(reason::GeneralFailure, why));
            }
        }
    }
    let all = replies.len() == items.len();
    if all && (go_on || !replies.iter().any(Reply::is_failure)) {
        replies.extend(refused);
    }
    Relayed::Answered(replies)
}

fn failed(error: &ClientError) -> Relayed {
    // Addresses and what a system says about them are for logs.
    tracing::warn!(%error, "front: the key store did not answer a relayed request");
    let general = |why: String| Reply::failed(reason::GeneralFailure, why);
    match error {
        ClientError::Failed { error, .. } => {
            let why = match &error.message {
                Some(said) => format!("the key store does not take the message: {said}"),
                None => "the key store does not take the message".to_owned(),
            };
            let given = error.reason.unwrap_or(reason::GeneralFailure);
            Relayed::Failed(Reply::failed(given, why), false)
        }
        ClientError::Version { .. } => {
            let why = "the key store speaks no version of KMIP that is spoken here";
            Relayed::Failed(general(why.to_owned()), false)
        }
        ClientError::Request(error) => {
            let why = format!("the request cannot be relayed: {error}");
            Relayed::Failed(Reply::failed(reason::InvalidMessage, why), false)
        }
        // It would be as long the next time.
        ClientError::Unreachable {
            error: TransportError::TooLong { limit, .. },
            ..
        } => {
            let why = format!("the key store's answer has more than {limit} bytes: ask for less");
            Relayed::Failed(Reply::failed(reason::ResponseTooLarge, why), false)
        }
        error if error.is_unknown() => Relayed::Unknown(unknown()),
        ClientError::Answer { .. } => Relayed::Unknown(unknown()),
        ClientError::Resting { retry_after } => {
            let after = retry_after.as_millis();
            let why = format!("the key store upstream cannot be reached: try again in {after} ms");
            Relayed::Failed(general(why), true)
        }
        _ => {
            let why = "the key store upstream cannot be reached: try again later";
            Relayed::Failed(general(why.to_owned()), true)
        }
    }
}

/// What is said where nobody knows.
pub(super) fn unknown() -> Reply {
    let why = "the answer of the key store was lost: whether it was done is unknown; look it up before you repeat it";
    Reply::failed(reason::GeneralFailure, why)
}
