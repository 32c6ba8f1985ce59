//! Where a token's PIN comes from: a file, the environment or a systemd credential. Never the command line.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

/// The longest PIN that is read; tokens take far less.
const MAX_PIN: usize = 1024;

/// A PIN or passphrase. Erased on drop, shown as `Pin(..)`.
#[derive(Clone)]
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Takes a PIN as it is.
    pub fn new(pin: impl Into<String>) -> Self {
        Pin(Zeroizing::new(pin.into()))
    }

    /// The PIN itself: only for handing it to a token.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// Where to read the PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinSource {
    /// The contents of a file; a newline at its end does not belong to the PIN.
    File(PathBuf),
    /// An environment variable, by name.
    Env(String),
    /// A credential that the service manager passed in `$CREDENTIALS_DIRECTORY`, by name.
    Credential(String),
}

impl fmt::Display for PinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinSource::File(path) => write!(f, "PIN file {}", path.display()),
            PinSource::Env(name) => write!(f, "environment variable {name}"),
            PinSource::Credential(name) => write!(f, "credential {name}"),
        }
    }
}

/// The PIN cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum PinError {
    /// The file cannot be read.
    #[error(
        "{from}: {why}; put the PIN there, or name another source: token.pin_file, token.pin_env or token.pin_credential"
    )]
    #[n(0)]
    Read {
        /// Where it should have come from.
        #[n(0)]
        from: String,
        /// What the system said.
        #[n(1)]
        why: String,
    },
    /// The variable is not set.
    #[error(
        "{from} is not set; set it, or name another source: token.pin_file, token.pin_env or token.pin_credential"
    )]
    #[n(1)]
    Unset {
        /// Where it should have come from.
        #[n(0)]
        from: String,
    },
    /// What was read is no PIN.
    #[error("{from}: the PIN {why}")]
    #[n(2)]
    Unusable {
        /// Where it came from.
        #[n(0)]
        from: String,
        /// What is wrong with it; never the PIN.
        #[n(1)]
        why: Cow<'static, str>,
    },
}

impl PinSource {
    /// Reads the PIN.
    pub fn read(&self) -> Result<Pin, PinError> {
        let unusable = |why: &'static str| PinError::Unusable {
            from: self.to_string(),
            why: why.into(),
        };
        let bytes = match self {
            PinSource::File(path) => self.file(path)?,
            PinSource::Env(name) => self.variable(name)?,
            PinSource::Credential(name) => {
                if name.is_empty() || name.contains('/') || name == ".." {
                    return Err(unusable(
                        "cannot be looked up: a credential's name has no slash",
                    ));
                }
                let directory =
                    std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| PinError::Unset {
                        from: format!("{self}: $CREDENTIALS_DIRECTORY"),
                    })?;
                self.file(&Path::new(&directory).join(name))?
            }
        };
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        match std::str::from_utf8(bytes) {
            Ok("") => Err(unusable("is empty")),
            Ok(pin) if pin.contains('\0') => Err(unusable("contains a zero byte")),
            Ok(pin) => Ok(Pin::new(pin)),
            Err(_) => Err(unusable("is not UTF-8")),
        }
    }

    fn file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, PinError> {
        let unreadable = |why: std::io::Error| PinError::Read {
            from: self.to_string(),
            why: why.to_string(),
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o004 != 0 {
            tracing::warn!(path = %path.display(), "everybody on this machine can read the PIN file: chmod 600");
        }
        // The buffer is as large as it ever gets, so that growing it leaves no copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PIN + 1));
        file.take(MAX_PIN as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() > MAX_PIN {
            return Err(PinError::Unusable {
                from: self.to_string(),
                why: "is longer than 1024 bytes: is that the right file?".into(),
            });
        }
        Ok(bytes)
    }

    fn variable(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, PinError> {
        use std::os::unix::ffi::OsStringExt;
        let value = std::env::var_os(name).ok_or_else(|| PinError::Unset {
            from: self.to_string(),
        })?;
        Ok(Zeroizing::new(value.into_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(contents: &[u8]) -> Result<Pin, PinError> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pin");
        std::fs::write(&path, contents).expect("writes");
        PinSource::File(path).read()
    }

    #[test]
    fn one_newline_is_no_part_of_a_pin() {
        for (contents, pin) in [
            ("1234", "1234"),
            ("1234\n", "1234"),
            ("1234\r\n", "1234"),
            ("1234\n\n", "1234\n"),
            (" 12 34 \n", " 12 34 "),
        ] {
            let read = from_file(contents.as_bytes()).expect("a PIN");
            assert_eq!(read.expose(), pin);
        }
    }

    #[test]
    fn what_is_no_pin_is_refused_without_showing_it() {
        for contents in [&b""[..], b"\n", b"sesame\0", b"\xffsesame", &[b's'; 1025]] {
            let refused = from_file(contents).expect_err("no PIN");
            assert!(matches!(refused, PinError::Unusable { .. }));
            assert!(!refused.to_string().contains("sesame"), "{refused}");
        }
        let missing = PinSource::File("/nonexistent/pin".into()).read();
        assert!(matches!(missing, Err(PinError::Read { .. })));
        let unset = PinSource::Env("WARDCAST_TEST_NO_SUCH_PIN".into()).read();
        assert!(matches!(unset, Err(PinError::Unset { .. })));
        let outside = PinSource::Credential("../pin".into()).read();
        assert!(matches!(outside, Err(PinError::Unusable { .. })));
        assert_eq!(format!("{:?}", Pin::new("sesame")), "Pin(..)");
    }

    #[test]
    fn the_environment_holds_a_pin() {
        // Cargo sets this one for every test.
        let pin = PinSource::Env("CARGO_PKG_NAME".into()).read();
        assert_eq!(pin.expect("is set").expose(), "wardcast");
    }
}
