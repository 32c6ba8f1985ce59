//! What a soft token's file holds, and how that is written.
//!
//! The keys of suite 1 and then those of suite 2, each as: agreement key (32) || signing key (32) || number of masters (4) ||
//! one `id (4) || key (32)` for each, integers big-endian. The private keys are scalars of P-256 in suite 1; in suite 2 a
//! private key of X25519 and a seed of ML-DSA-65. Version 1 has the keys of suite 1 alone and no number of masters.
//!
//! Version 3 has escrow keys after both: their number (4), then `length of the label (1) || label || key (32)` for each. A token
//! without any is written as version 2.

use zeroize::Zeroizing;

use super::{EscrowKeys, Masters};
use crate::crypto::{IssuerSecrets, Key};
use crate::group::ids::{MasterId, Suite};
use crate::group::limits::MAX_ESCROW_LABEL;

const PAIRS: usize = 64;
const COUNT: usize = 4;
const MASTER: usize = 4 + 32;
/// More masters than a ring ever has.
const MAX_MASTERS: usize = 1024;
/// More escrow keys than a site ever has.
const MAX_ESCROW: usize = 16;
/// The longest that contents are when written.
pub(super) const MAX_PLAIN: usize =
    2 * (PAIRS + COUNT + MAX_MASTERS * MASTER) + COUNT + MAX_ESCROW * (1 + MAX_ESCROW_LABEL + 32);

/// What a soft token holds.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) one: SuiteKeys,
    /// A file of version 1 has none.
    pub(super) two: Option<SuiteKeys>,
    /// By label, in the order in which they were added; files before version 3 have none.
    pub(super) escrow: Vec<(String, Key)>,
}

/// The keys of one suite.
#[derive(PartialEq, Eq)]
pub(super) struct SuiteKeys {
    pub(super) issuer: IssuerSecrets,
    pub(super) masters: Vec<(MasterId, Key)>,
}

impl SuiteKeys {
    fn write(&self, plain: &mut Vec<u8>) {
        plain.extend_from_slice(&*self.issuer.agreement);
        plain.extend_from_slice(&*self.issuer.signing);
        let count = u32::try_from(self.masters.len()).expect("far fewer masters than that");
        plain.extend_from_slice(&count.to_be_bytes());
        for (id, key) in &self.masters {
            plain.extend_from_slice(&id.0.to_be_bytes());
            plain.extend_from_slice(key.as_bytes());
        }
    }

    /// Reads the keys and leaves what follows them; `None` when some are cut off.
    fn read(plain: &mut &[u8]) -> Option<Self> {
        let agreement = Zeroizing::new(take(plain)?);
        let signing = Zeroizing::new(take(plain)?);
        let count = u32::from_be_bytes(take(plain)?);
        Self::read_masters(plain, agreement, signing, count as usize)
    }

    fn read_masters(
        plain: &mut &[u8],
        agreement: Zeroizing<[u8; 32]>,
        signing: Zeroizing<[u8; 32]>,
        count: usize,
    ) -> Option<Self> {
        let masters = (0..count).map(|_| {
            let id = MasterId(u32::from_be_bytes(take(plain)?));
            let key = Zeroizing::new(take(plain)?);
            Some((id, Key::from_bytes(*key)))
        });
        Some(SuiteKeys {
            masters: masters.collect::<Option<_>>()?,
            issuer: IssuerSecrets { agreement, signing },
        })
    }
}

impl Contents {
    /// The keys of each suite that there is.
    pub(super) fn suites(&mut self) -> impl Iterator<Item = (Suite, &mut SuiteKeys)> {
        let two = self.two.as_mut().map(|two| (Suite::Two, two));
        std::iter::once((Suite::One, &mut self.one)).chain(two)
    }

    /// The masters of suite 1, which has all that there are.
    pub(super) fn ring(&self) -> Vec<MasterId> {
        self.one.masters.iter().map(|(id, _)| *id).collect()
    }

    /// The masters of both suites.
    pub(super) fn masters(&self) -> Masters {
        let two = self.two.iter().map(|two| (Suite::Two, two));
        let suites = std::iter::once((Suite::One, &self.one)).chain(two);
        suites
            .flat_map(|(suite, keys)| {
                let masters = keys.masters.iter();
                masters.map(move |(id, key)| ((suite, *id), key.clone()))
            })
            .collect()
    }

    /// The escrow keys by label.
    pub(super) fn escrow_keys(&self) -> EscrowKeys {
        self.escrow.iter().cloned().collect()
    }

    /// Whether there is room for one more escrow key.
    pub(super) fn takes_escrow(&self) -> bool {
        self.escrow.len() < MAX_ESCROW
    }

    /// The version of the file that holds this.
    pub(super) fn version(&self) -> u8 {
        match (&self.two, self.escrow.is_empty()) {
            (None, _) => 1,
            (Some(_), true) => 2,
            (Some(_), false) => 3,
        }
    }

    /// Destroys a master for both suites.
    pub(super) fn destroy(&mut self, id: MasterId) {
        for (_, keys) in self.suites() {
            keys.masters.retain(|(master, _)| *master != id);
        }
    }

    pub(super) fn write(&self) -> Zeroizing<Vec<u8>> {
        // A vector that grows leaves its old bytes behind: it has room for all.
        let mut plain = Zeroizing::new(Vec::with_capacity(MAX_PLAIN));
        self.one.write(&mut plain);
        match &self.two {
            Some(two) => two.write(&mut plain),
            None => {
                plain.drain(PAIRS..PAIRS + COUNT);
            }
        }
        if self.version() == 3 {
            self.write_escrow(&mut plain);
        }
        plain
    }

    fn write_escrow(&self, plain: &mut Vec<u8>) {
        let count = u32::try_from(self.escrow.len()).expect("far fewer keys than that");
        plain.extend_from_slice(&count.to_be_bytes());
        for (label, key) in &self.escrow {
            plain.push(u8::try_from(label.len()).expect("labels have a bound"));
            plain.extend_from_slice(label.as_bytes());
            plain.extend_from_slice(key.as_bytes());
        }
    }

    fn read_escrow(plain: &mut &[u8]) -> Option<Vec<(String, Key)>> {
        let count = u32::from_be_bytes(take(plain)?);
        let keys = (0..count).map(|_| {
            let [length] = take(plain)?;
            let (label, rest) = plain.split_at_checked(length.into())?;
            *plain = rest;
            let label = String::from_utf8(label.to_vec()).ok()?;
            let key = Zeroizing::new(take(plain)?);
            Some((label, Key::from_bytes(*key)))
        });
        keys.collect()
    }

    /// Reads what [`write`](Self::write) wrote; `None` when it is cut off or too long.
    pub(super) fn read(version: u8, mut plain: &[u8]) -> Option<Self> {
        let plain = &mut plain;
        let contents = if version > 1 {
            let one = SuiteKeys::read(plain)?;
            let two = Some(SuiteKeys::read(plain)?);
            let escrow = match version {
                2 => Vec::new(),
                _ => Self::read_escrow(plain)?,
            };
            Contents { one, two, escrow }
        } else {
            let agreement = Zeroizing::new(take(plain)?);
            let signing = Zeroizing::new(take(plain)?);
            let count = plain.len().div_ceil(MASTER);
            let one = SuiteKeys::read_masters(plain, agreement, signing, count)?;
            let (two, escrow) = (None, Vec::new());
            Contents { one, two, escrow }
        };
        plain.is_empty().then_some(contents)
    }
}

/// Takes N bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}
