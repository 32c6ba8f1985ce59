//! A registration in a group, as its owner holds it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use super::client::Registered;
use super::driver::Driver;
use super::events::Events;
use super::{Client, Event, ExportError, JoinError, Ticket, Unusable};
use crate::crypto::{EpochSecret, PushCipher};
use crate::group::ids::{Epoch, MemberId, Role, SenderId};
use crate::group::wire::{KeySet, Request, Response, Status, StatusReport};

/// What a membership has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Registrations: 1, and one more for each [`Event::Rejoined`]; 0 for one that was taken up from a ticket.
    pub joins: u64,
    /// Connections on which the registration was taken up again.
    pub resumes: u64,
    /// Paths that it asked for because it could not open an epoch.
    pub pulls: u64,
    /// Leaf keys that it was granted anew, since rollovers.
    pub renewals: u64,
    /// How often it gave its connection up.
    pub parkings: u64,
    /// Pushes that it did not do.
    pub nacks: u64,
    /// Epochs that it acknowledged.
    pub acknowledged: u64,
    /// Epochs that it heard at its group's multicast address and could open.
    pub heard: u64,
    /// Epochs that came and did not verify: a faulty relay, or an attack.
    pub rejected: u64,
}

/// What the driver shows to the owner.
pub(super) struct Held {
    pub(super) ticket: Ticket,
    pub(super) secrets: BTreeMap<Epoch, EpochSecret>,
    pub(super) sending: Option<Epoch>,
    /// Of the epoch to send with; until there is one, of the newest.
    pub(super) sender_ids: Vec<SenderId>,
    /// Opens what follows the newest epoch.
    pub(super) push_cipher: Option<PushCipher>,
    pub(super) counters: Counters,
}

/// Between the driver and the owner.
pub(super) struct Shared {
    held: Mutex<Held>,
    pub(super) events: Events,
}

impl Shared {
    fn new(ticket: Ticket, joins: u64) -> Self {
        let counters = Counters {
            joins,
            ..Counters::default()
        };
        let held = Held {
            ticket,
            secrets: BTreeMap::new(),
            sending: None,
            sender_ids: Vec::new(),
            push_cipher: None,
            counters,
        };
        Self {
            held: Mutex::new(held),
            events: Events::default(),
        }
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing panics while it holds the lock, and each change to it is one assignment.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A registration in a group. Dropping it forgets the keys; the gateway counts the member as absent until it resumes.
pub struct Membership {
    client: Client,
    group: String,
    role: Role,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Membership({}, member {})", self.group, self.member())
    }
}

impl Membership {
    /// Installs the first epoch and begins to follow the group.
    pub(super) fn begin(
        client: Client,
        registered: Registered,
        joins: u64,
    ) -> Result<Self, Unusable> {
        let ticket = registered.ticket.clone();
        let (group, role) = (ticket.group.clone(), ticket.role);
        let shared = Arc::new(Shared::new(ticket, joins));
        let driver = Driver::new(client.clone(), registered, shared.clone())?;
        Ok(Self {
            client,
            group,
            role,
            shared,
            task: tokio::spawn(driver.run()).abort_handle(),
        })
    }

    /// What happens next; none after [`Event::Ended`]. Nothing is lost when the returned future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        self.shared.events.next().await
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The registration's number.
    pub fn member(&self) -> MemberId {
        self.shared.held().ticket.member
    }

    /// What it may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// To take the registration up again in another process.
    pub fn ticket(&self) -> Ticket {
        self.shared.held().ticket.clone()
    }

    /// What opens datagrams that follow the newest epoch, where they come in at all. For load tests: members that only acknowledge
    /// read with it what they are sent.
    pub fn push_cipher(&self) -> Option<PushCipher> {
        self.shared.held().push_cipher.clone()
    }

    /// The epochs that keys can be exported from, the oldest first.
    pub fn epochs(&self) -> Vec<Epoch> {
        self.shared.held().secrets.keys().copied().collect()
    }

    /// The epoch to send with; none for receivers, and until the first epoch is active.
    pub fn sending(&self) -> Option<Epoch> {
        self.shared.held().sending
    }

    /// The identifiers to send under (RFC 9838 section 2.5.1), none for receivers. They change, if ever, together with
    /// the epoch to send with.
    pub fn sender_ids(&self) -> Vec<SenderId> {
        self.shared.held().sender_ids.clone()
    }

    /// The epoch to send with and the identifiers to send under in it, as they belong together.
    pub fn sender(&self) -> Option<(Epoch, Vec<SenderId>)> {
        let held = self.shared.held();
        Some((held.sending?, held.sender_ids.clone()))
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.shared.held().counters
    }

    /// A key of an epoch. Members that export with the same label, context and length get the same bytes.
    pub fn export(
        &self,
        epoch: Epoch,
        label: &str,
        context: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, ExportError> {
        let secret = self.shared.held().secrets.get(&epoch).cloned();
        let secret = secret.ok_or(ExportError::NotHeld(epoch))?;
        Ok(secret.export(label, context, length)?)
    }

    /// How the group is.
    pub async fn status(&self) -> Result<StatusReport, JoinError> {
        let status = Status {
            group: self.group.clone(),
        };
        match self.client.ask(&Request::Status(status)).await? {
            (_, Response::Status(status)) => Ok(status),
            _ => Err(Unusable::OtherKind("status").into()),
        }
    }

    /// The group's current and next keys by index and lifetime: what a VPN concentrator asks for.
    pub async fn pull(&self) -> Result<KeySet, JoinError> {
        let pull = {
            let held = self.shared.held();
            let newest = held.secrets.keys().next_back().copied();
            held.ticket.pull(newest.unwrap_or_default(), None)
        };
        match self.client.ask(&Request::Pull(pull)).await? {
            (_, Response::KeySet(keys)) => Ok(keys),
            _ => Err(Unusable::OtherKind("pull").into()),
        }
    }

    /// Leaves the group and forgets the keys. When it fails the keys are forgotten all the same, and the gateway counts the
    /// member as absent.
    pub async fn leave(self) -> Result<(), JoinError> {
        self.task.abort();
        let leave = {
            let mut held = self.shared.held();
            held.secrets.clear();
            held.ticket.leave()
        };
        match self.client.ask(&Request::Leave(leave)).await? {
            (_, Response::Left(_)) => Ok(()),
            _ => Err(Unusable::OtherKind("leave").into()),
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.abort();
    }
}
