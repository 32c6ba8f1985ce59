//! Suite 1 for the member's session, and the check of what a gateway says.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Unusable;
use crate::crypto::{self, EphemeralKey, Key};
use crate::group::ids::GroupId;
use crate::group::operations::{Issuer, PublicKey, WrappedKey};
use crate::group::session::KeyOperations;
use crate::group::wire::{EpochHeader, Grant, ParsedHeader, grant_transcript, key_id};

/// Computes with keys as suite 1 says.
#[derive(Clone, Copy, Debug, Default)]
pub struct SuiteOne;

impl KeyOperations for SuiteOne {
    type Key = Key;

    fn ratchet(&self, key: &Key) -> Key {
        crypto::ratchet(key)
    }

    fn unwrap(&self, child: &Key, wrapped: &WrappedKey) -> Option<Key> {
        crypto::unwrap(child, wrapped)
    }

    fn confirms(&self, root: &Key, header: &ParsedHeader) -> bool {
        // Constant-time: a relay that guesses tags must not learn how far it got.
        crypto::confirmation_tag(root, header.prefix())
            .ct_eq(&header.tag)
            .into()
    }
}

/// SHA-256 of a token's signing key (65 bytes): what a member pins, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// Not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is the SHA-256 of a token's signing key: 64 hexadecimal digits")]
pub struct NoFingerprint;

impl Fingerprint {
    /// Of a signing key.
    pub fn of(signing: &PublicKey) -> Self {
        Self(Sha256::digest(signing).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(NoFingerprint);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn digit(ascii: u8) -> Result<u8, NoFingerprint> {
    let value = char::from(ascii).to_digit(16).ok_or(NoFingerprint)?;
    u8::try_from(value).map_err(|_| NoFingerprint)
}

/// Refuses a token that is not the pinned one.
pub(super) fn pinned(pin: Option<Fingerprint>, issuer: &Issuer) -> Result<(), Unusable> {
    let found = Fingerprint::of(&issuer.signing);
    match pin {
        Some(pinned) if pinned != found => Err(Unusable::OtherIssuer { pinned, found }),
        _ => Ok(()),
    }
}

/// Reads a header and verifies who signed it; what it says is then the token's word.
pub(super) fn verified(
    bytes: &[u8],
    group: GroupId,
    signing: &PublicKey,
) -> Result<ParsedHeader, Unusable> {
    let parsed = EpochHeader::parse(bytes)?;
    if parsed.header.group != group {
        return Err(Unusable::OtherGroup(parsed.header.group));
    }
    if parsed.key_id != key_id(signing) {
        return Err(Unusable::OtherKey);
    }
    if !crypto::verify_signature(signing, &parsed.signed, &parsed.signature) {
        return Err(Unusable::Signature);
    }
    Ok(parsed)
}

/// The leaf key of a grant.
pub(super) fn open(grant: &Grant, key: &EphemeralKey) -> Result<Key, Unusable> {
    let Issuer { agreement, .. } = grant.issuer();
    let Grant {
        suite,
        group,
        member,
        leaf,
        ..
    } = grant;
    let transcript = grant_transcript(*suite, group, *member, leaf, &key.public(), &agreement);
    let opened = key.open_grant(&agreement, &transcript, &grant.wrapped);
    opened.ok_or(Unusable::Leaf)
}

#[cfg(test)]
mod tests;
