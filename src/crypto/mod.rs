//! Both suites in software, byte for byte: what members compute, and what the software token computes for them.
//!
//! Every function that differs takes the [`Suite`](crate::group::ids::Suite). Members use [`MemberKey`], [`is_member_key`] and
//! [`verify_signature`]; a software token uses [`IssuerKeys`].
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
//! `HKDF(key, info)` is HKDF-SHA256 (RFC 5869) without a salt, which is a salt of 32 zero bytes; extract, then expand to
//! 32 bytes. This is PKCS#11's `CKM_HKDF_DERIVE` with `CKF_HKDF_SALT_NULL`.
//!
//! `KW(kek, key)` is AES-256 key wrap (RFC 3394, default initial value): 32 bytes in, 40 bytes out.
//!
//! `node` is the 32 bytes `D1 || D2` with `D1 = "WCnode" || level (1) || 0x00 || index (4) || generation (4)` and
//! `D2 = group id`.
//!
//! # Keys
//!
//! | key | in suite 1 | in suite 2 | used for |
//! | --- | --- | --- | --- |
//! | master, one for each suite | 32 random bytes in the token | the same | seeds |
//! | seed of a group | `CBC(master, nonce)`, the group's 32 random bytes | `HKDF(master, "wardcast/2 seed" \|\| nonce)` | node keys |
//! | node key, step 0 | `CBC(seed, node)` | `HKDF(seed, "wardcast/2 node" \|\| node)` | below |
//! | node key, step s+1 | `CBC(key at step s, "WCratchet-step-1" \|\| "WCratchet-step-2")` | `HKDF(key at step s, "wardcast/2 ratchet")` | below |
//! | wrapping key of a node | the node key itself | `HKDF(node key, "wardcast/2 wrap")` | KW of the parent's node key |
//! | confirmation key | `CBC(root, "WCconfirm-key--1" \|\| "WCconfirm-key--2")` | `HKDF(root, "wardcast/2 confirm")` | the tag |
//! | epoch secret | `CBC(root, "WCepoch-secret-1" \|\| "WCepoch-secret-2")` | `HKDF(root, "wardcast/2 secret")` | exports; members only |
//! | push base | `CBC(root, "WCpush-channel-1" \|\| "WCpush-channel-2")` | `HKDF(root, "wardcast/2 push")` | the push key |
//! | z, z1 | x coordinate of ECDH P-256 | z1: X25519 (RFC 7748) | a grant's kek |
//! | z2 | none | shared secret of ML-KEM-768 (FIPS 203) | a grant's kek |
//! | kek of a grant | `CBC(z, SHA-256(transcript))` | `HKDF(z2 \|\| z1, "wardcast/2 grant" \|\| SHA-256(transcript))` | one KW |
//!
//! - An **up-edge** is `KW(wrapping key of the child, parent's node key)`.
//! - An **escrowed root** is `KW(escrow key, root's node key at a step)`, in both suites. The escrow key is 32 random bytes that are
//!   derived from nothing and that nothing is derived from.
//! - **Tag** of an epoch header: `AES-CMAC(confirmation key, prefix)`, 16 bytes (RFC 4493 with AES-256).
//! - **Signature** over `prefix || tag`, which is the COSE `Sig_structure` of the header. Suite 1: ECDSA P-256 with
//!   SHA-256, `r || s`, 64 bytes. Suite 2: ML-DSA-65 (FIPS 204), pure, with an empty context, 3309 bytes (COSE algorithm
//!   -49). The key id is the first 8 bytes of SHA-256 over the signing key: a point, or the 1952 bytes of ML-DSA.
//! - **Push key** of an epoch: AES-CMAC in counter mode (NIST SP 800-108r1, 4.1) under the push base, see
//!   [`spec::channel`](crate::group::wire::spec::channel). The token tells it: it opens datagrams whose content is signed and wrapped.
//! - **Grant**: `KW(kek, leaf key)`, in suite 2 with the KEM's ciphertext, 1088 bytes, beside it. The transcript is the
//!   CBOR array `["wardcast/1 grant", suite, group id, member, leaf, member's public key, issuer's agreement key]`, in
//!   suite 2 with the ciphertext as the eighth element; the wire module builds it. Whoever asks a token for a grant of
//!   suite 2 does not know the ciphertext yet: it gives the transcript up to and including the head of that
//!   last byte string, and the token appends what it encapsulated before it hashes.
//! - **Export**: `HKDF-SHA256(salt = group id || epoch (8), ikm = epoch secret, info, length)` with `info` the
//!   CBOR array `["wardcast/1 export", label, context, length]` (text, bytes, unsigned; shortest encoding).
//!
//! Public keys of suite 1 are points of 65 bytes, uncompressed (SEC 1), the first byte 0x04; any other form is refused. In
//! suite 2 the issuer's agreement key is an X25519 key, 32 bytes; a member's key is an X25519 key and then an
//! ML-KEM-768 encapsulation key, 1216 bytes in all. It is refused when a coefficient of the second is not reduced (FIPS 203,
//! section 7.2), or when the first is of small order, which makes z1 zero.
//!
//! # Why the uses of one key cannot meet
//!
//! **Suite 1.** Every use is AES under some key, so two uses of one key interfere only if they run AES on the same block.
//!
//! - *master*: D1 is the first half of a random nonce; two groups share it with chance 2^-128.
//! - *seed*: `(level, index, generation)` fills D1 injectively and a generation is never used again in a group.
//!   The other AES input, `C1 xor group id`, is pseudo-random.
//! - *node key*: the fixed first blocks of ratchet, confirmation, secret and push differ from one another and begin with "WC"
//!   (57 43). KW's first AES input begins with A6A6A6A6A6A6A6A6, so it is none of them, whatever is wrapped. Each later
//!   KW input is half AES output (64 pseudo-random bits) and half either AES output or eight bytes of the wrapped
//!   key, which is itself pseudo-random and which nobody outside the token chooses: it equals a given block with
//!   chance 2^-128. The second input of each derivation, `C1 xor D2`, is pseudo-random too. So whoever sees
//!   KW outputs, and even a member of another subtree who knows what was wrapped, has seen AES on none of
//!   the blocks that the derivations read off, and learns nothing of the ratcheted key.
//!
//! **Suite 2.** Masters, seeds and node keys are used in HKDF alone, and no key that AES uses is. `HKDF(key, info)` with 32 bytes
//! of output is `HMAC(HMAC(0, key), info || 0x01)`: one block of a pseudo-random function of info, keyed with the extract
//! of the key. So two derivations of one key meet only if their infos are equal.
//!
//! - *master*: infos are equal for equal nonces, which are 32 random bytes.
//! - *seed*: `node` is injective, and a generation is never used again in a group.
//! - *node key*: "ratchet", "wrap", "confirm", "secret" and "push" are five infos. What is derived for one tells nothing of the
//!   others: even a member that holds a wrapping key could not ratchet with it.
//! - *z2 || z1*: used once, for the member's halves are made for one grant.
//!
//! In both suites the *confirmation key* and the *push base* are used in CMAC alone, the *escrow key* in KW alone, the *epoch secret* in HKDF alone, the *kek* for one KW, and *z* for one
//! derivation per transcript; the transcript names both public keys, so it differs wherever z does not. The token's agreement key
//! is used in key agreement alone, and its signing key for epoch headers and for the heads of audit trails, which
//! [`TrailHead`](crate::group::wire::TrailHead) keeps apart. The suites share no key.
//!
//! # Why a grant of suite 2 is as strong as the stronger half
//!
//! The secrets have fixed lengths, so `z2 || z1` is one-to-one, and the kek is HKDF of it: whoever lacks either 32 bytes has a
//! HMAC over bytes that he cannot predict, and what he knows or even chose of the other half does not help. Where ECDH
//! is broken, by a quantum computer that works on grants recorded today, ML-KEM still keeps the leaf key; where ML-KEM is
//! broken, X25519 does. The KEM's secret stands first because it is the one whose bytes are uniform by themselves
//! (NIST SP 800-56C: an auxiliary secret follows). The info names everything that was exchanged: both halves of the member's key, the
//! issuer's key and the ciphertext. So a grant that was changed in any of them gives another kek, and none can be taken for that
//! of another member, leaf, group or suite; ML-KEM alone would not promise that of its ciphertext for every key.
//!
//! That the issuer made it, and not somebody who encapsulated by himself, rests on its static X25519 key, as it rests on P-256 in
//! suite 1: whoever breaks that can make a member hold a wrong leaf key. He gains nothing by it, for the member takes an
//! epoch only when its path leads to a root that confirms a header with an ML-DSA signature.

mod agreement;
mod channel;
mod derivation;
mod derive;
mod export;
mod fingerprint;
mod issuer;
mod key;
mod member;
mod signature;
pub(crate) mod suite2;
#[cfg(test)]
mod tests;

pub use crate::group::wire::key_id;
pub(crate) use agreement::grant_data;
pub use agreement::{AgreementKey, EphemeralKey, InvalidKey, is_point};
pub use channel::{ChannelKey, PushCipher};
pub(crate) use derivation::Derivation;
pub(crate) use derive::push_key_inputs;
pub use derive::{
    confirmation_tag, key_unwrap, key_wrap, node_key, push_key, ratchet, seed, unwrap, wrap,
};
pub use export::{EpochSecret, ExportError, MAX_EXPORT};
pub use fingerprint::{Fingerprint, NoFingerprint};
pub use issuer::{IssuerKeys, IssuerSecrets};
pub use key::{Key, fraction, random};
pub use member::{MemberKey, is_member_key, verify_signature};
pub use signature::SigningKey;
pub use suite2::{HybridKey, MlDsaKey, X25519Key, is_hybrid_key};
