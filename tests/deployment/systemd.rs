//! The systemd units: well-formed, tight, and enough for what they run.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::place::{ANY_PORTS, Place, Ran, ended, wait};

const GATEWAY: &str = "wardcast.service";
const TOKEN: &str = "wardcast-token@.service";
const ARCHIVE: &str = "wardcast-archive.service";
const TIMER: &str = "wardcast-archive.timer";
const DROP_INS: [&str; 3] = ["token-host.conf", "hsm-device.conf", "hsm-network.conf"];
/// What `systemd-analyze security` may say of a unit, in tenths: from 0 (locked up) to 100.
const EXPOSURES: [(&str, u32); 3] = [(GATEWAY, 15), (TOKEN, 10), (ARCHIVE, 10)];
/// A machine under load takes its time.
const SOON: Duration = Duration::from_secs(60);

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config/systemd")
        .join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A machine's folders: what is under `etc`, `usr`, `var/lib` and `run` is laid over this one's.
fn machine() -> Place {
    let place = Place::provisioned();
    for folder in [
        "etc/wardcast",
        "usr/bin",
        "var/lib/wardcast",
        "var/lib/wardcast-token",
        "run/wardcast",
        "run/wardcast-token",
    ] {
        fs::create_dir_all(place.path(folder)).expect("a folder");
    }
    let program = place.path("usr/bin/wardcast");
    // Another file system takes no second name for it.
    if fs::hard_link(env!("CARGO_BIN_EXE_wardcast"), &program).is_err() {
        fs::copy(env!("CARGO_BIN_EXE_wardcast"), &program).expect("is copied");
    }
    for name in [
        "gateway.pem",
        "gateway.key",
        "pki/ca.pem",
        "pki/crl.pem",
        "pin",
    ] {
        let base = Path::new(name).file_name().expect("a name");
        fs::copy(place.path(name), place.path("etc/wardcast").join(base)).expect("is copied");
    }
    place
}

/// Puts the gateway's configuration there, and the token into its folder.
fn configure(place: &Place, token: &str, more: &str) {
    fs::copy(place.path("token"), place.path(&format!("{token}/token"))).expect("is copied");
    let configuration = format!(
        "tls.crl = [\"/etc/wardcast/crl.pem\"]\ntoken.path = \"/{token}/token\"\nadmin.operators = [\"cn:operator\"]\n{more}"
    );
    place.write("etc/wardcast/wardcast.toml", &configuration);
}

/// A unit's process under its restrictions. It is killed when the test is over.
struct Unit {
    child: Child,
    log: PathBuf,
}

impl Unit {
    fn start(place: &Place, unit: &Path, drop_ins: &[&str]) -> Self {
        let log = place.path(&format!("{}.log", unit.display()).replace('/', "-"));
        let mut command = confined(place, unit, drop_ins);
        command.stdout(Stdio::piped());
        command.stderr(File::create(&log).expect("a log file"));
        let child = command.spawn().expect("it starts");
        Unit { child, log }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("its log")
    }

    /// Where its admin interface listens.
    fn admin(&mut self) -> String {
        let mut line = String::new();
        let output = self.child.stdout.take().expect("it is piped");
        let read = BufReader::new(output).read_line(&mut line);
        read.expect("its output");
        let said: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("it does not start: {line:?}\n{}", self.said()));
        let address = said["listening"]["admin"].as_str().expect("an address");
        let (_, port) = address.rsplit_once(':').expect("a port");
        format!("localhost:{port}")
    }

    /// SIGTERM, and its exit code.
    fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.expect("kill runs").success());
        wait("serve", &mut self.child)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn confined(place: &Place, unit: &Path, drop_ins: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment/confined.py");
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(unit).arg(place.path(""));
    let drop_ins = drop_ins.iter().map(|name| shipped("drop-ins").join(name));
    command.args(drop_ins).envs(ANY_PORTS);
    command.env_remove("CREDENTIALS_DIRECTORY");
    command.stdin(Stdio::null());
    command
}

/// `wardcast admin` as the operator.
fn admin(place: &Place, server: &str, line: &str) -> Ran {
    let variables = [
        ("WARDCAST_ADMIN_SERVER", server),
        ("WARDCAST_ADMIN_CA", "pki/ca.pem"),
    ];
    place.run_with(&format!("admin {line}"), &variables)
}

/// Waits until the token is usable.
fn ready(place: &Place, server: &str, unit: &Unit) {
    let began = Instant::now();
    loop {
        let ran = admin(place, server, "token show --json");
        let usable =
            serde_json::from_str::<Value>(&ran.out).is_ok_and(|token| token["state"] == "usable");
        if usable {
            return;
        }
        assert!(began.elapsed() < SOON, "{ran:#?}\n{}", unit.said());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// All that systemd would complain of; the program stands where it was built.
#[test]
fn systemd_knows_every_directive() {
    let place = Place::empty();
    for name in [GATEWAY, TOKEN, ARCHIVE, TIMER] {
        let program = env!("CARGO_BIN_EXE_wardcast");
        place.write(name, &text(name).replace("/usr/bin/wardcast", program));
    }
    for name in DROP_INS {
        let unit = match name {
            "token-host.conf" => GATEWAY,
            _ => TOKEN,
        };
        let folder = place.path(&format!("{unit}.d"));
        fs::create_dir_all(&folder).expect("a folder");
        symlink(shipped("drop-ins").join(name), folder.join(name)).expect("a link");
    }
    let verify = |unit: &str| {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no", "--recursive-errors=yes", unit]);
        command.current_dir(place.path(""));
        ended("verify", command)
    };
    verify(GATEWAY).exits(0);
    verify(TOKEN).exits(0);
    verify(TIMER).exits(0);
    let misspelt = text(GATEWAY).replace("ProtectHome=", "ProtectHomes=");
    place.write("misspelt.service", &misspelt);
    let ran = verify("misspelt.service");
    assert!(ran.err.contains("ProtectHomes"), "{ran:#?}");
}

fn exposure(unit: &Path, threshold: u32) -> Ran {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--no-pager", "--offline=true"]);
    command.arg(format!("--threshold={threshold}")).arg(unit);
    ended("security", command)
}

#[test]
fn units_are_exposed_as_little_as_is_said() {
    for (name, most) in EXPOSURES {
        exposure(&shipped(name), most).exits(0);
        // The bound is no wider than it needs to be, and a unit that gives something up goes over it.
        let place = Place::empty();
        let wider = text(name).replace("CapabilityBoundingSet=\n", "");
        place.write(name, &wider);
        exposure(&place.path(name), most).exits(1);
    }
}

/// The restrictions hold: what a unit must not do is refused, and its own folders are writable.
#[test]
fn what_a_unit_must_not_do_is_refused() {
    let place = machine();
    let probe = format!("#!/usr/bin/python3\n{PROBE}");
    place.write("usr/bin/probe", &probe);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(place.path("usr/bin/probe"), mode).expect("is set");
    let unit = text(GATEWAY).replace("/usr/bin/wardcast", "/usr/bin/probe");
    place.write(GATEWAY, &unit);
    let ran = ended("probe", confined(&place, &place.path(GATEWAY), &[])).exits(0);
    let expected =
        "state done\netc EROFS\nwx EPERM\npacket EPERM\ninet done\nchroot EPERM\nmode 0o600\n";
    assert_eq!(ran.out, expected);
}

/// Tries each, and says what came of it.
const PROBE: &str = r#"
import errno, mmap, os, socket
def attempt(name, call):
    try:
        call()
        print(name, "done")
    except OSError as error:
        print(name, errno.errorcode[error.errno])
attempt("state", lambda: open("/var/lib/wardcast/probe", "w"))
attempt("etc", lambda: open("/etc/wardcast/probe", "w"))
attempt("wx", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
attempt("packet", lambda: socket.socket(socket.AF_PACKET))
attempt("inet", lambda: socket.socket(socket.AF_INET))
attempt("chroot", lambda: os.chroot("/"))
print("mode", oct(os.stat("/var/lib/wardcast/probe").st_mode & 0o777))
"#;

/// The gateway starts its token host itself: all of it works under the unit's restrictions, by the unit's own words.
#[test]
fn the_gateway_serves_as_its_unit_says() {
    let place = machine();
    // The credentials are where secrets come from: nothing else names them.
    configure(&place, "var/lib/wardcast", "");
    let mut unit = Unit::start(&place, &shipped(GATEWAY), &[]);
    let server = unit.admin();
    ready(&place, &server, &unit);
    admin(&place, &server, "group create room").exits(0);
    admin(&place, &server, "group rotate room").exits(0);
    // The system calls by which the token host confines itself are among those that are allowed.
    assert_eq!(confinement(&unit.said()), confinement(&elsewhere(&place)));
    assert_eq!(unit.stop(), Some(0));
    assert_eq!(place.mode("var/lib/wardcast/state.db"), 0o600);
    let trail = place.run("audit verify var/lib/wardcast/audit").exits(0);
    assert!(trail.out.contains("Signed up to"), "{trail:#?}");
    // Whoever archives has folders of both, and little else.
    fs::create_dir(place.path("var/lib/wardcast-archive")).expect("a folder");
    let archived = ended("archive", confined(&place, &shipped(ARCHIVE), &[])).exits(0);
    assert_eq!(archived.out, "No segment was moved.\n");
}

/// What the token host of a gateway says that runs in the same place without restrictions.
fn elsewhere(place: &Place) -> String {
    let log = place.path("elsewhere.log");
    let socket = place.path("elsewhere.sock");
    let socket = socket.to_str().expect("text");
    let mut command = place.command([
        "token-host",
        "--config",
        "wardcast.toml",
        "--socket",
        socket,
    ]);
    command.stderr(File::create(&log).expect("a log file"));
    let child = command.spawn().expect("it starts");
    let unit = Unit { child, log };
    let began = Instant::now();
    while !unit.said().contains("token host listening") {
        assert!(began.elapsed() < SOON, "{}", unit.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    unit.said()
}

/// How a token host says that it is confined: all of it, where the kernel can.
fn confinement(log: &str) -> String {
    let line = log.lines().find(|line| line.contains("confinement="));
    let line = line.unwrap_or_else(|| panic!("it does not say how: {log}"));
    line.split_once("confinement=")
        .expect("is there")
        .1
        .to_owned()
}

/// The token host has a unit, and in earnest a user, of its own; the gateway's has no PIN then.
#[test]
fn the_token_host_serves_as_its_unit_says() {
    let place = machine();
    let host = "[token.host]\nmode = \"socket\"\nsocket = \"/run/wardcast-token/0.sock\"\n";
    configure(&place, "var/lib/wardcast-token", host);
    let token = Unit::start(&place, &shipped(TOKEN), &[]);
    let mut gateway = Unit::start(&place, &shipped(GATEWAY), &["token-host.conf"]);
    let server = gateway.admin();
    ready(&place, &server, &gateway);
    admin(&place, &server, "group create room").exits(0);
    assert_eq!(gateway.stop(), Some(0));
    assert_eq!(token.stop(), Some(0));
    let left = fs::read_dir(place.path("var/lib/wardcast-token")).expect("a folder");
    assert_eq!(left.count(), 1, "the token alone");
}
