//! What a registration is taken up with again.

use std::fmt;

use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use super::TicketError;
use super::keys::Fingerprint;
use crate::crypto::{Key, random};
use crate::group::ids::{Epoch, GroupId, KeyRef, MemberId, Role};
use crate::group::operations::{Issuer, PublicKey};
use crate::group::session;
use crate::group::wire::{Acknowledge, Leave, Pull, Resume};

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
    signing: PublicKey,
    #[cbor(n(8), with = "minicbor::bytes")]
    agreement: PublicKey,
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
            signing: self.issuer.signing,
            agreement: self.issuer.agreement,
        });
        // Room for all of it, so that no smaller copy of the key stays behind where the vector grew.
        let mut bytes = Zeroizing::new(Vec::with_capacity(512 + self.group.len()));
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
        Ok(Self {
            group: saved.group.clone(),
            group_id: saved.group_id,
            member: saved.member,
            role: saved.role,
            leaf: saved.leaf,
            leaf_key: Key::from_bytes(saved.leaf_key),
            issuer: Issuer {
                signing: saved.signing,
                agreement: saved.agreement,
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

    pub(super) fn acknowledge(&self, epoch: Epoch) -> Acknowledge {
        Acknowledge {
            group: self.group.clone(),
            member: self.member,
            epoch,
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
                signing: [4; 65],
                agreement: [5; 65],
            },
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
