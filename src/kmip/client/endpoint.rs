//! Where a key store is, and how it is spoken to.

use std::fmt;

use reqwest::Url;
use rustls::pki_types::ServerName;
use thiserror::Error;

use crate::kmip::codec::View;

/// KMIP's port (KMIP Profiles 2.1 section 5.1).
pub const PORT: u16 = 5696;

/// One address of a key store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(pub(super) Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The binary encoding in TLS.
    Tls {
        host: String,
        port: u16,
        name: ServerName<'static>,
    },
    /// Any encoding in bodies of HTTPS.
    Https { url: Url, encoding: View },
}

/// Why a URL names no key store.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{url}: {fault}; it must be like kmips://host:5696 or https://host/kmip")]
pub struct EndpointError {
    url: String,
    fault: EndpointFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum EndpointFault {
    #[error("no URL")]
    Malformed,
    #[error("neither kmips nor https")]
    Scheme,
    #[error("no host, or not one that a certificate can name")]
    Host,
    #[error("a user, password, query or fragment, which mean nothing here")]
    Excess,
    #[error("a path, which kmips does not have")]
    Path,
    #[error("JSON and XML need https")]
    Encoding,
}

impl Endpoint {
    /// The address of a URL: `kmips://HOST[:PORT]` for TTLV in TLS, on port [`PORT`] unless another is named;
    /// `https://HOST[:PORT]/PATH` for HTTPS, usually with the path `/kmip`, in any encoding.
    ///
    /// # Errors
    ///
    /// When the URL is of neither form, or the encoding is not TTLV where it has to be.
    pub fn new(url: &str, encoding: View) -> Result<Self, EndpointError> {
        let wrong = |fault| EndpointError {
            // A password may stand before an @: what is repeated is what follows it.
            url: url.rsplit('@').next().unwrap_or_default().to_owned(),
            fault,
        };
        let parsed = Url::parse(url).map_err(|_| wrong(EndpointFault::Malformed))?;
        let named = !parsed.username().is_empty() || parsed.password().is_some();
        if named || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(wrong(EndpointFault::Excess));
        }
        let host = parsed.host_str().ok_or(wrong(EndpointFault::Host))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| wrong(EndpointFault::Host))?;
        match parsed.scheme() {
            "https" => {
                let url = parsed;
                Ok(Self(Kind::Https { url, encoding }))
            }
            "kmips" if !matches!(parsed.path(), "" | "/") => Err(wrong(EndpointFault::Path)),
            "kmips" if encoding != View::Ttlv => Err(wrong(EndpointFault::Encoding)),
            "kmips" => Ok(Self(Kind::Tls {
                host: host.to_owned(),
                port: parsed.port().unwrap_or(PORT),
                name,
            })),
            _ => Err(wrong(EndpointFault::Scheme)),
        }
    }
}

/// As a URL.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Tls { host, port, .. } if host.contains(':') => {
                write!(f, "kmips://[{host}]:{port}")
            }
            Kind::Tls { host, port, .. } => write!(f, "kmips://{host}:{port}"),
            Kind::Https { url, .. } => write!(f, "{url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str, encoding: View) -> String {
        match Endpoint::new(url, encoding) {
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => error.fault.to_string(),
        }
    }

    #[test]
    fn urls_name_addresses() {
        let cases = [
            ("kmips://keys.example.org", "kmips://keys.example.org:5696"),
            ("kmips://127.0.0.1:7000/", "kmips://127.0.0.1:7000"),
            ("kmips://[::1]:7000", "kmips://[::1]:7000"),
            ("https://[::1]/kmip", "https://[::1]/kmip"),
        ];
        for (url, expected) in cases {
            assert_eq!(shown(url, View::Ttlv), expected, "{url}");
        }
        let url = "https://keys.example.org:8443/kmip";
        assert_eq!(shown(url, View::Json), url);
    }

    #[test]
    fn other_urls_are_refused() {
        let cases = [
            ("keys.example.org", EndpointFault::Malformed),
            ("http://keys.example.org/kmip", EndpointFault::Scheme),
            ("kmips:///", EndpointFault::Host),
            ("kmips://a_b..c", EndpointFault::Host),
            ("kmips://keys.example.org/kmip", EndpointFault::Path),
            ("kmips://u:p@keys.example.org", EndpointFault::Excess),
            ("https://keys.example.org/kmip?a=b", EndpointFault::Excess),
        ];
        for (url, fault) in cases {
            assert_eq!(shown(url, View::Ttlv), fault.to_string(), "{url}");
        }
        let fault = EndpointFault::Encoding.to_string();
        assert_eq!(shown("kmips://keys.example.org", View::Xml), fault);
        let error = Endpoint::new("kmips://u:secret@host", View::Ttlv).expect_err("a password");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
