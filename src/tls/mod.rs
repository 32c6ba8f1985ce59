//! Mutual TLS for every listener and every client of the project: credentials, trust, and who the peer is.
//!
//! TLS 1.3 only, on aws-lc-rs, X25519MLKEM768 preferred; key stores alone may be older ([`key_store_client_config`]).
//! Revocation lists are honoured where they are given.
//! Where members connect, sessions can be resumed ([`resumable`]): a session then skips the check of the client's certificate, but
//! does not outlive the configuration that made it, and so no revocation that this one does not know.

mod catalogue;
mod exchanges;
mod expiry;
mod identity;
mod tickets;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientCertVerifierBuilder, NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

pub use catalogue::METRICS;
pub use identity::{IdentityError, identity, peer};
use tickets::Tickets;

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file could not be read or parsed.
    #[error("{what} {}: {source}; it must be a PEM file that this user can read", path.display())]
    Pem {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: pem::Error,
    },
    /// A PEM file holds nothing of what was looked for.
    #[error("{what} {}: there is none in it; it must be a PEM file with at least one", path.display())]
    Empty {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The system has no authorities.
    #[error("the system trusts no authority: install its CA certificates, or name a file of some")]
    NoSystem,
    /// A certificate and a key that do not serve together.
    #[error("certificate {} and private key {} do not serve: {source}; name the two that were issued together", certificate.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        source: rustls::Error,
    },
    /// A CA certificate that is no trust anchor.
    #[error("CA certificate {}: {source}; name a CA's certificate", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// A revocation list that cannot be read.
    #[error("revocation list {}: {source}; have the CA issue a new one", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: VerifierBuilderError,
    },
    /// A certificate, a key, or the two together are not usable.
    #[error("certificate and key do not serve: {0}")]
    Rustls(#[from] rustls::Error),
    /// The client CA or a revocation list is not usable.
    #[error("client CA or revocation lists do not serve: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

/// A certificate chain with its private key.
pub struct Credentials {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({} certificates)", self.chain.len())
    }
}

impl Credentials {
    /// From a chain, the end entity first, and its key.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { chain, key }
    }

    /// From PEM files; whether they belong together is checked here, where the files are still known by name.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let (certificate_path, key_path) = (certificate.to_owned(), key.to_owned());
        let chain = certificates("certificate", certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Pem {
            what: "private key",
            path: key.to_owned(),
            source,
        })?;
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()) {
            Ok(_) => Ok(Self { chain, key }),
            Err(source) => Err(TlsError::Mismatch {
                certificate: certificate_path,
                key: key_path,
                source,
            }),
        }
    }

    /// Who these credentials are for, as a peer would see it.
    pub fn identity(&self) -> Result<crate::group::ids::Identity, IdentityError> {
        self.chain
            .first()
            .ok_or(IdentityError::NoName)
            .and_then(|end_entity| identity(end_entity))
    }
}

/// Whom a peer's certificate must come from, and which certificates are revoked.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

impl Trust {
    /// From CA certificates and revocation lists.
    pub fn new(
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
        revoked: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority)?;
        }
        Ok(Self {
            roots: Arc::new(roots),
            revoked,
        })
    }

    /// The authorities that the system trusts.
    pub fn system() -> Result<Self, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's authorities cannot be read");
        }
        let mut roots = RootCertStore::empty();
        // What is no trust anchor is left out: nobody here chose these.
        let (taken, _) = roots.add_parsable_certificates(found.certs);
        match taken {
            0 => Err(TlsError::NoSystem),
            _ => Ok(Self {
                roots: Arc::new(roots),
                revoked: Vec::new(),
            }),
        }
    }

    /// From PEM files; any number of revocation lists, of any of the authorities. Each is checked by itself, where its
    /// file is still known by name.
    pub fn load(authorities: &Path, revoked: &[PathBuf]) -> Result<Self, TlsError> {
        let found = certificates("CA certificate", authorities)?;
        let trust = Self::new(found, Vec::new()).map_err(|error| match error {
            TlsError::Rustls(source) => TlsError::Authority {
                path: authorities.to_owned(),
                source,
            },
            other => other,
        })?;
        let mut lists = Vec::new();
        for path in revoked {
            for list in revocation_lists(path)? {
                let check = client_verifier(&trust.roots, std::slice::from_ref(&list));
                check.map_err(|source| TlsError::List {
                    path: path.clone(),
                    source,
                })?;
                lists.push(list);
            }
        }
        Ok(Self {
            revoked: lists,
            ..trust
        })
    }
}

fn client_verifier(
    roots: &Arc<RootCertStore>,
    revoked: &[CertificateRevocationListDer<'static>],
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    verifier_builder(roots, revoked).build()
}

fn verifier_builder(
    roots: &Arc<RootCertStore>,
    revoked: &[CertificateRevocationListDer<'static>],
) -> ClientCertVerifierBuilder {
    WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
        .with_crls(revoked.iter().cloned())
        .only_check_end_entity_revocation()
}

/// A server that asks every client for a certificate of `trust` and speaks one of `protocols` (ALPN).
pub fn server_config(
    credentials: Credentials,
    trust: &Trust,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let verifier = client_verifier(&trust.roots, &trust.revoked)?;
    server(credentials, verifier, protocols)
}

/// The same, but a client may come without a certificate, and is nobody by TLS then. One that it shows must be good.
pub fn open_server_config(
    credentials: Credentials,
    trust: &Trust,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let verifier = verifier_builder(&trust.roots, &trust.revoked);
    server(
        credentials,
        verifier.allow_unauthenticated().build()?,
        protocols,
    )
}

fn server(
    credentials: Credentials,
    verifier: Arc<dyn ClientCertVerifier>,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.chain, credentials.key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// Lets clients of a server resume their session within an hour, each time anew, and with this very configuration. Whoever accepts them
/// asks [`peer`] who they are.
pub fn resumable(mut config: ServerConfig) -> Result<ServerConfig, TlsError> {
    config.ticketer = Arc::new(Tickets::new()?);
    // Each is used once, and its use brings the next one.
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// A client that shows its certificate, trusts servers of `trust` and speaks one of `protocols` (ALPN).
pub fn client_config(
    credentials: Credentials,
    trust: &Trust,
    protocols: &[&[u8]],
) -> Result<ClientConfig, TlsError> {
    let mut config = client(credentials, trust, &[&TLS13])?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// A client of a key store: TLS 1.3 or 1.2, because KMIP's profiles ask for 1.2 and some stores have nothing newer. Of TLS 1.2 it
/// has the AEAD suites with ephemeral keys alone.
pub fn key_store_client_config(
    credentials: Credentials,
    trust: &Trust,
) -> Result<ClientConfig, TlsError> {
    client(credentials, trust, &[&TLS13, &TLS12])
}

/// A client that shows no certificate, of servers that are asked for what is public: TLS 1.3 or 1.2, for these are run by others.
pub fn anonymous_client_config(
    trust: &Trust,
    protocols: &[&[u8]],
) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_root_certificates(trust.roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn client(
    credentials: Credentials,
    trust: &Trust,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, TlsError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .with_root_certificates(trust.roots.clone())
        .with_client_auth_cert(credentials.chain, credentials.key)?;
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: exchanges::counted(),
        ..aws_lc_rs::default_provider()
    })
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    sections(what, path)
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    sections("revocation list", path)
}

/// All sections of one kind in a PEM file; there must be one.
fn sections<T: PemObject>(what: &'static str, path: &Path) -> Result<Vec<T>, TlsError> {
    let wrap = |source| TlsError::Pem {
        what,
        path: path.to_owned(),
        source,
    };
    let found = T::pem_file_iter(path).map_err(wrap)?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(wrap)?;
    if found.is_empty() {
        return Err(TlsError::Empty {
            what,
            path: path.to_owned(),
        });
    }
    Ok(found)
}
