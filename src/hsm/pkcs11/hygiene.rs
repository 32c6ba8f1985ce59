//! What a crash leaves in a token: whose it is, and sweeping it up.
//!
//! Two kinds of object are not meant to last, and their labels say which process made them:
//!
//! | label | what | left behind by |
//! | --- | --- | --- |
//! | `wardcast unfinished OWNER LABEL` | a key that is being created; it is given LABEL when it and all that belongs to it are complete | a crash of `wardcast token provision`, on any token |
//! | `wardcast session OWNER master N` | a derived key | a crash, on tokens that keep session objects: the standard makes them go with the session, but appliances that pool or mirror sessions have been seen to keep them until the client is known to be gone |
//!
//! OWNER is machine, boot, process and the process's start. The first session that a process opens destroys what
//! belongs to processes that are known to be gone: those of this machine that no longer run, or ran before the last boot.
//! What belongs to another machine is left alone and told of in the log, for it may be in use there. Nothing whose
//! label is not of these two forms is ever touched.

use std::fmt::Write as _;
use std::sync::OnceLock;

use cryptoki::object::{Attribute, AttributeType};
use cryptoki::session::Session;
use cryptoki::slot::Slot;
use sha2::{Digest, Sha256};

use super::error::code;
use super::library::Library;
use crate::group::ids::MasterId;

const SESSION: &str = "wardcast session ";
const UNFINISHED: &str = "wardcast unfinished ";

/// The label of a derived key.
pub(super) fn session_label(master: MasterId) -> Vec<u8> {
    format!("{SESSION}{} master {}", Owner::this(), master.0).into_bytes()
}

/// The label of a key that is being created.
pub(super) fn unfinished_label(label: &str) -> Vec<u8> {
    format!("{UNFINISHED}{} {label}", Owner::this()).into_bytes()
}

/// Destroys what processes that are gone have left. A token that does not allow it can still be used.
pub(super) fn sweep(library: &Library, slot: Slot) {
    let session = match library.write(slot) {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(%error, "cannot look for what a crash may have left in the token");
            return;
        }
    };
    let objects = session.find_objects(&[]).unwrap_or_else(|error| {
        tracing::warn!(code = code(&error), "cannot list the token's objects");
        Vec::new()
    });
    for object in objects {
        let label = session.get_attributes(object, &[AttributeType::Label]);
        let Ok([Attribute::Label(label)]) = label.as_deref() else {
            continue;
        };
        let label = String::from_utf8_lossy(label);
        match owner(&label).map(Owner::state) {
            None | Some(State::Runs) => {}
            Some(State::Elsewhere) => {
                tracing::warn!(
                    %label,
                    "another machine's unfinished object is in the token: destroy it with the vendor's tool if that machine is gone"
                );
            }
            Some(State::Gone) => match session.destroy_object(object) {
                Ok(()) => tracing::warn!(%label, "destroyed what a crash left in the token"),
                Err(error) => {
                    tracing::warn!(%label, code = code(&error), "cannot destroy what a crash left in the token");
                }
            },
        }
    }
}

/// Destroys what this process has derived from a master, in whichever session.
pub(super) fn forget(session: &Session, master: MasterId) {
    let template = [
        Attribute::Token(false),
        Attribute::Label(session_label(master)),
    ];
    for key in session.find_objects(&template).unwrap_or_default() {
        if let Err(error) = session.destroy_object(key) {
            // Its own session was faster, or destroys it when it next looks at the ring.
            tracing::debug!(code = code(&error), "a derived key was not destroyed");
        }
    }
}

/// The owner that a label names, if it is of one of our two forms.
fn owner(label: &str) -> Option<Owner<'_>> {
    let rest = label
        .strip_prefix(SESSION)
        .or_else(|| label.strip_prefix(UNFINISHED))?;
    let (owner, _) = rest.split_once(' ')?;
    let mut parts = owner.split('.');
    let mut next = || parts.next().filter(|part| !part.is_empty());
    let owner = Owner {
        machine: next()?,
        boot: next()?,
        process: next()?.parse().ok()?,
        started: next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(owner)
}

/// A process, told from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner<'a> {
    machine: &'a str,
    boot: &'a str,
    process: u32,
    /// In clock ticks since the boot.
    started: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// It runs.
    Runs,
    /// It does not run any more.
    Gone,
    /// It may run on another machine.
    Elsewhere,
}

impl Owner<'_> {
    /// This process, as labels name it.
    fn this() -> &'static str {
        static THIS: OnceLock<String> = OnceLock::new();
        THIS.get_or_init(|| {
            let process = std::process::id();
            let started = started(process).unwrap_or_default();
            format!("{}.{}.{process}.{started}", machine(), boot())
        })
    }

    fn state(self) -> State {
        if self.machine != machine() {
            State::Elsewhere
        } else if self.boot == boot() && started(self.process) == Some(self.started) {
            State::Runs
        } else {
            State::Gone
        }
    }
}

/// Names the machine without giving its identity away.
fn machine() -> String {
    digest(&["/etc/machine-id", "/proc/sys/kernel/hostname"].map(read))
}

/// Names the boot, and within it the space that process numbers are unique in.
fn boot() -> String {
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let boot = read("/proc/sys/kernel/random/boot_id");
    digest(&[boot, space.display().to_string()])
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn digest(parts: &[String; 2]) -> String {
    let digest = Sha256::digest(parts.join("\n"));
    let mut text = String::new();
    for byte in &digest[..4] {
        write!(text, "{byte:02x}").expect("a String takes all text");
    }
    text
}

/// When a process of this machine started; `None` when it does not run.
fn started(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name that may hold anything, in parentheses; the start is the 22nd.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests;
