//! Who a peer is: the SPIFFE identifier of its certificate, else its DNS name, else its common name.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::group::ids::Identity;

/// The longest identity, in bytes: a SPIFFE identifier's own bound (SPIFFE-ID section 2.3).
const MAX_IDENTITY: usize = 2048;

/// Why a certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate could not be parsed.
    #[error("the certificate is malformed")]
    Malformed,
    /// It has no SPIFFE identifier, no DNS name and no common name.
    #[error(
        "the certificate has no SPIFFE URI, no DNS name and no common name; issue one that has"
    )]
    NoName,
    /// A SPIFFE certificate names exactly one workload (X509-SVID section 2).
    #[error("the certificate has {0} SPIFFE URIs; it must have one")]
    Ambiguous(usize),
    /// The name is too long, or has characters that would be read differently elsewhere.
    #[error(
        "the certificate's name is longer than {MAX_IDENTITY} bytes or has spaces or control characters"
    )]
    BadName,
    /// It was valid when its session began.
    #[error("the certificate has run out; issue another one")]
    Expired,
}

/// Who a connected peer is: its certificate was verified, in this handshake or in one whose session it resumed. The certificate
/// may have run out since then.
pub fn peer(certificate: &[u8]) -> Result<Identity, IdentityError> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| IdentityError::Malformed)?;
    match parsed.validity().not_after < ASN1Time::now() {
        true => Err(IdentityError::Expired),
        false => named(&parsed),
    }
}

/// The identity that a certificate (DER) stands for.
pub fn identity(certificate: &[u8]) -> Result<Identity, IdentityError> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| IdentityError::Malformed)?;
    named(&certificate)
}

fn named(certificate: &X509Certificate<'_>) -> Result<Identity, IdentityError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| IdentityError::Malformed)?;
    let names = names.map_or(&[][..], |extension| &extension.value.general_names);
    let spiffe: Vec<&str> = names.iter().filter_map(spiffe).collect();
    let name = match spiffe[..] {
        [one] => one.to_owned(),
        [] => match names.iter().find_map(dns) {
            Some(name) => format!("dns:{}", name.to_ascii_lowercase()),
            None => format!("cn:{}", common_name(certificate)?),
        },
        _ => return Err(IdentityError::Ambiguous(spiffe.len())),
    };
    let unclear = |character: char| character.is_control() || character.is_whitespace();
    if name.len() > MAX_IDENTITY || name.contains(unclear) {
        return Err(IdentityError::BadName);
    }
    Ok(Identity(name))
}

fn spiffe<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::URI(uri) if uri.starts_with("spiffe://") => Some(uri),
        _ => None,
    }
}

fn dns<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::DNSName(name) => Some(name),
        _ => None,
    }
}

fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, IdentityError> {
    let mut names = certificate.subject().iter_common_name();
    let name = names.next().ok_or(IdentityError::NoName)?;
    match name.as_str() {
        Ok("") => Err(IdentityError::NoName),
        Ok(name) => Ok(name),
        Err(_) => Err(IdentityError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    fn issue(common_name: Option<&str>, names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = names;
        let key = KeyPair::generate().expect("a key");
        params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().expect("ASCII"))
    }

    fn dns_name(text: &str) -> SanType {
        SanType::DnsName(text.try_into().expect("ASCII"))
    }

    #[test]
    fn prefers_spiffe_then_dns_then_the_common_name() {
        let all = vec![dns_name("Host.example.org"), uri("spiffe://example.org/a")];
        let cases = [
            (issue(Some("alice"), all.clone()), "spiffe://example.org/a"),
            (
                issue(Some("alice"), all[..1].to_vec()),
                "dns:host.example.org",
            ),
            (
                issue(Some("alice"), vec![uri("https://example.org")]),
                "cn:alice",
            ),
        ];
        for (certificate, expected) in cases {
            assert_eq!(identity(&certificate), Ok(Identity(expected.to_owned())));
        }
    }

    #[test]
    fn a_peer_whose_certificate_has_run_out_is_nobody() {
        let until = |year| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "alice");
            (params.not_before, params.not_after) =
                (date_time_ymd(2000, 1, 1), date_time_ymd(year, 1, 1));
            let key = KeyPair::generate().expect("a key");
            let issued = params.self_signed(&key).expect("a certificate");
            peer(issued.der())
        };
        assert_eq!(until(2001), Err(IdentityError::Expired));
        assert_eq!(until(3000), Ok(Identity("cn:alice".into())));
    }

    #[test]
    fn refuses_what_names_nobody_or_two() {
        let two = vec![uri("spiffe://a/b"), uri("spiffe://a/c")];
        assert_eq!(
            identity(&issue(None, two)),
            Err(IdentityError::Ambiguous(2))
        );
        assert_eq!(identity(&issue(None, vec![])), Err(IdentityError::NoName));
        assert_eq!(
            identity(&issue(Some("a b"), vec![])),
            Err(IdentityError::BadName)
        );
        assert_eq!(identity(b"no certificate"), Err(IdentityError::Malformed));
    }
}
