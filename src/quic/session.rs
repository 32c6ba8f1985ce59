//! The TLS session of a connection, which lets go of rustls when the handshake is complete.
//!
//! What rustls keeps of a handshake, buffers and record keys that QUIC has no use for, is more than all else that is its own. Of a
//! connected peer these matter: its certificates, the secrets of the next key update (RFC 9001 section 6), and the exporter's secret
//! (RFC 8446 section 7.5), which rustls tells by its key log alone. That is asked for the one secret, into the session that it is of.

use std::any::Any;
use std::fmt;
use std::io::Cursor;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use quinn_proto::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn_proto::crypto::{
    self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig as _,
    Session, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use rustls::crypto::tls13::OkmBlock;
use rustls::pki_types::CertificateDer;
use rustls::quic::{Connection, KeyChange, Secrets, ServerConnection, Version};
use rustls::{KeyLog, ServerConfig, SupportedCipherSuite, Tls13CipherSuite};

/// What NSS' key logs, and so rustls, call the exporter's secret.
const EXPORTER: &str = "EXPORTER_SECRET";
/// Drafts of QUIC's version 1 that had other keys than the later ones and than the version itself.
const DRAFTS: RangeInclusive<u32> = 0xff00_001d..=0xff00_0020;
/// The alert for a message that nobody may send any more (RFC 8446 section 6).
const UNEXPECTED_MESSAGE: u8 = 10;

/// Begins sessions.
pub(super) struct Sessions {
    /// For what has no session yet.
    initial: QuicServerConfig,
    tls: Arc<ServerConfig>,
}

impl TryFrom<ServerConfig> for Sessions {
    type Error = NoInitialCipherSuite;

    fn try_from(tls: ServerConfig) -> Result<Self, Self::Error> {
        let tls = Arc::new(tls);
        let initial = QuicServerConfig::try_from(tls.clone())?;
        Ok(Sessions { initial, tls })
    }
}

impl crypto::ServerConfig for Sessions {
    fn initial_keys(&self, version: u32, name: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.initial.initial_keys(version, name)
    }

    fn retry_tag(&self, version: u32, original: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.initial.retry_tag(version, original, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        let exporter = Arc::new(Exporter::default());
        let mut tls = ServerConfig::clone(&self.tls);
        tls.key_log = exporter.clone();
        let mut encoded = Vec::new();
        params.write(&mut encoded);
        let of_quic = match DRAFTS.contains(&version) {
            true => Version::V1Draft,
            false => Version::V1,
        };
        let tls = ServerConnection::new(Arc::new(tls), of_quic, encoded)
            .expect("QuicServerConfig has looked at the configuration");
        let next = None;
        Box::new(Lean {
            sessions: self,
            version,
            stage: Stage::Shaking(Box::new(Shaking {
                tls: tls.into(),
                exporter,
                next,
            })),
        })
    }
}

/// The exporter's secret of one session, once it is known.
#[derive(Default)]
struct Exporter(Mutex<Option<OkmBlock>>);

impl Exporter {
    /// What it was, too, is wiped where it lies.
    fn copy(&self) -> Option<OkmBlock> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter(..)")
    }
}

impl KeyLog for Exporter {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if label == EXPORTER {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Some(OkmBlock::new(secret));
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == EXPORTER
    }
}

/// One session.
struct Lean {
    sessions: Arc<Sessions>,
    version: u32,
    stage: Stage,
}

enum Stage {
    Shaking(Box<Shaking>),
    Complete(Box<Complete>),
}

struct Shaking {
    tls: Connection,
    exporter: Arc<Exporter>,
    next: Option<Secrets>,
}

/// All that is left of a handshake.
struct Complete {
    suite: &'static Tls13CipherSuite,
    peer: Vec<CertificateDer<'static>>,
    exporter: OkmBlock,
    next: Secrets,
}

impl Shaking {
    /// What remains once the handshake is complete, and all of it is written.
    fn complete(&self) -> Option<Complete> {
        if self.tls.is_handshaking() {
            return None;
        }
        let Some(SupportedCipherSuite::Tls13(suite)) = self.tls.negotiated_cipher_suite() else {
            return None;
        };
        let peer = self.tls.peer_certificates().unwrap_or_default();
        Some(Complete {
            suite,
            peer: peer.iter().map(|own| own.clone().into_owned()).collect(),
            next: self.next.clone()?,
            exporter: self.exporter.copy()?,
        })
    }

    fn read(&mut self, message: &[u8]) -> Result<(), TransportError> {
        self.tls
            .read_hs(message)
            .map_err(|error| match self.tls.alert() {
                Some(alert) => refusal(alert.into(), error.to_string()),
                None => TransportError {
                    code: TransportErrorCode::PROTOCOL_VIOLATION,
                    frame: None,
                    reason: format!("TLS error: {error}"),
                },
            })
    }

    fn parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(encoded) = self.tls.quic_transport_parameters() else {
            return Ok(None);
        };
        let read = TransportParameters::read(Side::Server, &mut Cursor::new(encoded));
        Ok(Some(read?))
    }
}

impl Complete {
    /// RFC 8446 section 7.5.
    fn export(&self, output: &mut [u8], label: &[u8], context: &[u8]) -> Option<()> {
        let (hash, hkdf) = (self.suite.common.hash_provider, self.suite.hkdf_provider);
        let empty = hash.hash(&[]);
        let length = u16::try_from(hash.output_len()).ok()?;
        let info = hkdf_label(length, label, empty.as_ref())?;
        let secret = hkdf.expander_for_okm(&self.exporter).expand_block(&[&info]);
        let context = hash.hash(context);
        let length = u16::try_from(output.len()).ok()?;
        let info = hkdf_label(length, b"exporter", context.as_ref())?;
        let expander = hkdf.expander_for_okm(&secret);
        expander.expand_slice(&[&info], output).ok()
    }
}

/// What HKDF-Expand-Label expands with (RFC 8446 section 7.1).
fn hkdf_label(length: u16, label: &[u8], context: &[u8]) -> Option<Vec<u8>> {
    let label = [b"tls13 ", label].concat();
    let mut info = length.to_be_bytes().to_vec();
    for part in [&label[..], context] {
        info.push(part.len().try_into().ok()?);
        info.extend_from_slice(part);
    }
    Some(info)
}

fn refusal(alert: u8, reason: String) -> TransportError {
    TransportError {
        code: TransportErrorCode::crypto(alert),
        frame: None,
        reason,
    }
}

impl Session for Lean {
    fn initial_keys(&self, name: &ConnectionId, _: Side) -> Keys {
        let keys = self.sessions.initial.initial_keys(self.version, name);
        // Without them there is no session.
        keys.unwrap_or_else(|_| unreachable!("the first packet had them"))
    }

    /// Nobody asks: who connects is known by its certificate.
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        None
    }

    /// A chain of [`CertificateDer`], as quinn-proto's own sessions have it.
    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let chain = match &self.stage {
            Stage::Shaking(shaking) => shaking.tls.peer_certificates()?,
            Stage::Complete(complete) => &complete.peer,
        };
        let chain: Vec<_> = chain.iter().map(|own| own.clone().into_owned()).collect();
        Some(Box::new(chain))
    }

    /// There is no 0-RTT.
    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        match &self.stage {
            Stage::Shaking(shaking) => shaking.tls.is_handshaking(),
            Stage::Complete(_) => false,
        }
    }

    fn read_handshake(&mut self, message: &[u8]) -> Result<bool, TransportError> {
        match &mut self.stage {
            Stage::Shaking(shaking) => shaking.read(message)?,
            // A client has nothing to say then: keys are updated otherwise (RFC 9001 section 6), and is not asked for certificates.
            Stage::Complete(_) => {
                let reason = "a message of TLS after the handshake";
                return Err(refusal(UNEXPECTED_MESSAGE, reason.to_owned()));
            }
        }
        Ok(false)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        match &self.stage {
            Stage::Shaking(shaking) => shaking.parameters(),
            Stage::Complete(_) => Ok(None),
        }
    }

    fn write_handshake(&mut self, buffer: &mut Vec<u8>) -> Option<Keys> {
        let Stage::Shaking(shaking) = &mut self.stage else {
            return None;
        };
        let keys = match shaking.tls.write_hs(buffer) {
            Some(KeyChange::Handshake { keys }) => keys,
            Some(KeyChange::OneRtt { keys, next }) => {
                shaking.next = Some(next);
                keys
            }
            None => {
                // Tickets are the last that is written.
                if buffer.is_empty()
                    && let Some(complete) = shaking.complete()
                {
                    self.stage = Stage::Complete(Box::new(complete));
                }
                return None;
            }
        };
        Some(Keys {
            header: KeyPair {
                local: Box::new(keys.local.header),
                remote: Box::new(keys.remote.header),
            },
            packet: KeyPair {
                local: Box::new(keys.local.packet),
                remote: Box::new(keys.remote.packet),
            },
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let next = match &mut self.stage {
            Stage::Shaking(shaking) => shaking.next.as_mut()?,
            Stage::Complete(complete) => &mut complete.next,
        };
        let keys = next.next_packet_keys();
        Some(KeyPair {
            local: Box::new(keys.local),
            remote: Box::new(keys.remote),
        })
    }

    /// Clients alone are sent these.
    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        let exported = match &self.stage {
            Stage::Shaking(shaking) => {
                let exported = shaking
                    .tls
                    .export_keying_material(output, label, Some(context));
                exported.ok().map(|_| ())
            }
            Stage::Complete(complete) => complete.export(output, label, context),
        };
        exported.ok_or(ExportKeyingMaterialError)
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::{CryptoProvider, aws_lc_rs};
    use rustls::pki_types::ServerName;
    use rustls::quic::ClientConnection;
    use rustls::version::TLS13;
    use rustls::{ClientConfig, RootCertStore};

    use super::*;
    use crate::pki::{Authority, Request};
    use crate::tls::{Credentials, Trust, resumable, server_config};

    /// A client that has that suite alone, and the session with it; what they have to say to each other is said.
    fn shaken(suite: SupportedCipherSuite) -> (Connection, Box<dyn Session>) {
        let authority = Authority::new("test").expect("an authority");
        let certificate = authority.certificate().clone();
        let trust = Trust::new([certificate.clone()], vec![]).expect("a certificate");
        let request = Request::server("gateway").host("localhost");
        let own = authority.issue(&request).expect("a certificate");
        let own = Credentials::new(own.chain(), own.key());
        let tls = server_config(own, &trust, &[]).and_then(resumable);
        let sessions = Sessions::try_from(tls.expect("TLS")).expect("TLS 1.3");
        let nothing = TransportParameters::read(Side::Server, &mut &b""[..]);
        let nothing = nothing.expect("all have defaults");
        let session = Arc::new(sessions).start_session(1, &nothing);

        let own = authority.issue(&Request::client("anna"));
        let own = own.expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a certificate");
        let provider = CryptoProvider {
            cipher_suites: vec![suite],
            ..aws_lc_rs::default_provider()
        };
        let tls = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .expect("the suite is of that version")
            .with_root_certificates(roots)
            .with_client_auth_cert(own.chain(), own.key());
        let tls = Arc::new(tls.expect("its own key"));
        let mut encoded = Vec::new();
        nothing.write(&mut encoded);
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(tls, Version::V1, name, encoded);
        talk(client.expect("a client").into(), session)
    }

    fn talk(
        mut client: Connection,
        mut session: Box<dyn Session>,
    ) -> (Connection, Box<dyn Session>) {
        loop {
            let mut said = false;
            loop {
                let mut message = Vec::new();
                let keys = client.write_hs(&mut message);
                if !message.is_empty() {
                    said = true;
                    session.read_handshake(&message).expect("is well-formed");
                } else if keys.is_none() {
                    break;
                }
            }
            loop {
                let mut message = Vec::new();
                let keys = session.write_handshake(&mut message);
                if !message.is_empty() {
                    said = true;
                    client.read_hs(&message).expect("is well-formed");
                } else if keys.is_none() {
                    break;
                }
            }
            if !said {
                return (client, session);
            }
        }
    }

    #[test]
    fn what_is_left_of_a_handshake_exports_the_same_keys_with_each_suite() {
        let suites = aws_lc_rs::default_provider().cipher_suites;
        let suites = suites.into_iter().filter(|own| own.tls13().is_some());
        assert_eq!(suites.clone().count(), 3);
        for suite in suites {
            let (client, mut session) = shaken(suite);
            assert!(!client.is_handshaking() && !session.is_handshaking());
            for (length, context) in [(32, &b"context"[..]), (100, b"")] {
                let (mut mine, mut theirs) = (vec![0; length], vec![0; length]);
                let exported = session.export_keying_material(&mut mine, b"label", context);
                assert_eq!(exported, Ok(()));
                let exported = client.export_keying_material(&mut theirs, b"label", Some(context));
                exported.expect("the handshake is complete");
                assert_eq!(mine, theirs);
            }
            let chain = session.peer_identity().expect("it is known");
            let chain = chain.downcast::<Vec<CertificateDer<'static>>>();
            assert_eq!(chain.map(|chain| chain.len()).ok(), Some(1));
            assert!(session.next_1rtt_keys().is_some());
            let refused = session.read_handshake(b"\x18\0\0\x01\0");
            let error = refused.expect_err("nothing may follow");
            assert_eq!(error.code, TransportErrorCode::crypto(UNEXPECTED_MESSAGE));
        }
    }

    #[test]
    fn more_than_can_be_exported_is_refused() {
        let suites = aws_lc_rs::default_provider().cipher_suites;
        let (_client, session) = shaken(suites[0]);
        let mut much = vec![0; 70_000];
        let exported = session.export_keying_material(&mut much, b"label", b"");
        assert_eq!(exported, Err(ExportKeyingMaterialError));
    }
}
