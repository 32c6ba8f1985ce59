//! Access to groups: who wishes it asks, a key officer grants it or does not, and takes it away again.
//!
//! What is granted is a rule of the group's policy for one identity. A policy that is a document's is not changed here: it would be
//! set again with the next look at the key store.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::call::{Done, call, parsed, plain};
use super::failure::{Failure, FailureCode};
use crate::engine::{Eviction, MAX_PAGE};
use crate::front::Shared;
use crate::front::caller::Who;
use crate::front::observe;
use crate::front::requests::{MAX_PER_ASKER, Wish};
use crate::front::role::Role as FrontRole;
use crate::group::ids::{MemberId, Role};
use crate::group::limits::MAX_GROUP_NAME;
use crate::group::policy::{AdmissionRule, GroupPolicy};
use crate::policy::documents::Book;

/// The longest reason, in bytes.
const MAX_REASON: usize = 512;
/// The longest identity, in bytes.
const MAX_IDENTITY: usize = 2_048;

type Site = State<Arc<Shared>>;
type Caller = Extension<Who>;

/// A wish to be let in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewWish {
    group: String,
    role: Role,
    #[serde(default)]
    reason: String,
}

/// A wish, for whom it concerns.
#[derive(Serialize)]
struct WishView {
    request: i64,
    identity: String,
    group: String,
    role: String,
    reason: String,
    /// Seconds since 1970.
    since: i64,
}

impl From<Wish> for WishView {
    fn from(wish: Wish) -> Self {
        Self {
            request: wish.id,
            identity: wish.asker,
            group: wish.group,
            role: wish.role,
            reason: wish.reason,
            since: wish.since,
        }
    }
}

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<i64>,
}

/// Whom to exclude.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exclusion {
    identity: String,
    #[serde(default)]
    reason: String,
}

fn failure(code: FailureCode, why: impl Into<String>) -> Failure {
    Failure::new(code, why)
}

pub(super) async fn request(
    State(shared): Site,
    Extension(who): Caller,
    request: Request,
) -> Response {
    let work = async {
        let new: NewWish = parsed(request).await?;
        plain("group", &new.group, MAX_GROUP_NAME)?;
        if !new.reason.is_empty() {
            plain("reason", &new.reason, MAX_REASON)?;
        }
        if !who.has_certificate() {
            let why = "members join with a certificate: ask with that one, and without a token";
            return Err(failure(FailureCode::BadRequest, why));
        }
        if who.key().contains('*') {
            let why = "an identity with a * in it would be a pattern: ask with another certificate";
            return Err(failure(FailureCode::BadRequest, why));
        }
        shared.engine.group(&new.group).await?;
        let wish = Wish {
            id: 0,
            asker: who.key().to_owned(),
            group: new.group,
            role: new.role.word().to_owned(),
            reason: new.reason,
            since: crate::front::now(),
        };
        let kept = shared.requests.add(wish).await?;
        let kept = kept.map_err(|bound| {
            observe::bounded(bound.kind());
            let why = format!(
                "{MAX_PER_ASKER} requests of yours wait already, or very many of all: withdraw some"
            );
            failure(FailureCode::TooMany, why)
        })?;
        let group = kept.group.clone();
        Ok(Done::now(StatusCode::CREATED, WishView::from(kept)).to(group))
    };
    call(&shared, &who, "request", None, work).await
}

pub(super) async fn requests(
    State(shared): Site,
    Extension(who): Caller,
    wanted: Result<Query<Page>, QueryRejection>,
) -> Response {
    let work = async {
        let Query(page) = wanted?;
        let all = who.roles.has(FrontRole::KeyOfficer);
        let asker = (!all).then(|| who.key().to_owned());
        let found = shared
            .requests
            .page(asker, page.after.unwrap_or(0), crate::front::now())
            .await?;
        let views: Vec<WishView> = found.into_iter().map(WishView::from).collect();
        Ok(Done::now(StatusCode::OK, json!({ "requests": views })))
    };
    call(&shared, &who, "requests", None, work).await
}

/// The wish, if it is there and concerns the caller: it is its own, or it is for it to decide.
async fn concerning(shared: &Shared, who: &Who, id: &str) -> Result<Wish, Failure> {
    let nothing = || {
        failure(
            FailureCode::NotFound,
            "there is no such request, or not any more",
        )
    };
    let id: i64 = id.parse().map_err(|_| nothing())?;
    let found = shared.requests.get(id, crate::front::now()).await?;
    let wish = found.ok_or_else(nothing)?;
    let concerned = wish.asker == who.key() || who.roles.has(FrontRole::KeyOfficer);
    concerned.then_some(wish).ok_or_else(nothing)
}

pub(super) async fn withdraw(
    State(shared): Site,
    Extension(who): Caller,
    Path(id): Path<String>,
) -> Response {
    let work = async {
        let wish = concerning(&shared, &who, &id).await?;
        shared.requests.remove(wish.id).await?;
        let group = wish.group.clone();
        Ok(Done::now(StatusCode::OK, WishView::from(wish)).to(group))
    };
    call(&shared, &who, "withdraw", Some(&id), work).await
}

pub(super) async fn grant(
    State(shared): Site,
    Extension(who): Caller,
    Path(id): Path<String>,
) -> Response {
    let work = async {
        // One at a time: each changes what it read.
        let book = shared.granting.lock().await;
        let wish = concerning(&shared, &who, &id).await?;
        if wish.asker == who.key() {
            let why = "nobody grants a request of their own: another key officer has to";
            return Err(failure(FailureCode::Forbidden, why));
        }
        free(&book, &wish.group)?;
        let policy = shared.engine.group(&wish.group).await?.policy;
        let policy = admitting(policy, &wish)
            .map_err(|why| failure(FailureCode::Conflict, format!("the group's policy: {why}")))?;
        shared.engine.set_policy(&wish.group, policy).await?;
        shared.requests.remove(wish.id).await?;
        let about = format!("{} in {}", wish.asker, wish.group);
        Ok(Done::now(StatusCode::OK, WishView::from(wish)).to(about))
    };
    call(&shared, &who, "grant", Some(&id), work).await
}

/// Whether a group's policy can be changed here.
fn free(book: &Book, group: &str) -> Result<(), Failure> {
    match book.of(group) {
        None => Ok(()),
        Some(_) => {
            let why = "the group has the policy of a document in the key store: change that one";
            Err(failure(FailureCode::Conflict, why))
        }
    }
}

/// The policy, with a rule for one identity.
fn admitting(mut policy: GroupPolicy, wish: &Wish) -> Result<GroupPolicy, String> {
    let role = [Role::Receiver, Role::Sender, Role::Both]
        .into_iter()
        .find(|role| role.word() == wish.role)
        .ok_or("the request is damaged")?;
    match policy
        .admit
        .iter_mut()
        .find(|rule| rule.identity == wish.asker)
    {
        Some(rule) if rule.roles.contains(&role) => {}
        Some(rule) => rule.roles.push(role),
        None => policy.admit.push(AdmissionRule {
            identity: wish.asker.clone(),
            roles: vec![role],
        }),
    }
    policy.validate().map_err(|error| error.to_string())?;
    Ok(policy)
}

pub(super) async fn exclude(
    State(shared): Site,
    Extension(who): Caller,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let work = async {
        let Exclusion { identity, reason } = parsed(request).await?;
        plain("identity", &identity, MAX_IDENTITY)?;
        if !reason.is_empty() {
            plain("reason", &reason, MAX_REASON)?;
        }
        let book = shared.granting.lock().await;
        let mut policy = shared.engine.group(&name).await?.policy;
        let rules = policy.admit.len();
        policy.admit.retain(|rule| rule.identity != identity);
        let rules = rules - policy.admit.len();
        let patterns: Vec<String> = policy
            .admit
            .iter()
            .filter(|rule| rule.identity.contains('*'))
            .map(|rule| rule.identity.clone())
            .collect();
        // First the rule, so that nobody comes back meanwhile.
        if rules > 0 {
            free(&book, &name)?;
            shared.engine.set_policy(&name, policy).await?;
        }
        let members = members(&shared, &name, &identity).await?;
        if members.is_empty() && rules == 0 {
            let why = "no rule is for this identity alone, and no member has it";
            return Err(failure(FailureCode::NotFound, why));
        }
        let evicted = members.len();
        if evicted > 0 {
            let eviction = Eviction {
                members,
                urgent: true,
                reason,
                by: Some((*who.name).clone()),
            };
            shared.engine.evict(&name, eviction).await?;
        }
        let about = format!("{identity} in {name}");
        let answer = json!({ "rules": rules, "evicted": evicted, "patterns": patterns });
        Ok(Done::now(StatusCode::OK, answer).to(about))
    };
    call(&shared, &who, "exclude", Some(&name), work).await
}

/// The registrations of an identity.
async fn members(shared: &Shared, name: &str, identity: &str) -> Result<Vec<MemberId>, Failure> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = shared.engine.members(name, after, MAX_PAGE).await?;
        let own = page.iter().filter(|member| member.identity.0 == identity);
        found.extend(own.map(|member| member.member));
        after = page.last().map(|member| member.member);
        if page.len() < MAX_PAGE {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Decider;
    use crate::policy::documents::{Source, Subject};

    fn wish(role: &str) -> Wish {
        Wish {
            id: 1,
            asker: "cn:anna".to_owned(),
            group: "room".to_owned(),
            role: role.to_owned(),
            reason: String::new(),
            since: 0,
        }
    }

    #[test]
    fn a_grant_is_a_rule_for_one_identity() {
        let policy = admitting(GroupPolicy::default(), &wish("receiver")).expect("possible");
        let policy = admitting(policy, &wish("receiver")).expect("possible");
        let policy = admitting(policy, &wish("sender")).expect("possible");
        let [rule] = &policy.admit[..] else {
            panic!("one rule: {:?}", policy.admit);
        };
        assert_eq!(rule.identity, "cn:anna");
        assert_eq!(rule.roles, [Role::Receiver, Role::Sender]);
        assert!(admitting(policy, &wish("king")).is_err());
    }

    #[test]
    fn what_a_document_says_is_not_changed_here() {
        let book = Book::new(GroupPolicy::default(), Arc::new(Decider::default()));
        let (subject, source) = (Subject::Group("room".into()), Source::Upstream("7".into()));
        let offered = book.offer(&subject, source, r#"{"quorum_percent": 50}"#, None);
        offered.expect("good");
        let refused = free(&book, "room").expect_err("a document's");
        assert_eq!(refused.code, FailureCode::Conflict);
        assert!(free(&book, "other").is_ok());
    }
}
