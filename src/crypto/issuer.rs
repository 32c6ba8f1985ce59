//! A software token's side by suite: the two key pairs that members know it by.

use std::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::agreement::AgreementKey;
use super::derive::key_wrap;
use super::signature::SigningKey;
use super::suite2::{MlDsaKey, X25519Key};
use super::{InvalidKey, Key};
use crate::group::ids::Suite;
use crate::group::operations::{Issuer, WrappedKey};

/// The private keys of an issuer as they are stored: 32 bytes each, in both suites. Erased on drop, never shown.
///
/// In suite 1 they are scalars of P-256; in suite 2 a private key of X25519 and a seed of ML-DSA-65.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuerSecrets {
    /// Agrees with members.
    pub agreement: Zeroizing<[u8; 32]>,
    /// Signs epoch headers.
    pub signing: Zeroizing<[u8; 32]>,
}

impl IssuerSecrets {
    /// Fresh ones.
    pub fn generate(suite: Suite) -> Self {
        match suite {
            Suite::One => IssuerSecrets {
                agreement: AgreementKey::generate().scalar(),
                signing: SigningKey::generate_scalar(),
            },
            Suite::Two => IssuerSecrets {
                agreement: X25519Key::generate_private(),
                signing: MlDsaKey::generate_seed(),
            },
        }
    }
}

impl fmt::Debug for IssuerSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IssuerSecrets(..)")
    }
}

/// An issuer's key pairs, ready to be used.
#[derive(Debug)]
pub struct IssuerKeys(Pairs);

#[derive(Debug)]
enum Pairs {
    One(AgreementKey, SigningKey),
    Two(Box<(X25519Key, MlDsaKey)>),
}

impl IssuerKeys {
    /// The key pairs of stored secrets.
    pub fn new(suite: Suite, secrets: &IssuerSecrets) -> Result<Self, InvalidKey> {
        let pairs = match suite {
            Suite::One => Pairs::One(
                AgreementKey::from_scalar(&secrets.agreement)?,
                SigningKey::from_scalar(&secrets.signing)?,
            ),
            Suite::Two => Pairs::Two(Box::new((
                X25519Key::from_private(&secrets.agreement),
                MlDsaKey::from_seed(&secrets.signing),
            ))),
        };
        Ok(IssuerKeys(pairs))
    }

    /// The public halves.
    pub fn public(&self) -> Issuer {
        match &self.0 {
            Pairs::One(agreement, signing) => Issuer {
                signing: Bytes::copy_from_slice(&signing.public()),
                agreement: Bytes::copy_from_slice(&agreement.public()),
            },
            Pairs::Two(pairs) => Issuer {
                signing: pairs.1.public(),
                agreement: Bytes::copy_from_slice(&pairs.0.public()),
            },
        }
    }

    /// Wraps a leaf key for a member. Answers with the wrapped key and the KEM's ciphertext, empty in suite 1.
    pub fn grant(
        &self,
        member: &[u8],
        transcript: &[u8],
        leaf: &Key,
    ) -> Result<(WrappedKey, Bytes), InvalidKey> {
        match &self.0 {
            Pairs::One(agreement, _) => {
                let member = member.try_into().map_err(|_| InvalidKey)?;
                let kek = agreement.kek(member, transcript)?;
                Ok((key_wrap(&kek, leaf), Bytes::new()))
            }
            Pairs::Two(pairs) => pairs.0.grant(member, transcript, leaf),
        }
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Bytes {
        match &self.0 {
            Pairs::One(_, signing) => Bytes::copy_from_slice(&signing.sign(message)),
            Pairs::Two(pairs) => pairs.1.sign(message),
        }
    }
}
