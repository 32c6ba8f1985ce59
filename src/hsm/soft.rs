//! The software token: the same operations with keys in this process's memory. Not an HSM.
//!
//! Its keys rest in a file that is sealed under the PIN, are erased from memory when the token closes, and are never logged.
//! What it cannot do is keep them from whoever reads this process's memory.
//!
//! The sessions of a process with one file share its masters: what one of them adds or destroys is so for all at once. A
//! session that is idle meanwhile lets go of what it derived from them at its next batch.

mod contents;
mod file;
mod vault;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};

use contents::{Contents, SuiteKeys};
use vault::Bench;

use super::held::{Held, Scope};
use super::shared::SharedKeys;
use super::{
    AGREEMENT, Executed, Opener, Pin, Profile, Provisioned, RingChange, SIGNING, Token, TokenError,
    Usage, master_label, shared, suite_label, work,
};
use crate::crypto::{self, IssuerKeys, IssuerSecrets, Key};
use crate::group::ids::{MasterId, Suite};
use crate::group::operations::{Batch, Issuers, Output};

/// The open files of this process.
static OPEN: Mutex<Vec<Weak<Keys>>> = Mutex::new(Vec::new());

/// The masters of both suites; a file of version 1 has none of suite 2.
type Masters = HashMap<(Suite, MasterId), Key>;

/// The escrow keys by label.
type EscrowKeys = HashMap<String, Key>;

/// The opened keys; every session shares them.
struct Keys {
    path: PathBuf,
    pin: Pin,
    masters: RwLock<Masters>,
    escrow: RwLock<EscrowKeys>,
    one: IssuerKeys,
    /// A file of version 1 has none.
    two: Option<IssuerKeys>,
    /// Rises with every change of the masters.
    rings: AtomicU64,
    /// Held while the file is changed.
    changing: Mutex<()>,
}

impl Keys {
    fn new(path: &Path, pin: &Pin, contents: Contents) -> Result<Self, TokenError> {
        let issuer = |suite, keys: &SuiteKeys| {
            IssuerKeys::new(suite, &keys.issuer)
                .map_err(|_| file::at(path, "holds a key that is none: restore it from a backup"))
        };
        let two = contents.two.as_ref().map(|two| issuer(Suite::Two, two));
        Ok(Keys {
            path: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            pin: pin.clone(),
            one: issuer(Suite::One, &contents.one)?,
            two: two.transpose()?,
            masters: RwLock::new(contents.masters()),
            escrow: RwLock::new(contents.escrow_keys()),
            rings: AtomicU64::new(0),
            changing: Mutex::new(()),
        })
    }

    /// The keys as this process shares them: those of a file that it has open already are brought up to date.
    fn shared(self) -> Arc<Self> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|keys| keys.strong_count() > 0);
        let before = open.iter().filter_map(Weak::upgrade).find(|keys| {
            // A file that was made anew in the same place is another token.
            keys.path == self.path && keys.issuers() == self.issuers()
        });
        if let Some(before) = before {
            let masters = self.masters.into_inner();
            before.replace(masters.unwrap_or_else(PoisonError::into_inner));
            let escrow = self.escrow.into_inner();
            let mut current = before
                .escrow
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            *current = escrow.unwrap_or_else(PoisonError::into_inner);
            drop(current);
            return before;
        }
        let keys = Arc::new(self);
        open.push(Arc::downgrade(&keys));
        keys
    }

    fn replace(&self, masters: Masters) {
        let mut current = self.masters.write().unwrap_or_else(PoisonError::into_inner);
        if *current != masters {
            *current = masters;
            self.rings.fetch_add(1, Ordering::Release);
        }
    }

    fn masters(&self) -> RwLockReadGuard<'_, Masters> {
        self.masters.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) -> Vec<MasterId> {
        let masters = self.masters();
        let of_suite_1 = masters.keys().filter(|(suite, _)| *suite == Suite::One);
        let mut ring: Vec<MasterId> = of_suite_1.map(|(_, id)| *id).collect();
        ring.sort_unstable();
        ring
    }

    fn issuers(&self) -> Issuers {
        Issuers {
            one: self.one.public(),
            two: self.two.as_ref().map(IssuerKeys::public),
        }
    }

    fn issuer(&self, suite: Suite) -> Result<&IssuerKeys, TokenError> {
        let issuer = match suite {
            Suite::One => Some(&self.one),
            Suite::Two => self.two.as_ref(),
        };
        issuer.ok_or_else(|| TokenError::NoSuite {
            suite,
            why: "its file has no keys of it: run `wardcast token provision`".to_owned(),
        })
    }

    fn escrow_key(&self, label: &str) -> Result<Key, TokenError> {
        let keys = self.escrow.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(label).cloned();
        key.ok_or_else(|| TokenError::MissingKey {
            label: label.to_owned(),
        })
    }

    fn seed(&self, scope: &Scope) -> Result<Key, TokenError> {
        let masters = self.masters();
        let master = masters.get(&(scope.suite, scope.master));
        let master = master.ok_or_else(|| TokenError::MissingKey {
            label: suite_label(scope.suite, &master_label(scope.master)),
        })?;
        Ok(crypto::seed(scope.suite, master, &scope.nonce()))
    }

    fn profile(&self) -> Profile {
        Profile {
            issuers: self.issuers(),
            masters: self.ring(),
            description: "software token, not an HSM".to_owned(),
            mechanisms: Vec::new(),
        }
    }

    /// Changes the file, then what the sessions share. The file is read afresh: another process may have changed it.
    fn change(&self, change: RingChange) -> Result<(), TokenError> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let _nobody_else = file::lock(&self.path, file::BRIEF)?;
        let mut contents = read(&self.path, &self.pin)?;
        let before = contents.ring();
        match change {
            RingChange::List => {}
            RingChange::Create(id) => {
                add(&mut contents, id);
            }
            RingChange::Destroy(id) => contents.destroy(id),
        }
        if contents.ring() != before {
            file::replace(&self.path, &contents, &self.pin)?;
        }
        self.replace(contents.masters());
        Ok(())
    }
}

/// One session of the software token.
struct SoftToken {
    bench: Bench,
    held: Held<Key>,
    keys: work::Keys<Key>,
    profile: Profile,
    /// The state of the ring that this session knows.
    rings: u64,
}

impl SoftToken {
    fn new(keys: Arc<Keys>, escrow: Option<Arc<str>>) -> Self {
        SoftToken {
            rings: keys.rings.load(Ordering::Acquire),
            profile: keys.profile(),
            bench: Bench {
                keys,
                escrow,
                usage: Usage::default(),
            },
            held: Held::new(),
            keys: work::Keys::default(),
        }
    }
}

/// Opens the file once; the sessions share what was in it.
pub(super) fn opener(
    path: &Path,
    pin: &Pin,
    master: MasterId,
    escrow: Option<&str>,
) -> Result<Opener, TokenError> {
    let escrow: Option<Arc<str>> = escrow.map(Arc::from);
    let keys = Keys::new(path, pin, read(path, pin)?)?.shared();
    // Which one it was provisioned with may be gone: masters are rotated.
    if keys.masters().is_empty() {
        return Err(TokenError::MissingKey {
            label: master_label(master),
        });
    }
    tracing::warn!(
        path = %path.display(),
        "software token: this is not an HSM, its keys are in this process's memory"
    );
    Ok(Arc::new(move || {
        Ok(Box::new(SoftToken::new(keys.clone(), escrow.clone())))
    }))
}

fn read(path: &Path, pin: &Pin) -> Result<Contents, TokenError> {
    file::read(path, pin)?.ok_or_else(|| {
        file::at(
            path,
            "does not exist: create it with `wardcast token provision`",
        )
    })
}

/// Creates the file, or adds to it what is missing.
pub(super) fn provision(
    path: &Path,
    pin: &Pin,
    master: MasterId,
) -> Result<Provisioned, TokenError> {
    let _nobody_else = file::lock(path, file::PATIENCE)?;
    let Some(mut contents) = file::read(path, pin)? else {
        return import(path, pin, master, &SharedKeys::generate(true));
    };
    let mut created = Vec::new();
    if contents.two.is_none() {
        // Suite 2 came later: every master that there is gets its other half.
        contents.two = Some(SuiteKeys {
            issuer: IssuerSecrets::generate(Suite::Two),
            masters: Vec::new(),
        });
        created.extend([AGREEMENT, SIGNING].map(|label| suite_label(Suite::Two, label)));
    }
    for id in contents.ring().into_iter().chain([master]) {
        created.extend(add(&mut contents, id));
    }
    if !created.is_empty() {
        file::replace(path, &contents, pin)?;
    }
    provisioned(path, pin, contents, created)
}

/// Adds an escrow key, a fresh one if none is given. Answers with whether there was none of that label.
pub(super) fn provision_escrow(
    path: &Path,
    pin: &Pin,
    label: &str,
    key: Option<&Key>,
) -> Result<bool, TokenError> {
    let _nobody_else = file::lock(path, file::PATIENCE)?;
    let mut contents = read(path, pin)?;
    let known = contents.escrow.iter().any(|(known, _)| known == label);
    match key {
        Some(_) if known => Err(TokenError::KeyExists {
            label: label.to_owned(),
        }),
        None if known => Ok(false),
        _ if contents.two.is_none() => {
            let why = "is of version 1, which has no place for it: run `wardcast token provision`";
            Err(file::at(path, why))
        }
        _ if !contents.takes_escrow() => Err(file::at(path, "has no room for another escrow key")),
        key => {
            let key = key.cloned().unwrap_or_else(Key::generate);
            contents.escrow.push((label.to_owned(), key));
            file::replace(path, &contents, pin)?;
            Ok(true)
        }
    }
}

/// Adds a master where it is missing; answers with the labels of what was made.
fn add(contents: &mut Contents, id: MasterId) -> Vec<String> {
    let mut created = Vec::new();
    for (suite, keys) in contents.suites() {
        if keys.masters.iter().all(|(master, _)| *master != id) {
            keys.masters.push((id, Key::generate()));
            created.push(suite_label(suite, &master_label(id)));
        }
    }
    created
}

/// Which of its keys the token has, by label: none, when there is no file.
pub(super) fn existing(
    path: &Path,
    pin: &Pin,
    master: MasterId,
) -> Result<Vec<String>, TokenError> {
    let contents = file::read(path, pin)?;
    Ok(contents.map_or_else(Vec::new, |mut contents| labels(&mut contents, master)))
}

/// Creates the file with keys that were made for several tokens.
pub(super) fn import(
    path: &Path,
    pin: &Pin,
    master: MasterId,
    keys: &SharedKeys,
) -> Result<Provisioned, TokenError> {
    let of_suite = |keys: &shared::SuiteKeys| SuiteKeys {
        issuer: keys.issuer.clone(),
        masters: vec![(master, keys.master.clone())],
    };
    let mut contents = Contents {
        one: of_suite(&keys.one),
        two: keys.two.as_ref().map(of_suite),
        escrow: Vec::new(),
    };
    file::create(path, &contents, pin)?;
    let created = labels(&mut contents, master);
    provisioned(path, pin, contents, created)
}

/// Looks at what there is, and makes nothing.
pub(super) fn complete(path: &Path, pin: &Pin) -> Result<Provisioned, TokenError> {
    provisioned(path, pin, read(path, pin)?, Vec::new())
}

/// The labels of the keys that there are, of this master's alone.
fn labels(contents: &mut Contents, master: MasterId) -> Vec<String> {
    let mut found = Vec::new();
    for (suite, keys) in contents.suites() {
        if keys.masters.iter().any(|(id, _)| *id == master) {
            found.push(suite_label(suite, &master_label(master)));
        }
        found.extend([AGREEMENT, SIGNING].map(|label| suite_label(suite, label)));
    }
    found
}

/// Looks at the file as it is; `created` says what was made just before.
fn provisioned(
    path: &Path,
    pin: &Pin,
    contents: Contents,
    created: Vec<String>,
) -> Result<Provisioned, TokenError> {
    tracing::warn!(
        path = %path.display(),
        created = created.len(),
        "software token provisioned: this is not an HSM"
    );
    let issuers = Keys::new(path, pin, contents)?.issuers();
    Ok(Provisioned { created, issuers })
}

impl Token for SoftToken {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn execute(&mut self, batches: &[Batch]) -> Executed {
        self.bench.usage = Usage::default();
        let mut executed = Executed::for_batches(batches);
        for batch in batches {
            executed.next(|outputs| self.batch(batch, outputs));
        }
        executed.usage = self.bench.usage;
        executed
    }

    fn ring(&mut self, change: RingChange) -> Result<Vec<MasterId>, TokenError> {
        if change != RingChange::List {
            self.bench.keys.change(change)?;
        }
        self.see_ring();
        Ok(self.profile.masters.clone())
    }
}

impl SoftToken {
    fn batch(&mut self, batch: &Batch, outputs: &mut Vec<Output>) -> Result<(), TokenError> {
        if self.bench.keys.rings.load(Ordering::Acquire) != self.rings {
            self.see_ring();
        }
        self.bench.keys.issuer(batch.suite)?;
        let Self {
            bench, held, keys, ..
        } = self;
        work::execute(bench, held, keys, batch, outputs)
    }

    /// Lets go of everything that was derived from the masters that there were.
    fn see_ring(&mut self) {
        self.rings = self.bench.keys.rings.load(Ordering::Acquire);
        self.held.clear();
        self.profile.masters = self.bench.keys.ring();
    }
}

#[cfg(test)]
mod tests;
