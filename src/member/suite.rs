//! The one place of this library that chooses software by suite: keys, signatures, grants, secrets.

use subtle::ConstantTimeEq;

use crate::crypto::{self, EpochSecret, Key, MemberKey};
use crate::group::ids::{Suite, Suites};
use crate::group::operations::{PushKey, WrappedKey};
use crate::group::session::KeyOperations;
use crate::group::wire::{EpochHeader, Grant, Offer, ParsedHeader, grant_transcript};

/// Computes with keys as a suite says. There is one for each suite that this library has software for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuiteKeys {
    /// Suite 1.
    One,
    /// Suite 2.
    Two,
}

impl SuiteKeys {
    /// Every one there is.
    pub const ALL: [SuiteKeys; 2] = [SuiteKeys::One, SuiteKeys::Two];

    /// Of a suite, where there is software for it.
    pub fn of(suite: Suite) -> Option<Self> {
        Self::ALL.into_iter().find(|keys| keys.suite() == suite)
    }

    /// The suite.
    pub const fn suite(self) -> Suite {
        match self {
            SuiteKeys::One => Suite::One,
            SuiteKeys::Two => Suite::Two,
        }
    }

    /// The suites that there is software for.
    pub fn suites() -> Suites {
        Self::ALL.into_iter().map(SuiteKeys::suite).collect()
    }

    /// Whether the holder of this signing key signed the header.
    pub(super) fn verifies(self, signing: &[u8], header: &ParsedHeader) -> bool {
        crypto::verify_signature(self.suite(), signing, &header.signed, &header.signature)
    }

    /// The push key of an epoch.
    pub(super) fn push_key(self, root: &Key) -> PushKey {
        crypto::push_key(self.suite(), root)
    }

    /// The secret of an epoch.
    pub(super) fn secret(self, root: &Key, header: &EpochHeader) -> EpochSecret {
        EpochSecret::of(self.suite(), root, header.group, header.epoch)
    }
}

impl KeyOperations for SuiteKeys {
    type Key = Key;

    fn ratchet(&self, key: &Key) -> Key {
        crypto::ratchet(self.suite(), key)
    }

    fn unwrap(&self, child: &Key, wrapped: &WrappedKey) -> Option<Key> {
        crypto::unwrap(self.suite(), child, wrapped)
    }

    fn confirms(&self, root: &Key, header: &ParsedHeader) -> bool {
        let tag = crypto::confirmation_tag(self.suite(), root, header.prefix());
        // Constant-time: a relay that guesses tags must not learn how far it got.
        tag.ct_eq(&header.tag).into()
    }
}

/// A member's key pairs for one request: of each suite that it offers. Dropped with the answer.
pub(super) struct Ephemeral(Vec<MemberKey>);

impl Ephemeral {
    /// Fresh ones, of those suites that there is software for.
    pub(super) fn generate(suites: Suites) -> Self {
        Ephemeral(suites.iter().map(MemberKey::generate).collect())
    }

    /// What to send; none where no suite is offered at all.
    pub(super) fn offer(&self) -> Option<Offer> {
        let mut pairs = self.0.iter();
        let first = pairs.next()?;
        let offer = Offer::of(first.suite(), first.public());
        Some(pairs.fold(offer, |offer, pair| offer.with(pair.suite(), pair.public())))
    }

    /// The leaf key of a grant and what computes with it; none when it was not made for these keys.
    pub(super) fn open(&self, grant: &Grant) -> Option<(SuiteKeys, Key)> {
        let keys = SuiteKeys::of(grant.suite)?;
        let pair = self.0.iter().find(|pair| pair.suite() == grant.suite)?;
        let transcript = grant_transcript(
            grant.suite,
            &grant.group,
            grant.member,
            &grant.leaf,
            &pair.public(),
            &grant.agreement,
        );
        let leaf = pair.open_grant(
            &grant.agreement,
            &transcript,
            &grant.wrapped,
            &grant.encapsulated,
        );
        Some((keys, leaf?))
    }
}
