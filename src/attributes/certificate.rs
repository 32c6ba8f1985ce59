//! What stands in a member's certificate, which the handshake has verified.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::AttributeTypeAndValue;

use super::{MAX_VALUE, MAX_VALUES};
use crate::group::ids::Identity;
use crate::tls::IdentityError;

/// A certificate, as far as rules look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// The common name of its subject.
    pub common_name: Option<String>,
    /// The organizations (O) of its subject.
    pub organizations: BTreeSet<String>,
    /// The organizational units (OU) of its subject.
    pub units: BTreeSet<String>,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of it.
    pub thumbprint: [u8; 32],
}

impl Certificate {
    /// Reads one (DER).
    pub fn new(certificate: &[u8]) -> Result<Self, IdentityError> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| IdentityError::Malformed)?;
        let subject = parsed.subject();
        Ok(Self {
            common_name: subject.iter_common_name().find_map(text),
            organizations: texts(subject.iter_organization()),
            units: texts(subject.iter_organizational_unit()),
            serial: data_encoding::HEXLOWER.encode(&parsed.serial.to_bytes_be()),
            not_after: parsed.validity().not_after.timestamp(),
            thumbprint: Sha256::digest(certificate).into(),
        })
    }
}

/// The parts of an identity that rules look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// `spiffe`, `dns` or `cn`.
    pub kind: &'static str,
    /// What follows the kind.
    pub name: &'a str,
    /// Of a SPIFFE identifier, its trust domain and its path, which begins with a slash or is empty.
    pub spiffe: Option<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    /// Takes an identity apart.
    pub fn new(identity: &'a Identity) -> Self {
        let whole = identity.0.as_str();
        if let Some(name) = whole.strip_prefix("spiffe://") {
            let at = name.find('/').unwrap_or(name.len());
            return Self {
                kind: "spiffe",
                name,
                spiffe: Some(name.split_at(at)),
            };
        }
        let (kind, name) = match whole.strip_prefix("dns:") {
            Some(name) => ("dns", name),
            None => ("cn", whole.strip_prefix("cn:").unwrap_or(whole)),
        };
        Self {
            kind,
            name,
            spiffe: None,
        }
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> BTreeSet<String> {
    values.filter_map(text).take(MAX_VALUES).collect()
}

fn text(value: &AttributeTypeAndValue<'_>) -> Option<String> {
    let text = value.as_str().ok()?;
    (1..=MAX_VALUE)
        .contains(&text.len())
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber, date_time_ymd};

    #[test]
    fn what_stands_in_a_certificate_is_read() {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let subject = [
            (DnType::CommonName, "anna"),
            (DnType::OrganizationName, "Studio"),
            (DnType::OrganizationalUnitName, "News"),
        ];
        for (kind, value) in subject {
            params.distinguished_name.push(kind, value);
        }
        params.serial_number = Some(SerialNumber::from(vec![0x0a, 0xbc]));
        params.not_after = date_time_ymd(2040, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let issued = params.self_signed(&key).expect("a certificate");
        let read = Certificate::new(issued.der()).expect("a certificate");
        assert_eq!(read.common_name.as_deref(), Some("anna"));
        assert_eq!(read.organizations, BTreeSet::from(["Studio".to_owned()]));
        assert_eq!(read.units, BTreeSet::from(["News".to_owned()]));
        assert_eq!(
            (read.serial.as_str(), read.not_after),
            ("0abc", 2_208_988_800)
        );
        assert!(Certificate::new(b"none").is_err());
    }

    #[test]
    fn identities_are_taken_apart() {
        let parts = |text: &str| {
            let identity = Identity(text.into());
            let Parts { kind, name, spiffe } = Parts::new(&identity);
            let spiffe = spiffe.map(|(domain, path)| (domain.to_owned(), path.to_owned()));
            (kind, name.to_owned(), spiffe)
        };
        let spiffe = |domain: &str, path: &str| Some((domain.to_owned(), path.to_owned()));
        assert_eq!(
            parts("spiffe://a.org/x/y"),
            ("spiffe", "a.org/x/y".into(), spiffe("a.org", "/x/y"))
        );
        assert_eq!(
            parts("spiffe://a.org"),
            ("spiffe", "a.org".into(), spiffe("a.org", ""))
        );
        assert_eq!(parts("dns:a.org"), ("dns", "a.org".into(), None));
        assert_eq!(parts("cn:anna"), ("cn", "anna".into(), None));
    }
}
