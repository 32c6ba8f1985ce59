//! A gateway that does what a test says: real QUIC and real keys, no engine. Its group has one leaf that matters.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, SendStream, ServerConfig, TokioRuntime};
use tokio::time::timeout;

use crate::crypto::{self, AgreementKey, ChannelKey, Key, SigningKey};
use crate::group::edges::Edge;
use crate::group::ids::{Epoch, GroupId, GroupNonce, KeyRef, MemberId, NodeId, SenderId, Suite};
use crate::group::wire::datagram::{CHANNEL_LABEL, ChannelId, Datagram, channel_context};
use crate::group::wire::{
    ALPN, Activate, ChannelOpened, EpochHeader, Grant, Join, Message, PathDelivery, Push,
    PushReply, RekeyDelivery, RemovalReason, Removed, Request, Response, grant_transcript, key_id,
};
use crate::member::{Options, Sockets, Ticket};
use crate::pki::{self, Authority};
use crate::tls::{Credentials, Trust, server_config};
use crate::udp::{Shared, Sink, endpoint_config};

/// Nothing in these tests takes longer.
const LONG: Duration = Duration::from_secs(20);

/// Waits, but not for ever.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = timeout(LONG, future).await;
    done.unwrap_or_else(|_| panic!("{what}: nothing within {} s", LONG.as_secs()))
}

/// The listening side.
pub(super) struct Gateway {
    endpoint: Endpoint,
    authority: Arc<Authority>,
    heard: Arc<Heard>,
}

/// What members acknowledged by datagram.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<(ChannelId, Epoch)>>);

impl Sink for Heard {
    fn take(&self, datagrams: &[(SocketAddr, &[u8])]) {
        let mut all = self.0.lock().expect("nothing panics with it");
        for (_, bytes) in datagrams {
            if let Some(Datagram::Acknowledge(said)) = Datagram::parse(bytes) {
                all.push((said.channel, said.what));
            }
        }
    }
}

fn credentials(issued: &pki::Issued) -> Credentials {
    Credentials::new(issued.chain(), issued.key())
}

impl Gateway {
    pub(super) fn start() -> Self {
        Self::under(Arc::new(Authority::new("test").expect("an authority")))
    }

    /// Another one that the same members trust.
    pub(super) fn another(&self) -> Self {
        Self::under(self.authority.clone())
    }

    fn under(authority: Arc<Authority>) -> Self {
        let request = pki::Request::server("gateway").host("localhost");
        let own = authority.issue(&request).expect("a certificate");
        let tls = server_config(credentials(&own), &trust(&authority), &[ALPN]).expect("TLS");
        let tls = QuicServerConfig::try_from(tls).expect("TLS 1.3");
        let config = ServerConfig::with_crypto(Arc::new(tls));
        let heard = Arc::<Heard>::default();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let socket = Shared::new(socket, heard.clone()).expect("it is one");
        let (own, runtime) = (endpoint_config(), Arc::new(TokioRuntime));
        let endpoint = Endpoint::new_with_abstract_socket(own, Some(config), socket, runtime);
        Self {
            endpoint: endpoint.expect("an endpoint"),
            authority,
            heard,
        }
    }

    /// What members acknowledged by datagram so far; whose code is right is not looked at.
    pub(super) fn answers(&self) -> Vec<(ChannelId, Epoch)> {
        self.heard.0.lock().expect("nothing panics with it").clone()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().expect("it is bound")
    }

    pub(super) fn options(&self) -> Options {
        let request = pki::Request::client("anna");
        let own = self.authority.issue(&request).expect("a certificate");
        let (own, trust) = (credentials(&own), trust(&self.authority));
        let options = Options::new(self.address(), "localhost", own, trust);
        Options {
            // What these tests script are streams.
            sockets: Sockets {
                shared: Some(
                    Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into()).expect("a socket"),
                ),
                multicast: None,
            },
            ..options
        }
    }

    pub(super) async fn accept(&self) -> Wire {
        within("a connection", async {
            let incoming = self.endpoint.accept().await.expect("it listens");
            Wire(incoming.await.expect("a handshake"))
        })
        .await
    }
}

fn trust(authority: &Authority) -> Trust {
    Trust::new([authority.certificate().clone()], vec![]).expect("a certificate")
}

/// One member's connection.
pub(super) struct Wire(pub(super) Connection);

impl Wire {
    /// The member's next request, and where its answer goes.
    pub(super) async fn asked(&self) -> (Request, Reply) {
        within("a request", async {
            let (send, mut receive) = self.0.accept_bi().await.expect("a stream");
            let bytes = receive
                .read_to_end(Request::LIMIT)
                .await
                .expect("a message");
            (Request::from_bytes(&bytes).expect("a request"), Reply(send))
        })
        .await
    }

    /// Serves the acknowledgement that follows a path.
    pub(super) async fn acknowledged(&self) -> Epoch {
        match self.asked().await {
            (Request::Acknowledge(asked), reply) => {
                let ack = crate::group::wire::Ack { epoch: asked.epoch };
                reply.say(&Response::Acknowledged(ack)).await;
                asked.epoch
            }
            (other, _) => panic!("not an acknowledgement: {other:?}"),
        }
    }

    /// The key of a member's channel on this connection.
    pub(super) fn channel_key(&self, group: &Group, channel: ChannelId) -> ChannelKey {
        let (context, mut key) = (channel_context(&group.id, group.member, channel), [0; 32]);
        let exported = self
            .0
            .export_keying_material(&mut key, CHANNEL_LABEL, &context);
        exported.expect("it is there");
        ChannelKey::new(Key::from_bytes(key))
    }

    pub(super) async fn push(&self, push: Push) -> PushReply {
        let bytes = self.push_bytes(&push.to_bytes()).await;
        PushReply::from_bytes(&bytes.expect("a reply")).expect("a reply")
    }

    pub(super) async fn push_bytes(&self, push: &[u8]) -> Result<Vec<u8>, quinn::ReadToEndError> {
        within("a reply", async {
            let (mut send, mut receive) = self.0.open_bi().await.expect("a stream");
            send.write_all(push).await.expect("a push is taken");
            send.finish().expect("it is open");
            receive.read_to_end(PushReply::LIMIT).await
        })
        .await
    }
}

/// Where an answer goes.
pub(super) struct Reply(SendStream);

impl Reply {
    pub(super) async fn say(mut self, response: &Response) {
        let bytes = response.to_bytes();
        self.0.write_all(&bytes).await.expect("the member reads");
        self.0.finish().expect("it is open");
    }
}

/// A group with the member's leaf below the root, and the token that knows its keys.
pub(super) struct Group {
    pub(super) id: GroupId,
    seed: Key,
    signing: SigningKey,
    agreement: AgreementKey,
    pub(super) member: MemberId,
    leaf_generation: u32,
    pub(super) epoch: u64,
    generation: u32,
    step: u16,
    pub(super) activation_delay_ms: u32,
    pub(super) retirement_delay_ms: u32,
}

impl Group {
    pub(super) fn new() -> Self {
        let signing = SigningKey::from_scalar(&SigningKey::generate_scalar());
        Self {
            id: GroupId(crypto::random()),
            seed: crypto::seed(Suite::One, &Key::generate(), &GroupNonce(crypto::random())),
            signing: signing.expect("a fresh scalar is one"),
            agreement: AgreementKey::generate(),
            member: MemberId(1),
            leaf_generation: 1,
            epoch: 1,
            generation: 1,
            step: 0,
            activation_delay_ms: 60_000,
            retirement_delay_ms: 60_000,
        }
    }

    fn leaf(&self) -> KeyRef {
        KeyRef {
            node: NodeId { level: 0, index: 0 },
            generation: self.leaf_generation,
            step: 0,
        }
    }

    fn root(&self) -> KeyRef {
        KeyRef {
            node: NodeId { level: 1, index: 0 },
            generation: self.generation,
            step: self.step,
        }
    }

    fn key(&self, name: KeyRef) -> Key {
        crypto::node_key(Suite::One, &self.seed, &self.id, &name)
    }

    /// What every member exports now.
    pub(super) fn exported(&self) -> Vec<u8> {
        let root = self.key(self.root());
        let secret = crypto::EpochSecret::of(Suite::One, &root, self.id, Epoch(self.epoch));
        secret.export("test", b"", 32).expect("32 bytes").to_vec()
    }

    /// The next epoch: somebody else joined, which costs this member no edge.
    pub(super) fn ratchet(&mut self) {
        self.epoch += 1;
        self.step += 1;
    }

    /// The next epoch: somebody else left.
    pub(super) fn regenerate(&mut self) {
        self.epoch += 1;
        self.generation += 1;
        self.step = 0;
    }

    /// The member's registration ends, and its next one has another leaf key.
    pub(super) fn replace_member(&mut self) {
        self.member.0 += 1;
        self.leaf_generation += 1;
        self.regenerate();
    }

    pub(super) fn edges(&self) -> Vec<Edge> {
        let (child, parent) = (self.leaf(), self.root());
        let wrapped = crypto::wrap(Suite::One, &self.key(child), &self.key(parent));
        vec![Edge {
            child,
            parent,
            wrapped,
        }]
    }

    pub(super) fn header(&self) -> Bytes {
        let header = EpochHeader {
            suite: Suite::One,
            group: self.id,
            epoch: Epoch(self.epoch),
            root: self.root(),
            activation_delay_ms: self.activation_delay_ms,
            retirement_delay_ms: self.retirement_delay_ms,
            sender_space: 0,
            members: 1,
            rollover: 0,
        };
        let kid = key_id(&self.signing.public());
        let mut signed = header.prefix(kid);
        let tag = crypto::confirmation_tag(Suite::One, &self.key(self.root()), &signed);
        signed.extend_from_slice(&tag);
        header.assemble(kid, tag, &self.signing.sign(&signed))
    }

    pub(super) fn path(&self, active: u64) -> PathDelivery {
        PathDelivery {
            header: self.header(),
            edges: self.edges(),
            active: Epoch(active),
            sender_ids: vec![SenderId(77)],
            sender_space: 0,
        }
    }

    pub(super) fn grant(&self, join: &Join) -> Response {
        let (suite, member, leaf) = (Suite::One, self.member, self.leaf());
        let agreement = self.agreement.public();
        let point = join.offer.key(suite).expect("a point");
        let transcript = grant_transcript(suite, &self.id, member, &leaf, point, &agreement);
        let point = point[..].try_into().expect("65 bytes");
        let kek = self.agreement.kek(point, &transcript);
        Response::Granted(Box::new(Grant {
            group: self.id,
            suite,
            member,
            role: join.role,
            leaf,
            wrapped: crypto::key_wrap(&kek.expect("a point"), &self.key(leaf)),
            signing: Bytes::copy_from_slice(&self.signing.public()),
            agreement: Bytes::copy_from_slice(&agreement),
            path: self.path(self.epoch),
            encapsulated: Bytes::new(),
            channel: None,
        }))
    }

    /// The same, with a push channel.
    pub(super) fn grant_with(&self, join: &Join, channel: ChannelId) -> Response {
        let mut granted = self.grant(join);
        if let Response::Granted(grant) = &mut granted {
            grant.channel = Some(ChannelOpened {
                channel: channel.0,
                multicast: None,
            });
        }
        granted
    }

    pub(super) fn rekey(&self, edges: Vec<Edge>) -> Push {
        Push::Rekey(RekeyDelivery {
            group: self.id,
            header: self.header(),
            active: Epoch(0),
            edges,
        })
    }

    pub(super) fn activate(&self) -> Push {
        let (group, epoch) = (self.id, Epoch(self.epoch));
        Push::Activate(Activate { group, epoch })
    }

    pub(super) fn removed(&self, reason: RemovalReason) -> Push {
        Push::Removed(Removed {
            group: self.id,
            member: self.member,
            reason,
        })
    }

    /// Whether a ticket is of the present registration.
    pub(super) fn is(&self, ticket: &Ticket) -> bool {
        (ticket.group_id, ticket.member, ticket.leaf) == (self.id, self.member, self.leaf())
    }
}
