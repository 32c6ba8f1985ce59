//! What is accepted, what is refused, and that the committed files say the truth.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::*;

const FULL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/wardcast.full.toml");
const SMALLEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/wardcast.toml");

/// Load a text as a file, with variables.
fn load(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, text).expect("writes");
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Loaded::new(Some(&path), environment)
}

/// The problems of a refused text, each without the folder of its file.
fn refused(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let error = load(text, environment).expect_err(text);
    let short = |problem: &Problem| {
        let line = problem.to_string();
        match line.find("gateway.toml") {
            Some(start) => line[start..].to_owned(),
            None => line,
        }
    };
    error.problems.iter().map(short).collect()
}

fn keys(table: &toml::Table, prefix: &str, found: &mut Vec<String>) {
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => keys(inner, &format!("{prefix}{name}."), found),
            _ => found.push(format!("{prefix}{name}")),
        }
    }
}

#[test]
fn the_full_file_is_the_defaults_and_names_every_key() {
    let text = std::fs::read_to_string(FULL).expect("reads");
    let config: Config = toml::from_str(&text).expect("parses");
    assert_eq!(config, Config::default());

    let (mut named, mut existing) = (Vec::new(), Vec::new());
    keys(&text.parse().expect("parses"), "", &mut named);
    keys(
        &toml::Table::try_from(Config::default()).expect("serialises"),
        "",
        &mut existing,
    );
    assert_eq!(named, existing);

    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        let needs_comment =
            pair[1].contains(" = ") && !pair[1].starts_with('#') || pair[1].starts_with('[');
        assert!(
            !needs_comment || pair[0].starts_with('#'),
            "no comment above {}",
            pair[1]
        );
    }
}

#[test]
fn the_committed_files_load() {
    let full = Loaded::new(Some(Path::new(FULL)), []).expect("the full file");
    assert!(full.settings.is_empty());
    let smallest = Loaded::new(Some(Path::new(SMALLEST)), []).expect("the smallest file");
    let folder = Path::new(SMALLEST).parent().expect("a folder");
    assert_eq!(smallest.config.tls.client_ca, folder.join("pki/ca.pem"));
    assert_eq!(
        smallest.config.token.pin(),
        PinSource::File(&folder.join("pin"))
    );
    assert_eq!(smallest.config.policy.default.admit.len(), 1);
}

#[test]
fn every_key_can_be_set_from_the_environment() {
    let environment = [
        ("WARDCAST_LISTEN__ADDRESS", "127.0.0.1:9"),
        ("WARDCAST_TOKEN__PIN_ENV", "1234"),
        ("WARDCAST_TLS__CRL", "[\"a.pem\", \"b.pem\"]"),
        ("WARDCAST_POLICY__DEFAULT__QUORUM_PERCENT", "80"),
        (
            "WARDCAST_POLICY__DEFAULT__ADMIT",
            "[{ identity = \"cn:*\", roles = [\"both\"] }]",
        ),
        ("WARDCAST_LOG__FORMAT", "json"),
        ("WARDCAST_STORE__PATH", "\"/quoted/state.db\""),
        ("WARDCAST_CONFIG", "not a key"),
        ("HOME", "/root"),
    ];
    let text = "[policy.default]\nquorum_percent = 70\n[log]\nlevel = \"debug\"";
    let loaded = load(text, &environment).expect("loads");
    let config = &loaded.config;
    assert_eq!(config.listen.address.port(), 9);
    assert_eq!(config.token.pin(), PinSource::Env("1234"));
    assert_eq!(config.tls.crl.len(), 2);
    assert_eq!(config.policy.default.quorum_percent, 80);
    assert_eq!(config.policy.default.admit[0].identity, "cn:*");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.store.path, PathBuf::from("/quoted/state.db"));

    assert_eq!(loaded.settings.len(), 8);
    let of = |key: &str| {
        loaded
            .settings
            .iter()
            .find(|setting| setting.key == key)
            .expect("is set")
    };
    let quorum = of("policy.default.quorum_percent");
    assert_eq!(
        quorum.origin.to_string(),
        "environment variable WARDCAST_POLICY__DEFAULT__QUORUM_PERCENT"
    );
    assert_eq!(
        (quorum.value.as_integer(), quorum.default.as_integer()),
        (Some(80), Some(95))
    );
    assert!(matches!(of("log.level").origin, Origin::File(_)));
}

#[test]
fn without_a_file_the_environment_is_enough() {
    let environment = [("WARDCAST_STORE__PATH".to_owned(), "state.db".to_owned())];
    let config = Config::load(None, environment).expect("loads");
    assert_eq!(config.store.path, PathBuf::from("state.db"));
    let missing = Config::load(Some(Path::new("/no/such.toml")), []).expect_err("no file");
    assert!(
        missing
            .to_string()
            .starts_with("/no/such.toml: cannot be read"),
        "{missing}"
    );
}

#[test]
fn unknown_keys_are_refused_with_what_was_meant() {
    let text = "[listen]\nadress = \"127.0.0.1:1\"\n[policy]\nquorum_percent = 5\n[colours]\n[zzzz]\nyyyyyyyy = 1";
    assert_eq!(
        refused(
            text,
            &[
                ("WARDCAST_LIMITS__CONECTIONS", "5"),
                ("WARDCAST_TLS__", "x")
            ]
        ),
        [
            "gateway.toml: colours: no such key; config/wardcast.full.toml lists all",
            "gateway.toml: listen.adress: no such key; did you mean listen.address?",
            "gateway.toml: policy.quorum_percent: no such key; did you mean policy.default.quorum_percent?",
            "gateway.toml: zzzz.yyyyyyyy: no such key; config/wardcast.full.toml lists all",
            "environment variable WARDCAST_LIMITS__CONECTIONS: limits.conections: no such key; did you mean limits.connections?",
            "environment variable WARDCAST_TLS__: tls.: no such key; config/wardcast.full.toml lists all",
        ]
    );
    let in_rule = "[[policy.default.admit]]\nidentity = \"cn:*\"\nrole = [\"both\"]";
    let problem = refused(in_rule, &[]).remove(0);
    assert!(
        problem.starts_with("gateway.toml: policy.default.admit[0].role: unknown field `role`"),
        "{problem}"
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused_with_their_place() {
    let of = |text: &str| refused(text, &[]).remove(0);
    let problem = of("[listen]\naddress = \"somewhere\"");
    assert!(
        problem.starts_with("gateway.toml: listen.address: invalid socket address"),
        "{problem}"
    );
    let problem = of("[token.pool]\nworkers = \"two\"");
    assert!(
        problem.starts_with("gateway.toml: token.pool.workers: invalid type: string \"two\""),
        "{problem}"
    );
    let problem = of("[token]\nkind = \"hsm\"");
    assert!(
        problem.contains("token.kind: unknown variant `hsm`, expected `soft` or `pkcs11`"),
        "{problem}"
    );
    let problem = of("[policy.default]\nquorum_percent = 300");
    assert!(
        problem.starts_with("gateway.toml: policy.default.quorum_percent: invalid value"),
        "{problem}"
    );
    let problem = of("listen = 5");
    assert_eq!(problem, "gateway.toml: listen: is a section, not a key");
    let problem = of("[listen\naddress = 5");
    assert!(
        problem.starts_with("gateway.toml: is not TOML: TOML parse error at line 1"),
        "{problem}"
    );
    let problem = refused("", &[("WARDCAST_LIMITS__CONNECTIONS", "many")]).remove(0);
    assert!(
        problem.starts_with(
            "environment variable WARDCAST_LIMITS__CONNECTIONS: limits.connections: invalid type"
        ),
        "{problem}"
    );
}

/// The keys that are complained of.
fn complaints(text: &str) -> Vec<String> {
    let error = load(text, &[]).expect_err(text);
    error
        .problems
        .into_iter()
        .map(|problem| problem.key)
        .collect()
}

#[test]
fn who_looks_and_where_members_go_must_be_clear() {
    assert_eq!(
        complaints("[admin]\nmonitors = [\"prometheus\"]\nhealth_address = \"127.0.0.1:1\""),
        ["admin.address", "admin.health_address", "admin.monitors[0]"]
    );
    assert_eq!(
        complaints("[listen]\ndrain_to = [\"a.example.org:7443\", \"a.example.org\"]"),
        ["listen.drain_to[1]"]
    );
}

#[test]
fn impossible_combinations_are_refused_all_at_once() {
    assert_eq!(
        complaints("[token]\nkind = \"pkcs11\"\npath = \"x\""),
        ["token.module", "token.token_label", "token.path"]
    );
    assert_eq!(
        complaints("[token]\nmodule = \"x.so\"\ntoken_label = \"y\""),
        ["token.module", "token.token_label"]
    );
    assert_eq!(
        complaints("[token]\npin_file = \"x\"\npin_env = \"Y\""),
        ["token.pin_env"]
    );
    assert_eq!(
        complaints("[admin]\naddress = \"127.0.0.1:1\""),
        ["admin.operators"]
    );
    assert_eq!(
        complaints("[admin]\noperators = [\"cn:a\", \"bob\", \"cn:*\"]"),
        ["admin.address", "admin.operators[1]", "admin.operators[2]"]
    );
    assert_eq!(
        complaints("[policy.default]\nactivation_delay_ms = 9000"),
        ["policy.default.activation_delay_ms"]
    );
    assert_eq!(
        complaints("[limits]\nconnections = 0\nhandshakes = 0"),
        ["limits.connections", "limits.handshakes"]
    );
    assert_eq!(
        complaints("[token.pool]\nworkers = 0\n[log]\nlevel = \"wardcast=loud\""),
        ["token.pool.workers", "log.level"]
    );
    assert_eq!(
        complaints(
            "[multicast]\nttl = 0\nheartbeat_ms = 5\nrepeat_after_ms = [50, 0]\nreport_s = 0"
        ),
        [
            "multicast.ttl",
            "multicast.heartbeat_ms",
            "multicast.report_s",
            "multicast.repeat_after_ms[1]"
        ]
    );
    let often = "[multicast]\nrepeat_after_ms = [1, 1, 1, 1, 1, 1, 1, 1, 1]";
    assert_eq!(complaints(often), ["multicast.repeat_after_ms"]);
    assert_eq!(
        complaints("[policy.default]\nmulticast = \"10.0.0.1:7445\""),
        ["policy.default.multicast"]
    );
    for level in ["loud", "inof", "info,wardcast", "info,,debg"] {
        assert_eq!(
            complaints(&format!("[log]\nlevel = \"{level}\"")),
            ["log.level"]
        );
    }
    for level in ["WARN", "off", "info,wardcast::quic=debug"] {
        assert!(
            load(&format!("[log]\nlevel = \"{level}\""), &[]).is_ok(),
            "{level}"
        );
    }
    assert_eq!(complaints("[store]\npath = \"\""), ["store.path"]);
    assert_eq!(
        complaints("[store]\npath = \"x\"\n[token]\npath = \"x\""),
        ["token.path"]
    );
}

#[test]
fn sources_of_attributes_that_cannot_be_are_refused() {
    let jwt = "[jwt]\nissuer = \"https://a\"\naudience = \"b\"\njwks = ";
    assert!(load(&format!("{jwt}\"https://a/keys\""), &[]).is_ok());
    // Keys that come in the clear could be anybody's, on this machine too.
    for url in [
        "http://a/keys",
        "http://localhost/keys",
        "a/keys",
        "https://",
    ] {
        assert_eq!(complaints(&format!("{jwt}{url:?}")), ["jwt.jwks"], "{url}");
    }
    assert_eq!(
        complaints("[jwt]\nissuer = \"https://a\""),
        ["jwt.audience", "jwt.jwks"]
    );
    assert_eq!(complaints("[jwt]\naudience = \"b\""), ["jwt.audience"]);
    assert_eq!(
        complaints("[jwt]\nleeway_s = 601\nstale_s = 1\nclaims = [\"\"]"),
        ["jwt.leeway_s", "jwt.stale_s", "jwt.claims[0]"]
    );
    let ldap = "[ldap]\naddresses = [\"ldaps://a\"]\n";
    assert!(load(ldap, &[]).is_ok(), "its own certificate serves");
    assert_eq!(
        complaints("[ldap]\naddresses = [\"a\", \"ldapi:///x\", \"ldap://a:389\", \"ldaps://\"]"),
        [
            "ldap.addresses[0]",
            "ldap.addresses[1]",
            "ldap.addresses[3]"
        ]
    );
    assert_eq!(
        complaints(&format!("{ldap}bind_dn = \"cn=a\"")),
        ["ldap.password_file"]
    );
    assert_eq!(
        complaints(&format!("{ldap}password_file = \"x\"")),
        ["ldap.bind_dn"]
    );
    assert_eq!(
        complaints(&format!(
            "{ldap}bind_dn = \"cn=a\"\npassword_file = \"x\"\npassword_credential = \"y\"\nstale_s = 1"
        )),
        ["ldap.stale_s", "ldap.password_file"]
    );
}

#[test]
fn missing_files_are_found_with_their_keys() {
    let text = "[tls]\ncrl = [\"none.pem\"]\n[token]\npath = \"no/where/token\"\npin_file = \"pin\"\n[store]\npath = \"s.db\"";
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, text).expect("writes");
    std::fs::write(folder.path().join("pin"), "1234").expect("writes");
    let loaded = Loaded::new(Some(&path), []).expect("loads");
    let keys: Vec<String> = loaded
        .check_files()
        .into_iter()
        .map(|problem| problem.key)
        .collect();
    assert_eq!(
        keys,
        [
            "tls.certificate",
            "tls.key",
            "tls.client_ca",
            "tls.crl[0]",
            "token.path"
        ]
    );
}

#[test]
fn labels_that_no_escrow_key_has_are_refused() {
    let label = |label: &str| format!("[token]\nescrow_label = {}", toml::Value::from(label));
    let long = "x".repeat(65);
    for bad in [
        " ",
        "escrow ",
        "\tescrow",
        "es\0crow",
        "wardcast master 1",
        &long,
    ] {
        assert_eq!(complaints(&label(bad)), ["token.escrow_label"], "{bad:?}");
    }
    let loaded = load(&label(""), &[]).expect("none is a choice");
    assert_eq!(loaded.config.token.escrow_label, None);
    let escrows = "[policy.default]\nescrow = true\n";
    assert_eq!(
        complaints(&format!("{escrows}{}", label(""))),
        ["policy.default.escrow"]
    );
    load(&format!("{escrows}{}", label("escrow key")), &[]).expect("a label");
}

#[test]
fn tokens_and_their_hosts_that_cannot_be_are_refused() {
    let replica = |entry: &str| complaints(&format!("[token]\nreplicas = [{{ {entry} }}]"));
    assert_eq!(replica("pin_env = \"P\""), ["token.replicas[0].path"]);
    assert_eq!(
        replica("kind = \"pkcs11\", path = \"x\", pin_file = \"p\", pin_env = \"P\""),
        ["module", "token_label", "path", "pin_env"].map(|key| format!("token.replicas[0].{key}"))
    );
    assert_eq!(
        replica("path = \"second\", socket = \"s\""),
        ["token.replicas[0].socket"]
    );
    assert_eq!(
        complaints("[token.host]\nmode = \"socket\""),
        ["token.host.socket"]
    );
    assert_eq!(
        complaints("[token.host]\nmode = \"inside\"\nsocket = \"s\"\nsandbox = \"required\""),
        ["token.host.socket", "token.host.sandbox"]
    );
    assert_eq!(
        complaints("[token.pool]\ndeadline_ms = 5\nlost_workers = 100"),
        ["token.pool.deadline_ms", "token.pool.lost_workers"]
    );
}

#[test]
fn notifiers_are_spelled_out_and_of_a_key_store_that_there_is() {
    let problems = refused(
        "[front]\nnotifiers = [\"cn:*\", \"cn:store\", \"claim:a=b\"]\n",
        &[],
    );
    let about = |what: &str| problems.iter().filter(|line| line.contains(what)).count();
    assert_eq!(about("front.notifiers[0]"), 1, "{problems:?}");
    assert_eq!(about("front.notifiers[1]"), 0);
    assert_eq!(about("front.notifiers[2]"), 1);
    assert_eq!(about("front.address is not set"), 1);
    assert_eq!(about("upstream.addresses"), 1);
    let many = vec!["\"cn:store\""; 17].join(", ");
    let problems = refused(&format!("[front]\nnotifiers = [{many}]\n"), &[]);
    assert!(problems.iter().any(|line| line.contains("17 entries")));
}

#[test]
fn a_path_that_is_no_text_is_refused_before_anything_stands_on_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join(OsStr::from_bytes(b"w\xffrdcast"));
    std::fs::create_dir(&folder).expect("made");
    let file = folder.join("wardcast.toml");
    std::fs::write(&file, "").expect("written");
    let refused = Config::load(Some(&file), []).expect_err("it is no text");
    assert!(refused.to_string().contains("not UTF-8"), "{refused}");
}
