//! README's sections "Run a gateway", "Look at a gateway", "Operate a gateway", "KMIP messages", "The front" and "From start to
//! restart", command by command, in a folder of somebody's own.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};

use crate::place::{ANY_PORTS, Place, SMALLEST, ended};

const README: &str = include_str!("../../README.md");
const SECTION: &str = "## Run a gateway\n";
const OPERATE: &str = "## Operate a gateway\n";
const LOOK: &str = "## Look at a gateway\n";
const KMIP: &str = "## KMIP messages\n";
const FRONT: &str = "## The front\n";
const START: &str = "## From start to restart\n";
/// The ports that README and the smallest configuration speak of.
const PORTS: [&str; 2] = ["localhost:7443", "127.0.0.1:7444"];

/// A section's indented lines, in order; each block is for a terminal of its own.
fn blocks(heading: &str) -> Vec<String> {
    let at = README.find(heading).expect("the section") + heading.len();
    let section = README[at..].split("\n## ").next().expect("its text");
    let mut blocks = vec![String::new()];
    for line in section.lines() {
        let last = blocks.last_mut().expect("one at least");
        match line.strip_prefix("    ") {
            Some(command) => writeln!(last, "{command}").expect("a String takes it"),
            // An empty line stands within a block.
            None if line.is_empty() => {}
            None if last.is_empty() => {}
            None => blocks.push(String::new()),
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// A shell that runs lines as they stand, but stops where one fails.
pub(crate) fn shell(place: &Place, script: &str) -> Command {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_wardcast"));
    let folder = program.parent().expect("its folder").display();
    let path = std::env::var("PATH").unwrap_or_default();
    // The same variables are taken away as from every command here.
    let clean = place.command([]);
    let mut command = Command::new("bash");
    for (name, value) in clean.get_envs() {
        if value.is_none() {
            command.env_remove(name);
        }
    }
    command.args(["-euo", "pipefail", "-c", script]);
    command.env("PATH", format!("{folder}:{path}"));
    command.envs(ANY_PORTS).stdin(Stdio::null());
    command.current_dir(place.path(""));
    command
}

/// Ports are chosen by the system, as several tests run on one machine; all else is done as it is written.
#[test]
fn its_commands_work_as_they_stand() {
    let [set_up, operate, follow] = &blocks(SECTION)[..] else {
        panic!("set up, operate, follow: {:#?}", blocks(SECTION));
    };
    let (join, change) = follow
        .split_once("--json\n")
        .expect("a member, then the operator");
    assert!(SMALLEST.contains(PORTS[1]) && join.contains(PORTS[0]));
    let sources = env!("CARGO_MANIFEST_DIR");
    let set_up = set_up.replace("PATH_TO_THE_SOURCES", sources);
    let (prepare, serve) = set_up.trim_end().rsplit_once('\n').expect("several lines");
    assert_eq!(serve, "wardcast serve --config wardcast.toml");

    let place = Place::empty();
    let prepared = ended("set up", shell(&place, prepare)).exits(0);
    assert!(
        prepared.out.contains("wardcast.toml: good"),
        "{prepared:#?}"
    );
    assert_eq!(place.mode("pin"), 0o600);
    let gateway = crate::gateway::Gateway::start(&place);
    let admin = format!("localhost:{}", gateway.admin.port());
    let quic = format!("localhost:{}", gateway.quic.port());
    let run = |what: &str, script: &str| {
        let mut command = shell(&place, &script.replace(PORTS[0], &quic));
        command.env("WARDCAST_ADMIN_SERVER", &admin);
        ended(what, command)
    };
    let operated = run("operate", operate).exits(0);
    assert!(operated.out.contains("room"), "{operated:#?}");

    // The member runs beside the operator, who waits until it is there and is heard.
    let export = operate.lines().next().expect("a line");
    let installed = |count: usize| {
        format!("until [ \"$(grep -c installed joined)\" -ge {count} ]; do sleep 0.05; done\n")
    };
    let change = change.replacen('\n', &format!("\n{}", installed(2)), 1);
    let script = format!(
        "{export}\n: > joined\n{join} --json > joined &\n{}{change}\nset +e\nwait $!\necho \"the member exits with $?\"",
        installed(1),
    );
    let changed = run("join and change", &script).exits(0);
    assert!(
        changed.out.contains("spiffe://example.org/alice"),
        "{changed:#?}"
    );
    assert!(
        changed.out.contains("the member exits with 3"),
        "{changed:#?}"
    );
    let joined = String::from_utf8(place.read("joined")).expect("text");
    let key = joined
        .split("\"srtp\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    assert_eq!(key.map(str::len), Some(60), "30 bytes: {joined}");
}

/// The last command ends the gateway.
#[test]
fn a_gateway_is_operated_as_it_says() {
    let [script] = &blocks(OPERATE)[..] else {
        panic!("one block: {:#?}", blocks(OPERATE));
    };
    let place = Place::provisioned();
    let gateway = crate::gateway::Gateway::start(&place);
    let mut command = shell(&place, script);
    command.env("WARDCAST_ADMIN_CA", "pki/ca.pem");
    command.env(
        "WARDCAST_ADMIN_SERVER",
        format!("localhost:{}", gateway.admin.port()),
    );
    let operated = ended("operate", command).exits(0);
    for told in ["ready", "needs_restart", "wardcast::quic=debug", PORTS[0]] {
        assert!(operated.out.contains(told), "{told}: {operated:#?}");
    }
    assert_eq!(gateway.ended(), Some(0));
}

/// With a member to look at.
#[test]
fn a_gateway_is_looked_at_as_it_says() {
    let [look] = &blocks(LOOK)[..] else {
        panic!("one block: {:#?}", blocks(LOOK));
    };
    let place = Place::provisioned();
    let gateway = crate::gateway::Gateway::start(&place);
    let (admin, quic) = (gateway.admin.port(), gateway.quic.port());
    let script = format!(
        "export WARDCAST_ADMIN_CA=pki/ca.pem WARDCAST_ADMIN_SERVER=localhost:{admin}\n\
         wardcast admin group create room > made\n: > joined\n\
         wardcast join --server localhost:{quic} --ca pki/ca.pem --cert alice.pem --key alice.key \
         --group room --role receiver --json > joined &\n\
         until grep -q installed joined; do sleep 0.05; done\n\
         {look}\nkill $!\n",
    );
    let looked = ended("look", shell(&place, &script)).exits(0);
    for part in [
        "groups 1, members 1",
        "the newest epoch",
        "room",
        "spiffe://example.org/alice",
        "granted",
    ] {
        assert!(looked.out.contains(part), "{part}: {looked:#?}");
    }
}

/// Its last line is what the last command prints.
#[test]
fn kmip_messages_are_converted_as_it_says() {
    let place = Place::empty();
    let [script] = &blocks(KMIP)[..] else {
        panic!("one block: {:#?}", blocks(KMIP));
    };
    let (_, printed) = script.rsplit_once("# ").expect("what is printed");
    let ran = ended("convert", shell(&place, script)).exits(0);
    assert_eq!(ran.out, printed);
}

/// Ports are chosen by the system here too; all else is done as it is written.
#[test]
fn the_front_is_asked_as_it_says() {
    let [prepare, ask] = &blocks(FRONT)[..] else {
        panic!("prepare, ask: {:#?}", blocks(FRONT));
    };
    let place = Place::provisioned();
    ended("prepare", shell(&place, prepare)).exits(0);
    let any = ("WARDCAST_FRONT__ADDRESS", "127.0.0.1:0");
    let gateway = crate::gateway::Gateway::start_with(&place, &[any]);
    gateway.admin(&place, "group create room").exits(0);
    let front = gateway.front.expect("a front").port();
    assert!(prepare.contains(":7445"));
    let ask = ask.replace(":7445", &format!(":{front}"));
    let asked = ended("ask", shell(&place, &ask)).exits(0);
    let shown = [
        "\"operation\":\"grant\"",
        "cn:operator in room",
        "value=\"DiscoverVersions\"",
    ];
    for shown in shown {
        assert!(asked.out.contains(shown), "{shown}: {asked:#?}");
    }
}

/// Ports of TCP and UDP that nobody has at this moment.
fn free_ports() -> (SocketAddr, SocketAddr) {
    let admin = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let quic = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    (admin.expect("an address"), quic.expect("an address"))
}

/// The gateway runs in the shell of whoever operates it, on ports that were free a moment ago.
#[test]
fn an_operator_does_as_it_says() {
    let [operate] = &blocks(START)[..] else {
        panic!("one block: {:#?}", blocks(START));
    };
    let place = Place::provisioned();
    let (admin, quic) = free_ports();
    assert!(operate.contains(":7444") && operate.contains(":7443"));
    let script = operate
        .replace(":7444", &format!(":{}", admin.port()))
        .replace(":7443", &format!(":{}", quic.port()));
    // Nothing outlives a script that fails.
    let script = format!("trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n{script}");
    let mut command = shell(&place, &script);
    command.env("WARDCAST_LISTEN__ADDRESS", quic.to_string());
    command.env("WARDCAST_ADMIN__ADDRESS", admin.to_string());
    command.env(
        "WARDCAST_ADMIN_SERVER",
        format!("localhost:{}", admin.port()),
    );
    let operated = ended("operate", command);
    let log = String::from_utf8_lossy(&place.read("log")).into_owned();
    assert!(
        operated.out.contains("wardcast_audit_writable 1"),
        "{operated:#?}\n{log}"
    );
    let operated = operated.exits(0);
    let shown = [
        "spiffe://example.org/alice",
        "lost her laptop",
        "<title>",
        "groups 1, members 0",
        "The trail is whole",
        "Signed up to record",
        "No segment was moved.",
    ];
    for shown in shown {
        assert!(
            operated.out.contains(shown),
            "{shown}: {operated:#?}\n{log}"
        );
    }
    let (_, restarted) = operated.out.split_once("No segment").expect("the archive");
    assert!(restarted.contains("lobby"), "{operated:#?}");
}
