//! The check of what a gateway says: who signed it, and whether that is whom this member trusts.

use super::Unusable;
use super::suite::SuiteKeys;
use crate::crypto::Fingerprint;
use crate::group::ids::GroupId;
use crate::group::operations::Issuer;
use crate::group::wire::{EpochHeader, ParsedHeader, key_id};

/// Refuses a token that is not a pinned one, where any is.
pub(super) fn pinned(pins: &[Fingerprint], issuer: &Issuer) -> Result<(), Unusable> {
    let found = Fingerprint::of(&issuer.signing);
    match pins.first() {
        Some(&pinned) if !pins.contains(&found) => Err(Unusable::OtherIssuer { pinned, found }),
        _ => Ok(()),
    }
}

/// Reads a header and verifies who signed it; what it says is then the token's word.
pub(super) fn verified(
    bytes: &[u8],
    group: GroupId,
    (keys, signing): (SuiteKeys, &[u8]),
) -> Result<ParsedHeader, Unusable> {
    let parsed = EpochHeader::parse(bytes)?;
    if parsed.header.group != group {
        return Err(Unusable::OtherGroup(parsed.header.group));
    }
    if parsed.header.suite != keys.suite() {
        return Err(Unusable::OtherSuite(parsed.header.suite));
    }
    if parsed.key_id != key_id(signing) {
        return Err(Unusable::OtherKey);
    }
    if !keys.verifies(signing, &parsed) {
        return Err(Unusable::Signature);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests;
