//! The software token: the same operations with keys in this process's memory. Not an HSM.
//!
//! Its keys rest in a file that is sealed under the PIN, are erased from memory when the token closes, and are never logged.
//! What it cannot do is keep them from whoever reads this process's memory.

mod file;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use file::Contents;

use super::check::check;
use super::{Opener, Pin, Provisioned, Token, TokenError, master_label};
use crate::crypto::{self, AgreementKey, Key, SigningKey};
use crate::group::ids::{KeyRef, MasterId};
use crate::group::operations::{Batch, Issuer, Operation, Output};

/// The opened keys; every session shares them.
struct Keys {
    masters: HashMap<MasterId, Key>,
    agreement: AgreementKey,
    signing: SigningKey,
}

impl Keys {
    fn issuer(&self) -> Issuer {
        Issuer {
            signing: self.signing.public(),
            agreement: self.agreement.public(),
        }
    }
}

/// One session of the software token.
struct SoftToken {
    keys: Arc<Keys>,
}

/// Opens the file once; the sessions share what was in it.
pub(super) fn opener(path: &Path, pin: &Pin, master: MasterId) -> Result<Opener, TokenError> {
    let contents = file::read(path, pin)?.ok_or_else(|| {
        file::at(
            path,
            "does not exist: create it with `wardcast token provision`",
        )
    })?;
    let keys = Arc::new(keys(path, contents)?);
    if !keys.masters.contains_key(&master) {
        return Err(TokenError::MissingKey {
            label: master_label(master),
        });
    }
    tracing::warn!(
        path = %path.display(),
        "software token: this is not an HSM, its keys are in this process's memory"
    );
    Ok(Arc::new(move || {
        Ok(Box::new(SoftToken { keys: keys.clone() }))
    }))
}

/// Creates the file, or adds the master to it, if that is missing.
pub(super) fn provision(
    path: &Path,
    pin: &Pin,
    master: MasterId,
) -> Result<Provisioned, TokenError> {
    let mut created = Vec::new();
    let contents = match file::read(path, pin)? {
        Some(mut contents) => {
            if contents.masters.iter().all(|(id, _)| *id != master) {
                contents.masters.push((master, Key::generate()));
                file::replace(path, &contents, pin)?;
                created.push(master_label(master));
            }
            contents
        }
        None => {
            let contents = Contents {
                agreement: AgreementKey::generate().scalar(),
                signing: SigningKey::generate_scalar(),
                masters: vec![(master, Key::generate())],
            };
            file::create(path, &contents, pin)?;
            created.push(master_label(master));
            created.push("wardcast agreement".to_owned());
            created.push("wardcast signing".to_owned());
            contents
        }
    };
    tracing::warn!(
        path = %path.display(),
        created = created.len(),
        "software token provisioned: this is not an HSM"
    );
    let issuer = keys(path, contents)?.issuer();
    Ok(Provisioned { created, issuer })
}

fn keys(path: &Path, contents: Contents) -> Result<Keys, TokenError> {
    let invalid = |_| file::at(path, "holds a key that is none: restore it from a backup");
    Ok(Keys {
        agreement: AgreementKey::from_scalar(&contents.agreement).map_err(invalid)?,
        signing: SigningKey::from_scalar(&contents.signing).map_err(invalid)?,
        masters: contents.masters.into_iter().collect(),
    })
}

impl Token for SoftToken {
    fn issuer(&self) -> Issuer {
        self.keys.issuer()
    }

    fn execute(&mut self, batch: &Batch) -> Result<Vec<Output>, TokenError> {
        check(batch)?;
        let master =
            self.keys
                .masters
                .get(&batch.master)
                .ok_or_else(|| TokenError::MissingKey {
                    label: master_label(batch.master),
                })?;
        let mut run = Run {
            batch,
            keys: &self.keys,
            seed: crypto::seed(master, &batch.nonce),
            derived: HashMap::new(),
        };
        let operations = batch.operations.iter();
        Ok(operations.map(|operation| run.one(operation)).collect())
    }
}

/// One batch: node keys that several operations use are derived once, and erased with it.
struct Run<'a> {
    batch: &'a Batch,
    keys: &'a Keys,
    seed: Key,
    derived: HashMap<KeyRef, Key>,
}

impl Run<'_> {
    fn one(&mut self, operation: &Operation) -> Output {
        match operation {
            Operation::Wrap { child, parent } => {
                let parent = self.key(parent).clone();
                Output::Wrapped(crypto::wrap(self.key(child), &parent))
            }
            Operation::Grant {
                leaf,
                member,
                transcript,
            } => match self.keys.agreement.kek(member, transcript) {
                Ok(kek) => Output::Wrapped(crypto::wrap(&kek, self.key(leaf))),
                Err(_) => Output::BadPublicKey,
            },
            Operation::Seal { root, prefix } => {
                let tag = crypto::confirmation_tag(self.key(root), prefix);
                let signature = self.keys.signing.sign(&[prefix, &tag[..]].concat());
                Output::Sealed { tag, signature }
            }
        }
    }

    fn key(&mut self, name: &KeyRef) -> &Key {
        let Run {
            batch,
            seed,
            derived,
            ..
        } = self;
        derived
            .entry(*name)
            .or_insert_with(|| crypto::node_key(seed, &batch.group, name))
    }
}

/// Seals known keys, for a test that compares back ends.
#[cfg(test)]
pub(super) fn create_with(
    path: &Path,
    pin: &Pin,
    master: (MasterId, Key),
    agreement: zeroize::Zeroizing<[u8; 32]>,
    signing: zeroize::Zeroizing<[u8; 32]>,
) {
    let contents = Contents {
        agreement,
        signing,
        masters: vec![master],
    };
    file::create(path, &contents, pin).expect("creates");
}

#[cfg(test)]
mod tests;
