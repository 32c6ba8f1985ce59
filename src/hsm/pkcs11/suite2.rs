//! Suite 2 in a PKCS#11 3.2 token: its keys, and the grants and signatures that are unlike those of suite 1.
//!
//! Seeds and node keys are generic secrets, for HKDF is defined on those; what wraps or computes tags is derived from them as
//! an AES key. A member's ML-KEM key is a session object for the time of one encapsulation.

pub(super) mod provision;
mod selftest;

use bytes::Bytes;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::mechanism::hkdf::{HkdfParams, HkdfSalt};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{
    Attribute, AttributeType, KeyType, MlKemParameterSetType, ObjectClass, ObjectHandle,
};
use cryptoki::session::Session;
use cryptoki_sys::CKM_ML_DSA;

use super::error::call;
use super::objects::{self, Purpose};
use super::vault::Desk;
use super::{AGREEMENT, SIGNING, hygiene};
use crate::crypto::suite2::{grant_info, split};
use crate::group::ids::{MasterId, Suite};
use crate::group::operations::Issuer;
use crate::hsm::work::Vault;
use crate::hsm::{TokenError, suite_label};

const SIGNATURE: usize = Suite::Two.sizes().signature;

/// The token's key pairs of suite 2.
#[derive(Clone, Copy)]
pub(super) struct Pairs {
    pub(super) agreement: ObjectHandle,
    pub(super) signing: ObjectHandle,
}

/// What a session found of suite 2.
pub(super) struct Found {
    pub(super) pairs: Pairs,
    pub(super) issuer: Issuer,
}

/// Looks for the keys of suite 2; `Err` in the `Ok` says why the token does not have the suite.
pub(super) fn find(
    session: &Session,
    lacking: &[String],
) -> Result<Result<Found, String>, TokenError> {
    if !lacking.is_empty() {
        return Ok(Err(format!("it lacks {}", lacking.join(", "))));
    }
    match keys(session) {
        Ok(found) => Ok(Ok(found)),
        // The token works, for suite 1; its operator learns what to do for suite 2.
        Err(
            error @ (TokenError::MissingKey { .. }
            | TokenError::AmbiguousKey { .. }
            | TokenError::UnsafeKey { .. }),
        ) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

fn keys(session: &Session) -> Result<Found, TokenError> {
    let [agreement, signing] = [AGREEMENT, SIGNING].map(|label| suite_label(Suite::Two, label));
    let public = |label| objects::one(session, ObjectClass::PUBLIC_KEY, label);
    Ok(Found {
        pairs: Pairs {
            agreement: objects::private_key(session, &agreement)?,
            signing: objects::private_key(session, &signing)?,
        },
        issuer: issuer_of(session, public(&agreement)?, public(&signing)?)?,
    })
}

/// The values of the two public keys.
fn issuer_of(
    session: &Session,
    agreement: ObjectHandle,
    signing: ObjectHandle,
) -> Result<Issuer, TokenError> {
    let sizes = Suite::Two.sizes();
    let read = |key, attribute| {
        let read = session.get_attributes(key, &[attribute]);
        read.map_err(call("read a public key of suite 2"))
    };
    let agreement = match &read(agreement, AttributeType::EcPoint)?[..] {
        // The standard asks for the bare bytes of RFC 7748 here; some tokens give a DER octet string.
        [Attribute::EcPoint(point)] => match point.strip_prefix(&[0x04, 32]) {
            Some(bare) if bare.len() == sizes.agreement => Bytes::copy_from_slice(bare),
            _ => Bytes::copy_from_slice(point),
        },
        _ => Bytes::new(),
    };
    let signing = match &read(signing, AttributeType::Value)?[..] {
        [Attribute::Value(value)] => Bytes::copy_from_slice(value),
        _ => Bytes::new(),
    };
    for (label, key, wanted) in [
        (AGREEMENT, &agreement, sizes.agreement),
        (SIGNING, &signing, sizes.signing),
    ] {
        if key.len() != wanted {
            return Err(TokenError::UnsafeKey {
                label: suite_label(Suite::Two, label),
                why: format!("has {} public bytes instead of {wanted}", key.len()).into(),
            });
        }
    }
    Ok(Issuer { signing, agreement })
}

/// `HKDF(base, info)`: SHA-256, no salt, extract and expand.
pub(super) fn hkdf(info: &[u8]) -> Mechanism<'_> {
    let salt = Some(HkdfSalt::Null);
    Mechanism::HkdfDerive(HkdfParams::new(MechanismType::SHA256, salt, Some(info)))
}

impl Desk {
    /// Refuses a suite that the token does not have.
    pub(super) fn has(&self, suite: Suite) -> Result<(), TokenError> {
        match suite {
            Suite::One => Ok(()),
            Suite::Two => self.pairs().map(drop),
        }
    }

    fn pairs(&self) -> Result<Pairs, TokenError> {
        self.two.clone().map_err(|why| TokenError::NoSuite {
            suite: Suite::Two,
            why,
        })
    }

    /// A kek that a member shares with the token, and the ciphertext that lets the member have it.
    pub(super) fn hybrid_kek(
        &mut self,
        member: &[u8],
        transcript: &[u8],
        master: MasterId,
    ) -> Result<(ObjectHandle, Bytes), TokenError> {
        let Ok((x25519, kem)) = split(member) else {
            return Err(TokenError::BadBatch(
                "a member's key of a wrong length".into(),
            ));
        };
        let agreement = self.pairs()?.agreement;
        let ecdh = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), x25519));
        let purpose = (Suite::Two, Purpose::Agreed, master);
        let z1 = self.make("agree with a member's key", agreement, &ecdh, purpose)?;
        self.usage.agreements += 1;
        let encapsulated = self.encapsulate(kem, master);
        let kek = encapsulated.and_then(|(ciphertext, z2)| {
            let kek = self.combine(z2, z1, &grant_info(transcript, &ciphertext), master);
            self.destroy(z2);
            Ok((kek?, ciphertext))
        });
        self.destroy(z1);
        kek
    }

    /// Encapsulates to a member's key: the ciphertext and z2.
    fn encapsulate(
        &mut self,
        kem: &[u8],
        master: MasterId,
    ) -> Result<(Bytes, ObjectHandle), TokenError> {
        let public = self.session.create_object(&[
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::KeyType(KeyType::ML_KEM),
            Attribute::Token(false),
            Attribute::Private(false),
            Attribute::Encapsulate(true),
            Attribute::ParameterSet(MlKemParameterSetType::ML_KEM_768.into()),
            Attribute::Value(kem.to_vec()),
            Attribute::Label(hygiene::session_label(master)),
        ]);
        let public = public.map_err(call("take in a member's ML-KEM key"))?;
        let purpose = (Suite::Two, Purpose::Agreed, master);
        let template = self.templates.of(purpose);
        let made = self
            .session
            .encapsulate_key(&Mechanism::MlKem, public, template.attributes());
        self.destroy(public);
        let (ciphertext, z2) = made.map_err(call("encapsulate to a member's key"))?;
        self.usage.agreements += 1;
        Ok((ciphertext.into(), z2))
    }

    /// Joins the two secrets, the KEM's first, and derives the kek from both.
    fn combine(
        &mut self,
        z2: ObjectHandle,
        z1: ObjectHandle,
        info: &[u8],
        master: MasterId,
    ) -> Result<ObjectHandle, TokenError> {
        let purpose = (Suite::Two, Purpose::Joined, master);
        let concatenate = Mechanism::ConcatenateBaseAndKey(z1);
        let joined = self.make("join the two secrets of a grant", z2, &concatenate, purpose)?;
        self.usage.derivations += 1;
        let purpose = (Suite::Two, Purpose::Kek, master);
        let kek = self.make("derive a grant's key", joined, &hkdf(info), purpose);
        self.destroy(joined);
        let kek = kek?;
        self.usage.derivations += 1;
        Ok(kek)
    }

    /// ML-DSA-65 over the message, with an empty context.
    pub(super) fn ml_dsa(
        &self,
        operation: &'static str,
        message: &[u8],
    ) -> Result<Bytes, TokenError> {
        let signing = self.pairs()?.signing;
        let (raw, session) = (&self.raw, &self.session);
        let signature: [u8; SIGNATURE] =
            raw.sign(operation, session, CKM_ML_DSA, signing, message)?;
        Ok(Bytes::copy_from_slice(&signature))
    }
}

#[cfg(test)]
mod tests;
