//! What one session does for a batch: deriving, wrapping, agreeing, signing, each counted.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;
use cryptoki_sys::{CKM_AES_CMAC, CKM_ECDSA};
use sha2::{Digest, Sha256};

use super::hygiene;
use super::objects::{self, Purpose};
use super::raw::{Raw, Template};
use super::suite2::{Pairs, hkdf};
use crate::crypto::suite2::WRAP;
use crate::crypto::{self, Derivation};
use crate::group::ids::{KeyRef, MasterId, Suite};
use crate::group::operations::{Output, PushKey, WrappedKey};
use crate::group::wire::TrailHead;
use crate::hsm::held::Scope;
use crate::hsm::work::Vault;
use crate::hsm::{ErrorClass, TokenError, Usage};

/// What a key is made for: its suite, what it may do, and under which master.
pub(super) type For = (Suite, Purpose, MasterId);

/// Templates that were made: a handful, so the first that fits is found faster than a hash is computed.
#[derive(Default)]
pub(super) struct Templates(Vec<(For, Template)>);

impl Templates {
    /// The template of a key that is made for that, made itself but once.
    pub(super) fn of(&mut self, made_for: For) -> &Template {
        let found = self.0.iter().position(|(purpose, _)| *purpose == made_for);
        let at = found.unwrap_or_else(|| {
            let (suite, purpose, master) = made_for;
            let mut template = purpose.template(suite);
            template.push(Attribute::Label(hygiene::session_label(master)));
            self.0.push((made_for, Template::new(template)));
            self.0.len() - 1
        });
        &self.0[at].1
    }
}

/// The key that roots are escrowed under.
#[derive(Default)]
pub(super) struct EscrowKey {
    /// Its label, if one is configured.
    pub(super) label: Option<String>,
    /// Looked up when it is needed first: most gateways escrow nothing.
    pub(super) found: Option<ObjectHandle>,
}

/// A session and the handles of the keys that stay.
pub(super) struct Desk {
    pub(super) session: Session,
    pub(super) raw: Arc<Raw>,
    pub(super) agreement: ObjectHandle,
    pub(super) signing: ObjectHandle,
    /// The key pairs of suite 2, or why the token does not have it.
    pub(super) two: Result<Pairs, String>,
    pub(super) masters: HashMap<(Suite, MasterId), ObjectHandle>,
    pub(super) escrow: EscrowKey,
    /// What derived keys are created with, made once: a rekey creates dozens.
    pub(super) templates: Templates,
    /// A key could not be destroyed: the session has to go, and the key with it.
    pub(super) worn: bool,
    pub(super) usage: Usage,
}

impl Desk {
    pub(super) fn master(
        &mut self,
        suite: Suite,
        id: MasterId,
    ) -> Result<ObjectHandle, TokenError> {
        if let Some(master) = self.masters.get(&(suite, id)) {
            return Ok(*master);
        }
        let master = objects::master(&self.session, suite, id)?;
        self.masters.insert((suite, id), master);
        Ok(master)
    }

    /// Whether a handle still stands for an object.
    pub(super) fn knows(&self, object: ObjectHandle) -> bool {
        let class = self.session.get_attributes(object, &[AttributeType::Class]);
        class.is_ok()
    }

    /// A derivation as the suite does it.
    pub(super) fn derive(
        &mut self,
        operation: &'static str,
        base: ObjectHandle,
        derivation: Derivation<'_>,
        purpose: For,
    ) -> Result<ObjectHandle, TokenError> {
        let key = match purpose.0 {
            Suite::One => self.cbc(operation, base, &derivation.block(), purpose)?,
            Suite::Two => self.make(operation, base, &hkdf(&derivation.info()), purpose)?,
        };
        match derivation {
            Derivation::Ratchet => self.usage.ratchets += 1,
            _ => self.usage.derivations += 1,
        }
        Ok(key)
    }

    /// `CBC(base, data)` of suite 1.
    fn cbc(
        &mut self,
        operation: &'static str,
        base: ObjectHandle,
        data: &[u8; 32],
        purpose: For,
    ) -> Result<ObjectHandle, TokenError> {
        let template = self.templates.of(purpose);
        self.raw
            .derive_cbc(operation, &self.session, data, base, template)
    }

    /// Derives a session key, which says in its label whose it is.
    pub(super) fn make(
        &mut self,
        operation: &'static str,
        base: ObjectHandle,
        mechanism: &Mechanism<'_>,
        purpose: For,
    ) -> Result<ObjectHandle, TokenError> {
        let template = self.templates.of(purpose);
        self.raw
            .derive(operation, &self.session, mechanism, base, template)
    }

    /// A kek that a member shares with the token's agreement key.
    fn kek(
        &mut self,
        member: &[u8],
        transcript: &[u8],
        master: MasterId,
    ) -> Result<ObjectHandle, TokenError> {
        // No KDF in the token's ECDH (SoftHSM knows none): the derivation that follows is the KDF, for every token.
        let ecdh = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), member));
        let operation = "agree with a member's key";
        let purpose = (Suite::One, Purpose::Agreed, master);
        let agreed = self.make(operation, self.agreement, &ecdh, purpose)?;
        self.usage.agreements += 1;
        let data = crypto::grant_data(transcript);
        let (operation, purpose) = ("derive a grant's key", (Suite::One, Purpose::Kek, master));
        let kek = self.cbc(operation, agreed, &data, purpose);
        self.usage.derivations += u64::from(kek.is_ok());
        self.destroy(agreed);
        kek
    }

    /// Signs a message with the suite's signing key.
    fn signature(
        &mut self,
        operation: &'static str,
        suite: Suite,
        message: &[u8],
    ) -> Result<Bytes, TokenError> {
        let signature = match suite {
            Suite::One => self.ecdsa(operation, message)?,
            Suite::Two => self.ml_dsa(operation, message)?,
        };
        self.usage.signatures += 1;
        Ok(signature)
    }

    /// ECDSA over the message's SHA-256.
    fn ecdsa(&self, operation: &'static str, message: &[u8]) -> Result<Bytes, TokenError> {
        let (raw, session, digest) = (&self.raw, &self.session, Sha256::digest(message));
        let signature: [u8; 64] = raw.sign(operation, session, CKM_ECDSA, self.signing, &digest)?;
        Ok(Bytes::copy_from_slice(&signature))
    }

    /// Wraps a key under one that may wrap.
    fn key_wrap(&mut self, kek: ObjectHandle, key: ObjectHandle) -> Result<WrappedKey, TokenError> {
        let wrapped = self.raw.wrap(&self.session, kek, key)?;
        self.usage.wraps += 1;
        Ok(wrapped)
    }
}

impl Vault for Desk {
    type Key = ObjectHandle;

    fn seed(&mut self, scope: &Scope) -> Result<ObjectHandle, TokenError> {
        let master = self.master(scope.suite, scope.master)?;
        let purpose = (scope.suite, Purpose::Seed, scope.master);
        let nonce = scope.nonce();
        let seed = self.derive("derive a seed", master, Derivation::Seed(&nonce), purpose);
        if let Err(error) = &seed
            && error.class() == ErrorClass::LoginNeeded
        {
            // If the master itself is gone, that is what has to be said.
            self.masters.remove(&(scope.suite, scope.master));
            let master = self.master(scope.suite, scope.master);
            if let Err(missing @ TokenError::MissingKey { .. }) = master {
                return Err(missing);
            }
        }
        seed
    }

    fn node(
        &mut self,
        scope: &Scope,
        seed: &ObjectHandle,
        name: &KeyRef,
    ) -> Result<ObjectHandle, TokenError> {
        let purpose = (scope.suite, Purpose::Node, scope.master);
        let name = Derivation::Node(&scope.group, name);
        self.derive("derive a node key", *seed, name, purpose)
    }

    fn ratchet(&mut self, scope: &Scope, key: &ObjectHandle) -> Result<ObjectHandle, TokenError> {
        let purpose = (scope.suite, Purpose::Node, scope.master);
        self.derive("ratchet a node key", *key, Derivation::Ratchet, purpose)
    }

    fn wrap(
        &mut self,
        scope: &Scope,
        child: &ObjectHandle,
        parent: &ObjectHandle,
    ) -> Result<WrappedKey, TokenError> {
        if scope.suite == Suite::One {
            return self.key_wrap(*child, *parent);
        }
        let purpose = (scope.suite, Purpose::Kek, scope.master);
        let kek = self.make("derive a wrapping key", *child, &hkdf(WRAP), purpose)?;
        self.usage.derivations += 1;
        let wrapped = self.key_wrap(kek, *parent);
        self.destroy(kek);
        wrapped
    }

    fn grant(
        &mut self,
        scope: &Scope,
        leaf: &ObjectHandle,
        member: &[u8],
        transcript: &[u8],
    ) -> Result<Output, TokenError> {
        // Tokens differ in what they say about a point off the curve, and some say nothing.
        if !crypto::is_member_key(scope.suite, member) {
            return Ok(Output::BadPublicKey);
        }
        let (kek, encapsulated) = match scope.suite {
            Suite::One => (self.kek(member, transcript, scope.master)?, Bytes::new()),
            Suite::Two => self.hybrid_kek(member, transcript, scope.master)?,
        };
        let wrapped = self.key_wrap(kek, *leaf);
        self.destroy(kek);
        Ok(Output::Granted {
            wrapped: wrapped?,
            encapsulated,
        })
    }

    fn seal(
        &mut self,
        scope: &Scope,
        root: &ObjectHandle,
        prefix: &[u8],
    ) -> Result<Output, TokenError> {
        let purpose = (scope.suite, Purpose::Confirm, scope.master);
        let operation = "derive a confirmation key";
        let confirm = self.derive(operation, *root, Derivation::Confirm, purpose)?;
        let (raw, session) = (&self.raw, &self.session);
        let operation = "compute a confirmation tag";
        let tag = raw.sign(operation, session, CKM_AES_CMAC, confirm, prefix);
        self.destroy(confirm);
        let tag: [u8; 16] = tag?;
        self.usage.tags += 1;
        let message = [prefix, &tag].concat();
        let signature = self.signature("sign an epoch", scope.suite, &message)?;
        Ok(Output::Sealed { tag, signature })
    }

    fn push_key(&mut self, scope: &Scope, root: &ObjectHandle) -> Result<PushKey, TokenError> {
        let purpose = (scope.suite, Purpose::Confirm, scope.master);
        let operation = "derive the key of a push key";
        let base = self.derive(operation, *root, Derivation::Push, purpose)?;
        let (raw, session) = (&self.raw, &self.session);
        let operation = "compute a push key";
        let half = |input: [u8; 26]| -> Result<[u8; 16], TokenError> {
            raw.sign(operation, session, CKM_AES_CMAC, base, &input)
        };
        let [first, second] = crypto::push_key_inputs().map(half);
        self.destroy(base);
        let (first, second) = (first?, second?);
        self.usage.tags += 2;
        let mut key = PushKey([0; 32]);
        key.0[..16].copy_from_slice(&first);
        key.0[16..].copy_from_slice(&second);
        Ok(key)
    }

    fn escrow(&mut self, _: &Scope, root: &ObjectHandle) -> Result<WrappedKey, TokenError> {
        let key = match self.escrow.found {
            Some(key) => key,
            None => {
                let label = self.escrow.label.as_deref().ok_or(TokenError::NoEscrow)?;
                *self
                    .escrow
                    .found
                    .insert(objects::escrow(&self.session, label)?)
            }
        };
        self.key_wrap(key, *root)
    }

    fn sign_head(&mut self, scope: &Scope, head: &TrailHead) -> Result<Output, TokenError> {
        let message = head.signed(scope.suite);
        let signature = self.signature("sign an audit trail", scope.suite, &message)?;
        Ok(Output::HeadSigned(signature))
    }

    fn destroy(&mut self, key: ObjectHandle) {
        // The session goes, and its objects with it: a device in trouble is not asked five hundred times more.
        if self.worn {
            return;
        }
        if let Err(error) = self.raw.destroy(&self.session, key) {
            tracing::error!(%error, "a derived key could not be destroyed");
            self.worn = true;
        }
    }

    fn usage(&mut self) -> &mut Usage {
        &mut self.usage
    }
}
