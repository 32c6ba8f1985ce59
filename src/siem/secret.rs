//! What is shown to a collector, or hashed with, and nobody else may see: read from files alone.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The longest secret that is read, in bytes.
const MAX: usize = 4_096;

/// A secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was read is no token.
    #[error("{}: a token is 1 to {MAX} visible ASCII characters, and nothing else but a newline at the end", path.display())]
    NoToken {
        /// Which.
        path: PathBuf,
    },
    /// What was read is no key.
    #[error("{}: {length} bytes; a key is {} to {MAX} random bytes: make one with `head -c 32 /dev/urandom`", path.display(), super::KEY_BYTES)]
    NoKey {
        /// Which.
        path: PathBuf,
        /// How many bytes it has, or one more than are allowed.
        length: usize,
    },
}

/// What opens a collector's door. Erased on drop, shown as `Token(..)`.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// The content of a file; a newline at its end does not belong to it.
    ///
    /// # Errors
    /// When the file cannot be read, or has no token.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let bytes = read(path)?;
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let good = (1..=MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
        match std::str::from_utf8(text).ok().filter(|_| good) {
            Some(text) => Ok(Token(Zeroizing::new(text.to_owned()))),
            None => Err(SecretError::NoToken {
                path: path.to_owned(),
            }),
        }
    }

    /// The token itself, only for showing it to the collector.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The bytes of a key.
pub(super) fn key(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let bytes = read(path)?;
    match (super::KEY_BYTES..=MAX).contains(&bytes.len()) {
        true => Ok(bytes),
        false => Err(SecretError::NoKey {
            path: path.to_owned(),
            length: bytes.len(),
        }),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let failed = |source| SecretError::Read {
        path: path.to_owned(),
        source,
    };
    // The buffer is as large as it ever gets, so that growing it leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX + 2));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut file = file.take(MAX as u64 + 2);
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_of_visible_characters() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("written");
            Token::read(&path)
        };
        let token = read(b"B5A79AAD-D822\n").expect("one");
        assert_eq!(token.expose(), "B5A79AAD-D822");
        assert_eq!(format!("{token:?}"), "Token(..)");
        for bad in [
            &b""[..],
            b"\n",
            b"a b",
            b"a\nb\n",
            b"\xff",
            &[b'x'; MAX + 1],
        ] {
            let refused = read(bad).expect_err("none");
            assert!(matches!(refused, SecretError::NoToken { .. }));
        }
        let missing = Token::read(&folder.path().join("missing"));
        assert!(matches!(missing, Err(SecretError::Read { .. })));
    }
}
