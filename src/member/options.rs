//! Where to connect, as whom, and how patiently.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use quinn::Endpoint;
use tokio::sync::mpsc;

use super::{Fingerprint, SuiteKeys};
use crate::group::edges::Edge;
use crate::group::ids::Suites;
use crate::group::wire::Token;
use crate::tls::{Credentials, Trust};

/// Where the gateway is, and as whom to connect to it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gateway's address.
    pub address: SocketAddr,
    /// The name that its certificate must have.
    pub server_name: String,
    /// The member's certificate and key: its identity.
    pub credentials: Credentials,
    /// Who issues the gateway's certificate.
    pub trust: Trust,
    /// A bearer token to present whenever it joins, afresh too, where the gateway's rules ask for what it says.
    pub token: Option<Token>,
    /// Whose keys it takes, and in which suites.
    pub keys: KeyOptions,
    /// How often an idle connection is tested; a lost one is noticed after three times as long.
    pub keep_alive: Duration,
    /// How long a request is tried, over lost connections and passing refusals.
    pub patience: Duration,
    /// How it is there, and comes back.
    pub presence: Presence,
    /// What it receives on.
    pub sockets: Sockets,
    /// Gets a copy of every epoch as it comes, whether it can be opened or not; a full channel misses some.
    pub tap: Option<mpsc::Sender<Observed>>,
}

impl Options {
    /// With the usual times: tested every 10 s, tried for 30 s.
    pub fn new(
        address: SocketAddr,
        server_name: impl Into<String>,
        credentials: Credentials,
        trust: Trust,
    ) -> Self {
        Self {
            address,
            server_name: server_name.into(),
            credentials,
            trust,
            token: None,
            keys: KeyOptions::default(),
            keep_alive: Duration::from_secs(10),
            patience: Duration::from_secs(30),
            presence: Presence::default(),
            sockets: Sockets::default(),
            tap: None,
        }
    }
}

/// How a client's memberships are there, and come back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presence {
    /// Whether to join afresh when the gateway says that it does not know the registration any more. A member that
    /// was evicted while it had no connection then comes back, if the policy still admits it.
    pub rejoin: bool,
    /// After how long without anything to ask receivers give their connection up, if they get rekeys by datagram: they are *parked*, cost
    /// the gateway next to nothing, and connect again when they need something. Never, without a time.
    pub park_after: Option<Duration>,
    /// How much of a member each is.
    pub fidelity: Fidelity,
}

/// What a client receives on.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    /// A UDP socket to share with other clients: thousands in one process need one. Without it the client has its own, and takes
    /// rekeys by datagram on it where the gateway offers that.
    pub shared: Option<Endpoint>,
    /// The interface, such as `eth0`, on which to listen to groups that have a multicast address; it does not without one, nor
    /// with a socket that is shared. Each membership then has a socket of its own besides.
    pub multicast: Option<String>,
}

/// Whose keys a client takes, and in which suites.
#[derive(Clone, Debug)]
pub struct KeyOptions {
    /// The token that must have signed every epoch, by its signing keys: of each suite one. Without any, whichever the
    /// gateway names when this member joins; and when a group is moved to another suite, which the gateway names then.
    pub issuers: Vec<Fingerprint>,
    /// The suites that it offers; of these it has software for [`SuiteKeys::ALL`](super::SuiteKeys::ALL).
    pub suites: Suites,
}

impl Default for KeyOptions {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            suites: SuiteKeys::suites(),
        }
    }
}

/// How much of a member a client's memberships are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fidelity {
    /// They verify, open and confirm every epoch.
    #[default]
    Full,
    /// For load tests alone: they join like any member, and then acknowledge what comes without opening it. They hold no
    /// keys after their first epoch.
    AcknowledgeOnly,
}

/// An epoch as the gateway sent it: a signed header and ciphertext, no secret.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The header.
    pub header: Bytes,
    /// The up-edges: of a chunk, or of this member's path.
    pub edges: Vec<Edge>,
}
