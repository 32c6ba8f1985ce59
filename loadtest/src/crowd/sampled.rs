//! Members that only acknowledge: the protocol as seen from outside, without a key.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig};
use tokio::time::sleep;
use wardcast::crypto::EphemeralKey;
use wardcast::group::ids::{Epoch, MemberId, Suite};
use wardcast::group::wire::{
    ALPN, Acknowledge, EpochHeader, Grant, Join, Message, Offer, Push, PushReply, Request, Response,
};
use wardcast::member::Options;
use wardcast::tls;

use super::{ROLE, Reporter, What};
use crate::Failure;
use crate::operator::GROUP;

/// Streams that the gateway may have open; as in the client library.
const STREAMS: u32 = 128;
/// The largest message, which the codec bounds again.
const LIMIT: usize = 1 << 20;
/// The pause after a refusal that names no time.
const PAUSE: Duration = Duration::from_millis(200);

/// Joins and acknowledges from then on.
pub(super) async fn join(options: Options, reporter: Reporter) -> Result<MemberId, Failure> {
    let connection = connect(&options).await?;
    let grant = register(&connection).await?;
    let (member, epoch) = (
        grant.member,
        EpochHeader::parse(&grant.path.header)?.header.epoch,
    );
    reporter.tell(What::Holds(epoch));
    reporter.tell(What::Sends(grant.path.active));
    let acknowledge = Request::Acknowledge(Acknowledge {
        group: GROUP.to_owned(),
        member,
        epoch,
    });
    tokio::spawn(serve(connection.clone(), reporter));
    ask(&connection, &acknowledge).await?;
    Ok(member)
}

async fn connect(options: &Options) -> Result<Connection, Failure> {
    let crypto = tls::client_config(options.credentials.clone(), &options.trust, &[ALPN])?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS.into())
        .keep_alive_interval(Some(options.keep_alive));
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
    Ok(endpoint
        .connect_with(config, options.address, &options.server_name)?
        .await?)
}

async fn register(connection: &Connection) -> Result<Box<Grant>, Failure> {
    let join = Request::Join(Join {
        group: GROUP.to_owned(),
        role: ROLE,
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

async fn serve(connection: Connection, reporter: Reporter) {
    let why = loop {
        let answered = match connection.accept_bi().await {
            Ok((send, receive)) => answer(send, receive, &reporter).await,
            Err(error) => break error.to_string(),
        };
        if let Err(error) = answered {
            break error.to_string();
        }
    };
    reporter.tell(What::Over(why));
}

async fn answer(
    mut send: SendStream,
    mut receive: RecvStream,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let push = Push::from_bytes(&receive.read_to_end(LIMIT).await?)?;
    let epoch = match push {
        Push::Rekey(rekey) => {
            let epoch = EpochHeader::parse(&rekey.header)?.header.epoch;
            reporter.tell(What::Holds(epoch));
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
    send.write_all(&PushReply::ack(epoch).to_bytes()).await?;
    Ok(send.finish()?)
}
