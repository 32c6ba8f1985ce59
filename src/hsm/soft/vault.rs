//! What the software token does for a batch, counted as a PKCS#11 token's calls are.

use std::sync::Arc;

use super::Keys;
use crate::crypto::{self, Key};
use crate::group::ids::{KeyRef, Suite};
use crate::group::operations::{Output, PushKey, WrappedKey};
use crate::group::wire::TrailHead;
use crate::hsm::held::Scope;
use crate::hsm::work::Vault;
use crate::hsm::{TokenError, Usage};

/// One session's access to the keys.
pub(super) struct Bench {
    pub(super) keys: Arc<Keys>,
    /// The label of the key that roots are escrowed under.
    pub(super) escrow: Option<Arc<str>>,
    pub(super) usage: Usage,
}

impl Vault for Bench {
    type Key = Key;

    fn seed(&mut self, scope: &Scope) -> Result<Key, TokenError> {
        let seed = self.keys.seed(scope)?;
        self.usage.derivations += 1;
        Ok(seed)
    }

    fn node(&mut self, scope: &Scope, seed: &Key, name: &KeyRef) -> Result<Key, TokenError> {
        self.usage.derivations += 1;
        let first = KeyRef { step: 0, ..*name };
        Ok(crypto::node_key(scope.suite, seed, &scope.group, &first))
    }

    fn ratchet(&mut self, scope: &Scope, key: &Key) -> Result<Key, TokenError> {
        self.usage.ratchets += 1;
        Ok(crypto::ratchet(scope.suite, key))
    }

    fn wrap(&mut self, scope: &Scope, child: &Key, parent: &Key) -> Result<WrappedKey, TokenError> {
        if scope.suite == Suite::Two {
            // The key that a node wraps with.
            self.usage.derivations += 1;
        }
        self.usage.wraps += 1;
        Ok(crypto::wrap(scope.suite, child, parent))
    }

    fn grant(
        &mut self,
        scope: &Scope,
        leaf: &Key,
        member: &[u8],
        transcript: &[u8],
    ) -> Result<Output, TokenError> {
        let issuer = self.keys.issuer(scope.suite)?;
        let Ok((wrapped, encapsulated)) = issuer.grant(member, transcript, leaf) else {
            return Ok(Output::BadPublicKey);
        };
        // Suite 2 encapsulates besides, and joins the two secrets before it derives from them.
        let (agreements, derivations) = match scope.suite {
            Suite::One => (1, 1),
            Suite::Two => (2, 2),
        };
        self.usage.agreements += agreements;
        self.usage.derivations += derivations;
        self.usage.wraps += 1;
        Ok(Output::Granted {
            wrapped,
            encapsulated,
        })
    }

    fn seal(&mut self, scope: &Scope, root: &Key, prefix: &[u8]) -> Result<Output, TokenError> {
        let tag = crypto::confirmation_tag(scope.suite, root, prefix);
        self.usage.derivations += 1;
        self.usage.tags += 1;
        let issuer = self.keys.issuer(scope.suite)?;
        let signature = issuer.sign(&[prefix, &tag[..]].concat());
        self.usage.signatures += 1;
        Ok(Output::Sealed { tag, signature })
    }

    fn push_key(&mut self, scope: &Scope, root: &Key) -> Result<PushKey, TokenError> {
        self.usage.derivations += 1;
        self.usage.tags += 2;
        Ok(crypto::push_key(scope.suite, root))
    }

    fn escrow(&mut self, _: &Scope, root: &Key) -> Result<WrappedKey, TokenError> {
        let label = self.escrow.as_deref().ok_or(TokenError::NoEscrow)?;
        let wrapped = crypto::key_wrap(&self.keys.escrow_key(label)?, root);
        self.usage.wraps += 1;
        Ok(wrapped)
    }

    fn sign_head(&mut self, scope: &Scope, head: &TrailHead) -> Result<Output, TokenError> {
        let issuer = self.keys.issuer(scope.suite)?;
        let signature = issuer.sign(&head.signed(scope.suite));
        self.usage.signatures += 1;
        Ok(Output::HeadSigned(signature))
    }

    fn destroy(&mut self, key: Key) {
        // Erased as it is dropped.
        drop(key);
    }

    fn usage(&mut self) -> &mut Usage {
        &mut self.usage
    }
}
