//! The vendor's library, the token in it, and logging in.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use cryptoki_sys::CKR_CRYPTOKI_NOT_INITIALIZED;

use super::error::{call, code};
use super::raw::Raw;
use crate::hsm::{Pin, TokenError};

/// Libraries that this process has loaded: PKCS#11 lets each be initialised once.
static LOADED: Mutex<Option<HashMap<PathBuf, Library>>> = Mutex::new(None);

/// A loaded and initialised library.
#[derive(Clone)]
pub(super) struct Library {
    pub(super) pkcs11: Pkcs11,
    pub(super) raw: Arc<Raw>,
    pub(super) shared: Arc<Shared>,
}

/// What the sessions of this process with one library know of each other.
#[derive(Default)]
pub(super) struct Shared {
    /// Rises with every change of a ring; a session that sees it looks everything up afresh.
    pub(super) rings: AtomicU64,
    /// Held while a ring is changed.
    pub(super) changing: Mutex<()>,
    /// Labels of the tokens that were swept and described: once a process.
    pub(super) seen: Mutex<HashSet<String>>,
}

/// A session that is logged in, and where it was opened.
pub(super) struct Opened {
    pub(super) session: Session,
    pub(super) slot: Slot,
    pub(super) library: Library,
}

fn load(path: &Path) -> Result<Library, TokenError> {
    let failed = |why: String| TokenError::Library {
        path: path.display().to_string(),
        why,
    };
    let real = path
        .canonicalize()
        .map_err(|error| failed(error.to_string()))?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = loaded.get_or_insert_default();
    if let Some(library) = loaded.get(&real) {
        return Ok(library.clone());
    }
    let pkcs11 = Pkcs11::new(&real).map_err(|error| failed(error.to_string()))?;
    initialise(&pkcs11).map_err(|error| failed(code(&error)))?;
    if let Ok(info) = pkcs11.get_library_info() {
        tracing::info!(
            path = %real.display(),
            description = info.library_description(),
            manufacturer = info.manufacturer_id(),
            "PKCS#11 library loaded"
        );
    }
    let library = Library {
        raw: Arc::new(Raw::new(&real).map_err(failed)?),
        shared: Arc::default(),
        pkcs11,
    };
    loaded.insert(real, library.clone());
    Ok(library)
}

fn initialise(pkcs11: &Pkcs11) -> Result<(), Error> {
    match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a session with the labelled token and logs in.
pub(super) fn open(path: &Path, label: &str, pin: &Pin, write: bool) -> Result<Opened, TokenError> {
    let library = load(path)?;
    let slot = match slot(&library.pkcs11, label) {
        // Somebody else in this process finalised it; it is as good as new once initialised again.
        Err(error) if error.return_value() == Some(CKR_CRYPTOKI_NOT_INITIALIZED) => {
            initialise(&library.pkcs11).map_err(call("initialise the library again"))?;
            slot(&library.pkcs11, label)?
        }
        found => found?,
    };
    let session = match write {
        true => library.pkcs11.open_rw_session(slot),
        false => library.pkcs11.open_ro_session(slot),
    };
    let session = session.map_err(call("open a session"))?;
    login(&library.pkcs11, slot, &session, pin)?;
    Ok(Opened {
        session,
        slot,
        library,
    })
}

impl Library {
    /// Whether this is the first session of this process with the token of that label.
    pub(super) fn first_of(&self, label: &str) -> bool {
        let mut seen = self
            .shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        seen.insert(label.to_owned())
    }

    /// A session that may change the token. Logins are the process's, so it needs no PIN where another session has logged in.
    pub(super) fn write(&self, slot: Slot) -> Result<Session, TokenError> {
        let session = self.pkcs11.open_rw_session(slot);
        session.map_err(call("open a session that may change the token"))
    }
}

fn slot(library: &Pkcs11, label: &str) -> Result<Slot, TokenError> {
    let slots = library
        .get_slots_with_initialized_token()
        .map_err(call("list the slots"))?;
    let mut labels = Vec::new();
    let mut matching = Vec::new();
    for slot in slots {
        // A slot whose token was just removed is no reason to overlook the others.
        let Ok(info) = library.get_token_info(slot) else {
            continue;
        };
        labels.push(info.label().to_owned());
        if info.label() == label {
            matching.push(slot);
        }
    }
    match matching[..] {
        [slot] => Ok(slot),
        _ => Err(TokenError::NoToken {
            label: label.to_owned(),
            found: match labels.is_empty() {
                true => "none".to_owned(),
                false => labels.join(", "),
            },
        }),
    }
}

fn login(library: &Pkcs11, slot: Slot, session: &Session, pin: &Pin) -> Result<(), TokenError> {
    let info = library
        .get_token_info(slot)
        .map_err(call("describe the token"))?;
    if info.user_pin_locked() {
        return Err(TokenError::PinLocked {
            state: "is locked".into(),
        });
    }
    // A service that is restarted again and again with a wrong PIN must not lock the token for everybody else.
    if info.user_pin_final_try() {
        return Err(TokenError::PinLocked {
            state: "has one try left".into(),
        });
    }
    let auth = AuthPin::new(pin.expose().into());
    match session.login(UserType::User, Some(&auth)) {
        // Logins are the process's: another session of it was first.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::PinLocked {
            state: "is locked".into(),
        }),
        Err(error) => match &error {
            Error::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired
                | RvError::UserPinNotInitialized,
                _,
            ) => Err(TokenError::PinRefused { code: code(&error) }),
            _ => Err(call("log in")(error)),
        },
    }
}
