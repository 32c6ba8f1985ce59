//! How tests ask over HTTPS.

use wardcast::pki::{Authority, Request};
use wardcast::tls::{self, Credentials};

use super::{SOON, trust};

/// A client with a certificate of this name, which keeps so many connections that are not in use.
pub(super) fn http(authority: &Authority, name: &str, kept: usize) -> reqwest::Client {
    let issued = authority.issue(&Request::client(name));
    let issued = issued.expect("a certificate");
    let credentials = Credentials::new(issued.chain(), issued.key());
    let tls = tls::client_config(credentials, &trust(authority), &[b"http/1.1"]);
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls.expect("a TLS configuration"))
        .no_proxy()
        .pool_max_idle_per_host(kept)
        .timeout(SOON)
        .build()
        .expect("a client")
}
