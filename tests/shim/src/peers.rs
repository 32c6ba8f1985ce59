//! Real tokens for tests, each fresh in a directory: SoftHSM's and kryoptic's.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LABEL: &str = "wardcast test";
const PIN: &str = "123456";
const SO_PIN: &str = "87654321";
/// Names SoftHSM's settings.
const SOFTHSM_SETTINGS: &str = "SOFTHSM2_CONF";
/// Where SoftHSM's library may be.
const SOFTHSM: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];
/// Names another build of kryoptic than that of tests/install.sh.
const KRYOPTIC: &str = "WARDCAST_TEST_KRYOPTIC";

/// An initialised token.
pub struct Peer {
    /// The library to load.
    pub module: PathBuf,
    /// What the process that loads it needs in its environment.
    pub environment: Vec<(&'static str, OsString)>,
    /// The token's label.
    pub label: String,
    /// The user's PIN.
    pub pin: &'static str,
}

impl Peer {
    /// A token of SoftHSM in this directory.
    pub fn softhsm(directory: &Path) -> Self {
        let tokens = directory.join("tokens");
        fs::create_dir(&tokens).expect("makes a directory");
        let settings = directory.join("softhsm2.conf");
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        fs::write(&settings, text).expect("writes");
        Self::softhsm_at(settings, LABEL)
    }

    /// One more token of SoftHSM, beside that of the child process that this is.
    pub fn another_softhsm(label: &str) -> Self {
        let settings = std::env::var_os(SOFTHSM_SETTINGS).expect("a child has it");
        Self::softhsm_at(settings.into(), label)
    }

    fn softhsm_at(settings: PathBuf, label: &str) -> Self {
        let found = SOFTHSM.iter().map(PathBuf::from).find(|path| path.exists());
        let module = found.unwrap_or_else(|| {
            panic!("this test needs SoftHSM (none of {SOFTHSM:?} exists): run tests/install.sh")
        });
        let peer = Self::new(module, (SOFTHSM_SETTINGS, settings), label);
        let command = ["--init-token", "--free", "--label", label, "--pin", PIN];
        peer.tool("softhsm2-util", &command);
        peer
    }

    /// A token of kryoptic, with PKCS#11 3.2, in this directory.
    pub fn kryoptic(directory: &Path) -> Self {
        let settings = directory.join("kryoptic.conf");
        let database = directory.join("kryoptic.sql");
        let text = format!(
            "[[slots]]\nslot = 1\ndbtype = \"sqlite\"\ndbargs = {:?}\n",
            database.display().to_string()
        );
        fs::write(&settings, text).expect("writes");
        let peer = Self::new(kryoptic_module(), ("KRYOPTIC_CONF", settings), LABEL);
        let module = peer.module.to_str().expect("a path of text");
        let tool = |command: &[&str]| {
            peer.tool("pkcs11-tool", &[&["--module", module], command].concat());
        };
        tool(&["--init-token", "--label", LABEL]);
        let login = ["--login", "--login-type=so", "--token-label", LABEL];
        tool(&[&login[..], &["--init-pin", "--new-pin", PIN]].concat());
        peer
    }

    fn new(module: PathBuf, (variable, settings): (&'static str, PathBuf), label: &str) -> Self {
        Peer {
            module,
            environment: vec![(variable, settings.into_os_string())],
            label: label.to_owned(),
            pin: PIN,
        }
    }

    /// Has the token's module work on it in a process of its own.
    fn tool(&self, tool: &str, arguments: &[&str]) {
        let run = Command::new(tool)
            .args(arguments)
            .args(["--so-pin", SO_PIN])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output();
        match run {
            Ok(output) if output.status.success() => {}
            Ok(output) => panic!(
                "{tool} {arguments:?} failed: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => panic!("this test needs {tool} ({error}): run tests/install.sh"),
        }
    }
}

fn kryoptic_module() -> PathBuf {
    let own = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        root.join("target/kryoptic/release/libwardcast_kryoptic.so")
    };
    let module = std::env::var_os(KRYOPTIC).map_or_else(own, PathBuf::from);
    assert!(
        module.exists(),
        "this test needs kryoptic ({} does not exist): run tests/install.sh",
        module.display()
    );
    module.canonicalize().expect("it exists")
}
