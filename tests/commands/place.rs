//! A folder to run commands in, and what came of each.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The smallest configuration, as it is shipped.
pub(crate) const SMALLEST: &str = include_str!("../../config/wardcast.toml");
/// Opens the soft token. Odd enough to be found wherever it does not belong.
pub(crate) const PIN: &str = "k9-Zebra-Quartz-Plum";
/// No command takes longer.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// Ports that are free whoever runs beside.
pub(crate) const ANY_PORTS: [(&str, &str); 2] = [
    ("WARDCAST_LISTEN__ADDRESS", "127.0.0.1:0"),
    ("WARDCAST_ADMIN__ADDRESS", "127.0.0.1:0"),
];

/// The certificates that the smallest configuration and its comments speak of.
const CERTIFICATES: [&str; 4] = [
    "pki init --dir pki",
    "pki issue --dir pki --name gateway --server --dns localhost --out gateway",
    "pki issue --dir pki --name operator --client --out operator",
    "pki issue --dir pki --name alice --client --spiffe spiffe://example.org/alice --out alice",
];

/// A folder of its own, gone afterwards.
pub(crate) struct Place(tempfile::TempDir);

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    what: String,
    /// None after a signal.
    code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Place {
    /// With nothing in it.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// With certificates, a PIN and the smallest configuration; the token is not there yet.
    pub(crate) fn furnished() -> Self {
        let place = Self::empty();
        for line in CERTIFICATES {
            place.run(line).exits(0);
        }
        place.write("pin", PIN);
        place.write("wardcast.toml", SMALLEST);
        place
    }

    /// The same with its token: a gateway can start.
    pub(crate) fn provisioned() -> Self {
        let place = Self::furnished();
        place.run("token provision --config wardcast.toml").exits(0);
        place
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that its owner alone can read.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path(name));
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("written");
    }

    /// What a file holds.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Who may do what with a file.
    pub(crate) fn mode(&self, name: &str) -> u32 {
        let metadata = fs::metadata(self.path(name)).expect("it is there");
        metadata.permissions().mode() & 0o777
    }

    /// The program with these words, in this folder, with no setting of whoever runs the tests.
    pub(crate) fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardcast"));
        let ours = |name: &str| name.starts_with("WARDCAST_") || name == "CREDENTIALS_DIRECTORY";
        for (name, _) in std::env::vars_os() {
            if ours(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        command.args(words).current_dir(self.0.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command line; words are what stands between spaces.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_with(line, &[])
    }

    /// The same with environment variables.
    pub(crate) fn run_with(&self, line: &str, variables: &[(&str, &str)]) -> Ran {
        let mut command = self.command(line.split_whitespace());
        command.envs(variables.iter().copied());
        ended(line, command)
    }
}

/// Runs a command until it ends, which must be soon.
pub(crate) fn ended(what: &str, mut command: Command) -> Ran {
    let [mut out, mut err] = [(); 2].map(|()| tempfile::tempfile().expect("a file"));
    let write = |file: &File| file.try_clone().expect("a second handle");
    command.stdout(write(&out)).stderr(write(&err));
    let mut child = command.spawn().expect("it starts");
    let code = wait(what, &mut child);
    Ran {
        what: what.to_owned(),
        code,
        out: text(&mut out),
        err: text(&mut err),
    }
}

/// Waits for the end of a process, and kills it if that does not come.
pub(crate) fn wait(what: &str, child: &mut Child) -> Option<i32> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return status.code();
        }
        if began.elapsed() > SOON {
            // It may end by itself in this moment.
            let _ = child.kill();
            let _ = child.wait();
            panic!("wardcast {what}: still running after {SOON:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn text(file: &mut File) -> String {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .expect("its output");
    String::from_utf8(bytes).expect("its output is text")
}

impl Ran {
    /// It ended with this code, and no panic.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.err.contains("panicked"), "{self:#?}");
        if code == 0 {
            assert_eq!(self.err, "", "`{}` has nothing to complain of", self.what);
        }
        self
    }

    /// It failed: it says so on standard error with all of this, and gives a script nothing to mistake for an answer.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &[&str]) -> Self {
        let ran = self.exits(code);
        assert_eq!(ran.out, "", "{ran:#?}");
        let said = says.iter().find(|part| !ran.err.contains(**part));
        assert_eq!(said, None, "is not said: {ran:#?}");
        ran
    }

    /// Its output is one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Neither output shows this.
    #[track_caller]
    pub(crate) fn hides(&self, secret: &str) -> &Self {
        assert!(!self.out.contains(secret), "{secret}: {self:#?}");
        assert!(!self.err.contains(secret), "{secret}: {self:#?}");
        self
    }
}

/// Whether a file is the same as it was.
#[track_caller]
pub(crate) fn unchanged(before: &[u8], path: &Path) {
    assert_eq!(fs::read(path).expect("it is there"), before, "{path:?}");
}
