//! An HTTPS server that takes events: one request at a time, and what its answers mean.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::SetupError;
use super::secret::Token;
use crate::causes::chain;
use crate::relay::SinkError;

/// A request is answered within this time.
const DEADLINE: Duration = Duration::from_secs(30);
/// Of which connecting takes no more.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes, and what is shown of one.
const MAX_ANSWER: usize = 256 * 1024;
const SHOWN: usize = 300;

/// A client of one collector.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    http: reqwest::Client,
}

impl Collector {
    /// A client that shows a token, if there is one, after the name of its scheme (RFC 9110, section 11.6.2), and sends these
    /// headers besides.
    pub(super) fn new(
        tls: ClientConfig,
        token: Option<(&str, &Token)>,
        more: &[(HeaderName, &str)],
    ) -> Result<Self, SetupError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some((scheme, token)) = token {
            let shown = Zeroizing::new(format!("{scheme} {}", token.expose()));
            let mut value = HeaderValue::from_str(&shown)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (name, value) in more {
            let value = HeaderValue::from_str(value)?;
            headers.insert(name, value);
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("wardcast/", env!("CARGO_PKG_VERSION")))
            .retry(reqwest::retry::never())
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .timeout(DEADLINE)
            .build()?;
        Ok(Collector { http })
    }

    /// Posts a body; the answer to one that was taken.
    pub(super) async fn post(&self, url: &str, body: Vec<u8>) -> Result<Vec<u8>, SinkError> {
        let away = |error: reqwest::Error| SinkError::Unreachable(chain(&error.without_url()));
        let request = self.http.post(url).body(body);
        let mut answer = request.send().await.map_err(away)?;
        let status = answer.status();
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            if text.len() + chunk.len() > MAX_ANSWER {
                break;
            }
            text.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(text);
        }
        let shown: String = String::from_utf8_lossy(&text)
            .chars()
            .filter(|sign| !sign.is_control())
            .take(SHOWN)
            .collect();
        // Its path and query may hold what lets in.
        let peer = reqwest::Url::parse(url).map(|url| url.origin().ascii_serialization());
        let peer = peer.unwrap_or_default();
        let why = format!("{peer} answers {status}: {shown}");
        Err(match passes(status) {
            true => SinkError::Unreachable(why),
            false => SinkError::Refused(why),
        })
    }
}

/// Whether the same request may be taken later.
fn passes(status: StatusCode) -> bool {
    status.is_server_error()
        || [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_EARLY,
            StatusCode::TOO_MANY_REQUESTS,
        ]
        .contains(&status)
}
