//! From a grant to an exported key, byte for byte.
//!
//! `||` is concatenation, quoted strings are ASCII, integers big-endian. [`crate::crypto`] says why this is sound; here
//! is what a member computes. All keys are 32 bytes.
//!
//! # Building blocks of suite 1
//!
//! | name | is |
//! | --- | --- |
//! | `CBC(key, D)` | AES-256-CBC with an IV of 16 zero bytes and no padding, over exactly 32 bytes D; 32 bytes |
//! | `KW(kek, key)` | AES-256 key wrap (RFC 3394, default initial value): 32 bytes in, 40 out |
//! | `CMAC(key, m)` | AES-CMAC (RFC 4493) with a 32-byte key; 16 bytes |
//! | signature | ECDSA P-256 with SHA-256, `r || s`, 32 bytes each |
//! | point | P-256, uncompressed (SEC 1): 65 bytes, the first 04 |
//!
//! # The tree
//!
//! Nodes are `(level, index)`; leaves are at level 0, the parent of `(l, i)` is `(l + 1, i / 4)`, rounded down. The
//! root is at `(height, 0)`, height at least 1. A tree that grows gets a new root above the old one and renumbers
//! nothing. A key is named `[[level, index], generation, step]`: a node's keys of different generations are
//! independent, and each step is made from the one before by a one-way function:
//!
//! ```text
//! key at step s + 1 = CBC(key at step s, "WCratchet-step-1" || "WCratchet-step-2")
//! ```
//!
//! A member knows keys of the nodes on its path, from its leaf to the root, and of no others.
//!
//! # Grant
//!
//! The member makes a P-256 key pair for one join and drops it afterwards. From a granted it computes
//!
//! ```text
//! transcript = CBOR ["wardcast/1 grant", suite, group id, member, leaf, member's point, issuer's agreement point]
//! z          = x coordinate of ECDH(member's private key, issuer's agreement point), 32 bytes
//! kek        = CBC(z, SHA-256(transcript))
//! leaf key   : KW(kek, leaf key) is the granted's wrapped key
//! ```
//!
//! The transcript's items are encoded as in the granted: `suite` and `member` unsigned integers, `group id` 16 bytes,
//! `leaf` a key-ref, the points 65 bytes each. An unwrapping that fails means a faulty grant: the member drops it and
//! joins again. The member keeps the issuer's signing key with the registration: it verifies every later header.
//!
//! A granted that answers a resume or pull is opened in the same way, with the key pair of that request. It must name
//! the registration that asked, and in the suite of before the issuer of before. The member's node keys are then the new
//! leaf key alone; the roots of the epochs that it holds stay.
//!
//! # Suite 2
//!
//! All keys are 32 bytes here too, and what is not named is as in suite 1. `HKDF(ikm, info)` is HKDF-SHA256 without a salt
//! (RFC 5869: 32 zero bytes), 32 bytes out.
//!
//! ```text
//! key at step s + 1 = HKDF(key at step s, "wardcast/2 ratchet")
//! edge              : KW(HKDF(child's key, "wardcast/2 wrap"), parent's key)
//! confirmation key  = HKDF(root, "wardcast/2 confirm")
//! epoch secret      = HKDF(root, "wardcast/2 secret")
//! signature         : ML-DSA-65 (FIPS 204), pure, with an empty context; 3309 bytes, COSE algorithm -49
//!
//! member's key      = X25519 public key (32) || ML-KEM-768 encapsulation key (1184)
//! transcript        = CBOR ["wardcast/1 grant", 2, group id, member, leaf, member's key (1216 bytes),
//!                           issuer's X25519 key (32 bytes), ciphertext (1088 bytes)]
//! z1                = X25519(member's private key, issuer's agreement key)
//! z2                = ML-KEM-768 decapsulation (FIPS 203) of the granted's ciphertext
//! kek               = HKDF(z2 || z1, "wardcast/2 grant" || SHA-256(transcript))
//! leaf key          : KW(kek, leaf key) is the granted's wrapped key
//! ```
//!
//! The gateway hands its token the transcript up to the ciphertext, with the array's head of 8 items in front and the head
//! of the last byte string (59 04 40) at its end: the token makes the ciphertext, appends its bytes, and hashes the whole.
//!
//! # Opening a delivery
//!
//! A rekey, path, granted or key-set brings edges and a header. The member holds at most one key, by name, of each node
//! on its path (its leaf's always), and opens the edges in the order in which they stand:
//!
//! ```text
//! for each edge:
//!   skip it, unless the member holds a key of the child's node, of the same generation,
//!            at the child's step or an earlier one
//!   kek    = that key, ratcheted to the child's step; hold it in its place
//!   parent = KW's inverse under kek; when it fails, skip the edge
//!   hold parent by the name in the edge, unless a key of that node is held already
//!            that is of the same generation at a later step, or of a later generation
//! root = the key held of node (root's level, 0), if it is of the root's generation,
//!        at the root's step or an earlier one: ratcheted to the root's step; hold it in its place
//! ```
//!
//! where "root" is the header's key-ref. Without such a key the member needs its path: it nacks with 1, and pulls. No
//! edge and no header asks for more than 128 steps. Ratcheting in place is safe, as edges wrap under a node's current key
//! only, and wanted: what was exported from an earlier step cannot be computed from a later one.
//!
//! A join changes nothing but steps for those who are members already, so its rekey has no edges for them (one, where
//! the tree grew): the header's step says how far to ratchet.
//!
//! # Verifying an epoch
//!
//! The header is a COSE_Sign1, tag 18, with the protected header `{1: -7, 4: kid}` and an empty unprotected one. Its
//! payload's last entry is the confirmation tag, so the last 16 bytes of what is signed are the tag:
//!
//! ```text
//! signed           = CBOR ["Signature1", protected, "wardcast/1 epoch" as bytes, payload]      (RFC 9052 section 4.4)
//! prefix           = signed without its last 16 bytes
//! kid              = first 8 bytes of SHA-256(issuer's signing point)
//! signature        : verifies over signed with the issuer's signing key
//! confirmation key = CBC(root, "WCconfirm-key--1" || "WCconfirm-key--2")
//! tag              = CMAC(confirmation key, prefix)
//! ```
//!
//! The member checks, in this order: the form; that group and suite are those of the registration; that kid and
//! signature are the issuer's (-7 is the algorithm of suite 1, -49 that of suite 2); that the epoch is newer than the newest it holds; after opening, that the tag is right
//! (in constant time). Only then does it keep keys from the delivery, hold the epoch, and acknowledge it. A delivery
//! that fails changes nothing. Edges are not signed: a changed one fails KW or the tag.
//!
//! # Rollovers
//!
//! A header's entry 8 counts the group's rollovers. With each of them all keys are new ones, of
//! another seed, and no edge leads to them from a key of before. A member remembers the count of the header that came with
//! its leaf key. A header with another count, whose signature verifies, tells it that its leaf key is not its own any more:
//! it does not try to open the delivery, nacks with 4, and [asks](super::behaviour) for the new one. A header of another
//! suite is signed with a key that the member does not have, so nothing of it is believed: it is nacked with 4 as well, and
//! the member asks once. What comes back, granted or key-set, shows whether it was true.
//!
//! # Secret and exported keys
//!
//! ```text
//! epoch secret = CBC(root, "WCepoch-secret-1" || "WCepoch-secret-2")
//! exported     = HKDF-SHA256(salt = group id || epoch (8 bytes), ikm = epoch secret, info, length)
//! info         = CBOR ["wardcast/1 export", label (text), context (bytes), length (unsigned)]
//! ```
//!
//! `length` is 1 to 8160. Applications choose labels; keys under different labels, contexts or lengths are independent.
//! For SRTP with AES-128, for example, 30 bytes are the master key and the salt.
//!
//! # Security parameter index
//!
//! ```text
//! x   = first 4 bytes of the group id XOR (epoch mod 2^32)
//! SPI = x, or x XOR 0x80000000 where x < 256
//! ```
//!
//! Never one of IPsec's reserved values, and different for epochs of a group that are less than 2^31 apart.
//!
//! # Sender identifiers
//!
//! Members that send get identifiers that no other member has, nor had, in the header's sender space: they put them
//! into the nonces of counter-mode traffic (RFC 9838 section 2.5.1). When a header names another sender space than that
//! of the member's identifiers, the member pulls to get new ones before it sends with that epoch. Within a sender space
//! an identifier is never given twice, and a new sender space always comes with a new epoch.
//!
//! # Known answers
//!
//! `tests/vectors/suite1.json`: every computation above. `tests/vectors/wire.json`: transcript, key identifier, SPI,
//! the header with its prefix. `tests/vectors/member.json`: one member's deliveries from the grant on, with the secrets
//! they give.
