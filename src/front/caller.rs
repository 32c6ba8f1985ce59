//! Who asks, and which roles they have: by the certificate of their connection, or by a bearer token.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, CONNECTION, ORIGIN, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tracing::Instrument;

use super::observe::{self, Outcome};
use super::rest::{Failure, FailureCode};
use super::role::Roles;
use super::{LISTENER, Shared};
use crate::group::ids::Identity;
use crate::https::Caller;
use crate::trace;

/// What tokens begin with in their header (RFC 6750 section 2.1); its case means nothing.
const SCHEME: &str = "bearer ";
/// What callers are called that are known by a token: no certificate's name begins like this.
const BY_TOKEN: &str = "token:";
/// The longest part of a name of a caller that is known by a token, in characters.
const MAX_SUBJECT: usize = 256;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Who {
    /// What it is called on record.
    pub(super) name: Arc<Identity>,
    /// What it is.
    pub(super) roles: Roles,
    /// What its token says, if it is known by one.
    pub(super) bearer: Option<Bearer>,
    /// It is the key store, which says when something changed there.
    pub(super) notifies: bool,
}

/// What of a token decides about what is done later: never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bearer {
    /// [Whose](crate::attributes::jwt::Tokens::authority) it is, and for whom.
    pub(super) authority: String,
    /// Until when it is taken, in seconds since 1970.
    pub(super) until: i64,
    /// Its claims that gave a role.
    pub(super) claims: Vec<(String, String)>,
}

impl Who {
    /// Whom something that is answered later is for, as it was kept. It has no roles any more.
    pub(super) fn remembered(name: &str) -> Self {
        Self {
            name: Arc::new(Identity(name.to_owned())),
            roles: Roles::default(),
            bearer: None,
            notifies: false,
        }
    }

    /// What its exchanges are found by.
    pub(super) fn key(&self) -> &str {
        &self.name.0
    }

    /// Whether it may do anything here.
    pub(super) fn may_something(&self) -> bool {
        self.notifies || !self.roles.is_empty()
    }

    /// Whether a certificate is what it is known by.
    pub(super) fn has_certificate(&self) -> bool {
        !self.name.0.starts_with(BY_TOKEN)
    }
}

/// Lets through who is known by a certificate or a token; what they may do is decided where they do it.
pub(super) async fn known(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.headers().contains_key(ORIGIN) {
        let why = "requests from web pages are not taken";
        return last(Failure::new(FailureCode::Forbidden, why).into_response());
    }
    let authorization = request.headers().get(AUTHORIZATION).cloned();
    let found = match authorization {
        Some(authorization) => by_token(&shared, &caller, &authorization).await,
        None => by_certificate(&shared, &caller),
    };
    let call = format!("{} {}", request.method(), request.uri().path());
    match found {
        Ok(who) => {
            request.extensions_mut().insert(who);
            to_the_end(request, next).await
        }
        Err(why) => {
            tracing::info!(%why, "front: a caller is not known");
            let outcome = Outcome::of_stranger(&call);
            let nobody = caller
                .identity
                .unwrap_or_else(|| Arc::new(Identity("unknown".into())));
            let nobody = Who {
                name: nobody,
                roles: Roles::default(),
                bearer: None,
                notifies: false,
            };
            observe::put_on_record(&shared, vec![outcome.record(&nobody, None)]).await;
            let mut response = Failure::new(FailureCode::Unauthenticated, why).into_response();
            let headers = response.headers_mut();
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            last(response)
        }
    }
}

/// Does what is asked for to its end, also where its caller does not wait for it: what is done goes on record afterwards. It goes by
/// the request's name, in its span.
async fn to_the_end(request: Request, next: Next) -> Response {
    static UNDER_WAY: Semaphore = Semaphore::const_new(LISTENER.connections);
    let place = UNDER_WAY.acquire().await;
    let doing = async move {
        let _place = place;
        next.run(request).await
    };
    let done = tokio::spawn(trace::within(trace::current(), doing).in_current_span()).await;
    // Nothing cancels it, so it fails only as it panics, and that goes on here.
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The connection's last answer: strangers must not keep the places of callers by asking on.
fn last(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

fn by_certificate(shared: &Shared, caller: &Caller) -> Result<Who, String> {
    let access = shared.access.load();
    match (&caller.identity, caller.thumbprint) {
        (Some(identity), _) => Ok(Who {
            name: identity.clone(),
            roles: access.appointments.of_identity(identity),
            bearer: None,
            notifies: access.appointments.notifies(identity),
        }),
        (None, Some(_)) => Err(
            "the certificate names nobody: it needs a SPIFFE URI, a DNS name or a common name"
                .to_owned(),
        ),
        (None, None) => Err("show a client certificate, or a bearer token".to_owned()),
    }
}

/// A token stands for its bearer, whatever certificate is shown besides; but one that is bound to a certificate needs that.
async fn by_token(
    shared: &Shared,
    caller: &Caller,
    authorization: &HeaderValue,
) -> Result<Who, String> {
    let access = shared.access.load_full();
    let Some(tokens) = &access.tokens else {
        return Err("bearer tokens are not taken: [jwt] names no issuer".to_owned());
    };
    let text = authorization.to_str().unwrap_or_default();
    let scheme = text.get(..SCHEME.len()).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err("Authorization: must be Bearer and a token".to_owned());
    }
    let token = text[SCHEME.len()..].trim();
    let claims = tokens
        .verify(token)
        .await
        .map_err(|error| error.to_string())?;
    if let Some(bound_to) = claims.bound_to {
        let own = caller.thumbprint;
        if !own.is_some_and(|own| bool::from(own.ct_eq(&bound_to))) {
            return Err("the token is bound to another certificate than this connection's".into());
        }
    }
    let subject = claims.subject.unwrap_or_default();
    let plain = |sign: &char| !sign.is_control() && !sign.is_whitespace();
    if subject.is_empty()
        || subject.chars().count() > MAX_SUBJECT
        || !subject.chars().all(|sign| plain(&sign))
    {
        return Err(format!(
            "the token's subject must have 1 to {MAX_SUBJECT} characters, and no spaces"
        ));
    }
    let held = access.appointments.held(&claims.attributes);
    Ok(Who {
        name: Arc::new(Identity(format!("{BY_TOKEN}{subject}"))),
        roles: access.appointments.of_claims(&held),
        bearer: Some(Bearer {
            authority: tokens.authority().to_owned(),
            until: claims.until,
            claims: held,
        }),
        notifies: false,
    })
}
