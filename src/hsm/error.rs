//! What goes wrong with a token, and what that means for whoever waits for a batch.

use super::pin::PinError;

/// What to do about an error: the pool acts on it, nothing else needs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Passing trouble: the same session may well succeed in a moment.
    Retry,
    /// This session or device is in trouble; another one may succeed.
    Elsewhere,
    /// The session or its login is gone: open a new one and try again.
    LoginNeeded,
    /// Repeating it changes nothing: an operator has to act.
    Fatal,
    /// The gateway asked for something that makes no sense.
    OurBug,
}

/// Why a token cannot be opened, provisioned or did not execute a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no PIN to log in with.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The PIN is wrong. Nothing here tries the same PIN again, so that the token does not lock.
    #[error(
        "the token refused the PIN ({code}); it is not tried again, so that the token does not lock: correct the PIN and restart"
    )]
    PinRefused {
        /// The return value, or what stands for it.
        code: String,
    },
    /// The token would lock at the next wrong PIN, or has.
    #[error("the token's PIN {state}: unlock it with the vendor's tool, then restart")]
    PinLocked {
        /// "is locked", "has one try left".
        state: &'static str,
    },
    /// A key that should be in the token is not.
    #[error(
        "the token has no key \"{label}\": restore it, or create it with `wardcast token provision` if there never was one"
    )]
    MissingKey {
        /// The key's label.
        label: String,
    },
    /// Two keys have one label.
    #[error("the token has {count} keys \"{label}\": remove all but the right one")]
    AmbiguousKey {
        /// The shared label.
        label: String,
        /// How many there are.
        count: usize,
    },
    /// A key that must not leave the token could.
    #[error("the key \"{label}\" {why}: replace it, or let `wardcast token provision` create it")]
    UnsafeKey {
        /// The key's label.
        label: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No token, or more than one, has the label that the configuration names.
    #[error(
        "no token is labelled \"{label}\" (found: {found}): initialise one with the vendor's tool, or correct the label"
    )]
    NoToken {
        /// The label looked for.
        label: String,
        /// The labels there are.
        found: String,
    },
    /// The vendor's library cannot be used.
    #[error("PKCS#11 library {path}: {why}")]
    Library {
        /// Its path.
        path: String,
        /// What the loader or the library said.
        why: String,
    },
    /// A soft token's file cannot be read or written, or is none.
    #[error("soft token {path}: {why}")]
    File {
        /// Its path.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A call into the token failed.
    #[error("the token failed to {operation}: {code}")]
    Call {
        /// What that means for the caller.
        class: ErrorClass,
        /// What was to be done.
        operation: &'static str,
        /// The function and its return value, such as `C_DeriveKey: CKR_DEVICE_ERROR`.
        code: String,
    },
    /// The batch asks for something that no plan contains.
    #[error("a batch was refused before it reached the token: {0}")]
    BadBatch(&'static str),
    /// A session was opened whose public keys are not those of the first one.
    #[error(
        "the token's agreement or signing key is not the one that this gateway started with: restart it if that was meant"
    )]
    IssuerChanged,
    /// The back end panicked; its session was thrown away.
    #[error("the token's back end panicked; its session is opened afresh")]
    Panicked,
}

impl TokenError {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            TokenError::Call { class, .. } => *class,
            TokenError::BadBatch(_) | TokenError::Panicked => ErrorClass::OurBug,
            // Another token of the domain may have that master already.
            TokenError::MissingKey { .. } => ErrorClass::Elsewhere,
            _ => ErrorClass::Fatal,
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
