//! Until when certificates and revocation lists are good.

use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::{Credentials, Trust};

impl Credentials {
    /// When the first certificate of the chain runs out, in seconds since 1970; none if none can be read.
    pub fn expiry(&self) -> Option<i64> {
        let ends = self.chain.iter().filter_map(|certificate| {
            let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
            Some(certificate.validity().not_after.timestamp())
        });
        ends.min()
    }
}

impl Trust {
    /// When the first revocation list should have been replaced, in seconds since 1970; none if no list says so.
    pub fn lists_due(&self) -> Option<i64> {
        let ends = self.revoked.iter().filter_map(|list| {
            let (_, list) = CertificateRevocationList::from_der(list).ok()?;
            Some(list.next_update()?.timestamp())
        });
        ends.min()
    }
}
