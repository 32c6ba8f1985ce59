//! What a registration is taken up with again.

use std::fmt;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use super::{SuiteKeys, TicketError};
use crate::crypto::{Fingerprint, Key, random};
use crate::group::ids::{Epoch, GroupId, KeyRef, MemberId, Role, Suite};
use crate::group::operations::Issuer;
use crate::group::session;
use crate::group::wire::{Acknowledge, Grant, Leave, Offer, OpenChannel, Park, Pull, Resume};

/// What saved tickets begin with.
const MARK: &str = "wardcast/1 ticket";

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
    /// What computes with the group's keys.
    pub keys: SuiteKeys,
}

/// A ticket as it is saved.
#[derive(Encode, Decode)]
struct Saved {
    #[n(0)]
    mark: String,
    #[n(1)]
    group: String,
    #[n(2)]
    group_id: GroupId,
    #[n(3)]
    member: MemberId,
    #[n(4)]
    role: Role,
    #[n(5)]
    leaf: KeyRef,
    #[cbor(n(6), with = "minicbor::bytes")]
    leaf_key: [u8; 32],
    #[cbor(n(7), with = "minicbor::bytes")]
    signing: Vec<u8>,
    #[cbor(n(8), with = "minicbor::bytes")]
    agreement: Vec<u8>,
    /// Absent in tickets of builds that had one suite.
    #[n(9)]
    suite: Option<Suite>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}, member {})", self.group, self.member)
    }
}

impl Ticket {
    /// As bytes, to be kept where nobody else reads them: whoever has them and the member's certificate is the member.
    pub fn save(&self) -> Zeroizing<Vec<u8>> {
        let mut saved = Zeroizing::new(Saved {
            mark: MARK.to_owned(),
            group: self.group.clone(),
            group_id: self.group_id,
            member: self.member,
            role: self.role,
            leaf: self.leaf,
            leaf_key: *self.leaf_key.as_bytes(),
            signing: self.issuer.signing.to_vec(),
            agreement: self.issuer.agreement.to_vec(),
            suite: Some(self.keys.suite()),
        });
        // Room for all of it, so that no smaller copy of the key stays behind where the vector grew.
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            512 + self.group.len() + self.issuer.signing.len(),
        ));
        let written = minicbor::encode(&*saved, &mut *bytes);
        written.expect("a Vec takes all bytes, and no encoder here fails by itself");
        saved.leaf_key = [0; 32];
        bytes
    }

    /// From the bytes that [`Ticket::save`] gave.
    pub fn load(bytes: &[u8]) -> Result<Self, TicketError> {
        let saved: Saved =
            minicbor::decode(bytes).map_err(|error| TicketError(error.to_string()))?;
        let saved = Zeroizing::new(saved);
        if saved.mark != MARK {
            return Err(TicketError(format!("it does not begin with {MARK:?}")));
        }
        let suite = saved.suite.unwrap_or(Suite::One);
        let unknown = || {
            TicketError(format!(
                "it is of suite {}, which this build has not",
                suite.number()
            ))
        };
        Ok(Self {
            keys: SuiteKeys::of(suite).ok_or_else(unknown)?,
            group: saved.group.clone(),
            group_id: saved.group_id,
            member: saved.member,
            role: saved.role,
            leaf: saved.leaf,
            leaf_key: Key::from_bytes(saved.leaf_key),
            issuer: Issuer {
                signing: Bytes::copy_from_slice(&saved.signing),
                agreement: Bytes::copy_from_slice(&saved.agreement),
            },
        })
    }

    /// What to pin, once this registration's token is known to be the right one.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.issuer.signing)
    }

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

    /// The new leaf key takes the place of the one before.
    pub(super) fn renew(&mut self, grant: &Grant, keys: SuiteKeys, leaf_key: Key) {
        self.leaf = grant.leaf;
        self.leaf_key = leaf_key;
        self.issuer = grant.issuer();
        self.keys = keys;
    }

    pub(super) fn resume(&self, epoch: Epoch, offer: Option<Offer>) -> Resume {
        Resume {
            group: self.group.clone(),
            member: self.member,
            leaf: self.leaf,
            epoch,
            offer,
        }
    }

    /// Without an offer it asks for the keys in use alone.
    pub(super) fn pull(&self, epoch: Epoch, offer: Option<Offer>) -> Pull {
        Pull {
            group: self.group.clone(),
            member: self.member,
            epoch,
            leaf: offer.is_some().then_some(self.leaf),
            offer,
        }
    }

    pub(super) fn acknowledge(&self, epoch: Epoch) -> Acknowledge {
        Acknowledge {
            group: self.group.clone(),
            member: self.member,
            epoch,
        }
    }

    pub(super) fn park(&self) -> Park {
        Park {
            group: self.group.clone(),
            member: self.member,
        }
    }

    pub(super) fn open_channel(&self, epoch: Epoch) -> OpenChannel {
        OpenChannel {
            group: self.group.clone(),
            member: self.member,
            epoch: Some(epoch),
        }
    }

    pub(super) fn leave(&self) -> Leave {
        Leave {
            group: self.group.clone(),
            member: self.member,
        }
    }
}

impl zeroize::Zeroize for Saved {
    fn zeroize(&mut self) {
        self.leaf_key.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::ids::NodeId;

    fn ticket() -> Ticket {
        Ticket {
            group: "studio".to_owned(),
            group_id: GroupId([7; 16]),
            member: MemberId(42),
            role: Role::Both,
            leaf: KeyRef {
                node: NodeId { level: 0, index: 9 },
                generation: 3,
                step: 0,
            },
            leaf_key: Key::from_bytes([0xab; 32]),
            issuer: Issuer {
                signing: Bytes::from_static(&[4; 65]),
                agreement: Bytes::from_static(&[5; 65]),
            },
            keys: SuiteKeys::One,
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let before = ticket();
        let after = Ticket::load(&before.save()).expect("it was saved");
        assert_eq!(after.save(), before.save());
        assert_eq!((after.leaf, after.leaf_key), (before.leaf, before.leaf_key));
    }

    #[test]
    fn damaged_tickets_are_refused() {
        let saved = ticket().save();
        for length in 0..saved.len() {
            assert!(Ticket::load(&saved[..length]).is_err());
        }
        let mut other = saved.clone();
        other[3] ^= 1;
        assert!(Ticket::load(&other).is_err());
    }

    #[test]
    fn no_key_is_shown() {
        let shown = format!("{:?}", ticket());
        assert_eq!(shown, "Ticket(studio, member 42)");
    }
}
