//! Members that only acknowledge: the protocol as seen from outside, without a key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, ReadToEndError, RecvStream, SendStream,
    TransportConfig, WriteError,
};
use tokio::time::{sleep, timeout};
use wardcast::crypto::EphemeralKey;
use wardcast::group::ids::{Epoch, MemberId, Role, Suite};
use wardcast::group::wire::datagram::ChannelId;
use wardcast::group::wire::{
    ALPN, ChannelOpened, EpochHeader, Grant, Join, Leave, Message, Offer, OpenChannel, Push,
    PushReply, Request, Response,
};
use wardcast::member::{HANDSHAKE, Options, Pauses, is_refused};
use wardcast::tls;

use super::datagrams::{Line, Opener};
use super::seen::{Reporter, What};
use crate::Failure;
use crate::operator::GROUP;
use crate::sockets::Sockets;

/// Streams that the gateway may have open; as in the client library.
const STREAMS: u32 = 128;
/// The largest message, which the codec bounds again.
pub(crate) const LIMIT: usize = 1 << 20;
/// How long a connection is tried that the gateway refuses or gives up.
const PATIENCE: Duration = Duration::from_secs(60);
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
    /// When its registration was granted.
    pub(crate) granted: Instant,
    /// How often it was told to come back before, or lost its connection.
    pub(crate) refusals: u32,
    connection: Connection,
    pub(super) line: Arc<Line>,
}

impl Sampled {
    /// Leaves, and is done when the gateway says so.
    pub(crate) async fn leave(self) -> Result<(), Failure> {
        self.line.part();
        let leave = Request::Leave(Leave {
            group: GROUP.to_owned(),
            member: self.member,
        });
        let answer = ask(&self.connection, &leave).await?;
        self.connection.close(0_u32.into(), b"left");
        match answer {
            Response::Left(_) => Ok(()),
            other => Err(format!("a leave was answered with {other:?}").into()),
        }
    }
}

/// Joins with a channel, and acknowledges from then on: the answer to the channel's first probe tells what it was granted.
pub(super) async fn join(
    options: Options,
    role: Role,
    reporter: Reporter,
    shared: Shared,
) -> Result<Sampled, Failure> {
    let Shared { sockets, opener } = shared;
    let (endpoint, line) = Line::endpoint(&sockets, opener, reporter.clone(), options.address)?;
    let (connection, grant, refusals) = enter(&options, &endpoint, role).await?;
    let granted = Instant::now();
    let header = EpochHeader::parse(&grant.path.header)?.header;
    let (member, epoch) = (grant.member, header.epoch);
    line.holds(epoch);
    reporter.tell(What::Sends(grant.path.active));
    tokio::spawn(serve(connection.clone(), reporter, line.clone()));
    if let Some(opened) = channel(&connection, &grant, epoch).await? {
        let channel = ChannelId(opened.channel);
        line.open(&connection, (header.group, member), channel)?;
    } // it is pushed everything on streams otherwise
    Ok(Sampled {
        member,
        granted,
        refusals,
        connection,
        line,
    })
}

/// The channel that came with a grant, or that is asked for after it; none where there is none to be had. Who asks tells what it holds.
pub(crate) async fn channel(
    connection: &Connection,
    grant: &Grant,
    epoch: Epoch,
) -> Result<Option<ChannelOpened>, Failure> {
    if grant.channel.is_some() {
        return Ok(grant.channel);
    }
    let open = Request::OpenChannel(OpenChannel {
        group: GROUP.to_owned(),
        member: grant.member,
        epoch: Some(epoch),
    });
    match ask(connection, &open).await? {
        Response::ChannelOpened(opened) => Ok(Some(opened)),
        Response::Refused(_) => Ok(None),
        other => Err(format!("a channel was asked for, and {other:?} came").into()),
    }
}

/// A connection and a registration on it, and how often the gateway had no room for either before.
pub(crate) async fn enter(
    options: &Options,
    endpoint: &Endpoint,
    role: Role,
) -> Result<(Connection, Box<Grant>, u32), Failure> {
    let crypto = tls::client_config(options.credentials.clone(), &options.trust, &[ALPN])?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS.into())
        .keep_alive_interval(Some(options.keep_alive));
    config.transport_config(Arc::new(transport));
    let began = Instant::now();
    let (mut refused, mut pauses) = (0, Pauses::default());
    loop {
        let name = &options.server_name;
        let connecting = endpoint.connect_with(config.clone(), options.address, name)?;
        let entered = async {
            let late = |_| Failure::from(ConnectionError::TimedOut);
            let connection = timeout(HANDSHAKE, connecting).await.map_err(late)??;
            let (grant, refusals) = register(&connection, role).await?;
            Ok::<_, Failure>((connection, grant, refusals))
        };
        match entered.await {
            Ok((connection, grant, refusals)) => {
                return Ok((connection, grant, refused + refusals));
            }
            Err(failure) if is_lost(&failure) && began.elapsed() < PATIENCE => {
                refused += 1;
                // As the client library does.
                let pause = match failure.downcast_ref().is_some_and(is_refused) {
                    true => pauses.refused(),
                    false => pauses.failed(),
                };
                sleep(pause).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether a connection was refused, or ended before it carried an answer: where many arrive at once, not all handshakes
/// are done in the time that the gateway gives them.
fn is_lost(failure: &Failure) -> bool {
    failure.is::<ConnectionError>() || failure.is::<ReadToEndError>() || failure.is::<WriteError>()
}

/// The grant, and how often it was refused before.
async fn register(connection: &Connection, role: Role) -> Result<(Box<Grant>, u32), Failure> {
    let join = Request::Join(Join {
        group: GROUP.to_owned(),
        role,
        offer: Offer::of(Suite::One, EphemeralKey::generate().public().to_vec()),
        token: None,
        channel: true,
    });
    let mut refusals = 0;
    loop {
        match ask(connection, &join).await? {
            Response::Granted(grant) => return Ok((grant, refusals)),
            Response::Refused(refusal) if refusal.code.passes() => {
                refusals += 1;
                sleep(refusal.retry_after_ms.map_or(PAUSE, Duration::from_millis)).await;
            }
            other => return Err(format!("a join was answered with {other:?}").into()),
        }
    }
}

pub(crate) async fn ask(connection: &Connection, request: &Request) -> Result<Response, Failure> {
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
    if !line.has_parted() {
        reporter.tell(What::Over(why));
    }
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
        Push::Removed(_) if line.has_parted() => Epoch(0),
        Push::Removed(removed) => {
            reporter.tell(What::Over(format!("removed: {:?}", removed.reason)));
            Epoch(0)
        }
        // The last two come by multicast alone.
        Push::GoAway(_) | Push::Packet(_) | Push::Heartbeat(_) => Epoch(0),
    };
    let written = send.write_all(&PushReply::ack(epoch).to_bytes()).await;
    if written.is_ok() {
        // It is as good as written.
        let _ = send.finish();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_tried_again_and_a_wrong_answer_is_not() {
        let lost: [Failure; 3] = [
            ConnectionError::TimedOut.into(),
            ReadToEndError::Read(quinn::ReadError::ConnectionLost(ConnectionError::Reset)).into(),
            WriteError::ConnectionLost(ConnectionError::Reset).into(),
        ];
        assert!(lost.iter().all(is_lost));
        assert!(!is_lost(&"a join was answered with something else".into()));
    }
}
