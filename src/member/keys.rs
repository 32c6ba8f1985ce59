//! Suite 1 for the member's session, and the check of what a gateway says.

use subtle::ConstantTimeEq;

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

/// Reads a header and verifies who signed it; what it says is then the gateway's word.
pub(super) fn verified(
    bytes: &[u8],
    group: GroupId,
    signing: &PublicKey,
) -> Result<ParsedHeader, String> {
    let parsed = EpochHeader::parse(bytes).map_err(|error| error.to_string())?;
    if parsed.header.group != group {
        return Err(format!("the header is of group {}", parsed.header.group));
    }
    if parsed.key_id != key_id(signing) {
        return Err("the header names another signing key than the grant".to_owned());
    }
    if !crypto::verify_signature(signing, &parsed.signed, &parsed.signature) {
        return Err("the header's signature does not verify".to_owned());
    }
    Ok(parsed)
}

/// The leaf key of a grant.
pub(super) fn open(grant: &Grant, key: &EphemeralKey) -> Result<Key, String> {
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
    opened.ok_or_else(|| "the leaf key is not wrapped for this join".to_owned())
}
