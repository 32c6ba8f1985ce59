//! A small certificate authority for development, demonstrations, load and tests. Not a production CA: its key is a file.
//!
//! ```
//! use wardcast::pki::{Authority, Request};
//!
//! let authority = Authority::new("test")?;
//! let anna = authority.issue(&Request::client("anna").spiffe("spiffe://example.org/anna"))?;
//! assert_eq!(anna.chain().len(), 1);
//! # Ok::<(), wardcast::pki::PkiError>(())
//! ```

mod error;
mod files;
mod revocation;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

pub use error::PkiError;
pub use files::{CA_CERTIFICATE, CA_KEY, CRL};

/// How long an authority's own certificate is valid, in days, unless told otherwise.
pub const AUTHORITY_DAYS: u32 = 365;
/// How long an issued certificate is valid, in days, unless told otherwise.
pub const CERTIFICATE_DAYS: u32 = 7;
/// How long a revocation list is valid, in days.
pub const CRL_DAYS: u32 = 30;
/// The longest validity, in days.
pub const MAX_DAYS: u32 = 3_650;
/// Certificates begin to be valid this long ago: clocks differ.
const BACKDATED: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// An authority: a self-signed certificate (ECDSA P-256) and its key.
pub struct Authority {
    issuer: rcgen::Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
}

/// What a certificate is good for (extended key usage).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// TLS client: a member or an operator.
    Client,
    /// TLS server: a gateway.
    Server,
    /// Both.
    Both,
}

/// What to issue.
#[derive(Clone, Debug)]
pub struct Request {
    name: String,
    spiffe: Option<String>,
    hosts: Vec<String>,
    usage: Usage,
    days: u32,
}

impl Request {
    /// A client certificate whose common name is `name`.
    pub fn client(name: impl Into<String>) -> Self {
        Request::new(name, Usage::Client)
    }

    /// A server certificate whose common name is `name`; name its hosts with [`Request::host`].
    pub fn server(name: impl Into<String>) -> Self {
        Request::new(name, Usage::Server)
    }

    /// A certificate with the common name `name`.
    pub fn new(name: impl Into<String>, usage: Usage) -> Self {
        Request {
            name: name.into(),
            spiffe: None,
            hosts: Vec::new(),
            usage,
            days: CERTIFICATE_DAYS,
        }
    }

    /// With a SPIFFE identity as URI.
    pub fn spiffe(mut self, uri: impl Into<String>) -> Self {
        self.spiffe = Some(uri.into());
        self
    }

    /// With one more DNS name or IP address.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Valid for that many days.
    pub fn days(mut self, days: u32) -> Self {
        self.days = days;
        self
    }
}

/// A certificate with its private key.
pub struct Issued {
    /// The certificate as PEM.
    pub certificate_pem: String,
    /// The key as PKCS#8 PEM.
    pub key_pem: Zeroizing<String>,
    /// The serial number in hexadecimal digits, as tools show it.
    pub serial: String,
    certificate: CertificateDer<'static>,
    key: Zeroizing<Vec<u8>>,
}

impl Issued {
    /// For rustls: the certificate. The authority's own is the peer's trust anchor and is not sent.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    /// For rustls: the private key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_vec()).into()
    }

    /// Write `PREFIX.pem` and `PREFIX.key`; existing files are refused and left alone.
    pub fn write(&self, prefix: &Path) -> Result<(PathBuf, PathBuf), PkiError> {
        let certificate = files::with_ending(prefix, "pem");
        let key = files::with_ending(prefix, "key");
        files::refuse_existing(&[&certificate, &key])?;
        files::create_private(&key, self.key_pem.as_bytes())?;
        files::create(&certificate, self.certificate_pem.as_bytes())?;
        Ok((certificate, key))
    }
}

impl Authority {
    /// An authority in memory, valid for [`AUTHORITY_DAYS`].
    pub fn new(name: &str) -> Result<Self, PkiError> {
        Ok(Authority::generate(name, AUTHORITY_DAYS)?.0)
    }

    /// An authority in a folder, which is made if it is missing: `ca.pem`, `ca.key` and an empty `crl.pem`.
    pub fn create(folder: &Path, name: &str, days: u32) -> Result<Self, PkiError> {
        let paths = [CA_CERTIFICATE, CA_KEY, CRL].map(|file| folder.join(file));
        files::refuse_existing(&paths.each_ref().map(PathBuf::as_path))?;
        let (authority, key) = Authority::generate(name, days)?;
        let crl = authority.crl(&[])?;
        files::create_folder(folder)?;
        files::create_private(&paths[1], key.as_bytes())?;
        files::create(&paths[0], authority.certificate_pem.as_bytes())?;
        files::create(&paths[2], crl.as_bytes())?;
        Ok(authority)
    }

    /// The authority that [`Authority::create`] left in a folder.
    pub fn load(folder: &Path) -> Result<Self, PkiError> {
        let (certificate_path, key_path) = (folder.join(CA_CERTIFICATE), folder.join(CA_KEY));
        let damaged = |path: &Path, why: String| PkiError::Damaged {
            path: path.to_owned(),
            why,
        };
        let read = |path: &Path| {
            files::read(path).map_err(|error| match error {
                PkiError::File { source, .. } => damaged(path, source.to_string()),
                other => other,
            })
        };
        let certificate_pem = read(&certificate_path)?;
        let key = Zeroizing::new(read(&key_path)?);
        let key = KeyPair::from_pem(&key).map_err(|error| damaged(&key_path, error.to_string()))?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|error| damaged(&certificate_path, error.to_string()))?;
        let issuer = rcgen::Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| damaged(&certificate_path, error.to_string()))?;
        Ok(Authority {
            issuer,
            certificate,
            certificate_pem,
        })
    }

    fn generate(name: &str, days: u32) -> Result<(Self, Zeroizing<String>), PkiError> {
        let mut params = params(name, days)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = Zeroizing::new(key.serialize_pem());
        let certificate = params.self_signed(&key)?;
        let authority = Authority {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: rcgen::Issuer::new(params, key),
        };
        Ok((authority, pem))
    }

    /// The authority's certificate as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's certificate, a trust anchor for rustls.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Issue a certificate with a new key.
    pub fn issue(&self, request: &Request) -> Result<Issued, PkiError> {
        let mut params = params(&request.name, request.days)?;
        params.subject_alt_names = alternative_names(request)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match request.usage {
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Both => vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        };
        params.use_authority_key_identifier_extension = true;
        let serial = serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
            serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
            certificate: certificate.der().clone(),
            key: Zeroizing::new(key.serialize_der()),
        })
    }
}

fn params(name: &str, days: u32) -> Result<CertificateParams, PkiError> {
    if name.is_empty() || name.len() > 64 {
        let why = format!(
            "{name:?} is {} bytes; X.509 allows a name 1 to 64",
            name.len()
        );
        return Err(PkiError::BadRequest { what: "name", why });
    }
    if days == 0 || days > MAX_DAYS {
        let why = format!("{days}; must be from 1 to {MAX_DAYS}");
        return Err(PkiError::BadRequest { what: "days", why });
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = since_1970();
    params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(BACKDATED);
    params.not_after = date_time_ymd(1970, 1, 1) + (now + DAY * days);
    Ok(params)
}

fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("a clock that is set before 1970 can date nothing")
}

fn alternative_names(request: &Request) -> Result<Vec<SanType>, PkiError> {
    let bad = |what, value: &str, why: &str| PkiError::BadRequest {
        what,
        why: format!("{value:?} {why}"),
    };
    if request.usage != Usage::Client && request.hosts.is_empty() {
        let why = "none given; clients check a server's DNS name or address".into();
        return Err(PkiError::BadRequest { what: "dns", why });
    }
    let mut names = Vec::new();
    if let Some(uri) = &request.spiffe {
        let trust_domain = uri.strip_prefix("spiffe://").unwrap_or_default();
        if trust_domain.is_empty() || trust_domain.starts_with('/') {
            return Err(bad(
                "spiffe",
                uri,
                "must be like spiffe://example.org/workload",
            ));
        }
        let uri = uri.as_str();
        let text = uri
            .try_into()
            .map_err(|_| bad("spiffe", uri, "is not ASCII"))?;
        names.push(SanType::URI(text));
    }
    for host in &request.hosts {
        names.push(match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) if host.is_empty() => return Err(bad("dns", host, "is empty")),
            Err(_) => {
                let name = host.as_str().try_into();
                SanType::DnsName(name.map_err(|_| bad("dns", host, "is not ASCII"))?)
            }
        });
    }
    Ok(names)
}

/// 16 random bytes, positive and without a leading zero, so that every encoding of it is the same.
fn serial() -> Result<[u8; 16], PkiError> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| PkiError::NoRandomness)?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}
