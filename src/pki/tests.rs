//! Certificates as rustls and other tools see them.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::*;

/// What a gateway would say to a client's certificate.
fn verify(authority: &Authority, crl: Option<&str>, client: &Issued) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(crl) = crl {
        let list = CertificateRevocationListDer::from_pem_slice(crl.as_bytes()).expect("a list");
        builder = builder.with_crls([list]).enforce_revocation_expiration();
    }
    let verifier = builder.build().expect("a verifier");
    let chain = client.chain();
    let verified = verifier.verify_client_cert(&chain[0], &[], UnixTime::now());
    verified.map(|_| ())
}

#[test]
fn clients_are_accepted_until_they_are_revoked() {
    let authority = Authority::new("test").expect("an authority");
    let anna = authority.issue(&Request::client("anna")).expect("issues");
    let bert = authority.issue(&Request::client("bert")).expect("issues");
    let server = Request::server("gateway").host("localhost");
    let server = authority.issue(&server).expect("issues");
    let crl = authority.crl(&[&anna]).expect("signs");
    verify(&authority, None, &anna).expect("is trusted");
    verify(&authority, Some(&crl), &bert).expect("is not revoked");
    verify(&authority, Some(&crl), &anna).expect_err("is revoked");
    verify(&authority, None, &server).expect_err("is no client");
    let stranger = Authority::new("test").expect("another of that name");
    verify(&stranger, None, &anna).expect_err("is somebody else's");
}

#[test]
fn names_are_where_the_gateway_looks_for_them() {
    let authority = Authority::new("test").expect("an authority");
    let request = Request::new("anna", Usage::Both)
        .spiffe("spiffe://example.org/anna")
        .host("a.example.org")
        .host("::1");
    let issued = authority.issue(&request).expect("issues");
    let chain = issued.chain();
    let (_, parsed) = X509Certificate::from_der(&chain[0]).expect("parses");
    assert_eq!(parsed.subject().to_string(), "CN=anna");
    let names = parsed
        .subject_alternative_name()
        .expect("valid")
        .expect("present");
    let names = &names.value.general_names;
    assert_eq!(names[0], GeneralName::URI("spiffe://example.org/anna"));
    assert_eq!(names[1], GeneralName::DNSName("a.example.org"));
    assert!(matches!(names[2], GeneralName::IPAddress(bytes) if bytes.len() == 16));
    let usage = parsed
        .extended_key_usage()
        .expect("valid")
        .expect("present")
        .value;
    assert!(usage.client_auth && usage.server_auth && !usage.any);
    assert_eq!(
        issued.serial,
        format!("{:x}", parsed.tbs_certificate.serial)
    );
    assert!(issued.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn what_cannot_stand_in_a_certificate_is_refused() {
    let authority = Authority::new("test").expect("an authority");
    let refused = |request: Request| match authority.issue(&request) {
        Err(PkiError::BadRequest { what, .. }) => what,
        other => panic!(
            "expected a refusal, got {:?}",
            other.map(|issued| issued.serial)
        ),
    };
    assert_eq!(refused(Request::client("")), "name");
    assert_eq!(refused(Request::client("a").days(0)), "days");
    assert_eq!(refused(Request::client("a").spiffe("http://a")), "spiffe");
    assert_eq!(
        refused(Request::client("a").spiffe("spiffe:///a")),
        "spiffe"
    );
    assert_eq!(refused(Request::client("a").host("ü.example")), "dns");
    assert_eq!(refused(Request::server("a")), "dns");
}

#[test]
fn an_authority_survives_in_its_folder_and_overwrites_nothing() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path().join("new/pki");
    let created = Authority::create(&folder, "test", 30).expect("creates");
    let again = Authority::create(&folder, "test", 30);
    assert!(matches!(again, Err(PkiError::Exists { .. })));

    let loaded = Authority::load(&folder).expect("loads");
    let anna = loaded.issue(&Request::client("anna")).expect("issues");
    verify(&created, None, &anna).expect("is the same authority");
    let (certificate, key) = anna.write(&folder.join("anna.v1")).expect("writes");
    assert!(certificate.ends_with("anna.v1.pem") && key.ends_with("anna.v1.key"));
    assert!(matches!(
        anna.write(&folder.join("anna.v1")),
        Err(PkiError::Exists { .. })
    ));
    #[cfg(unix)]
    for path in [key, folder.join(CA_KEY)] {
        use std::os::unix::fs::PermissionsExt;
        let mode = path.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path:?}");
    }
}

#[test]
fn the_list_in_the_folder_grows_and_is_renewed() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    let authority = Authority::create(folder, "test", 30).expect("creates");
    let mut paths = Vec::new();
    let mut all = Vec::new();
    for name in ["anna", "bert"] {
        let issued = authority.issue(&Request::client(name)).expect("issues");
        paths.push(issued.write(&folder.join(name)).expect("writes").0);
        all.push(issued);
    }
    let crl = || std::fs::read_to_string(folder.join(CRL)).expect("reads");
    verify(&authority, Some(&crl()), &all[0]).expect("the first list is empty");
    let authority = Authority::load(folder).expect("loads");
    assert_eq!(authority.revoke(folder, &paths[..1]).expect("revokes").1, 1);
    assert_eq!(
        authority
            .revoke(folder, &paths[..1])
            .expect("twice is once")
            .1,
        1
    );
    verify(&authority, Some(&crl()), &all[0]).expect_err("is revoked");
    verify(&authority, Some(&crl()), &all[1]).expect("is not revoked");
    assert_eq!(authority.revoke(folder, &paths).expect("revokes").1, 2);
    assert_eq!(authority.revoke(folder, &[]).expect("renews").1, 2);
    for issued in &all {
        verify(&authority, Some(&crl()), issued).expect_err("is revoked");
    }
    let stranger = Authority::new("test").expect("another");
    let foreign = stranger.issue(&Request::client("eve")).expect("issues");
    let (path, _) = foreign.write(&folder.join("eve")).expect("writes");
    let refused = authority.revoke(folder, &[path]);
    assert!(matches!(refused, Err(PkiError::NotOurs { .. })));
}

#[test]
fn thousands_are_issued_quickly() {
    let authority = Authority::new("test").expect("an authority");
    let began = std::time::Instant::now();
    for number in 0..1_000 {
        let name = format!("member-{number}");
        authority.issue(&Request::client(name)).expect("issues");
    }
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}
