//! Objects of the key store: register, look, activate, revoke, archive and recover.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::{Done, call, parsed, plain};
use super::exchanges::{Exchange, accepted};
use super::failure::{Failure, FailureCode};
use crate::front::caller::Who;
use crate::front::{Shared, observe};
use crate::group::request::RequestId;
use crate::kmip::client::{
    Activate, Archive, Attribute, AttributeName, Batch, Client, GetAttributes, Locate, Object,
    OpaqueObject, Operation, Recover, Register, Request as Asked, Revoke, Version,
};
use crate::kmip::codec::{Tag, tag, value_name, values};

/// The longest name of an object or a group, and the longest identifier, in bytes.
const MAX_NAME: usize = 256;
/// The longest reason, in bytes.
const MAX_REASON: usize = 512;
/// The longest content of an object, in bytes.
const MAX_CONTENT: usize = 256 * 1024;
/// Objects that are listed at most.
const MAX_LISTED: u32 = 1_000;
/// What a document is to the store: bytes, of the first kind that is an owner's own.
const DOCUMENT: u32 = 0x8000_0000;

type Site = State<Arc<Shared>>;
type Caller = Extension<Who>;

/// A document that is registered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewObject {
    name: String,
    group: Option<String>,
    /// JSON, as it is.
    document: Option<Value>,
    /// Anything, in base64.
    content: Option<String>,
}

/// An object that was registered, or found.
#[derive(Serialize)]
struct ObjectView {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    groups: Vec<String>,
}

/// What is looked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    name: Option<String>,
    group: Option<String>,
    limit: Option<u32>,
}

/// Why an object is revoked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revocation {
    reason: Reason,
    #[serde(default)]
    message: String,
    /// Since when it is thought to be compromised, in seconds since 1970.
    compromised_since: Option<i64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    Unspecified,
    KeyCompromise,
    Superseded,
    CessationOfOperation,
    PrivilegeWithdrawn,
}

/// The key store; a failure where there is none.
fn store(shared: &Shared) -> Result<&Client, Failure> {
    let why = "no key store is upstream: name its addresses in [upstream]";
    let missing = || Failure::new(FailureCode::Refused, why);
    shared.upstream.as_ref().ok_or_else(missing)
}

/// Asks the key store for something, by the request's name.
async fn ask<O: Operation>(shared: &Shared, operation: &O) -> Result<O::Answer, Failure> {
    let request = shared.known.correlation();
    let batch = Batch {
        correlation: request.as_ref().map(RequestId::as_str),
        ..Batch::default()
    };
    let answers = store(shared)?.exchange(&[operation], batch).await?;
    Ok(answers.read(0, operation)?)
}

pub(super) async fn register(
    State(shared): Site,
    Extension(who): Caller,
    request: Request,
) -> Response {
    let work = async {
        let new: NewObject = parsed(request).await?;
        plain("name", &new.name, MAX_NAME)?;
        let mut attributes = vec![Attribute::name(&new.name)];
        if let Some(group) = &new.group {
            plain("group", group, MAX_NAME)?;
            attributes.push(Attribute::object_group(group));
        }
        let is_own = |name: &String| shared.known.is_own(name);
        if is_own(&new.name) || new.group.as_ref().is_some_and(is_own) {
            let why = "names of the gateway's own objects are for the gateway alone";
            return Err(Failure::new(FailureCode::Forbidden, why));
        }
        let content = content(&new)?;
        let _alone = alone(&shared, &new.name)?;
        let locate = Locate {
            attributes: vec![Attribute::name(&new.name)],
            maximum_items: Some(1),
        };
        let found = ask(&shared, &locate).await?;
        if let Some(id) = found.unique_identifiers.first() {
            let why = format!("there is an object of this name already: {id}");
            return Err(Failure::new(FailureCode::Conflict, why));
        }
        let register = Register {
            object: Object::Opaque(OpaqueObject {
                kind: DOCUMENT,
                value: content.into(),
            }),
            attributes,
        };
        let begun = observe::begun(values::Operation::Register, &who, Some(&new.name));
        observe::put_on_record(&shared, vec![begun]).await;
        let id = ask(&shared, &register).await;
        let id = id.map_err(Failure::of_begun)?;
        let view = ObjectView {
            id: id.clone(),
            name: Some(new.name),
            r#type: Some("OpaqueObject".to_owned()),
            state: None,
            groups: new.group.into_iter().collect(),
        };
        Ok(Done::now(StatusCode::CREATED, view).to(id))
    };
    call(&shared, &who, "register", None, work).await
}

/// Nobody else registers an object of this name meanwhile: two who look at once would both find none. At most as many as there are
/// requests under way.
fn alone<'a>(shared: &'a Shared, name: &str) -> Result<Alone<'a>, Failure> {
    let registering = &shared.registering;
    let mut names = registering.lock().unwrap_or_else(PoisonError::into_inner);
    if !names.insert(name.to_owned()) {
        let why = "an object of this name is being registered";
        return Err(Failure::new(FailureCode::Conflict, why));
    }
    let name = name.to_owned();
    Ok(Alone { registering, name })
}

/// Whoever registers an object of a name.
struct Alone<'a> {
    registering: &'a Mutex<HashSet<String>>,
    name: String,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let names = self.registering.lock();
        let mut names = names.unwrap_or_else(PoisonError::into_inner);
        names.remove(&self.name);
    }
}

fn content(new: &NewObject) -> Result<Vec<u8>, Failure> {
    let bad = |why: String| Failure::new(FailureCode::BadRequest, why);
    let content = match (&new.document, &new.content) {
        (Some(document), None) => document.to_string().into_bytes(),
        (None, Some(content)) => BASE64
            .decode(content.as_bytes())
            .map_err(|error| bad(format!("content: is no base64: {error}")))?,
        _ => {
            return Err(bad(
                "name either a document, which is JSON, or content in base64".into(),
            ));
        }
    };
    if content.is_empty() || content.len() > MAX_CONTENT {
        let why = format!("the content must have 1 to {MAX_CONTENT} bytes");
        return Err(bad(why));
    }
    Ok(content)
}

pub(super) async fn locate(
    State(shared): Site,
    Extension(who): Caller,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let work = async {
        let Query(wanted) = wanted?;
        let mut attributes = Vec::new();
        if let Some(name) = &wanted.name {
            plain("name", name, MAX_NAME)?;
            attributes.push(Attribute::name(name));
        }
        if let Some(group) = &wanted.group {
            plain("group", group, MAX_NAME)?;
            attributes.push(Attribute::object_group(group));
        }
        let limit = wanted.limit.unwrap_or(MAX_LISTED).clamp(1, MAX_LISTED);
        let locate = Locate {
            attributes,
            maximum_items: Some(limit),
        };
        let found = ask(&shared, &locate).await?;
        let mut found = found.unique_identifiers;
        found.truncate(limit as usize);
        Ok(Done::now(
            StatusCode::OK,
            serde_json::json!({ "objects": found }),
        ))
    };
    call(&shared, &who, "locate", None, work).await
}

pub(super) async fn show(
    State(shared): Site,
    Extension(who): Caller,
    Path(id): Path<String>,
) -> Response {
    let work = async {
        plain("id", &id, MAX_NAME)?;
        let names = [tag::Name, tag::ObjectType, tag::State, tag::ObjectGroup];
        let get = GetAttributes {
            unique_identifier: id.clone(),
            names: names.map(AttributeName::Standard).to_vec(),
        };
        let found = ask(&shared, &get).await?;
        let all = |wanted: Tag| {
            let named = AttributeName::Standard(wanted);
            found
                .iter()
                .filter(move |attribute| attribute.name == named)
        };
        let text = |wanted| all(wanted).find_map(|attribute| attribute.text().map(str::to_owned));
        let value = |wanted: Tag| {
            let value = all(wanted).find_map(Attribute::enumeration)?;
            Some(value_name(wanted, value)?.to_owned())
        };
        let view = ObjectView {
            name: text(tag::Name),
            r#type: value(tag::ObjectType),
            state: value(tag::State),
            groups: all(tag::ObjectGroup)
                .filter_map(|group| group.text().map(str::to_owned))
                .collect(),
            id: id.clone(),
        };
        Ok(Done::now(StatusCode::OK, view))
    };
    call(&shared, &who, "show", Some(&id), work).await
}

/// Lets an operation with an identifier be done later. Its payload is the same in all versions.
async fn later(shared: &Shared, who: &Who, asked: &dyn Asked) -> Result<Done, Failure> {
    store(shared)?;
    let payload = asked.payload(Version::V1_4);
    let value = crate::front::kmip::later(shared, who, asked.operation(), payload).await?;
    Ok(Done::later(accepted(&Exchange::pending(&value))))
}

/// Calls that name an object and nothing else.
macro_rules! by_identifier {
    ($($name:ident $word:literal $operation:ident;)*) => {
        $(
            pub(super) async fn $name(
                State(shared): Site,
                Extension(who): Caller,
                Path(id): Path<String>,
            ) -> Response {
                let work = async {
                    plain("id", &id, MAX_NAME)?;
                    let unique_identifier = id.clone();
                    later(&shared, &who, &$operation { unique_identifier }).await
                };
                call(&shared, &who, $word, Some(&id), work).await
            }
        )*
    };
}

by_identifier! {
    activate "activate" Activate;
    archive "archive" Archive;
    recover "recover" Recover;
}

pub(super) async fn revoke(
    State(shared): Site,
    Extension(who): Caller,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let work = async {
        plain("id", &id, MAX_NAME)?;
        let why: Revocation = parsed(request).await?;
        if !why.message.is_empty() {
            plain("message", &why.message, MAX_REASON)?;
        }
        use values::RevocationReasonCode as code;
        let reason = match why.reason {
            Reason::Unspecified => code::Unspecified,
            Reason::KeyCompromise => code::KeyCompromise,
            Reason::Superseded => code::Superseded,
            Reason::CessationOfOperation => code::CessationOfOperation,
            Reason::PrivilegeWithdrawn => code::PrivilegeWithdrawn,
        };
        let compromised = matches!(why.reason, Reason::KeyCompromise);
        if why.compromised_since.is_some() && !compromised {
            let why = "compromised_since: is for the reason key_compromise alone";
            return Err(Failure::new(FailureCode::BadRequest, why));
        }
        let since = why
            .compromised_since
            .or(compromised.then(crate::front::now));
        let revoke = Revoke {
            unique_identifier: id.clone(),
            reason,
            message: (!why.message.is_empty()).then_some(why.message),
            compromise_occurrence: since,
        };
        later(&shared, &who, &revoke).await
    };
    call(&shared, &who, "revoke", Some(&id), work).await
}
