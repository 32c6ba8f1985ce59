//! What a session is told, and what it asks for.

use crate::group::edges::Edge;
use crate::group::ids::{Epoch, SenderId};
use crate::group::wire::ParsedHeader;

/// What came.
#[derive(Clone, Debug)]
pub enum SessionInput {
    /// A pushed epoch of another suite: what verifies it comes with a new leaf key, so nothing of it is believed but
    /// that it is worth asking.
    OtherSuite {
        /// How long senders wait before they switch to it.
        activation_delay_ms: u32,
    },
    /// Somebody says that there is a newer epoch, which cannot be verified: it is worth asking, after a while and within
    /// another, unless the epoch comes by itself meanwhile.
    Lacking {
        /// No earlier than this, in milliseconds.
        after_ms: u64,
        /// No later than this, in milliseconds.
        within_ms: u64,
    },
    /// A pushed epoch. The header's signature was verified.
    Rekey {
        /// The epoch.
        header: ParsedHeader,
        /// The edges of the member's chunk.
        edges: Vec<Edge>,
        /// The epoch that senders send with meanwhile.
        active: Epoch,
    },
    /// The answer to a join, resume or pull. The header's signature was verified.
    Path {
        /// The newest epoch.
        header: ParsedHeader,
        /// From the leaf to the root.
        edges: Vec<Edge>,
        /// The epoch that senders send with.
        active: Epoch,
        /// The member's sender identifiers.
        sender_ids: Vec<SenderId>,
        /// The sender space that they are of.
        sender_space: u32,
    },
    /// Senders switch.
    Activate {
        /// To this epoch.
        epoch: Epoch,
    },
    /// The registration is over.
    Evicted,
    /// The time that [`MemberSession::next_timeout`](super::MemberSession::next_timeout) named has come.
    Tick,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEffect {
    /// An epoch's root is confirmed: traffic can be received with it.
    Installed {
        /// Which epoch.
        epoch: Epoch,
    },
    /// Tell the gateway that this epoch is held.
    Acknowledge {
        /// Which epoch.
        epoch: Epoch,
    },
    /// Ask the gateway for the path, or for the leaf key if that is another one now.
    NeedPath {
        /// The newest epoch that is held; 0 for none.
        held: Epoch,
    },
    /// Send with this epoch from now on. Only senders are told.
    SendWith {
        /// Which epoch.
        epoch: Epoch,
    },
    /// An epoch's root was dropped: forget what was exported from it.
    Retired {
        /// Which epoch.
        epoch: Epoch,
    },
    /// The registration is over and every key is dropped.
    Ended,
}
