//! PKCS#11: the same operations inside a token; this file and those below it alone name `cryptoki`.
//!
//! Keys derived for a batch are session objects: sensitive, destroyed as soon as nothing in the batch needs them, on the
//! error paths too. Only node keys are extractable, because a wrap is an extraction under another key; seeds,
//! keks and confirmation keys are not. Whatever a token left behind in spite of that goes when its session
//! closes, which is the first thing that happens after a key could not be destroyed.

mod error;
mod library;
mod objects;
mod provision;

use std::cell::Cell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use sha2::{Digest, Sha256};

use error::{call, length};
use objects::{Desk, Held, Purpose};

pub(super) use provision::provision;

use super::check::check;
use super::{ErrorClass, Opener, Pin, Token, TokenError};
use crate::crypto;
use crate::group::ids::{GroupId, KeyRef, MasterId};
use crate::group::operations::{Batch, Issuer, Operation, Output, PublicKey, WrappedKey};

const AGREEMENT: &str = "wardcast agreement";
const SIGNING: &str = "wardcast signing";

/// Opens sessions. Once the token has refused the PIN it is not tried again, whoever asks.
pub(super) fn opener(library: &Path, label: &str, pin: Pin, master: MasterId) -> Opener {
    let (path, label) = (library.to_owned(), label.to_owned());
    let refused: Mutex<Option<TokenError>> = Mutex::new(None);
    Arc::new(move || {
        // One at a time: of several workers with a wrong PIN, one tries it.
        let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &*refused {
            return Err(error.clone());
        }
        let opened = library::session(&path, &label, &pin, false)
            .and_then(|session| Pkcs11Token::new(session, master));
        match opened {
            Ok(token) => Ok(Box::new(token) as Box<dyn Token>),
            Err(error) => {
                if error.refuses_pin() {
                    *refused = Some(error.clone());
                }
                Err(error)
            }
        }
    })
}

/// One session with a PKCS#11 token.
struct Pkcs11Token {
    session: Session,
    issuer: Issuer,
    agreement: ObjectHandle,
    signing: ObjectHandle,
    masters: HashMap<MasterId, ObjectHandle>,
    /// A key could not be destroyed: the session has to go, and the key with it.
    worn: Cell<bool>,
}

impl Pkcs11Token {
    fn new(session: Session, master: MasterId) -> Result<Self, TokenError> {
        let mut token = Pkcs11Token {
            issuer: objects::issuer(&session)?,
            agreement: objects::private_key(&session, AGREEMENT)?,
            signing: objects::private_key(&session, SIGNING)?,
            session,
            masters: HashMap::new(),
            worn: Cell::new(false),
        };
        token.master(master)?;
        Ok(token)
    }

    fn master(&mut self, id: MasterId) -> Result<ObjectHandle, TokenError> {
        if let Some(master) = self.masters.get(&id) {
            return Ok(*master);
        }
        let master = objects::master(&self.session, id)?;
        self.masters.insert(id, master);
        Ok(master)
    }
}

impl Token for Pkcs11Token {
    fn issuer(&self) -> Issuer {
        self.issuer
    }

    fn execute(&mut self, batch: &Batch) -> Result<Vec<Output>, TokenError> {
        check(batch)?;
        if self.worn.get() {
            return Err(TokenError::Call {
                class: ErrorClass::LoginNeeded,
                operation: "destroy the keys of an earlier batch",
                code: "the session is closed instead".to_owned(),
            });
        }
        let master = self.master(batch.master)?;
        let desk = Desk {
            session: &self.session,
            worn: &self.worn,
        };
        let seed = desk.derive("derive a seed", master, &batch.nonce.0, Purpose::Seed)?;
        let mut run = Run {
            desk,
            group: batch.group,
            agreement: self.agreement,
            signing: self.signing,
            seed,
            keys: HashMap::new(),
            uses: uses(batch),
        };
        let operations = batch.operations.iter();
        operations.map(|operation| run.one(operation)).collect()
    }
}

/// How often a batch uses each key, so that a key can go after its last use: tokens have little memory for sessions.
fn uses(batch: &Batch) -> HashMap<KeyRef, usize> {
    let mut uses = HashMap::new();
    for operation in &batch.operations {
        match operation {
            Operation::Wrap { child, parent } => {
                *uses.entry(*child).or_default() += 1;
                *uses.entry(*parent).or_default() += 1;
            }
            Operation::Grant { leaf: key, .. } | Operation::Seal { root: key, .. } => {
                *uses.entry(*key).or_default() += 1;
            }
        }
    }
    uses
}

/// One batch under way.
struct Run<'a> {
    desk: Desk<'a>,
    group: GroupId,
    agreement: ObjectHandle,
    signing: ObjectHandle,
    seed: Held<'a>,
    keys: HashMap<KeyRef, Rc<Held<'a>>>,
    uses: HashMap<KeyRef, usize>,
}

impl<'a> Run<'a> {
    fn one(&mut self, operation: &Operation) -> Result<Output, TokenError> {
        match operation {
            Operation::Wrap { child, parent } => {
                let (child, parent) = (self.key(child)?, self.key(parent)?);
                self.wrap(&child, &parent).map(Output::Wrapped)
            }
            Operation::Grant {
                leaf,
                member,
                transcript,
            } => {
                let leaf = self.key(leaf)?;
                // Tokens differ in what they say about a point off the curve, and some say nothing.
                if !crypto::is_point(member) {
                    return Ok(Output::BadPublicKey);
                }
                let kek = self.kek(member, transcript)?;
                self.wrap(&kek, &leaf).map(Output::Wrapped)
            }
            Operation::Seal { root, prefix } => {
                let root = self.key(root)?;
                self.seal(&root, prefix)
            }
        }
    }

    /// A node's key, derived at its first use in the batch and let go at its last.
    fn key(&mut self, name: &KeyRef) -> Result<Rc<Held<'a>>, TokenError> {
        let key = match self.keys.get(name) {
            Some(key) => key.clone(),
            None => {
                let key = Rc::new(self.node_key(name)?);
                self.keys.insert(*name, key.clone());
                key
            }
        };
        let uses = self.uses.get_mut(name);
        let uses = uses.expect("every key of an operation was counted before the first one ran");
        *uses -= 1;
        if *uses == 0 {
            self.keys.remove(name);
        }
        Ok(key)
    }

    fn node_key(&self, name: &KeyRef) -> Result<Held<'a>, TokenError> {
        let data = crypto::node_data(&self.group, name);
        let derive = |key, data| {
            self.desk
                .derive("derive a node key", key, data, Purpose::Node)
        };
        let mut key = derive(self.seed.handle(), &data)?;
        for _ in 0..name.step {
            // The assignment destroys the step before.
            key = derive(key.handle(), crypto::RATCHET)?;
        }
        Ok(key)
    }

    fn wrap(&self, kek: &Held<'_>, key: &Held<'_>) -> Result<WrappedKey, TokenError> {
        let session = self.desk.session;
        let wrapped = session
            .wrap_key(&Mechanism::AesKeyWrap, kek.handle(), key.handle())
            .map_err(call("wrap a key"))?;
        length("wrap a key", &wrapped)
    }

    fn kek(&self, member: &PublicKey, transcript: &[u8]) -> Result<Held<'a>, TokenError> {
        // No KDF in the token's ECDH (SoftHSM knows none): the derivation that follows is the KDF, for every token.
        let ecdh = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), member));
        let operation = "agree with a member's key";
        let agreed = self
            .desk
            .make(operation, self.agreement, &ecdh, Purpose::Agreed)?;
        let data = crypto::grant_data(transcript);
        let operation = "derive a grant's key";
        self.desk
            .derive(operation, agreed.handle(), &data, Purpose::Kek)
    }

    fn seal(&self, root: &Held<'_>, prefix: &[u8]) -> Result<Output, TokenError> {
        let session = self.desk.session;
        let operation = "derive a confirmation key";
        let confirm =
            self.desk
                .derive(operation, root.handle(), crypto::CONFIRM, Purpose::Confirm)?;
        let tag = session
            .sign(&Mechanism::AesCMac, confirm.handle(), prefix)
            .map_err(call("compute a confirmation tag"))?;
        let tag: [u8; 16] = length("compute a confirmation tag", &tag)?;
        let digest = Sha256::new().chain_update(prefix).chain_update(tag);
        let signature = session
            .sign(&Mechanism::Ecdsa, self.signing, &digest.finalize())
            .map_err(call("sign an epoch"))?;
        let signature = length("sign an epoch", &signature)?;
        Ok(Output::Sealed { tag, signature })
    }
}

#[cfg(test)]
mod tests;
