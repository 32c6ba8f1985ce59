//! The gateway's admin interface, as far as a load test operates it.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wardcast::admin::api::GroupView;
use wardcast::group::ids::MemberId;
use wardcast::tls;

use crate::Failure;
use crate::counters::Counters;
use crate::site::Site;

/// The one group of a run.
pub(crate) const GROUP: &str = "load";
/// No answer takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// An operator with a connection of his own.
pub(crate) struct Operator {
    http: reqwest::Client,
    base: String,
}

impl Operator {
    /// Connects with the first request.
    pub(crate) fn new(site: &Site, admin: SocketAddr) -> Result<Self, Failure> {
        let tls = tls::client_config(site.operator().clone(), site.trust(), &[])?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .timeout(LIMIT)
            .build()?;
        Ok(Operator {
            http,
            base: format!("https://localhost:{}", admin.port()),
        })
    }

    /// Creates the group with the configured policy.
    pub(crate) async fn create(&self) -> Result<(), Failure> {
        let body = json!({ "name": GROUP });
        self.ask::<Value>(Method::POST, "/v1/groups", Some(body))
            .await?;
        Ok(())
    }

    /// Gives the group a new key.
    pub(crate) async fn rotate(&self) -> Result<(), Failure> {
        let path = format!("/v1/groups/{GROUP}/rotate");
        self.ask::<Value>(Method::POST, &path, None).await?;
        Ok(())
    }

    /// Gives the group the configured policy with these changes.
    pub(crate) async fn set_policy(&self, changes: Value) -> Result<(), Failure> {
        let path = format!("/v1/groups/{GROUP}/policy");
        self.ask::<Value>(Method::PUT, &path, Some(changes)).await?;
        Ok(())
    }

    /// Evicts a member at once.
    pub(crate) async fn evict(&self, member: MemberId) -> Result<(), Failure> {
        let path = format!("/v1/groups/{GROUP}/evict");
        let body = json!({ "members": [member], "urgent": true, "reason": "load test" });
        self.ask::<Value>(Method::POST, &path, Some(body)).await?;
        Ok(())
    }

    /// Has something done to the gateway as a whole.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, Failure> {
        self.ask(Method::POST, path, body).await
    }

    /// How the group is.
    pub(crate) async fn group(&self) -> Result<GroupView, Failure> {
        self.ask(Method::GET, &format!("/v1/groups/{GROUP}"), None)
            .await
    }

    /// The gateway's counters.
    pub(crate) async fn counters(&self) -> Result<Counters, Failure> {
        let answer = self
            .http
            .get(format!("{}/metrics", self.base))
            .send()
            .await?;
        Ok(Counters::parse(&answer.error_for_status()?.text().await?))
    }

    /// One request; an empty answer reads as null.
    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, Failure> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        if !status.is_success() {
            return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body)).into());
        }
        let body = if body.is_empty() { &b"null"[..] } else { &body };
        Ok(serde_json::from_slice(body)?)
    }
}
