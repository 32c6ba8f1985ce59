//! Values that both sides compute from names alone: key identifier, security parameter index, grant transcript.

use minicbor::Encoder;
use sha2::{Digest, Sha256};

use crate::group::ids::{Epoch, GroupId, KeyRef, MemberId, Suite};

/// The identifier of a signing key in epoch headers: the first 8 bytes of SHA-256 over it.
pub fn key_id(signing: &[u8]) -> [u8; 8] {
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
///
/// In suite 2 the array has an eighth item, the KEM's ciphertext, which only the token makes. So what this returns ends
/// with the head of that byte string, and the whole is it and the ciphertext, one after the other.
pub fn grant_transcript(
    suite: Suite,
    group: &GroupId,
    member: MemberId,
    leaf: &KeyRef,
    public: &[u8],
    agreement: &[u8],
) -> Vec<u8> {
    let encapsulated = suite.sizes().encapsulated;
    let items = if encapsulated == 0 { 7 } else { 8 };
    let mut e = Encoder::new(Vec::with_capacity(208 + public.len()));
    let written = e.array(items).and_then(|e| {
        e.str("wardcast/1 grant")?
            .encode(suite)?
            .encode(group)?
            .encode(member)?
            .encode(leaf)?
            .bytes(public)?
            .bytes(agreement)?;
        if encapsulated > 0 {
            e.bytes_len(encapsulated as u64)?;
        }
        Ok(e)
    });
    written
        .map(drop)
        .expect("a Vec takes all bytes, and names encode");
    e.into_writer()
}
