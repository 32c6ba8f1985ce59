//! Values that both sides compute from names alone: key identifier, security parameter index, grant transcript.

use minicbor::Encoder;
use sha2::{Digest, Sha256};

use crate::group::ids::{Epoch, GroupId, KeyRef, MemberId, Suite};
use crate::group::operations::PublicKey;

/// The identifier of a signing key in epoch headers: the first 8 bytes of SHA-256 over its 65 bytes.
pub fn key_id(signing: &PublicKey) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(signing).into();
    let mut id = [0; 8];
    id.copy_from_slice(&digest[..8]);
    id
}

/// The security parameter index of an epoch's traffic: never below 256 (RFC 4303 reserves those), and
/// different for any two epochs of a group that are less than 2^31 apart.
///
/// `x = u32be(group[0..4]) XOR (epoch mod 2^32)`; the index is `x`, or `x XOR 0x80000000` where `x < 256`.
pub fn spi(group: &GroupId, epoch: Epoch) -> u32 {
    let [a, b, c, d, ..] = group.0;
    let low = (epoch.0 & u64::from(u32::MAX)) as u32;
    match u32::from_be_bytes([a, b, c, d]) ^ low {
        reserved @ 0..256 => reserved ^ 0x8000_0000,
        index => index,
    }
}

/// What a grant binds the leaf key to: `["wardcast/1 grant", suite, group, member, leaf, member's public key, issuer's
/// agreement key]`, deterministic CBOR. The wrapping key is derived with its SHA-256.
pub fn grant_transcript(
    suite: Suite,
    group: &GroupId,
    member: MemberId,
    leaf: &KeyRef,
    public: &PublicKey,
    agreement: &PublicKey,
) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(208));
    let written = e.array(7).and_then(|e| {
        e.str("wardcast/1 grant")?
            .encode(suite)?
            .encode(group)?
            .encode(member)?
            .encode(leaf)?
            .bytes(public)?
            .bytes(agreement)
    });
    written.expect("a Vec takes all bytes, and names encode");
    e.into_writer()
}
