//! PKCS#11: the same operations inside a token; this file and those below it alone name `cryptoki`.
//!
//! Keys derived for a batch are session objects: sensitive, destroyed as soon as nothing needs them, on the error paths too.
//! The keys of upper nodes and the seeds outlive their batch, up to a bound: `hsm::held` says which. Only node keys are
//! extractable, because a wrap is an extraction under another key; seeds, keks and confirmation keys are not.
//! Whatever a token left behind in spite of that goes when its session closes, which is the first thing that
//! happens after a key could not be destroyed. What a crash leaves behind is swept up by the next process: their labels say whose
//! they were.

mod error;
mod hygiene;
mod library;
mod objects;
mod probe;
mod provision;
mod raw;
mod ring;
mod suite2;
mod values;
mod vault;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::object::ObjectHandle;
use cryptoki::slot::Slot;

use library::{Library, Opened};
use vault::{Desk, EscrowKey, Templates};

pub(super) use provision::{complete, existing, has_suite_2, import, provision, provision_escrow};

use super::held::Held;
use super::work::{self, Keys, Vault};
use super::{AGREEMENT, SIGNING};
use super::{ErrorClass, Executed, Opener, Pin, Profile, RingChange, Token, TokenError, Usage};
use crate::group::ids::{MasterId, Suite};
use crate::group::operations::{Batch, Issuers, Output};

/// A session that has executed this many batches looks whether its masters are still there: a process on another machine
/// may have destroyed one, and what was derived from it has to go too.
const BATCHES_BETWEEN_LOOKS: u32 = 256;

/// Opens sessions, with the first master and the label of the escrow key. Once the token has refused the PIN it is not tried
/// again, whoever asks.
pub(super) fn opener(
    library: &Path,
    label: &str,
    pin: Pin,
    (master, escrow): (MasterId, Option<String>),
) -> Opener {
    let (path, label) = (library.to_owned(), label.to_owned());
    let refused: Mutex<Option<TokenError>> = Mutex::new(None);
    Arc::new(move || {
        // One at a time: of several workers with a wrong PIN, one tries it.
        let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &*refused {
            return Err(error.clone());
        }
        let opened = library::open(&path, &label, &pin, false)
            .and_then(|opened| Pkcs11Token::new(opened, &label, master, escrow.clone()));
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
    desk: Desk,
    held: Held<ObjectHandle>,
    keys: Keys<ObjectHandle>,
    profile: Profile,
    library: Library,
    slot: Slot,
    /// The state of the library's rings that this session knows.
    rings: u64,
    /// Batches since it last looked for its masters.
    batches: u32,
}

impl Pkcs11Token {
    fn new(
        opened: Opened,
        label: &str,
        master: MasterId,
        escrow: Option<String>,
    ) -> Result<Self, TokenError> {
        let Opened {
            session,
            slot,
            library,
        } = opened;
        let rings = library.shared.rings.load(Ordering::Acquire);
        let probed = probe::probe(&library, slot, label)?;
        let lacking = probe::lacking(&library, slot, &probe::WANTED)?;
        let two = suite2::find(&session, &lacking)?;
        if library.first_of(label) {
            if let Err(why) = &two {
                tracing::info!(token = label, %why, "the token does not have suite 2");
            }
            tracing::info!(token = label, description = probed.description, mechanisms = ?probed.mechanisms, "token probed");
            hygiene::sweep(&library, slot);
        }
        let profile = Profile {
            issuers: Issuers {
                one: objects::issuer(&session)?,
                two: two.as_ref().ok().map(|found| found.issuer.clone()),
            },
            masters: ring::masters(&session)?,
            description: probed.description,
            mechanisms: probed.mechanisms,
        };
        let mut desk = Desk {
            agreement: objects::private_key(&session, AGREEMENT)?,
            signing: objects::private_key(&session, SIGNING)?,
            two: two.map(|found| found.pairs),
            raw: library.raw.clone(),
            session,
            masters: HashMap::new(),
            escrow: EscrowKey {
                label: escrow,
                found: None,
            },
            templates: Templates::default(),
            worn: false,
            usage: Usage::default(),
        };
        // Which one it was provisioned with may be gone: masters are rotated.
        let newest = profile.masters.last().copied().unwrap_or(master);
        desk.master(Suite::One, newest)?;
        Ok(Pkcs11Token {
            desk,
            held: Held::new(),
            keys: Keys::default(),
            profile,
            library,
            slot,
            rings,
            batches: 0,
        })
    }
}

impl Token for Pkcs11Token {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn execute(&mut self, batches: &[Batch]) -> Executed {
        self.desk.usage = Usage::default();
        let mut executed = Executed::for_batches(batches);
        for batch in batches {
            executed.next(|outputs| self.batch(batch, outputs));
        }
        executed.usage = self.desk.usage;
        executed
    }

    fn ring(&mut self, change: RingChange) -> Result<Vec<MasterId>, TokenError> {
        if change != RingChange::List {
            ring::change(&self.library, self.slot, change)?;
        }
        self.see_ring()?;
        Ok(self.profile.masters.clone())
    }
}

impl Pkcs11Token {
    fn batch(&mut self, batch: &Batch, outputs: &mut Vec<Output>) -> Result<(), TokenError> {
        let rings = self.library.shared.rings.load(Ordering::Acquire);
        if rings != self.rings || self.lost_a_master() {
            self.see_ring()?;
        }
        if self.desk.worn {
            return Err(TokenError::Call {
                class: ErrorClass::LoginNeeded,
                operation: "destroy the keys of an earlier batch".into(),
                code: "the session is closed instead".to_owned(),
                value: None,
            });
        }
        self.desk.has(batch.suite)?;
        let Self {
            desk, held, keys, ..
        } = self;
        work::execute(desk, held, keys, batch, outputs)
    }

    /// Whether it is time to look, and a master that this session knows is gone.
    fn lost_a_master(&mut self) -> bool {
        self.batches += 1;
        if self.batches < BATCHES_BETWEEN_LOOKS {
            return false;
        }
        self.batches = 0;
        let mut masters = self.desk.masters.values();
        masters.any(|master| !self.desk.knows(*master))
    }

    /// Looks the masters up afresh and lets go of everything that was derived from those that there were.
    fn see_ring(&mut self) -> Result<(), TokenError> {
        let rings = self.library.shared.rings.load(Ordering::Acquire);
        self.desk.masters.clear();
        self.desk.escrow.found = None;
        self.desk.templates = Templates::default();
        for key in self.held.clear() {
            // Whoever destroyed the master may have destroyed what was derived from it as well.
            if self.desk.knows(key) {
                self.desk.destroy(key);
            }
        }
        self.profile.masters = ring::masters(&self.desk.session)?;
        self.rings = rings;
        Ok(())
    }
}

impl Drop for Pkcs11Token {
    fn drop(&mut self) {
        // Closing the session destroys them too; but not every token does that at once, and some not at all.
        for key in self.held.clear() {
            self.desk.destroy(key);
        }
    }
}

#[cfg(test)]
mod tests;
