//! Session tickets (RFC 8446 section 4.6.1): whoever comes back soon costs neither side a signature, nor the check of a chain.
//!
//! A ticket carries the client's chain as it was verified, so it may not outlive what verified it. Tickets are sealed under keys
//! that are in the memory of one server configuration alone: with the configuration that another trust or another revocation
//! list brings, or another process, none is worth anything, and the next handshake is a full one. Whoever accepts a session
//! still looks whether the certificate has run out ([`peer`](super::peer)). Every resumed handshake agrees on fresh keys
//! (`psk_dhe_ke`), and nothing is sent before it is complete: there is no 0-RTT.
//!
//! A resumed session is given a ticket again. So whoever keeps coming back is not checked anew before the configuration changes;
//! and whoever reads the gateway's memory can pass for anybody, if he comes before the key that he read is dropped, and from then on as
//! long as he keeps coming. Keys are dropped soon.

use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::GetRandomFailed;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use rustls::{Error, TicketRotator};

/// How long a key seals, in seconds; it opens for as long again.
const KEY_LIFE_S: u32 = 1_800;
/// How long a ticket is good, in seconds.
const LIFE_S: u64 = 2 * KEY_LIFE_S as u64;
/// Before what is in a ticket: when it was issued, in seconds of its configuration's clock.
const ISSUED: usize = 8;

/// Seals and opens tickets, and counts those that served.
#[derive(Debug)]
pub(super) struct Tickets {
    keys: TicketRotator,
    began: Instant,
}

impl Tickets {
    pub(super) fn new() -> Result<Self, Error> {
        let keys = TicketRotator::new(KEY_LIFE_S, || Ok(Box::new(Keys(keys()?))))?;
        let began = Instant::now();
        Ok(Tickets { keys, began })
    }

    fn sealed(&self, at: u64, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.encrypt(&[&at.to_be_bytes(), plain].concat())
    }

    /// The rotation alone does not bound a ticket's life: where nobody comes for long, no key is dropped.
    fn opened(&self, at: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut plain = self.keys.decrypt(sealed)?;
        let issued = u64::from_be_bytes(plain.get(..ISSUED)?.try_into().ok()?);
        let is_good = at.checked_sub(issued)? <= LIFE_S;
        plain.drain(..ISSUED);
        is_good.then_some(plain)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.keys.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.keys.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.sealed(self.began.elapsed().as_secs(), plain)
    }

    fn decrypt(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let plain = self.opened(self.began.elapsed().as_secs(), sealed)?;
        metrics::counter!("wardcast_handshakes_resumed_total").increment(1);
        Some(plain)
    }
}

fn keys() -> Result<Arc<dyn ProducesTickets>, GetRandomFailed> {
    // All that can fail is that the system gives no random bytes.
    Ticketer::new().map_err(|_| GetRandomFailed)
}

/// The library's keys, which it would use for twelve hours itself, boxed as its rotation wants them.
#[derive(Debug)]
struct Keys(Arc<dyn ProducesTickets>);

impl ProducesTickets for Keys {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(sealed)
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

    use super::*;
    use crate::pki::{Authority, Request};
    use crate::tls::{Credentials, Trust, client_config, resumable, server_config};

    #[test]
    fn a_ticket_is_good_for_its_life_and_not_longer() {
        let tickets = Tickets::new().expect("tickets");
        let sealed = tickets.sealed(10, b"session");
        let sealed = sealed.expect("is sealed");
        let opened = |at: u64| tickets.opened(at, &sealed);
        assert_eq!(opened(10).as_deref(), Some(&b"session"[..]));
        assert_eq!(opened(3_610).as_deref(), Some(&b"session"[..]));
        assert_eq!(opened(3_611), None);
        let other = Tickets::new().expect("tickets");
        assert_eq!(other.opened(10, &sealed), None);
    }

    /// A handshake in memory, up to the ticket that the client gets.
    fn shaken(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> HandshakeKind {
        let name = "localhost".try_into().expect("a name");
        let mut client = ClientConnection::new(client.clone(), name).expect("a client");
        let mut server = ServerConnection::new(server.clone()).expect("a server");
        while client.wants_write() || server.wants_write() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).expect("to memory");
            while !bytes.is_empty() {
                let read = server.read_tls(&mut &bytes[..]).expect("from memory");
                bytes.drain(..read);
                server.process_new_packets().expect("the client is right");
            }
            server.write_tls(&mut bytes).expect("to memory");
            while !bytes.is_empty() {
                let read = client.read_tls(&mut &bytes[..]).expect("from memory");
                bytes.drain(..read);
                client.process_new_packets().expect("the server is right");
            }
        }
        let kind = server.handshake_kind().expect("it is done");
        assert!(server.peer_certificates().is_some(), "{kind:?}");
        kind
    }

    #[test]
    fn whoever_comes_back_is_known_until_the_configuration_is_another() {
        let authority = Authority::new("test").expect("an authority");
        let issued = |request: &Request| {
            let issued = authority.issue(request).expect("a certificate");
            Credentials::new(issued.chain(), issued.key())
        };
        let trust = Trust::new([authority.certificate().clone()], Vec::new()).expect("trust");
        let own = issued(&Request::server("gateway").host("localhost"));
        let member = issued(&Request::client("anna"));
        let server = || {
            let config = server_config(own.clone(), &trust, &[b"test"]).expect("a server");
            Arc::new(resumable(config).expect("with tickets"))
        };
        let client = Arc::new(client_config(member, &trust, &[b"test"]).expect("a client"));
        let (first, second) = (server(), server());
        let full = |kind| {
            matches!(
                kind,
                HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest
            )
        };
        assert!(full(shaken(&first, &client)));
        assert_eq!(shaken(&first, &client), HandshakeKind::Resumed);
        assert_eq!(shaken(&first, &client), HandshakeKind::Resumed);
        assert!(
            full(shaken(&second, &client)),
            "another process, or another trust"
        );
    }
}
