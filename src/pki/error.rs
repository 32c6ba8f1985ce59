//! What can go wrong with a development authority.

use std::path::PathBuf;

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file is in the way.
    #[error("{}: exists already; nothing was written. Choose another name, or remove it yourself", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{}: cannot {verb} it: {source}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {why}; is this the folder of `wardcast pki init`?", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A value that cannot stand in a certificate.
    #[error("{what}: {why}")]
    BadRequest {
        /// Which.
        what: &'static str,
        /// What is wrong and what would be right.
        why: String,
    },
    /// A certificate to be revoked comes from somebody else.
    #[error("{}: was not issued by this authority, so it cannot revoke it", .path.display())]
    NotOurs {
        /// The certificate.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes for a serial number")]
    NoRandomness,
    /// The certificate could not be encoded or signed.
    #[error("the certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
}
