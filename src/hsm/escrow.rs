//! The escrow key: an AES-256 key that the key store upstream holds too, and that roots are wrapped under for it.
//!
//! It comes into a token in one of three ways: the token makes it ([`provision_escrow`] without a key), and its vendor's tool takes it to
//! whoever else is to have it; it is brought in from a file; or the operator puts it there with the vendor's tool, as
//! an AES-256 key under the configured label, sensitive, not extractable, that may wrap but neither unwrap nor decrypt.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER_PERMISSIVE;
use zeroize::Zeroizing;

use super::{TokenConfig, TokenError, TokenKind, not_here, pkcs11, soft};
use crate::crypto::Key;

/// The digits of a key.
const DIGITS: usize = 64;

/// Why a file does not give an escrow key.
#[derive(Debug, thiserror::Error)]
#[error(
    "escrow key file {path}: {why}; it must hold 64 hexadecimal digits, and be its owner's alone (chmod 600)"
)]
pub struct EscrowFileError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong; never what is in it.
    pub why: String,
}

/// Reads a key of 32 bytes from a file, as hexadecimal digits. Nobody but the file's owner may read it.
///
/// # Errors
/// When it cannot be read, others can read it too, or it holds something else.
pub fn read_escrow_key(path: &Path) -> Result<Key, EscrowFileError> {
    let refused = |why: String| EscrowFileError {
        path: path.to_owned(),
        why,
    };
    let system = |error: std::io::Error| refused(error.to_string());
    let file = std::fs::File::open(path).map_err(system)?;
    let mode = file.metadata().map_err(system)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(refused(format!(
            "others may read it (mode {:o})",
            mode & 0o777
        )));
    }
    // As large as it ever gets, so that growing it leaves no copy behind: digits, and an end of line.
    let mut text = Zeroizing::new(Vec::with_capacity(DIGITS + 3));
    let read = file.take(DIGITS as u64 + 3).read_to_end(&mut text);
    read.map_err(system)?;
    let digits = text.strip_suffix(b"\n").unwrap_or(&text);
    let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
    if digits.len() != DIGITS {
        return Err(refused("has another length".to_owned()));
    }
    let mut bytes = Zeroizing::new([0_u8; DIGITS / 2]);
    let decoded = HEXLOWER_PERMISSIVE.decode_mut(digits, bytes.as_mut_slice());
    decoded.map_err(|_| refused("has other characters in it".to_owned()))?;
    Ok(Key::from_bytes(*bytes))
}

/// Puts the escrow key into tokens: this one, or one that each makes by itself where it has none. Answers with whether any was
/// made. Blocks.
///
/// # Errors
/// When no label is configured, when a key is given and there is one of that label, or when several tokens would each make
/// another one. If a token fails half-way, those before it have the key.
pub fn provision_escrow(configs: &[TokenConfig], key: Option<&Key>) -> Result<bool, TokenError> {
    if key.is_none() && configs.len() > 1 {
        return Err(TokenError::KeysApart {
            token: format!("{} tokens", configs.len()),
            why: "would each make an escrow key of its own (--escrow-file gives all the same one)"
                .to_owned(),
        });
    }
    let mut any = false;
    for config in configs {
        let label = config.escrow.as_deref().ok_or(TokenError::NoEscrow)?;
        let pin = config.pin.read()?;
        any |= match &config.kind {
            TokenKind::Soft { path } => soft::provision_escrow(path, &pin, label, key)?,
            TokenKind::Pkcs11 {
                module,
                token_label,
            } => pkcs11::provision_escrow((module, token_label), &pin, label, key)?,
            TokenKind::Host { socket, .. } => return Err(not_here(socket)),
        };
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_a_file_of_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let write = |text: &str, mode: u32| {
            std::fs::write(&path, text).expect("writes");
            let mode = PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("is ours");
            read_escrow_key(&path)
        };
        let digits = "0aF9".repeat(16);
        for end in ["", "\n", "\r\n"] {
            let key = write(&format!("{digits}{end}"), 0o600).expect("is a key");
            assert_eq!(key.as_bytes()[..2], [0x0a, 0xf9]);
        }
        for (text, mode, why) in [
            (digits.clone(), 0o640, "others may read it (mode 640)"),
            (digits.clone(), 0o604, "others may read it (mode 604)"),
            (digits[1..].to_owned(), 0o600, "another length"),
            (format!("{digits}00"), 0o600, "another length"),
            (digits.replace('F', "x"), 0o600, "other characters"),
            (String::new(), 0o600, "another length"),
        ] {
            let error = write(&text, mode).expect_err("is refused").to_string();
            assert!(error.contains(why) && !error.contains("0aF9"), "{error}");
        }
        std::fs::remove_file(&path).expect("is there");
        assert!(read_escrow_key(&path).is_err());
    }
}
