//! Suite 1 in software, byte for byte: what members compute, and what the software token computes for them.
//!
//! # Building blocks
//!
//! All keys are 32 bytes. `||` is concatenation, quoted strings are ASCII, integers are big-endian.
//!
//! `CBC(key, D)` is AES-256-CBC with an IV of 16 zero bytes and no padding over exactly 32 bytes `D = D1 || D2`:
//! `C1 = AES(key, D1)`, `C2 = AES(key, C1 xor D2)`, and the derived key is `C1 || C2`. This is PKCS#11's
//! `CKM_AES_CBC_ENCRYPT_DATA`. Half of the derived key depends on D1 alone, so whatever makes a
//! derivation unique stands in D1.
//!
//! `KW(kek, key)` is AES-256 key wrap (RFC 3394, default initial value): 32 bytes in, 40 bytes out.
//!
//! # Keys
//!
//! | key | is | used for |
//! | --- | --- | --- |
//! | master | 32 random bytes in the token | seeds |
//! | seed of a group | `CBC(master, nonce)`, the group's 32 random bytes | node keys |
//! | node key, step 0 | `CBC(seed, D)`, `D1 = "WCnode" \|\| level (1) \|\| 0x00 \|\| index (4) \|\| generation (4)`, `D2 = group id` | below |
//! | node key, step s+1 | `CBC(key at step s, "WCratchet-step-1" \|\| "WCratchet-step-2")` | below |
//! | confirmation key | `CBC(root, "WCconfirm-key--1" \|\| "WCconfirm-key--2")` | the tag |
//! | epoch secret | `CBC(root, "WCepoch-secret-1" \|\| "WCepoch-secret-2")` | exports; members only |
//! | agreed value z | x coordinate of ECDH P-256, 32 bytes | a grant's kek |
//! | kek of a grant | `CBC(z, SHA-256(transcript))` | one KW |
//!
//! A node key wraps its parent's key (an up-edge, `KW(child, parent)`), is ratcheted, and, at the root, gives the
//! confirmation key and the epoch secret.
//!
//! - **Tag** of an epoch header: `AES-CMAC(confirmation key, prefix)`, 16 bytes (RFC 4493 with AES-256).
//! - **Signature**: ECDSA P-256 with SHA-256, `r || s`, 64 bytes, over `prefix || tag`, which is the COSE
//!   `Sig_structure` of the header. Its key id is the first 8 bytes of SHA-256 over the signing key's point.
//! - **Grant**: `KW(kek, leaf key)`. The transcript is the CBOR array `["wardcast/1 grant", suite, group id, member,
//!   leaf, member's public key, issuer's agreement key]`; the wire module builds it.
//! - **Export**: `HKDF-SHA256(salt = group id || epoch (8), ikm = epoch secret, info, length)` with `info` the
//!   CBOR array `["wardcast/1 export", label, context, length]` (text, bytes, unsigned; shortest encoding).
//!
//! Points are 65 bytes, uncompressed (SEC 1), the first byte 0x04; any other form is refused.
//!
//! # Why the uses of one key cannot meet
//!
//! Every use is AES under some key, so two uses of one key interfere only if they run AES on the same block.
//!
//! - *master*: D1 is the first half of a random nonce; two groups share it with chance 2^-128.
//! - *seed*: `(level, index, generation)` fills D1 injectively and a generation is never used again in a group.
//!   The other AES input, `C1 xor group id`, is pseudo-random.
//! - *node key*: the fixed first blocks of ratchet, confirmation and secret differ from one another and begin with "WC"
//!   (57 43). KW's first AES input begins with A6A6A6A6A6A6A6A6, so it is none of them, whatever is wrapped. Each later
//!   KW input is half AES output (64 pseudo-random bits) and half either AES output or eight bytes of the wrapped
//!   key, which is itself pseudo-random and which nobody outside the token chooses: it equals a given block with
//!   chance 2^-128. The second input of each derivation, `C1 xor D2`, is pseudo-random too. So whoever sees
//!   KW outputs, and even a member of another subtree who knows what was wrapped, has seen AES on none of
//!   the blocks that the derivations read off, and learns nothing of the ratcheted key.
//! - *confirmation key* is used in CMAC alone, *epoch secret* in HKDF alone, *kek* for one KW, *z* for one derivation
//!   per transcript; the transcript names both public keys, so it differs wherever z does not.
//! - The token's agreement key is used in ECDH alone and its signing key for epoch headers alone.

mod agreement;
mod derive;
mod export;
mod key;
mod signature;
#[cfg(test)]
mod tests;

pub use crate::group::wire::key_id;
pub(crate) use agreement::grant_data;
pub use agreement::{AgreementKey, EphemeralKey, InvalidKey, is_point};
pub(crate) use derive::{CONFIRM, RATCHET, node_data};
pub use derive::{confirmation_tag, node_key, ratchet, seed, unwrap, wrap};
pub use export::{EpochSecret, ExportError, MAX_EXPORT};
pub use key::{Key, random};
pub use signature::{SigningKey, fingerprint, verify_signature};
