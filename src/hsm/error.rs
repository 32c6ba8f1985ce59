//! What goes wrong with a token, and what that means for whoever waits for a batch.

use std::borrow::Cow;

use minicbor::{Decode, Encode};

use super::pin::PinError;
use crate::group::ids::Suite;

/// What to do about an error: the pool acts on it, nothing else needs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ErrorClass {
    /// Passing trouble: the same session may well succeed in a moment.
    #[n(0)]
    Retry,
    /// This session or device is in trouble; another one may succeed.
    #[n(1)]
    Elsewhere,
    /// The session or its login is gone: open a new one and try again.
    #[n(2)]
    LoginNeeded,
    /// Repeating it changes nothing: an operator has to act.
    #[n(3)]
    Fatal,
    /// The gateway asked for something that makes no sense.
    #[n(4)]
    OurBug,
}

/// Why a token cannot be opened, provisioned or did not execute a batch.
///
/// It crosses to the gateway from the process that the token is in, as CBOR, and means the same there.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum TokenError {
    /// There is no PIN to log in with.
    #[error(transparent)]
    #[n(0)]
    Pin(
        #[from]
        #[n(0)]
        PinError,
    ),
    /// The PIN is wrong. Nothing here tries the same PIN again, so that the token does not lock.
    #[error(
        "the token refused the PIN ({code}); it is not tried again, so that the token does not lock: correct the PIN and restart"
    )]
    #[n(1)]
    PinRefused {
        /// The return value, or what stands for it.
        #[n(0)]
        code: String,
    },
    /// The token would lock at the next wrong PIN, or has.
    #[error("the token's PIN {state}: unlock it with the vendor's tool, then restart")]
    #[n(2)]
    PinLocked {
        /// "is locked", "has one try left".
        #[n(0)]
        state: Cow<'static, str>,
    },
    /// A key that should be in the token is not.
    #[error(
        "the token has no key \"{label}\": restore it, or create it with `wardcast token provision` if there never was one"
    )]
    #[n(3)]
    MissingKey {
        /// The key's label.
        #[n(0)]
        label: String,
    },
    /// The token cannot do what a suite needs, or has no keys for it.
    #[error("the token does not have suite {}: {why}", suite.number())]
    #[n(16)]
    NoSuite {
        /// The suite that was asked for.
        #[n(0)]
        suite: Suite,
        /// What is missing, and what to do about it if something can be done.
        #[n(1)]
        why: String,
    },
    /// Two keys have one label.
    #[error("the token has {count} keys \"{label}\": remove all but the right one")]
    #[n(4)]
    AmbiguousKey {
        /// The shared label.
        #[n(0)]
        label: String,
        /// How many there are.
        #[n(1)]
        count: usize,
    },
    /// A key that must not leave the token could.
    #[error("the key \"{label}\" {why}: replace it, or let `wardcast token provision` create it")]
    #[n(5)]
    UnsafeKey {
        /// The key's label.
        #[n(0)]
        label: String,
        /// What is wrong with it.
        #[n(1)]
        why: Cow<'static, str>,
    },
    /// No token, or more than one, has the label that the configuration names.
    #[error(
        "no token is labelled \"{label}\" (found: {found}): initialise one with the vendor's tool, or correct the label"
    )]
    #[n(6)]
    NoToken {
        /// The label looked for.
        #[n(0)]
        label: String,
        /// The labels there are.
        #[n(1)]
        found: String,
    },
    /// The vendor's library cannot be used.
    #[error("PKCS#11 library {path}: {why}")]
    #[n(7)]
    Library {
        /// Its path.
        #[n(0)]
        path: String,
        /// What the loader or the library said.
        #[n(1)]
        why: String,
    },
    /// A soft token's file cannot be read or written, or is none.
    #[error("soft token {path}: {why}")]
    #[n(8)]
    File {
        /// Its path.
        #[n(0)]
        path: String,
        /// What is wrong.
        #[n(1)]
        why: String,
    },
    /// A call into the token failed.
    #[error("the token failed to {operation}: {code}")]
    #[n(9)]
    Call {
        /// What that means for the caller.
        #[n(0)]
        class: ErrorClass,
        /// What was to be done.
        #[n(1)]
        operation: Cow<'static, str>,
        /// The function and its return value, such as `C_DeriveKey: CKR_DEVICE_ERROR`.
        #[n(2)]
        code: String,
        /// The return value (`CK_RV`) as a number, where the token gave one.
        #[n(3)]
        value: Option<u64>,
    },
    /// The batch asks for something that no plan contains.
    #[error("a batch was refused before it reached the token: {0}")]
    #[n(10)]
    BadBatch(#[n(0)] Cow<'static, str>),
    /// A session was opened whose public keys are not those of the first one.
    #[error(
        "the token's agreement or signing key is not the one that this gateway started with: restart it if that was meant"
    )]
    #[n(11)]
    IssuerChanged,
    /// The back end panicked; its session was thrown away.
    #[error("the token's back end panicked; its session is opened afresh")]
    #[n(12)]
    Panicked,
    /// The token host, the process that the token is in, does not answer as it should.
    #[error("the token host at {socket} is of no use: {why}")]
    #[n(13)]
    Host {
        /// What that means for the caller.
        #[n(0)]
        class: ErrorClass,
        /// The socket that it listens on.
        #[n(1)]
        socket: String,
        /// What is wrong.
        #[n(2)]
        why: String,
    },
    /// The token lacks a mechanism that every suite needs.
    #[n(14)]
    #[error(
        "token \"{token}\" does not have {mechanism}, which suite 1 needs: enable it with the vendor's tool (or its firmware or mode does not have it: use another token)"
    )]
    NoMechanism {
        /// The token's label.
        #[n(0)]
        token: String,
        /// The mechanism's name in the standard.
        #[n(1)]
        mechanism: String,
    },
    /// No key is named to escrow others under.
    #[n(17)]
    #[error("nothing can be escrowed: set token.escrow_label to the label of the key for that")]
    NoEscrow,
    /// A key would take another one's place.
    #[n(18)]
    #[error(
        "the token has a key \"{label}\" already, and none is ever overwritten: remove it with the vendor's tool if it is not in use, or set token.escrow_label to another label"
    )]
    KeyExists {
        /// The label of both.
        #[n(0)]
        label: String,
    },
    /// Tokens that should hold the same keys do not.
    #[error(
        "{token} {why}: clone the keys with the vendor's tool, or initialise all these tokens anew and provision them together"
    )]
    #[n(15)]
    KeysApart {
        /// The token that differs.
        #[n(0)]
        token: String,
        /// How.
        #[n(1)]
        why: String,
    },
}

impl TokenError {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            TokenError::Call { class, .. } | TokenError::Host { class, .. } => *class,
            TokenError::BadBatch(_) | TokenError::Panicked => ErrorClass::OurBug,
            // Another token of the domain may have that master already.
            TokenError::MissingKey { .. } | TokenError::NoSuite { .. } => ErrorClass::Elsewhere,
            _ => ErrorClass::Fatal,
        }
    }

    /// What the token returned (`CK_RV`), if a call into it failed.
    pub fn return_value(&self) -> Option<u64> {
        match self {
            TokenError::Call { value, .. } => *value,
            _ => None,
        }
    }

    /// Whether trying again would cost one of the tries that the token allows.
    pub fn refuses_pin(&self) -> bool {
        matches!(
            self,
            TokenError::PinRefused { .. } | TokenError::PinLocked { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of every kind; a new kind does not compile until it is here.
    fn all() -> Vec<TokenError> {
        let label = || "wardcast master 1".to_owned();
        let all = vec![
            TokenError::Pin(PinError::Unusable {
                from: "PIN file pin".to_owned(),
                why: "is empty".into(),
            }),
            TokenError::PinRefused { code: label() },
            TokenError::PinLocked {
                state: "is locked".into(),
            },
            TokenError::MissingKey { label: label() },
            TokenError::AmbiguousKey {
                label: label(),
                count: 2,
            },
            TokenError::UnsafeKey {
                label: label(),
                why: "is not sensitive".into(),
            },
            TokenError::NoToken {
                label: label(),
                found: "none".to_owned(),
            },
            TokenError::Library {
                path: "lib.so".to_owned(),
                why: "is missing".to_owned(),
            },
            TokenError::File {
                path: "token".to_owned(),
                why: "is missing".to_owned(),
            },
            TokenError::Call {
                class: ErrorClass::Elsewhere,
                operation: "wrap a key".into(),
                code: "C_WrapKey: CKR_DEVICE_ERROR".to_owned(),
                value: Some(u64::MAX),
            },
            TokenError::BadBatch("a node above the tallest tree".into()),
            TokenError::IssuerChanged,
            TokenError::Panicked,
            TokenError::Host {
                class: ErrorClass::LoginNeeded,
                socket: "host.sock".to_owned(),
                why: "the connection was closed".to_owned(),
            },
            TokenError::NoMechanism {
                token: label(),
                mechanism: "CKM_AES_CMAC".to_owned(),
            },
            TokenError::KeysApart {
                token: label(),
                why: "has other keys".to_owned(),
            },
            TokenError::NoSuite {
                suite: Suite::Two,
                why: "no CKM_ML_KEM".to_owned(),
            },
            TokenError::NoEscrow,
            TokenError::KeyExists { label: label() },
        ];
        all.iter().for_each(known);
        all
    }

    /// Does not compile without an arm for every kind.
    fn known(error: &TokenError) {
        match error {
            TokenError::Pin(_)
            | TokenError::PinRefused { .. }
            | TokenError::PinLocked { .. }
            | TokenError::MissingKey { .. }
            | TokenError::AmbiguousKey { .. }
            | TokenError::UnsafeKey { .. }
            | TokenError::NoToken { .. }
            | TokenError::Library { .. }
            | TokenError::File { .. }
            | TokenError::Call { .. }
            | TokenError::BadBatch(_)
            | TokenError::IssuerChanged
            | TokenError::Panicked
            | TokenError::Host { .. }
            | TokenError::NoMechanism { .. }
            | TokenError::KeysApart { .. }
            | TokenError::NoSuite { .. }
            | TokenError::NoEscrow
            | TokenError::KeyExists { .. } => {}
        }
    }

    #[test]
    fn every_error_is_the_same_on_the_other_side() {
        for error in all() {
            let bytes = minicbor::to_vec(&error).expect("encodes");
            let read: TokenError = minicbor::decode(&bytes).expect("decodes");
            assert_eq!(read, error);
            assert_eq!(read.class(), error.class());
        }
    }
}
