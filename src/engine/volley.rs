//! What the shards give to whoever sends datagrams: sealed once, whoever it is for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use tokio::sync::oneshot;

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
    /// Whether it is multicast as well, to all who listen.
    pub is_multicast: bool,
}

/// Datagrams that go to a multicast address, all of them.
#[derive(Clone, Debug)]
pub struct Multicast {
    /// Where to.
    pub to: MulticastAddress,
    /// What.
    pub datagrams: Vec<Bytes>,
}

/// What a lane is to send, and to whom from now on.
#[derive(Debug)]
pub enum Volley {
    /// A rekey to all channels of its group that take it; the others' members get it by stream.
    Rekey(Arc<SealedRekey>),
    /// A group's senders are to switch to an epoch: sealed once.
    Activate(GroupId, Epoch, Bytes),
    /// A group has one channel more: see whether datagrams get through.
    Open(Arc<Channel>),
    /// A group has this one no more.
    Close(Arc<Channel>),
    /// A member hears its group's multicast: it needs no datagrams of its own.
    Hears(Arc<Channel>),
    /// A group multicasts no more: nobody hears it.
    Silence(GroupId),
    /// What parked members are answered who said that they are there.
    Answers(Vec<(SocketAddr, [u8; AUTHENTICATED])>),
    /// What tells parked members that the gateway goes, and who is told when all of it was sent.
    Farewells(Vec<(SocketAddr, Vec<u8>)>, oneshot::Sender<()>),
}

/// What is to be multicast.
#[derive(Debug)]
pub enum Cast {
    /// Now, and repeated.
    Now(Multicast),
    /// What a group's heartbeats are from now on; none when there are no more of them.
    Heartbeats(GroupId, Option<Multicast>),
}

/// What is to be sent, for whoever sends it.
#[derive(Debug)]
pub struct Outbound {
    /// By datagrams to members, a lane each.
    pub lanes: Vec<Receiver<Volley>>,
    /// By multicast.
    pub casts: Receiver<Cast>,
}
