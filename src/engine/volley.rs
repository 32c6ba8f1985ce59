//! What the shards give to whoever sends datagrams: sealed once, whoever it is for.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::channel::Channel;
use crate::group::ids::{Epoch, GroupId};
use crate::group::machine::Rekey;
use crate::group::multicast::MulticastAddress;
use crate::group::wire::datagram::AUTHENTICATED;

/// A rekey, sealed once for each run of leaves with the same edges.
#[derive(Debug)]
pub struct SealedRekey {
    /// What goes by stream where a datagram does not do.
    pub rekey: Arc<Rekey>,
    /// One for each chunk.
    pub chunks: Vec<Bytes>,
    /// For the leaves that are in no chunk.
    pub others: Bytes,
    /// For all who listen; none when it does not go by multicast.
    pub packets: Option<Multicast>,
}

/// Datagrams that go to a multicast address, all of them.
#[derive(Clone, Debug)]
pub struct Multicast {
    /// Where to.
    pub to: MulticastAddress,
    /// What.
    pub datagrams: Vec<Bytes>,
}

/// What to send, and to whom from now on.
#[derive(Debug)]
pub enum Volley {
    /// A rekey to all channels of its group that take it; the others' members get it by stream.
    Rekey(SealedRekey),
    /// A group's senders are to switch to an epoch: sealed once.
    Activate(GroupId, Epoch, Bytes),
    /// A group has one channel more: see whether datagrams get through.
    Open(Arc<Channel>),
    /// A group has this one no more.
    Close(Arc<Channel>),
    /// A member hears its group's multicast: it needs no datagrams of its own.
    Hears(Arc<Channel>),
    /// What parked members are answered who said that they are there.
    Answers(Vec<(SocketAddr, [u8; AUTHENTICATED])>),
    /// What a group's heartbeats are from now on; none when it has no multicast address any more.
    Heartbeats(GroupId, Option<Multicast>),
}
