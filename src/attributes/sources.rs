//! Whoever is asked about who asks.

use super::Attributes;
use super::certificate::Certificate;
use super::jwt::{self, Tokens};
use super::ldap::{self, Directory};
use crate::group::ids::Identity;
use crate::tls::IdentityError;

/// Where attributes come from, besides the certificate.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Checks bearer tokens; without it tokens are not looked at.
    pub tokens: Option<Tokens>,
    /// Knows identities; nothing comes from it if there is none.
    pub directory: Option<Directory>,
}

/// Why not all is known that there is to know about somebody, who is not admitted then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] IdentityError),
    /// Its token is not to be believed.
    #[error(transparent)]
    Token(#[from] jwt::Refused),
    /// Its token is somebody else's (RFC 8705).
    #[error("the token is bound to another certificate")]
    Stolen,
    /// The directory.
    #[error(transparent)]
    Directory(#[from] ldap::Refused),
}

impl Refused {
    /// Whether it is trouble of whoever was to be asked, which passes: whoever asks may come back.
    pub fn passes(&self) -> bool {
        matches!(
            self,
            Refused::Token(jwt::Refused::Unreachable(_))
                | Refused::Directory(ldap::Refused::Unreachable(_))
        )
    }
}

impl Sources {
    /// What is known about the owner of a certificate (DER), which was verified, and who may present a token.
    pub async fn of(
        &self,
        identity: &Identity,
        certificate: &[u8],
        token: Option<&str>,
    ) -> Result<Attributes, Refused> {
        let certificate = Certificate::new(certificate)?;
        let mut attributes = Attributes::new(identity.clone(), certificate);
        if let Some((tokens, token)) = self.tokens.as_ref().zip(token) {
            let claims = tokens.verify(token).await?;
            let own = attributes.certificate.thumbprint;
            if claims.bound_to.is_some_and(|bound_to| bound_to != own) {
                return Err(Refused::Stolen);
            }
            attributes.claims = claims.attributes;
        }
        if let Some(directory) = &self.directory {
            attributes.directory = directory.find(identity).await?;
        }
        Ok(attributes)
    }
}
