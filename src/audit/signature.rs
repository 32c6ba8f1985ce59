//! A token's signature over the trail, as it stands in a record.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::chain::Digest;
use crate::crypto::{Fingerprint, verify_signature};
use crate::group::ids::Suite;
use crate::group::wire::TrailHead;

/// Bytes that a record holds as lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Octets(pub Vec<u8>);

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes());
        bytes.map(Octets).map_err(D::Error::custom)
    }
}

/// The token's signature over the head of the trail, with all that it takes to check it but the trust in the key.
///
/// It is a COSE_Sign1 in parts: [`TrailHead`] says what is signed. The suite is 1, ECDSA P-256, whatever the suites of the groups:
/// every token has it, its key is the one that `wardcast token provision` prints and members pin, and a signature takes 64 bytes
/// of the trail instead of 3309. It has to last as long as nobody can compute private keys of P-256 from public ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The record that is signed, and with it all before.
    pub up_to: u64,
    /// The SHA-256 of its line.
    pub head: Digest,
    /// The suite of the key.
    pub suite: Suite,
    /// The issuer's public key, as long as the suite says: an uncompressed point of P-256 in suite 1.
    pub issuer: Octets,
    /// The signature, as long as the suite says: r and s in suite 1.
    pub signature: Octets,
}

impl Signature {
    /// Whether it is by the key that it names, over what it names.
    pub fn verifies(&self) -> bool {
        let head = TrailHead {
            sequence: self.up_to,
            digest: self.head.0,
        };
        let sizes = self.suite.sizes();
        let Octets(issuer) = &self.issuer;
        let Octets(signature) = &self.signature;
        // The length of a key is a part of what it is: others that mean the same would have another fingerprint.
        issuer.len() == sizes.signing
            && signature.len() == sizes.signature
            && verify_signature(self.suite, issuer, &head.signed(self.suite), signature)
    }

    /// What an auditor pins of the key that it names.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.issuer.0)
    }
}
