//! The client of the admin interface: HTTPS with the operator's certificate, JSON both ways.

mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::causes::chain;
use crate::group::ids::MemberId;
use crate::https::ALPN;
use crate::tls::{self, Credentials, TlsError, Trust};

use crate::admin::api::{
    CreateGroup, DrainView, Evict, Failure, Freeze, GroupView, LogView, MemberView, PolicyView,
    Ready, ReloadView, RollOver, RotateMaster, SetLog, SinkView, StartDrain, TokenView,
    UpstreamView,
};

/// No answer of the admin interface takes longer, whatever the group's size.
const LIMIT: Duration = Duration::from_secs(30);

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The operator's certificate or key, or the authority's certificates, cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A policy that cannot be used.
    #[error("{}: {why}", path.display())]
    Policy { path: PathBuf, why: String },
    /// No connection, or one that broke.
    #[error(
        "no answer from {server}: {why}; is the gateway running, and is its certificate of --ca?"
    )]
    Unreachable { server: String, why: String },
    /// What was begun did not come to its end.
    #[error("the rotation is not finished: {why}; begin it again to go on where it was")]
    Unfinished { why: String },
    /// The gateway answered that it will not.
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
}

impl ClientError {
    /// As the help of `wardcast admin` says.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Tls(_) | Self::Policy { .. } => 2,
            Self::Unreachable { .. } | Self::Unfinished { .. } => 1,
            Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND => 5,
            Self::Refused { status, .. } if status.is_server_error() => 1,
            Self::Refused { .. } => 4,
        }
    }
}

/// An operator's connection.
pub(crate) struct Client {
    server: String,
    http: reqwest::Client,
}

/// Reads a policy for a new group: TOML with the keys that differ from the default.
pub(super) fn read_policy(path: &Path) -> Result<Value, ClientError> {
    let unusable = |why: String| ClientError::Policy {
        path: path.to_owned(),
        why,
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    toml::from_str(&text).map_err(|error| unusable(error.to_string()))
}

impl Client {
    /// Reads the files; connects with the first request. `server` is HOST:PORT.
    pub(crate) fn new(
        server: &str,
        ca: &Path,
        cert: &Path,
        key: &Path,
    ) -> Result<Self, ClientError> {
        let credentials = Credentials::load(cert, key)?;
        let trust = Trust::load(ca, &[])?;
        let tls = tls::client_config(credentials, &trust, &[ALPN])?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .no_proxy()
            .timeout(LIMIT);
        let http = http.build().map_err(|error| ClientError::Unreachable {
            server: server.to_owned(),
            why: error.to_string(),
        })?;
        Ok(Self {
            server: server.to_owned(),
            http,
        })
    }

    /// Creates a group; `policy` holds what differs from the default.
    pub(crate) async fn create(
        &self,
        name: &str,
        policy: Option<&Value>,
    ) -> Result<GroupView, ClientError> {
        let body = CreateGroup {
            name: name.to_owned(),
            policy: policy.cloned(),
        };
        self.ask(Method::POST, &["groups"], Some(json!(body))).await
    }
}

impl Client {
    /// All groups.
    pub(crate) async fn groups(&self) -> Result<Vec<GroupView>, ClientError> {
        self.all(&["groups"], |group: &GroupView| group.name.clone())
            .await
    }

    /// One group.
    pub(crate) async fn group(&self, name: &str) -> Result<GroupView, ClientError> {
        self.ask(Method::GET, &["groups", name], None).await
    }

    /// Gives a group a new key.
    pub(crate) async fn rotate(&self, name: &str) -> Result<(), ClientError> {
        self.ask(Method::POST, &["groups", name, "rotate"], None)
            .await
    }

    /// Replaces every key of a group.
    pub(crate) async fn roll_over(
        &self,
        name: &str,
        suite: Option<u32>,
    ) -> Result<GroupView, ClientError> {
        let body = json!(RollOver { suite });
        self.ask(Method::POST, &["groups", name, "rollover"], Some(body))
            .await
    }

    /// Admits nobody to a group any more.
    pub(crate) async fn freeze(&self, name: &str, reason: &str) -> Result<GroupView, ClientError> {
        let reason = reason.to_owned();
        let body = json!(Freeze { reason });
        self.ask(Method::POST, &["groups", name, "freeze"], Some(body))
            .await
    }

    /// Admits whoever the policy admits again.
    pub(crate) async fn thaw(&self, name: &str) -> Result<GroupView, ClientError> {
        self.ask(Method::POST, &["groups", name, "thaw"], None)
            .await
    }

    /// The key store upstream.
    pub(crate) async fn upstream(&self) -> Result<UpstreamView, ClientError> {
        self.ask(Method::GET, &["upstream"], None).await
    }

    /// What follows the audit trail besides.
    pub(super) async fn siem(&self) -> Result<Vec<SinkView>, ClientError> {
        self.ask(Method::GET, &["siem"], None).await
    }

    /// The rules, the default and the documents of groups.
    pub(super) async fn policies(&self) -> Result<Vec<PolicyView>, ClientError> {
        self.ask(Method::GET, &["policies"], None).await
    }

    /// The tokens.
    pub(crate) async fn token(&self) -> Result<TokenView, ClientError> {
        self.ask(Method::GET, &["token"], None).await
    }

    /// Begins to roll every group onto the newest master.
    pub(crate) async fn rotate_master(
        &self,
        members_per_second: Option<u32>,
    ) -> Result<TokenView, ClientError> {
        let body = json!(RotateMaster { members_per_second });
        self.ask(Method::POST, &["token", "rotate-master"], Some(body))
            .await
    }

    /// Has the configuration read anew.
    pub(crate) async fn reload(&self) -> Result<ReloadView, ClientError> {
        self.ask(Method::POST, &["reload"], None).await
    }

    /// Ends the gateway.
    pub(crate) async fn drain(&self, drain: &StartDrain) -> Result<DrainView, ClientError> {
        self.ask(Method::POST, &["drain"], Some(json!(drain))).await
    }

    /// What is logged.
    pub(crate) async fn log(&self) -> Result<LogView, ClientError> {
        self.ask(Method::GET, &["log"], None).await
    }

    /// Has something else logged.
    pub(crate) async fn set_log(&self, wanted: &SetLog) -> Result<LogView, ClientError> {
        self.ask(Method::POST, &["log"], Some(json!(wanted))).await
    }

    /// Whether the gateway is ready; that it is not is an answer as well.
    pub(crate) async fn health(&self) -> Result<Value, ClientError> {
        let mut url = self.url(&[])?;
        url.set_path("/readyz");
        let answer = self.http.get(url).send().await;
        let answer = answer.map_err(|error| self.broken(chain(&error)))?;
        let status = answer.status();
        let body = answer.bytes().await;
        let body = body.map_err(|error| self.broken(chain(&error)))?;
        match serde_json::from_slice::<Ready>(&body) {
            Ok(ready) => Ok(json!(ready)),
            Err(_) => {
                let message = refusal(status, &body);
                Err(ClientError::Refused { status, message })
            }
        }
    }

    /// Ends a group.
    pub(crate) async fn destroy(&self, name: &str) -> Result<(), ClientError> {
        self.ask(Method::DELETE, &["groups", name], None).await
    }

    /// The members of a group.
    pub(crate) async fn members(&self, group: &str) -> Result<Vec<MemberView>, ClientError> {
        let key = |member: &MemberView| member.member.to_string();
        self.all(&["groups", group, "members"], key).await
    }

    /// Removes members.
    pub(crate) async fn evict(
        &self,
        group: &str,
        members: &[MemberId],
        urgent: bool,
        reason: &str,
    ) -> Result<(), ClientError> {
        let members = members.to_vec();
        let body = json!(Evict {
            members,
            urgent,
            reason: reason.to_owned()
        });
        self.ask(Method::POST, &["groups", group, "evict"], Some(body))
            .await
    }

    /// A list, page by page; `key` is what the page after an entry is asked with.
    async fn all<T: DeserializeOwned>(
        &self,
        path: &[&str],
        key: impl Fn(&T) -> String,
    ) -> Result<Vec<T>, ClientError> {
        let mut all: Vec<T> = Vec::new();
        loop {
            let after = all.last().map(&key);
            let mut url = self.url(path)?;
            if let Some(after) = &after {
                url.query_pairs_mut().append_pair("after", after);
            }
            let page: Vec<T> = self.send(self.http.get(url)).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// One request.
    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Value>,
    ) -> Result<T, ClientError> {
        let mut request = self.http.request(method, self.url(path)?);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    fn broken(&self, why: String) -> ClientError {
        let server = self.server.clone();
        ClientError::Unreachable { server, why }
    }

    fn url(&self, path: &[&str]) -> Result<Url, ClientError> {
        let url = Url::parse(&format!("https://{}/v1/", self.server));
        let mut url = url.map_err(|error| self.broken(format!("not HOST:PORT: {error}")))?;
        let segments = url.path_segments_mut();
        let mut segments = segments.expect("an https address has a path");
        segments.pop_if_empty().extend(path);
        drop(segments);
        Ok(url)
    }

    /// The answer to a request; an empty one reads as null.
    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let answer = request.send().await;
        let answer = answer.map_err(|error| self.broken(chain(&error)))?;
        let status = answer.status();
        let body = answer.bytes().await;
        let body = body.map_err(|error| self.broken(chain(&error)))?;
        if !status.is_success() {
            let message = refusal(status, &body);
            return Err(ClientError::Refused { status, message });
        }
        let body = if body.is_empty() { &b"null"[..] } else { &body };
        let read = serde_json::from_slice(body);
        read.map_err(|error| self.broken(format!("an answer of another version: {error}")))
    }
}

/// What the gateway said, or the status alone where it said nothing that can be read.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let said = serde_json::from_slice::<Failure>(body)
        .ok()
        .map(|failure| failure.error);
    said.unwrap_or_else(|| format!("the gateway answered {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths_are_escaped_and_exit_codes_follow_the_status() {
        let server = "localhost:1".to_owned();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(nobody())
            .build();
        let client = Client {
            server,
            http: http.unwrap(),
        };
        let url = client.url(&["groups", "a/b ?#", "rotate"]).unwrap();
        assert_eq!(
            url.as_str(),
            "https://localhost:1/v1/groups/a%2Fb%20%3F%23/rotate"
        );
        let refused = |status| ClientError::Refused {
            status,
            message: String::new(),
        };
        for (status, code) in [(404, 5), (409, 4), (403, 4), (400, 4), (503, 1)] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(refused(status).exit_code(), code, "{status}");
        }
    }

    #[test]
    fn a_failure_is_told_in_the_gateways_words() {
        let body = br#"{"code":"conflict","error":"the name is taken"}"#;
        assert_eq!(refusal(StatusCode::CONFLICT, body), "the name is taken");
        let status = StatusCode::BAD_GATEWAY;
        assert_eq!(
            refusal(status, b"<html>"),
            "the gateway answered 502 Bad Gateway"
        );
    }

    fn nobody() -> rustls::ClientConfig {
        let authority = crate::pki::Authority::new("test").unwrap();
        let issued = authority
            .issue(&crate::pki::Request::client("nobody"))
            .unwrap();
        let trust = Trust::new([authority.certificate().clone()], Vec::new()).unwrap();
        let credentials = Credentials::new(issued.chain(), issued.key());
        tls::client_config(credentials, &trust, &[]).unwrap()
    }
}
