//! What a connection costs the gateway that is made for the first time, and one whose session is resumed.

use std::net::Ipv4Addr;
use std::time::Duration;

use quinn::{ClientConfig, Endpoint};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::timeout;
use wardcast::group::wire::{ALPN, Request, Response, Status};

use crate::Failure;
use crate::bare;
use crate::crowd::sampled::ask;
use crate::live::Live;
use crate::site::Site;

/// Connections of a kind.
const MOST: usize = 500;
/// As many at a time.
const AT_ONCE: usize = 32;
/// No connection takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// CPU of the gateway for a connection, with one request on it, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Returns {
    pub(crate) first_us: f64,
    pub(crate) resumed_us: f64,
    /// The second divided by the first.
    pub(crate) ratio: f64,
    /// How many of the second kind were resumed indeed, of how many.
    pub(crate) resumed: u64,
    pub(crate) of: u64,
}

/// Has members connect, and connect again.
pub(crate) async fn measure(live: &mut Live, site: &Site) -> Result<Returns, Failure> {
    let members = site.members().iter().skip(1).take(MOST);
    let configured = members.map(|credentials| bare::client(credentials, site.trust(), ALPN));
    let configured = configured.collect::<Result<Vec<_>, Failure>>()?;
    let endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / configured.len() as f64;
    let start = live.gateway.family_usage()?;
    connect(&configured, &endpoint, live).await?;
    let first = live.gateway.family_usage()?;
    let before = live.gateway.operator.counters().await?;
    let again = live.gateway.family_usage()?;
    connect(&configured, &endpoint, live).await?;
    let end = live.gateway.family_usage()?;
    let after = live.gateway.operator.counters().await?;
    let first_us = each(first.since(&start).cpu);
    let resumed_us = each(end.since(&again).cpu);
    Ok(Returns {
        first_us,
        resumed_us,
        ratio: resumed_us / first_us,
        resumed: after.since(&before, "wardcast_handshakes_resumed_total"),
        of: configured.len() as u64,
    })
}

/// Each connects, asks something, and goes.
async fn connect(
    configured: &[ClientConfig],
    endpoint: &Endpoint,
    live: &Live,
) -> Result<(), Failure> {
    let address = live.gateway.address;
    let mut under_way = JoinSet::new();
    for config in configured {
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await.ok_or("nobody connects")????;
        }
        let connecting = endpoint.connect_with(config.clone(), address, "localhost")?;
        let visit = async move {
            let connection = connecting.await?;
            // Its answer comes after the ticket.
            let group = "none".to_owned();
            let answer = ask(&connection, &Request::Status(Status { group })).await?;
            connection.close(0_u32.into(), b"seen");
            match answer {
                Response::Refused(_) => Ok(()),
                other => Err::<_, Failure>(format!("a status was answered with {other:?}").into()),
            }
        };
        under_way.spawn(timeout(PATIENCE, visit));
    }
    while let Some(visited) = under_way.join_next().await {
        visited???;
    }
    Ok(())
}
