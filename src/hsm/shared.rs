//! Several tokens with the same keys: made once, put into each, so that each can stand in for the others.

use super::{
    AGREEMENT, Pin, Provisioned, SIGNING, TokenConfig, TokenError, TokenKind, master_label,
    not_here, open, pkcs11, soft, suite_label,
};
use crate::crypto::{AgreementKey, IssuerSecrets, Key, random};
use crate::group::ids::{GroupId, GroupNonce, KeyRef, NodeId, Suite};
use crate::group::operations::{Batch, Operation, Output, PublicKey};
use crate::group::request::Requests;

/// What the tokens share. Erased on drop.
pub(super) struct SharedKeys {
    pub(super) one: SuiteKeys,
    /// Where all of the tokens have suite 2: what one cannot do, the others must not, or they could not stand in for it.
    pub(super) two: Option<SuiteKeys>,
}

/// The keys of one suite.
pub(super) struct SuiteKeys {
    pub(super) master: Key,
    pub(super) issuer: IssuerSecrets,
}

impl SharedKeys {
    pub(super) fn generate(with_suite_2: bool) -> Self {
        let keys = |suite| SuiteKeys {
            master: Key::generate(),
            issuer: IssuerSecrets::generate(suite),
        };
        SharedKeys {
            one: keys(Suite::One),
            two: with_suite_2.then(|| keys(Suite::Two)),
        }
    }

    pub(super) fn agreement_public(&self) -> PublicKey {
        public(&self.one.issuer.agreement)
    }

    pub(super) fn signing_public(&self) -> PublicKey {
        public(&self.one.issuer.signing)
    }
}

fn public(scalar: &[u8; 32]) -> PublicKey {
    AgreementKey::from_scalar(scalar)
        .expect("it was generated as a scalar")
        .public()
}

/// Provisions several tokens with the same keys, or finds that they have the same keys already.
///
/// The keys are made in this process's memory, imported into every token as sensitive and not extractable, and erased. That
/// is a trade-off: for the time of the ceremony they are outside a token (`CKA_LOCAL` is false ever after), so run it on a
/// machine and at a moment that you trust. A token in FIPS mode may refuse to import a key in the clear: clone it
/// with the vendor's tool instead, which never shows the keys; the gateway cannot tell the difference.
///
/// Where none of them has any, the keys are made and put into each. Where all of them have all, they must be the same.
///
/// # Errors
/// [`TokenError::KeysApart`] where some have keys that others lack, or other keys: the ceremony never overwrites a key. If
/// a token fails half-way, those before it have the keys: initialise them anew and begin again. Blocks.
pub fn provision_shared(configs: &[TokenConfig]) -> Result<Vec<Provisioned>, TokenError> {
    let pins = configs.iter().map(|config| config.pin.read());
    let pins: Vec<Pin> = pins.collect::<Result<_, _>>()?;
    let tokens: Vec<(&TokenConfig, &Pin)> = configs.iter().zip(&pins).collect();
    let found = tokens.iter().map(|(config, pin)| existing(config, pin));
    let found: Vec<Vec<String>> = found.collect::<Result<_, _>>()?;
    let provisioned = if found.iter().all(Vec::is_empty) {
        let able = tokens.iter().map(|(config, pin)| has_suite_2(config, pin));
        let able: Vec<bool> = able.collect::<Result<_, _>>()?;
        let keys = SharedKeys::generate(able.into_iter().all(|able| able));
        let imported = tokens
            .iter()
            .map(|(config, pin)| import(config, pin, &keys));
        imported.collect::<Result<Vec<_>, _>>()?
    } else {
        let second = suite_label(Suite::Two, AGREEMENT);
        let with_suite_2 = found.iter().any(|labels| labels.contains(&second));
        for (config, labels) in configs.iter().zip(&found) {
            let needed = |suite| {
                let master = master_label(config.master);
                let labels = [master.as_str(), AGREEMENT, SIGNING];
                labels.map(|label| suite_label(suite, label)).into_iter()
            };
            let second = with_suite_2.then(|| needed(Suite::Two));
            let mut needed = needed(Suite::One).chain(second.into_iter().flatten());
            if let Some(label) = needed.find(|label| !labels.contains(label)) {
                return Err(TokenError::KeysApart {
                    token: config.kind.to_string(),
                    why: format!(
                        "has no key \"{label}\", but some of the keys of the others exist"
                    ),
                });
            }
        }
        let complete = tokens.iter().map(|(config, pin)| complete(config, pin));
        complete.collect::<Result<Vec<_>, _>>()?
    };
    same(configs)?;
    Ok(provisioned)
}

fn existing(config: &TokenConfig, pin: &Pin) -> Result<Vec<String>, TokenError> {
    match &config.kind {
        TokenKind::Soft { path } => soft::existing(path, pin, config.master),
        TokenKind::Pkcs11 {
            module,
            token_label,
        } => pkcs11::existing(module, token_label, pin, config.master),
        TokenKind::Host { socket, .. } => Err(not_here(socket)),
    }
}

fn import(config: &TokenConfig, pin: &Pin, keys: &SharedKeys) -> Result<Provisioned, TokenError> {
    match &config.kind {
        TokenKind::Soft { path } => soft::import(path, pin, config.master, keys),
        TokenKind::Pkcs11 {
            module,
            token_label,
        } => pkcs11::import(module, token_label, pin, config.master, keys),
        TokenKind::Host { socket, .. } => Err(not_here(socket)),
    }
}

/// Creates nothing, for everything is there, and says what it found.
fn complete(config: &TokenConfig, pin: &Pin) -> Result<Provisioned, TokenError> {
    match &config.kind {
        TokenKind::Soft { path } => soft::complete(path, pin),
        TokenKind::Pkcs11 {
            module,
            token_label,
        } => pkcs11::complete(module, token_label, pin, config.master),
        TokenKind::Host { socket, .. } => Err(not_here(socket)),
    }
}

fn has_suite_2(config: &TokenConfig, pin: &Pin) -> Result<bool, TokenError> {
    match &config.kind {
        TokenKind::Soft { .. } => Ok(true),
        TokenKind::Pkcs11 {
            module,
            token_label,
        } => pkcs11::has_suite_2(module, token_label, pin),
        TokenKind::Host { socket, .. } => Err(not_here(socket)),
    }
}

/// Refuses tokens that do not answer the same batch alike.
fn same(configs: &[TokenConfig]) -> Result<(), TokenError> {
    let key = |level| KeyRef {
        node: NodeId { level, index: 0 },
        generation: 1,
        step: 0,
    };
    let (group, nonce) = (GroupId(random()), GroupNonce(random()));
    let mut first: Option<(Vec<Output>, _)> = None;
    for config in configs {
        let mut token = open(config)?()?;
        let issuers = token.profile().issuers.clone();
        let mut outputs = Vec::new();
        for suite in Suite::ALL {
            if issuers.of(suite).is_none() {
                continue;
            }
            outputs.extend(token.execute_one(&Batch {
                suite,
                group,
                master: config.master,
                nonce,
                requests: Requests::default(),
                operations: vec![Operation::Wrap {
                    child: key(0),
                    parent: key(1),
                }],
            })?);
        }
        let answer = (outputs, issuers);
        if first.get_or_insert_with(|| answer.clone()) != &answer {
            return Err(TokenError::KeysApart {
                token: config.kind.to_string(),
                why: "has other keys than the first one".to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
