//! Executing a batch: which key is derived when, held for how long, and destroyed by whom. The same for every back end.
//!
//! A back end is a [`Vault`]: it makes keys and uses them. A key is derived at its first use in a batch. At its last use
//! it is destroyed, unless it is worth holding for the batches to come: [`Held`] decides. A batch that fails
//! leaves nothing behind but what was held before it, and nothing at all when the token had lost a key.

mod keys;

pub(super) use keys::Keys;
use keys::Place;

use super::check::check;
use super::held::{Held, Scope};
use super::{ErrorClass, TokenError, Usage};
use crate::group::ids::KeyRef;
use crate::group::operations::{Batch, Operation, Output, PushKey, WrappedKey};
use crate::group::wire::TrailHead;

/// What a back end does for one session. It counts its calls itself; what was reused is counted here.
pub(super) trait Vault {
    /// A key that the back end has made. It goes back to it through [`Vault::destroy`], on every path.
    type Key;

    /// Derives a group's seed from its master.
    fn seed(&mut self, scope: &Scope) -> Result<Self::Key, TokenError>;
    /// Derives a node's key at step 0 from the seed.
    fn node(
        &mut self,
        scope: &Scope,
        seed: &Self::Key,
        name: &KeyRef,
    ) -> Result<Self::Key, TokenError>;
    /// Derives the next step of a node's key.
    fn ratchet(&mut self, scope: &Scope, key: &Self::Key) -> Result<Self::Key, TokenError>;
    /// Wraps the parent's key under the child's.
    fn wrap(
        &mut self,
        scope: &Scope,
        child: &Self::Key,
        parent: &Self::Key,
    ) -> Result<WrappedKey, TokenError>;
    /// Wraps a leaf key for a member: `Granted`, or `BadPublicKey`.
    fn grant(
        &mut self,
        scope: &Scope,
        leaf: &Self::Key,
        member: &[u8],
        transcript: &[u8],
    ) -> Result<Output, TokenError>;
    /// Confirms and signs a header: `Sealed`.
    fn seal(
        &mut self,
        scope: &Scope,
        root: &Self::Key,
        prefix: &[u8],
    ) -> Result<Output, TokenError>;
    /// Tells the push key of a root's epoch.
    fn push_key(&mut self, scope: &Scope, root: &Self::Key) -> Result<PushKey, TokenError>;
    /// Wraps a root's key under the token's escrow key.
    fn escrow(&mut self, scope: &Scope, root: &Self::Key) -> Result<WrappedKey, TokenError>;
    /// Signs the head of an audit trail: `HeadSigned`.
    fn sign_head(&mut self, scope: &Scope, head: &TrailHead) -> Result<Output, TokenError>;
    /// Destroys a key. What cannot be destroyed is the back end's to deal with.
    fn destroy(&mut self, key: Self::Key);
    /// The counts so far.
    fn usage(&mut self) -> &mut Usage;
}

/// Executes a batch with the keys that are held, and holds on to those that the next batches will want. What it is
/// answered with is put after the outputs that are there, whole only if nothing fails. `keys` is empty between batches: it is
/// the session's for the same reason for which all outputs of a call are one list, see [`Executed`](super::Executed).
pub(super) fn execute<V: Vault>(
    vault: &mut V,
    held: &mut Held<V::Key>,
    keys: &mut Keys<V::Key>,
    batch: &Batch,
    outputs: &mut Vec<Output>,
) -> Result<(), TokenError> {
    check(batch)?;
    let scope = Scope::of(batch);
    for idle in held.next_batch(&scope) {
        vault.destroy(idle);
    }
    keys.list(batch);
    let mut run = Run {
        scope,
        vault,
        held,
        seed: None,
        keys,
    };
    let executed = batch.operations.iter().try_for_each(|operation| {
        outputs.push(run.one(operation)?);
        Ok(())
    });
    run.finish(&executed);
    executed
}

/// One batch under way.
struct Run<'a, V: Vault> {
    scope: Scope,
    vault: &'a mut V,
    held: &'a mut Held<V::Key>,
    seed: Option<V::Key>,
    keys: &'a mut Keys<V::Key>,
}

impl<V: Vault> Run<'_, V> {
    fn one(&mut self, operation: &Operation) -> Result<Output, TokenError> {
        match operation {
            Operation::Wrap { .. } => {
                let [child, parent] = [self.ready()?, self.ready()?];
                let (child_key, parent_key) = (self.keys.get(child), self.keys.get(parent));
                let wrapped = self.vault.wrap(&self.scope, child_key, parent_key)?;
                self.used(child);
                self.used(parent);
                Ok(Output::Wrapped(wrapped))
            }
            Operation::Grant {
                member, transcript, ..
            } => {
                let leaf = self.ready()?;
                let key = self.keys.get(leaf);
                let output = self.vault.grant(&self.scope, key, member, transcript)?;
                self.used(leaf);
                Ok(output)
            }
            Operation::Seal { prefix, .. } => {
                let root = self.ready()?;
                let key = self.keys.get(root);
                let output = self.vault.seal(&self.scope, key, prefix)?;
                self.used(root);
                Ok(output)
            }
            Operation::PushKey { .. } => {
                let root = self.ready()?;
                let key = self.vault.push_key(&self.scope, self.keys.get(root))?;
                self.used(root);
                Ok(Output::PushKey(key))
            }
            Operation::Escrow { .. } => {
                let root = self.ready()?;
                let wrapped = self.vault.escrow(&self.scope, self.keys.get(root))?;
                self.used(root);
                Ok(Output::Escrowed(wrapped))
            }
            Operation::SignHead { head } => self.vault.sign_head(&self.scope, head),
        }
    }

    /// Sees to it that the next key that the operations name is there, by the cheapest way there is.
    fn ready(&mut self) -> Result<Place, TokenError> {
        let place = self.keys.next();
        if self.keys.is_there(place) {
            return Ok(place);
        }
        let name = self.keys.name(place);
        let (step, first) = match self.held.take_node(&self.scope, &name) {
            Some(taken) => {
                self.vault.usage().reused += 1;
                taken
            }
            None => self.derive(place)?,
        };
        let key = self.forward(first, step, name.step)?;
        self.keys.put(place, key);
        Ok(place)
    }

    /// A key of the same generation, and its step: ratcheted from one that is there, or the generation's first.
    fn derive(&mut self, place: Place) -> Result<(u16, V::Key), TokenError> {
        let Run {
            scope, vault, keys, ..
        } = self;
        if let Some((step, key)) = keys.earlier(place) {
            return Ok((step + 1, vault.ratchet(scope, key)?));
        }
        if self.seed.is_none() {
            let seed = match self.held.take_seed(scope) {
                Some(seed) => {
                    vault.usage().reused += 1;
                    seed
                }
                None => vault.seed(scope)?,
            };
            self.seed = Some(seed);
        }
        let seed = self.seed.as_ref().expect("it was just put there");
        Ok((0, vault.node(scope, seed, &keys.name(place))?))
    }

    /// Ratchets a key, destroying each step that is left behind.
    fn forward(&mut self, mut key: V::Key, from: u16, to: u16) -> Result<V::Key, TokenError> {
        for _ in from..to {
            let next = self.vault.ratchet(&self.scope, &key);
            self.vault.destroy(key);
            key = next?;
        }
        Ok(key)
    }

    /// Counts one use; after the last, the key is held or destroyed.
    fn used(&mut self, place: Place) {
        let Some(key) = self.keys.used(place) else {
            return;
        };
        let name = self.keys.name(place);
        if !self.held.wants(&name) {
            return self.vault.destroy(key);
        }
        for key in self.held.keep_node(self.scope, &name, key) {
            self.vault.destroy(key);
        }
    }

    fn finish(&mut self, executed: &Result<(), TokenError>) {
        let mut gone: Vec<V::Key> = self.keys.take_all().collect();
        match (self.seed.take(), executed) {
            (Some(seed), Ok(_)) => gone.extend(self.held.keep_seed(self.scope, seed)),
            (Some(seed), Err(_)) => gone.push(seed),
            (None, _) => {}
        }
        // A handle that the token no longer knows may be any of those that are held; and a token without memory needs
        // theirs more than it needs the time.
        let lost = |class| matches!(class, ErrorClass::LoginNeeded | ErrorClass::Retry);
        if executed.as_ref().is_err_and(|error| lost(error.class())) {
            gone.extend(self.held.clear());
        }
        for key in gone {
            self.vault.destroy(key);
        }
    }
}

#[cfg(test)]
mod tests;
