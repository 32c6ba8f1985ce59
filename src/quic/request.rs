//! Which request goes to which method of the engine, and which message answers it.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, debug_span};
use zeroize::Zeroizing;

use super::absence::spread;
use super::connection::Served;
use super::listener::certificate;
use crate::crypto::Key;
use crate::engine::{Known, Opening, Whereabouts};
use crate::group::wire::datagram::CHANNEL_LABEL;
use crate::group::wire::{Ack, Join, Left, Parked, Refusal, Request, Response, Token};
use crate::trace::TARGET;

/// Has the engine do what a member asks.
pub(super) async fn answer(served: &Arc<Served>, request: Request) -> Result<Response, Refusal> {
    let (engine, outbox) = (&served.front.engine, &served.outbox);
    let identity = &served.place.identity;
    Ok(match request {
        Request::Join(join) => {
            let attributes = debug_span!(target: TARGET, "attributes");
            let known = known(served, &join).instrument(attributes).await;
            let granting = debug_span!(target: TARGET, "grant");
            let opening = join.channel.then(|| opening(served));
            let grant = engine.join(identity, join, known, outbox, opening);
            let grant = grant.instrument(granting).await?;
            Response::Granted(Box::new(grant))
        }
        Request::Resume(resume) => engine.resume(identity, resume, outbox).await?,
        Request::Leave(leave) => {
            let member = leave.member;
            engine.leave(identity, leave).await?;
            Response::Left(Left { member })
        }
        Request::Pull(pull) => engine.pull(identity, pull).await?,
        Request::Status(status) => Response::Status(engine.status(identity, &status.group).await?),
        Request::OpenChannel(open) => {
            let opened = engine
                .open_channel(identity, open, outbox, opening(served))
                .await?;
            Response::ChannelOpened(opened)
        }
        Request::Park(park) => {
            let members = engine.park(identity, park, outbox).await?;
            Response::Parked(Parked {
                alive_ms: milliseconds(served.front.limits.alive),
                spread_ms: milliseconds(spread(members)),
            })
        }
        Request::Acknowledge(held) => {
            engine
                .acknowledge(identity, &held.group, held.member, held.epoch)
                .await?;
            Response::Acknowledged(Ack { epoch: held.epoch })
        }
    })
}

/// What traces call a request.
pub(super) fn name(request: &Request) -> &'static str {
    match request {
        Request::Join(_) => "join",
        Request::Resume(_) => "resume",
        Request::Leave(_) => "leave",
        Request::Pull(_) => "pull",
        Request::Status(_) => "status",
        Request::OpenChannel(_) => "open channel",
        Request::Park(_) => "park",
        Request::Acknowledge(_) => "acknowledge",
    }
}

/// What is known about a member that wants to join: found out before its group is asked, which waits for nobody.
async fn known(served: &Arc<Served>, join: &Join) -> Known {
    let certificate = certificate(&served.connection)?;
    let sources = served.front.sources.load_full();
    let token = join.token.as_ref().map(Token::expose);
    sources
        .of(&served.place.identity, &certificate, token)
        .await
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Where the member is, as QUIC has validated it, and what exports its channel's key.
fn opening(served: &Arc<Served>) -> Opening {
    let connection = served.connection.clone();
    let lane = served.lane;
    // A channel does not keep its connection alive.
    let served = Arc::downgrade(served);
    Opening {
        lane,
        whereabouts: Whereabouts::new(move || Some(served.upgrade()?.connection.remote_address())),
        export: Box::new(move |context| {
            let mut key = Zeroizing::new([0; 32]);
            let exported = connection.export_keying_material(&mut *key, CHANNEL_LABEL, context);
            exported.ok().map(|()| Key::from_bytes(*key))
        }),
    }
}
