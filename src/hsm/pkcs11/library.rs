//! The vendor's library, the token in it, and logging in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use super::error::{call, code};
use crate::hsm::{Pin, TokenError};

/// Libraries that this process has loaded: PKCS#11 lets each be initialised once.
static LOADED: Mutex<Option<HashMap<PathBuf, Pkcs11>>> = Mutex::new(None);

fn load(path: &Path) -> Result<Pkcs11, TokenError> {
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
    let library = Pkcs11::new(&real).map_err(|error| failed(error.to_string()))?;
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(failed(code(&error))),
    }
    if let Ok(info) = library.get_library_info() {
        tracing::info!(
            path = %real.display(),
            description = info.library_description(),
            manufacturer = info.manufacturer_id(),
            "PKCS#11 library loaded"
        );
    }
    loaded.insert(real, library.clone());
    Ok(library)
}

/// Opens a session with the labelled token and logs in.
pub(super) fn session(
    path: &Path,
    label: &str,
    pin: &Pin,
    write: bool,
) -> Result<Session, TokenError> {
    let library = load(path)?;
    let slot = slot(&library, label)?;
    let opened = match write {
        true => library.open_rw_session(slot),
        false => library.open_ro_session(slot),
    };
    let session = opened.map_err(call("open a session"))?;
    login(&library, slot, &session, pin)?;
    Ok(session)
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
        return Err(TokenError::PinLocked { state: "is locked" });
    }
    // A service that is restarted again and again with a wrong PIN must not lock the token for everybody else.
    if info.user_pin_final_try() {
        return Err(TokenError::PinLocked {
            state: "has one try left",
        });
    }
    let auth = AuthPin::new(pin.expose().into());
    match session.login(UserType::User, Some(&auth)) {
        // Logins are the process's: another session of it was first.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => {
            Err(TokenError::PinLocked { state: "is locked" })
        }
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
