//! A registration in a group, as its owner holds it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::Connection;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use super::driver::Driver;
use super::{Client, Event, ExportError, JoinError};
use crate::crypto::{EpochSecret, Key, random};
use crate::group::ids::{Epoch, GroupId, KeyRef, MemberId, Role, SenderId};
use crate::group::operations::Issuer;
use crate::group::session;
use crate::group::wire::{
    KeySet, Leave, PathDelivery, Pull, Request, Response, Resume, Status, StatusReport,
};

/// Events that wait for the owner; behind them the membership waits.
const EVENTS: usize = 64;

/// What a registration is taken up with again: the leaf key among it, so keep it as you keep a private key.
#[derive(Clone)]
pub struct Ticket {
    /// The group's name.
    pub group: String,
    /// The group.
    pub group_id: GroupId,
    /// The registration.
    pub member: MemberId,
    /// What it may do.
    pub role: Role,
    /// The leaf key by name.
    pub leaf: KeyRef,
    /// The leaf key.
    pub leaf_key: Key,
    /// The token's public keys.
    pub issuer: Issuer,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}, member {})", self.group, self.member)
    }
}

impl Ticket {
    /// For the session.
    pub fn membership(&self) -> session::Membership {
        let Self {
            group_id: group,
            member,
            role,
            leaf,
            ..
        } = *self;
        session::Membership {
            group,
            member,
            role,
            leaf,
            seed: u64::from_be_bytes(random()),
        }
    }

    pub(super) fn resume(&self, epoch: Epoch) -> Resume {
        Resume {
            group: self.group.clone(),
            member: self.member,
            leaf: self.leaf,
            epoch,
        }
    }

    pub(super) fn pull(&self, epoch: Epoch) -> Pull {
        Pull {
            group: self.group.clone(),
            member: self.member,
            epoch,
        }
    }
}

/// What the driver shows to the owner.
#[derive(Default)]
pub(super) struct Held {
    pub(super) secrets: BTreeMap<Epoch, EpochSecret>,
    pub(super) sending: Option<Epoch>,
    pub(super) sender_ids: Vec<SenderId>,
}

/// A registration in a group. Dropping it forgets the keys; the gateway counts the member as absent until it resumes.
pub struct Membership {
    client: Client,
    ticket: Ticket,
    held: Arc<Mutex<Held>>,
    events: mpsc::Receiver<Event>,
    task: AbortHandle,
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Membership({}, member {})",
            self.ticket.group, self.ticket.member
        )
    }
}

pub(super) fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    // Nothing panics while it holds the lock, and each change to it is one assignment.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Membership {
    /// Installs the first epoch and begins to follow the group.
    pub(super) fn begin(
        client: Client,
        ticket: Ticket,
        connection: Connection,
        path: PathDelivery,
    ) -> Result<Self, String> {
        let (events, receiver) = mpsc::channel(EVENTS);
        let held = Arc::new(Mutex::new(Held::default()));
        let inbox = client.link.register(ticket.group_id);
        let driver = Driver::new(client.clone(), ticket.clone(), held.clone(), events, path)?;
        let task = tokio::spawn(driver.run(inbox, connection)).abort_handle();
        Ok(Self {
            client,
            ticket,
            held,
            events: receiver,
            task,
        })
    }

    /// What happens next; none after [`Event::Ended`].
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.ticket.group
    }

    /// The registration's number.
    pub fn member(&self) -> MemberId {
        self.ticket.member
    }

    /// What it may do.
    pub fn role(&self) -> Role {
        self.ticket.role
    }

    /// To take the registration up again in another process.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// The epochs that keys can be exported from, the oldest first.
    pub fn epochs(&self) -> Vec<Epoch> {
        lock(&self.held).secrets.keys().copied().collect()
    }

    /// The epoch to send with.
    pub fn sending(&self) -> Option<Epoch> {
        lock(&self.held).sending
    }

    /// The identifiers to send under, fresh for this registration (RFC 9838 section 2.5.1); none for receivers.
    pub fn sender_ids(&self) -> Vec<SenderId> {
        lock(&self.held).sender_ids.clone()
    }

    /// A key of an epoch. Members that export with the same label, context and length get the same bytes.
    pub fn export(
        &self,
        epoch: Epoch,
        label: &str,
        context: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, ExportError> {
        let held = lock(&self.held);
        let secret = held
            .secrets
            .get(&epoch)
            .ok_or(ExportError::NotHeld(epoch))?;
        Ok(secret.export(label, context, length)?)
    }

    /// How the group is.
    pub async fn status(&self) -> Result<StatusReport, JoinError> {
        match self
            .client
            .ask(&Request::Status(Status {
                group: self.ticket.group.clone(),
            }))
            .await?
        {
            (_, Response::Status(status)) => Ok(status),
            _ => Err(JoinError::Unusable(
                "it does not answer a status request".to_owned(),
            )),
        }
    }

    /// The group's current and next keys by index and lifetime: what a VPN concentrator asks for.
    pub async fn pull(&self) -> Result<KeySet, JoinError> {
        let newest = lock(&self.held)
            .secrets
            .keys()
            .next_back()
            .copied()
            .unwrap_or_default();
        match self
            .client
            .ask(&Request::Pull(self.ticket.pull(newest)))
            .await?
        {
            (_, Response::KeySet(keys)) => Ok(keys),
            _ => Err(JoinError::Unusable("it does not answer a pull".to_owned())),
        }
    }

    /// Leaves the group and forgets the keys. When it fails the keys are forgotten all the same, and the gateway counts the
    /// member as absent.
    pub async fn leave(self) -> Result<(), JoinError> {
        self.task.abort();
        let leave = Leave {
            group: self.ticket.group.clone(),
            member: self.ticket.member,
        };
        match self.client.ask(&Request::Leave(leave)).await? {
            (_, Response::Left(_)) => Ok(()),
            _ => Err(JoinError::Unusable("it does not answer a leave".to_owned())),
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.abort();
    }
}
