//! Look-ups in a real directory: what is found, what hostile identities find, and what happens when it is down.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusBuilder;
use wardcast::attributes::Values;
use wardcast::attributes::ldap::{Bind, Directory, Filter, Options, Password, Refused, Times};
use wardcast::group::ids::Identity;
use wardcast::pki::{Authority, Request};
use wardcast::tls::{self, Credentials, Trust};

use super::slapd::{BASE, PASSWORD, READER, Slapd, person};

/// Nothing that a test waits for takes longer.
const SOON: Duration = Duration::from_secs(60);
/// For so long what was said serves: a busy machine must not take longer to ask for it.
const STALE: Duration = Duration::from_secs(15);

struct Site {
    authority: Authority,
    slapd: Slapd,
    folder: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let authority = Authority::new("test").expect("an authority");
        let people = [
            person(
                "anna",
                "employeeType: crew\nemployeeType: cast\ntitle: News\n",
            ),
            person("bert", "employeeType: guest\n"),
            person("twin", "title: one\n"),
            format!(
                "dn: cn=other,{BASE}\nobjectClass: inetOrgPerson\nuid: twin\ncn: other\nsn: other\n\n"
            ),
        ];
        Self {
            slapd: Slapd::start(&authority, &people.join("\n")),
            authority,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn password(&self, text: &str) -> Password {
        let path = self.folder.path().join("password");
        std::fs::write(&path, text).expect("written");
        Password::read(&path).expect("a password")
    }

    fn trust(&self) -> Trust {
        Trust::new([self.authority.certificate().clone()], Vec::new()).expect("trust")
    }

    fn directory(&self, change: impl FnOnce(&mut Options)) -> Directory {
        let tls = tls::anonymous_client_config(&self.trust(), &[]);
        self.directory_with(tls.expect("a TLS configuration"), change)
    }

    fn directory_with(
        &self,
        tls: rustls::ClientConfig,
        change: impl FnOnce(&mut Options),
    ) -> Directory {
        let mut options = Options {
            addresses: vec![self.slapd.ldaps()],
            bind: Bind::Simple(READER.into(), self.password(PASSWORD)),
            base: BASE.into(),
            filter: Filter::new("(uid={last})").expect("a filter"),
            attributes: vec!["employeetype".into(), "title".into(), "mail".into()],
            times: Times {
                deadline: Duration::from_secs(20),
                fresh: Duration::from_secs(600),
                stale: Duration::from_secs(3_600),
            },
        };
        change(&mut options);
        Directory::new(options, tls)
    }
}

fn who(identity: &str) -> Identity {
    Identity(identity.into())
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[track_caller]
fn is_anna(values: &Values) {
    let names: Vec<&str> = values.keys().map(String::as_str).collect();
    assert_eq!(names, ["dn", "employeetype", "title"]);
    assert_eq!(values["employeetype"], set(&["cast", "crew"]));
    assert_eq!(values["dn"], set(&["uid=anna,ou=people,dc=test"]));
}

#[tokio::test]
async fn what_a_directory_has_is_found_over_tls() {
    let site = Site::start();
    for address in [site.slapd.ldaps(), site.slapd.ldap()] {
        let directory = site.directory(|options| options.addresses = vec![address]);
        is_anna(&directory.find(&who("cn:anna")).await.expect("an entry"));
        let spiffe = who("spiffe://test/room/anna");
        is_anna(&directory.find(&spiffe).await.expect("an entry"));
        let nobody = directory.find(&who("cn:nobody")).await;
        assert_eq!(nobody, Ok(Values::new()));
        let twins = directory.find(&who("cn:twin")).await;
        assert_eq!(twins, Err(Refused::Ambiguous(who("cn:twin"))));
    }
    // An address that nobody is at is passed over.
    let addresses = vec!["ldaps://127.0.0.1:1".to_owned(), site.slapd.ldaps()];
    let directory = site.directory(|options| options.addresses = addresses);
    is_anna(&directory.find(&who("cn:anna")).await.expect("an entry"));
}

#[tokio::test]
async fn the_gateways_certificate_serves_instead_of_a_password() {
    let site = Site::start();
    let issued = site.authority.issue(&Request::client("gateway"));
    let issued = issued.expect("a certificate");
    let credentials = Credentials::new(issued.chain(), issued.key());
    let tls = tls::key_store_client_config(credentials, &site.trust());
    let directory = site.directory_with(tls.expect("a TLS configuration"), |options| {
        options.bind = Bind::External;
    });
    is_anna(&directory.find(&who("cn:anna")).await.expect("an entry"));
}

#[tokio::test]
async fn hostile_identities_find_nobody() {
    let site = Site::start();
    let directory = site.directory(|_| ());
    for hostile in [
        "cn:*",
        "cn:a*",
        "cn:anna)(uid=*",
        "cn:*)(|(uid=*",
        "cn:\\61nna",
        "cn:an\0na",
        "cn:anna\\",
        "cn:x)(&",
        "cn:(uid=anna)",
        "spiffe://test/anna/",
    ] {
        let found = directory.find(&who(hostile)).await;
        assert_eq!(found, Ok(Values::new()), "{hostile}");
    }
    is_anna(
        &directory
            .find(&who("cn:anna"))
            .await
            .expect("it still answers"),
    );
}

#[tokio::test]
async fn a_directory_that_is_not_ours_or_does_not_know_us_is_told_apart() {
    let site = Site::start();
    let stranger = Authority::new("stranger").expect("an authority");
    let trust = Trust::new([stranger.certificate().clone()], Vec::new()).expect("trust");
    let tls = tls::anonymous_client_config(&trust, &[]).expect("a TLS configuration");
    let cases = [
        (site.directory_with(tls.clone(), |_| ()), "UnknownIssuer"),
        (
            site.directory_with(tls, |options| options.addresses = vec![site.slapd.ldap()]),
            "UnknownIssuer",
        ),
        (
            site.directory(|options| {
                options.bind = Bind::Simple(READER.into(), site.password("wrong"));
            }),
            "rc=49",
        ),
        (
            site.directory(|options| options.base = "ou=nowhere,dc=test".into()),
            "rc=32",
        ),
    ];
    for (directory, named) in cases {
        let refused = directory.find(&who("cn:anna")).await.expect_err("refused");
        let told = refused.to_string();
        assert!(told.contains(named), "{named}: {told}");
        assert!(!told.contains(PASSWORD), "{told}");
    }
}

#[tokio::test]
async fn what_was_said_serves_for_a_while_when_it_is_down() {
    let mut site = Site::start();
    let directory = site.directory(|options| {
        options.times = Times {
            deadline: Duration::from_secs(5),
            fresh: Duration::from_millis(100),
            stale: STALE,
        };
    });
    let asked = Instant::now();
    is_anna(&directory.find(&who("cn:anna")).await.expect("an entry"));
    assert_eq!(directory.find(&who("cn:nobody")).await, Ok(Values::new()));
    site.slapd.kill();
    tokio::time::sleep(Duration::from_millis(150)).await;
    // The one that is known, the one that is known not to be there, and one that was never asked for.
    is_anna(
        &directory
            .find(&who("cn:anna"))
            .await
            .expect("the last answer"),
    );
    assert_eq!(directory.find(&who("cn:nobody")).await, Ok(Values::new()));
    let unknown = directory.find(&who("cn:bert")).await;
    assert!(
        matches!(unknown, Err(Refused::Unreachable(_))),
        "{unknown:?}"
    );
    let refused = loop {
        match directory.find(&who("cn:anna")).await {
            Ok(values) => is_anna(&values),
            Err(refused) => break refused,
        }
        assert!(asked.elapsed() < SOON, "it serves for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(matches!(refused, Refused::Unreachable(_)), "{refused}");
    assert!(asked.elapsed() >= STALE);
    site.slapd.restart();
    let began = Instant::now();
    while let Err(refused) = directory.find(&who("cn:bert")).await {
        assert!(began.elapsed() < SOON, "{refused}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    is_anna(&directory.find(&who("cn:anna")).await.expect("an entry"));
}

#[tokio::test]
async fn answers_are_kept_and_a_connection_that_is_over_is_made_anew() {
    let mut site = Site::start();
    let directory = site.directory(|_| ());
    is_anna(&directory.find(&who("cn:anna")).await.expect("an entry"));
    site.slapd.kill();
    is_anna(&directory.find(&who("cn:anna")).await.expect("kept"));
    site.slapd.restart();
    // The connection that there was is dead, which shows only now.
    let bert = directory.find(&who("cn:bert")).await.expect("an entry");
    assert_eq!(bert["employeetype"], set(&["guest"]));
}

#[test]
fn many_who_come_at_once_with_one_identity_are_looked_up_once() {
    let site = Site::start();
    let recorder = PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    // On this thread alone, for it is this thread's recorder that counts.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let all = async {
        let directory = site.directory(|_| ());
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..100 {
            for name in ["cn:anna", "cn:nobody"] {
                let directory = directory.clone();
                asking.spawn(async move { directory.find(&who(name)).await });
            }
        }
        let mut found = 0;
        while let Some(values) = asking.join_next().await {
            let values = values.expect("no panic").expect("an answer");
            found += usize::from(!values.is_empty());
        }
        assert_eq!(found, 100);
    };
    metrics::with_local_recorder(&recorder, || {
        runtime.expect("a runtime").block_on(all);
    });
    let counted = counted.render();
    let once_each = "wardcast_directory_lookups_total{outcome=\"answered\"} 2";
    assert!(counted.contains(once_each), "{counted}");
}
