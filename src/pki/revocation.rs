//! Revocation: the list in the authority's folder is the only record of what was revoked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::{Authority, CRL, CRL_DAYS, DAY, Issued, PkiError, files, since_1970};

/// A certificate that the list names.
struct Revoked {
    serial: Vec<u8>,
    /// In seconds since 1970.
    when: u64,
}

impl Authority {
    /// A revocation list, as PEM, that names these certificates of this authority and no others.
    pub fn crl(&self, revoked: &[&Issued]) -> Result<String, PkiError> {
        let when = since_1970().as_secs();
        let entries = revoked.iter().map(|issued| {
            let (_, certificate) = X509Certificate::from_der(&issued.certificate)
                .expect("this program encoded the certificate");
            let serial = certificate.raw_serial().to_vec();
            Revoked { serial, when }
        });
        self.sign(entries.collect(), 1)
    }

    /// Add certificates to the revocation list in the authority's folder, and renew it, which also happens without any.
    /// Answers with the list's path and how many certificates it names.
    pub fn revoke(
        &self,
        folder: &Path,
        certificates: &[PathBuf],
    ) -> Result<(PathBuf, usize), PkiError> {
        let path = folder.join(CRL);
        let (mut revoked, number) = read_list(&path)?;
        let known: BTreeSet<Vec<u8>> = revoked.iter().map(|entry| entry.serial.clone()).collect();
        let when = since_1970().as_secs();
        for certificate in certificates {
            let serial = self.serial_of(certificate)?;
            if !known.contains(&serial) {
                revoked.push(Revoked { serial, when });
            }
        }
        let count = revoked.len();
        files::replace(&path, self.sign(revoked, number + 1)?.as_bytes())?;
        Ok((path, count))
    }

    fn serial_of(&self, path: &Path) -> Result<Vec<u8>, PkiError> {
        let damaged = |why: String| PkiError::Damaged {
            path: path.to_owned(),
            why,
        };
        let pem = files::read(path)?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| damaged(error.to_string()))?;
        let parse = |error| damaged(format!("not a certificate: {error}"));
        let (_, certificate) = X509Certificate::from_der(&der).map_err(parse)?;
        let (_, authority) = X509Certificate::from_der(&self.certificate).map_err(parse)?;
        let signed = certificate.verify_signature(Some(authority.public_key()));
        signed.map_err(|_| PkiError::NotOurs {
            path: path.to_owned(),
        })?;
        Ok(certificate.raw_serial().to_vec())
    }

    fn sign(&self, revoked: Vec<Revoked>, number: u64) -> Result<String, PkiError> {
        let now = since_1970();
        let at = |seconds| date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds);
        let list = CertificateRevocationListParams {
            this_update: at(now.as_secs()),
            next_update: at((now + DAY * CRL_DAYS).as_secs()),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .into_iter()
                .map(|entry| RevokedCertParams {
                    serial_number: SerialNumber::from(entry.serial),
                    revocation_time: at(entry.when),
                    reason_code: Some(RevocationReason::Unspecified),
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

/// What a list names, and its number.
fn read_list(path: &Path) -> Result<(Vec<Revoked>, u64), PkiError> {
    let damaged = |why: String| PkiError::Damaged {
        path: path.to_owned(),
        why,
    };
    let pem = files::read(path)?;
    let der = CertificateRevocationListDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| damaged(error.to_string()))?;
    let (_, list) = CertificateRevocationList::from_der(&der)
        .map_err(|error| damaged(format!("not a revocation list: {error}")))?;
    let digits = list.crl_number().map_or(0, |number| {
        number.iter_u64_digits().next().unwrap_or_default()
    });
    let entries = list.iter_revoked_certificates().map(|entry| Revoked {
        serial: entry.raw_serial().to_vec(),
        when: entry.revocation_date.timestamp().unsigned_abs(),
    });
    Ok((entries.collect(), digits))
}
