//! How the member of a channel is reached besides: on its connection, or not at all.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::engine::outbox::Outbox;

/// Looks up the address that QUIC has validated last.
pub struct Whereabouts(Box<dyn Fn() -> Option<SocketAddr> + Send + Sync>);

impl Whereabouts {
    /// `look` says none once the connection is over.
    pub fn new(look: impl Fn() -> Option<SocketAddr> + Send + Sync + 'static) -> Self {
        Whereabouts(Box::new(look))
    }
}

impl fmt::Debug for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Whereabouts(..)")
    }
}

/// Where a member is.
#[derive(Debug)]
pub(super) enum Seat {
    /// On a connection, whose streams carry what datagrams do not.
    Connected(Whereabouts, Arc<Outbox>),
    /// Where it was when it gave its connection up.
    Parked(SocketAddr),
}

impl Seat {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Seat::Connected(whereabouts, _) => (whereabouts.0)(),
            Seat::Parked(address) => Some(*address),
        }
    }

    pub(super) fn outbox(&self) -> Option<Arc<Outbox>> {
        match self {
            Seat::Connected(_, outbox) => Some(outbox.clone()),
            Seat::Parked(_) => None,
        }
    }
}
