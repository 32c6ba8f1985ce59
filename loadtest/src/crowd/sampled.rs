//! Members that only acknowledge: the protocol as seen from outside, without a key.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig};
use tokio::time::sleep;
use wardcast::crypto::EphemeralKey;
use wardcast::group::ids::{Epoch, MemberId, Role, Suite};
use wardcast::group::wire::datagram::ChannelId;
use wardcast::group::wire::{
    ALPN, Acknowledge, EpochHeader, Grant, Join, Message, Offer, OpenChannel, Push, PushReply,
    Request, Response,
};
use wardcast::member::Options;
use wardcast::tls;

use super::datagrams::{Line, Opener};
use super::seen::{Reporter, What};
use crate::Failure;
use crate::operator::GROUP;
use crate::sockets::Sockets;

/// Streams that the gateway may have open; as in the client library.
const STREAMS: u32 = 128;
/// The largest message, which the codec bounds again.
const LIMIT: usize = 1 << 20;
/// The pause after a refusal that names no time.
const PAUSE: Duration = Duration::from_millis(200);

/// What those members have in common.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) sockets: Arc<Sockets>,
    pub(super) opener: Arc<Opener>,
}

/// A member that is in.
pub(crate) struct Sampled {
    pub(crate) member: MemberId,
    pub(super) line: Arc<Line>,
}

/// Joins and acknowledges from then on.
pub(super) async fn join(
    options: Options,
    role: Role,
    reporter: Reporter,
    shared: Shared,
) -> Result<Sampled, Failure> {
    let Shared { sockets, opener } = shared;
    let (endpoint, line) = Line::endpoint(&sockets, opener, reporter.clone(), options.address)?;
    let connection = connect(&options, &endpoint).await?;
    let grant = register(&connection, role).await?;
    let header = EpochHeader::parse(&grant.path.header)?.header;
    let (member, epoch) = (grant.member, header.epoch);
    line.holds(epoch);
    reporter.tell(What::Sends(grant.path.active));
    let acknowledge = Request::Acknowledge(Acknowledge {
        group: GROUP.to_owned(),
        member,
        epoch,
    });
    tokio::spawn(serve(connection.clone(), reporter, line.clone()));
    ask(&connection, &acknowledge).await?;
    let open = Request::OpenChannel(OpenChannel {
        group: GROUP.to_owned(),
        member,
    });
    match ask(&connection, &open).await? {
        Response::ChannelOpened(opened) => {
            let channel = ChannelId(opened.channel);
            line.open(&connection, (header.group, member), channel)?;
        }
        Response::Refused(_) => {} // it is pushed everything on streams then
        other => return Err(format!("a channel was asked for, and {other:?} came").into()),
    }
    Ok(Sampled { member, line })
}

async fn connect(options: &Options, endpoint: &Endpoint) -> Result<Connection, Failure> {
    let crypto = tls::client_config(options.credentials.clone(), &options.trust, &[ALPN])?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS.into())
        .keep_alive_interval(Some(options.keep_alive));
    config.transport_config(Arc::new(transport));
    Ok(endpoint
        .connect_with(config, options.address, &options.server_name)?
        .await?)
}

async fn register(connection: &Connection, role: Role) -> Result<Box<Grant>, Failure> {
    let join = Request::Join(Join {
        group: GROUP.to_owned(),
        role,
        offer: Offer::of(Suite::One, EphemeralKey::generate().public().to_vec()),
    });
    loop {
        match ask(connection, &join).await? {
            Response::Granted(grant) => return Ok(grant),
            Response::Refused(refusal) if refusal.code.passes() => {
                sleep(refusal.retry_after_ms.map_or(PAUSE, Duration::from_millis)).await;
            }
            other => return Err(format!("a join was answered with {other:?}").into()),
        }
    }
}

async fn ask(connection: &Connection, request: &Request) -> Result<Response, Failure> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&request.to_bytes()).await?;
    send.finish()?;
    Ok(Response::from_bytes(&receive.read_to_end(LIMIT).await?)?)
}

async fn serve(connection: Connection, reporter: Reporter, line: Arc<Line>) {
    let why = loop {
        let (send, receive) = match connection.accept_bi().await {
            Ok(stream) => stream,
            Err(error) => break error.to_string(),
        };
        line.reading().await;
        if let Err(error) = answer(send, receive, &reporter, &line).await {
            break error.to_string();
        }
    };
    reporter.tell(What::Over(why));
}

/// Takes one push. One that the gateway gave up, or whose answer it does not wait for any more, is none.
async fn answer(
    mut send: SendStream,
    mut receive: RecvStream,
    reporter: &Reporter,
    line: &Line,
) -> Result<(), Failure> {
    let Ok(bytes) = receive.read_to_end(LIMIT).await else {
        return Ok(());
    };
    let epoch = match Push::from_bytes(&bytes)? {
        Push::Rekey(rekey) => {
            let epoch = EpochHeader::parse(&rekey.header)?.header.epoch;
            line.came_by_stream(epoch);
            epoch
        }
        Push::Activate(activate) => {
            reporter.tell(What::Sends(activate.epoch));
            activate.epoch
        }
        Push::Removed(removed) => {
            reporter.tell(What::Over(format!("removed: {:?}", removed.reason)));
            Epoch(0)
        }
        Push::GoAway(_) => Epoch(0),
    };
    let written = send.write_all(&PushReply::ack(epoch).to_bytes()).await;
    if written.is_ok() {
        // It is as good as written.
        let _ = send.finish();
    }
    Ok(())
}
