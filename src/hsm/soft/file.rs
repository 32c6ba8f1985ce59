//! The soft token's sealed file: how it is laid out, written and opened.
//!
//! ```text
//! "wardcast software token 2: not an HSM\n"
//! memory in KiB (4) || passes (4) || lanes (4)         of argon2id version 0x13
//! salt (16) || nonce (12)
//! ciphertext || tag (16)                               AES-256-GCM; associated data: everything before
//! SHA-256 of everything before (32)                    tells a damaged file from a wrong PIN
//! ```
//!
//! Integers are big-endian. The plaintext, sealed under argon2id(PIN, salt), 32 bytes, is as [`Contents`] says. A file of
//! version 1 begins with that number; it is read, and stays of that version until `wardcast token provision` adds the
//! keys of suite 2. One that has escrow keys is of version 3.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::super::{Pin, TokenError};
use super::contents::{Contents, MAX_PLAIN};
use crate::crypto::{Key, random};

const MAGIC_1: &[u8] = b"wardcast software token 1: not an HSM\n";
const MAGIC_2: &[u8; MAGIC_1.len()] = b"wardcast software token 2: not an HSM\n";
const MAGIC_3: &[u8; MAGIC_1.len()] = b"wardcast software token 3: not an HSM\n";
const HEAD: usize = MAGIC_1.len() + 12 + 16 + 12;
const TAG: usize = 16;
const DIGEST: usize = 32;
/// A larger file is none of ours.
const MAX_FILE: usize = HEAD + MAX_PLAIN + TAG + DIGEST;

/// RFC 9106's second recommendation, on one lane: 64 MiB, three passes.
const COST: Cost = Cost {
    memory: 65_536,
    passes: 3,
    lanes: 1,
};
/// A file cannot make us spend more than this before its tag is checked.
const MAX_COST: Cost = Cost {
    memory: 1_048_576,
    passes: 16,
    lanes: 16,
};

/// For how long somebody else may change the file before it is given up. A change takes two stretches of the PIN.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The same within a call of a pool, which takes a worker whose call does not return for lost.
pub(super) const BRIEF: Duration = Duration::from_secs(2);
/// How often it is looked whether he is done.
const LOOK: Duration = Duration::from_millis(20);

struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// Seals the contents afresh: new salt, new nonce.
fn seal(contents: &Contents, pin: &Pin) -> Result<Vec<u8>, String> {
    let mut file = Vec::with_capacity(MAX_FILE);
    file.extend_from_slice(match contents.version() {
        1 => MAGIC_1,
        2 => MAGIC_2,
        _ => MAGIC_3,
    });
    for cost in [COST.memory, COST.passes, COST.lanes] {
        file.extend_from_slice(&cost.to_be_bytes());
    }
    let salt: [u8; 16] = random();
    let nonce: [u8; 12] = random();
    file.extend_from_slice(&salt);
    file.extend_from_slice(&nonce);

    let mut plain = contents.write();
    let key = stretch(pin, &salt, &COST)?;
    let tag = Aes256Gcm::new(key.as_bytes().into())
        .encrypt_inout_detached(&nonce.into(), &file, plain.as_mut_slice().into())
        .map_err(|_| "cannot be sealed: it is too large")?;
    file.extend_from_slice(&plain);
    file.extend_from_slice(&tag);
    let digest = Sha256::digest(&file);
    file.extend_from_slice(&digest);
    Ok(file)
}

/// Why a file does not open.
enum Closed {
    /// The file is none of ours, or was damaged.
    Damaged(String),
    /// The PIN is wrong, or somebody changed the file and its checksum.
    Refused,
}

fn unseal(file: &[u8], pin: &Pin) -> Result<Contents, Closed> {
    let damaged = |why: &str| Closed::Damaged(why.to_owned());
    let versions = [MAGIC_1, MAGIC_2, MAGIC_3].into_iter().zip(1..);
    let version = versions
        .into_iter()
        .find(|(magic, _)| file.starts_with(magic));
    let (_, version) =
        version.ok_or_else(|| damaged("is no soft token of a version that is known here"))?;
    if file.len() < HEAD + TAG + DIGEST {
        return Err(damaged("is cut short: restore it from a backup"));
    }
    let (body, digest) = file.split_at(file.len() - DIGEST);
    if !bool::from(Sha256::digest(body).as_slice().ct_eq(digest)) {
        return Err(damaged("is damaged: restore it from a backup"));
    }
    let (head, sealed) = body.split_at(HEAD);
    let word = |at: usize| u32::from_be_bytes(array(&head[MAGIC_1.len() + at..]));
    let cost = Cost {
        memory: word(0),
        passes: word(4),
        lanes: word(8),
    };
    let salt: [u8; 16] = array(&head[MAGIC_1.len() + 12..]);
    let nonce: [u8; 12] = array(&head[MAGIC_1.len() + 28..]);
    let key = stretch(pin, &salt, &cost).map_err(Closed::Damaged)?;

    let (cipher, tag) = sealed.split_at(sealed.len() - TAG);
    let mut plain = Zeroizing::new(cipher.to_vec());
    let tag: [u8; TAG] = array(tag);
    Aes256Gcm::new(key.as_bytes().into())
        .decrypt_inout_detached(
            &nonce.into(),
            head,
            plain.as_mut_slice().into(),
            &tag.into(),
        )
        .map_err(|_| Closed::Refused)?;
    Contents::read(version, &plain).ok_or_else(|| damaged("holds half a key"))
}

/// The first N bytes of a slice whose length was checked.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

fn stretch(pin: &Pin, salt: &[u8; 16], cost: &Cost) -> Result<Key, String> {
    if cost.memory > MAX_COST.memory || cost.passes > MAX_COST.passes || cost.lanes > MAX_COST.lanes
    {
        return Err("asks for more work than any soft token does".to_owned());
    }
    let mut key = Zeroizing::new([0; 32]);
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(32));
    params
        .and_then(|params| {
            let mut blocks = Zeroizing::new(vec![Block::default(); params.block_count()]);
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let pin = pin.expose().as_bytes();
            argon2.hash_password_into_with_memory(pin, salt, &mut *key, &mut *blocks)
        })
        .map_err(|error| format!("cannot stretch the PIN: {error}"))?;
    Ok(Key::from_bytes(*key))
}

/// Opens the file; `None` when there is none.
pub(super) fn read(path: &Path, pin: &Pin) -> Result<Option<Contents>, TokenError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path, error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| at(path, error.to_string()))?;
    if bytes.len() > MAX_FILE {
        return Err(at(path, "is too large for a soft token"));
    }
    match unseal(&bytes, pin) {
        Ok(contents) => Ok(Some(contents)),
        Err(Closed::Damaged(why)) => Err(at(path, why)),
        Err(Closed::Refused) => Err(TokenError::PinRefused {
            code: format!("{} does not open with it", path.display()),
        }),
    }
}

/// Keeps everybody else, in this process and in others, from changing the file until it is dropped. Whoever reads the file to write it
/// again holds this all the while, or takes back what somebody else wrote meanwhile.
///
/// It is the folder that is locked: the file is another one after each change, and a file for the lock alone would be left behind.
pub(super) fn lock(path: &Path, patience: Duration) -> Result<File, TokenError> {
    // By whatever name it is called, it is in one folder.
    let found = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let failed = |error: io::Error| at(path, format!("cannot lock its folder: {error}"));
    let folder = File::open(directory(&found)).map_err(failed)?;
    let began = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::WouldBlock) if began.elapsed() < patience => thread::sleep(LOOK),
            Err(TryLockError::WouldBlock) => {
                let why = "another process changes it, or another token in its folder: try again when that is done";
                return Err(at(path, why));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// Replaces the file: after a crash there is either the old one or the new one.
pub(super) fn replace(path: &Path, contents: &Contents, pin: &Pin) -> Result<(), TokenError> {
    write(path, contents, pin, |new| fs::rename(new, path))
}

/// Creates the file, and fails if there is one by now: two that provision at once never overwrite each other's keys.
pub(super) fn create(path: &Path, contents: &Contents, pin: &Pin) -> Result<(), TokenError> {
    write(path, contents, pin, |new| fs::hard_link(new, path))
}

fn write(
    path: &Path,
    contents: &Contents,
    pin: &Pin,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), TokenError> {
    let sealed = seal(contents, pin).map_err(|why| at(path, why))?;
    let new = beside(path);
    let written = write_new(&new, &sealed).and_then(|()| place(&new));
    // After a rename it is gone, after a link it is the second name, after a failure it is litter.
    let _ = fs::remove_file(&new);
    written
        .and_then(|()| sync_directory(path))
        .map_err(|error| at(path, error.to_string()))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}.new", u64::from_be_bytes(random())));
    PathBuf::from(name)
}

/// An error about the file.
pub(super) fn at(path: &Path, why: impl Into<String>) -> TokenError {
    TokenError::File {
        path: path.display().to_string(),
        why: why.into(),
    }
}
