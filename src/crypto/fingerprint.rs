//! What pins an issuer.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// SHA-256 of a token's signing key of one suite: what a member or an auditor pins, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// Not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is the SHA-256 of a token's signing key: 64 hexadecimal digits")]
pub struct NoFingerprint;

impl Fingerprint {
    /// Of a signing key.
    pub fn of(signing: &[u8]) -> Self {
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
