//! Credentials that are expired, revoked or for somebody else, attributes that forbid, and attributes that permit.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use wardcast::audit::{Event, verify};
use wardcast::group::ids::Role;
use wardcast::group::wire::{Join, RefusalCode, Request, Response, Token};
use wardcast::member::{Client, Membership};
use wardcast::pki::Authority;
use wardcast::tls::Credentials;

use crate::issuer::{self, AUDIENCE, ISSUER, Key, now};
use crate::pykmip::python;
use crate::slapd::{BASE, PASSWORD, READER, Slapd, person};
use crate::support::{GROUP, Setup, Site, raw};

const RULES: &str = r#"
@id("listed")
permit (principal, action, resource) when { context.listed };

@id("crew may watch")
permit (principal, action == Action::"receiver", resource)
when { principal.claims.hasTag("groups") && principal.claims.getTag("groups").contains("crew") };

@id("no guests")
forbid (principal, action, resource)
when { principal.directory.hasTag("employeeType") && principal.directory.getTag("employeeType").contains("guest") };
"#;

/// What stands around a gateway.
struct World {
    folder: tempfile::TempDir,
    issuer: issuer::Issuer,
    key: Key,
    slapd: Slapd,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("outside").expect("an authority");
        let key = Key::new("first");
        let issuer = issuer::Issuer::start(&authority, &[&key]).await;
        let people = [
            person("anna", "employeeType: crew\n"),
            person("gustav", "employeeType: guest\n"),
        ];
        let slapd = Slapd::start(&authority, &people.join("\n"));
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        write("outside.pem", authority.certificate_pem());
        write("password", PASSWORD);
        write("rules.cedar", RULES);
        Self {
            folder,
            issuer,
            key,
            slapd,
        }
    }

    fn configuration(&self) -> String {
        let root = self.folder.path().display();
        let (jwks, ldap) = (self.issuer.url(), self.slapd.ldaps());
        format!(
            r#"
            [policy]
            rules = "{root}/rules.cedar"
            [jwt]
            issuer = "{ISSUER}"
            audience = "{AUDIENCE}"
            jwks = "{jwks}"
            ca = "{root}/outside.pem"
            leeway_s = 5
            claims = ["groups"]
            [ldap]
            addresses = ["{ldap}"]
            ca = "{root}/outside.pem"
            bind_dn = "{READER}"
            password_file = "{root}/password"
            base = "{BASE}"
            attributes = ["employeeType"]
            deadline_ms = 10000
            "#
        )
    }
}

/// Asks to join on a connection of its own, with or without a token.
async fn ask(site: &Site, name: &str, role: Role, token: Option<&str>) -> Response {
    let connection = raw::connect(site, name).await.expect("a connection");
    let join = Join {
        role,
        token: token.map(|token| Token::new(token).expect("can be one")),
        ..raw::join(GROUP)
    };
    raw::ask(&connection, &Request::Join(join)).await
}

async fn refused(site: &Site, name: &str, role: Role, token: Option<&str>) {
    let answer = ask(site, name, role, token).await;
    told_alone(name, answer, RefusalCode::NotAdmitted);
}

/// The peer is told that and what its request is called, and nothing more.
fn told_alone(name: &str, answer: Response, code: RefusalCode) {
    match answer {
        Response::Refused(refusal) => {
            assert_eq!(refusal.code, code, "{name}");
            let told = refusal.message.split_once(" (request ");
            assert_eq!(told.expect("its name").0, code.text());
        }
        other => panic!("{name}: {other:?}"),
    }
}

/// Why each was refused, by which rule each joined, and which certificates were not taken, as the trail has it.
#[derive(Default)]
struct Told {
    refused: BTreeMap<String, Vec<String>>,
    joined: BTreeMap<String, String>,
    certificates: Vec<String>,
}

fn told(directory: &Path) -> Told {
    let mut told = Told::default();
    let whole = verify(directory, |record, _| match &record.entry.event {
        Event::Refused { identity, why, .. } => {
            let of = told.refused.entry(identity.0.clone()).or_default();
            of.push(why.clone());
        }
        Event::Granted {
            identity,
            rule: Some(rule),
            ..
        } => drop(told.joined.insert(identity.0.clone(), rule.clone())),
        Event::Unauthenticated { why, .. } => told.certificates.push(why.clone()),
        _ => {}
    });
    whole.expect("is whole");
    told
}

/// A certificate that has run out, of another authority, which the gateway trusts as well from now on.
async fn expired(site: &mut Site) -> Credentials {
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        (params, KeyPair::generate().expect("a key"))
    };
    let (mut authority, authority_key) = named("second");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = authority
        .self_signed(&authority_key)
        .expect("a certificate");
    let path = site.folder().join("ca.pem");
    let trusted = std::fs::read_to_string(&path).expect("reads");
    std::fs::write(&path, trusted + &certificate.pem()).expect("written");
    site.kill();
    site.restart().await;
    let (mut params, key) = named("erna");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    let issuer = Issuer::new(authority, authority_key);
    let issued = params.signed_by(&key, &issuer).expect("a certificate");
    let private = PrivatePkcs8KeyDer::from(key.serialize_der());
    Credentials::new(vec![issued.der().clone()], private.into())
}

/// Tries to connect, in vain.
async fn shut_out(site: &Site, credentials: Credentials) {
    let mut options = site.options("anna");
    options.credentials = credentials;
    options.patience = std::time::Duration::from_secs(1);
    let client = Client::new(options).expect("a client");
    let joined: Result<Membership, _> = client.join(GROUP, Role::Both).await;
    assert!(joined.is_err(), "it is let in");
}

/// Tokens that are refused, each of a member of its own: its name, the token, and why.
fn bad_tokens(key: &Key) -> Vec<(&'static str, String, &'static str)> {
    let crew = json!({ "groups": ["crew"] });
    let with = |changes: Value| {
        let mut claims = crew.as_object().expect("an object").clone();
        claims.extend(changes.as_object().expect("an object").clone());
        key.token(Value::Object(claims))
    };
    vec![
        (
            "expired",
            with(json!({ "exp": now() - 60 })),
            "the token has expired",
        ),
        (
            "early",
            with(json!({ "nbf": now() + 60 })),
            "the token is not valid yet",
        ),
        (
            "audience",
            with(json!({ "aud": "somebody" })),
            "the token is for another audience than \"wardcast-test\"",
        ),
        (
            "issuer",
            with(json!({ "iss": "https://evil.test" })),
            "the token is of another issuer than \"https://login.test\"",
        ),
        (
            "forged",
            Key::new("first").token(crew.clone()),
            "the token's signature is not its issuer's",
        ),
        (
            "unknown",
            Key::new("other").token(crew.clone()),
            "the token is signed by a key that its issuer does not publish: \"other\"",
        ),
        (
            "stolen",
            with(json!({ "cnf": { "x5t#S256": "A".repeat(43) } })),
            "the token is bound to another certificate",
        ),
    ]
}

fn granted(response: Response) {
    assert!(matches!(response, Response::Granted(_)), "{response:?}");
}

/// A group that lists Anna and Gustav, who is a guest.
async fn create(site: &Site) {
    let listed = json!([
        { "identity": "cn:anna", "roles": ["both"] },
        { "identity": "cn:gustav", "roles": ["both"] },
    ]);
    site.create(GROUP, json!({ "admit": listed })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_refused_for_its_own_reason_and_the_trail_says_so() {
    let mut world = World::new().await;
    let more = world.configuration();
    let setup = Setup {
        more: &more,
        revoked: &["rob"],
        ..Setup::default()
    };
    let mut site = Site::start(setup).await;
    let expired = expired(&mut site).await;
    create(&site).await;
    granted(ask(&site, "anna", Role::Both, None).await);
    let token = world.key.token(json!({ "groups": ["crew"] }));
    granted(ask(&site, "carl", Role::Receiver, Some(&token)).await);
    refused(&site, "gustav", Role::Both, None).await;
    // A token does not help against what is forbidden, nor in another role.
    refused(&site, "gustav", Role::Receiver, Some(&token)).await;
    refused(&site, "dora", Role::Both, Some(&token)).await;
    refused(&site, "emil", Role::Receiver, None).await;
    let bad = bad_tokens(&world.key);
    for (name, token, _) in &bad {
        refused(&site, name, Role::Receiver, Some(token)).await;
    }
    shut_out(&site, site.credentials("rob")).await;
    shut_out(&site, expired).await;
    world.slapd.kill();
    // That passes: she is told to come back.
    let answer = ask(&site, "frieda", Role::Receiver, Some(&token)).await;
    told_alone("frieda", answer, RefusalCode::Busy);
    // Who was looked up before is known still.
    granted(ask(&site, "anna", Role::Both, None).await);

    assert!(site.terminate().await.success());
    let told = told(&site.folder().join("audit"));
    let why = |name: &str| told.refused[&format!("cn:{name}")].join("; ");
    for (name, _, reason) in &bad {
        assert_eq!(why(name), *reason, "{name}");
    }
    // The second is a repetition: it is counted, and said as the gateway stops.
    assert_eq!(why("gustav"), ["forbidden by rule no guests"; 2].join("; "));
    let nobody = "no rule permits it; no admit rule's pattern matches";
    assert_eq!(why("dora"), format!("{nobody} cn:dora"));
    assert_eq!(why("emil"), format!("{nobody} cn:emil"));
    let down = why("frieda");
    assert!(down.starts_with("the directory cannot be asked"), "{down}");
    assert_eq!(told.joined["cn:anna"], "listed, admit[0]");
    assert_eq!(told.joined["cn:carl"], "crew may watch");
    let expected = ["Revoked", "certificate expired"];
    let expected = expected.map(|what| format!("invalid peer certificate: {what}"));
    // What was tried again is said once more as the gateway stops.
    let first = told.certificates.iter().enumerate();
    let first = first.filter(|(at, why)| !told.certificates[..*at].contains(why));
    let first: Vec<&String> = first.map(|(_, why)| why).collect();
    assert_eq!(first, expected.iter().collect::<Vec<_>>());
    let log = site.log_text();
    let secret = |secret: &str| log.contains(secret);
    assert!(!secret(&token) && !secret(PASSWORD), "it is logged");
}

/// Runs a member until it says that it has joined; the Python one says before that it is connected.
async fn joins(command: &mut Command) {
    let mut child = command.spawn().expect("it starts");
    let stdout = child.stdout.take().expect("is piped");
    let first = tokio::task::spawn_blocking(move || {
        let lines = BufReader::new(stdout).lines();
        let mut told = lines.map(|line| {
            let line = line.expect("a line");
            serde_json::from_str::<Value>(&line).expect("is JSON")
        });
        told.find(|told| told["event"] != "connected")
    });
    let first = first.await.expect("no panic").expect("a line");
    assert_eq!(first["event"], "joined", "{first}");
    child.kill().expect("it can be killed");
    child.wait().expect("it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_present_a_token_by_library_command_and_python() {
    let world = World::new().await;
    let more = world.configuration();
    let setup = Setup {
        more: &more,
        ..Setup::default()
    };
    let site = Site::start(setup).await;
    site.create(GROUP, json!({ "admit": [] })).await;
    let token = world.key.token(json!({ "groups": ["crew"] }));
    let mut options = site.options("carl");
    options.token = Token::new(&token);
    let client = Client::new(options).expect("a client");
    let membership = client.join(GROUP, Role::Receiver).await;
    let membership = membership.expect("is admitted");

    let path = world.folder.path().join("token");
    std::fs::write(&path, format!("{token}\n")).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardcast"));
    command
        .args(["join", "--json", "--group", GROUP, "--role", "receiver"])
        .args(["--server", &format!("localhost:{}", site.quic.port())])
        .args(site.certificate_arguments("dora"))
        .stdout(Stdio::piped());
    let mut without = command.spawn().expect("it starts");
    let status = tokio::task::spawn_blocking(move || without.wait().expect("it ends"));
    assert_eq!(
        status.await.expect("no panic").code(),
        Some(4),
        "not admitted"
    );
    joins(command.arg("--token-file").arg(&path)).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/member.py");
    let mut python = Command::new(python());
    python
        .args([script, "--group", GROUP, "--role", "receiver"])
        .args(["--connect", &site.quic.to_string()])
        .args(["--server-name", "localhost"])
        .args(site.certificate_arguments("emil"))
        .arg("--token-file")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    joins(&mut python).await;
    assert_eq!(site.group(GROUP).await.members, 3);
    drop(membership);
}
