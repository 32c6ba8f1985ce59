//! The password that the gateway shows a directory.

use std::fmt;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

/// The longest password that is read.
const MAX: usize = 1_024;

/// A password. Erased on drop, shown as `Password(..)`.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// A password cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read.
    #[error("the directory's password: {path}: {source}")]
    Read {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was read is none.
    #[error("the directory's password: {path}: it must be 1 to {MAX} bytes of UTF-8")]
    Unusable {
        /// Which.
        path: String,
    },
}

impl Password {
    /// The contents of a file; a newline at its end does not belong to it.
    pub fn read(path: &Path) -> Result<Self, PasswordError> {
        let name = || path.display().to_string();
        let read = |source| PasswordError::Read {
            path: name(),
            source,
        };
        let file = std::fs::File::open(path).map_err(read)?;
        // The buffer is as large as it ever gets, so that growing it leaves no copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX + 2));
        let mut file = file.take(MAX as u64 + 2);
        file.read_to_end(&mut bytes).map_err(read)?;
        let text = std::str::from_utf8(&bytes).ok();
        let text = text.map(|text| text.strip_suffix('\n').unwrap_or(text));
        match text.filter(|text| (1..=MAX).contains(&text.len())) {
            Some(text) => Ok(Self(Zeroizing::new(text.to_owned()))),
            None => Err(PasswordError::Unusable { path: name() }),
        }
    }

    /// The password itself: only for showing it to the directory.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_no_part_of_it_and_what_is_none_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("written");
            Password::read(&path)
        };
        assert_eq!(read(b"sesame\n").expect("one").expose(), "sesame");
        assert_eq!(
            format!("{:?}", read(b"sesame").expect("one")),
            "Password(..)"
        );
        for bad in [&b""[..], b"\n", b"\xff", &[b'x'; MAX + 1]] {
            let refused = read(bad).expect_err("none");
            assert!(matches!(refused, PasswordError::Unusable { .. }));
        }
        let missing = Password::read(&folder.path().join("missing"));
        assert!(matches!(missing, Err(PasswordError::Read { .. })));
    }
}
