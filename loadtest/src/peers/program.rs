//! A peer's server: a program of a Debian package, started on a loopback port with a configuration in the run's folder.

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::Failure;
use crate::gateway::tail;
use crate::usage::Usage;

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(30);
/// The pause between two looks at whether it does.
const LOOK: Duration = Duration::from_millis(20);
/// Where servers are that the search path of most users does not have.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Which program, and who has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) program: &'static str,
    /// The Debian package.
    pub(super) package: &'static str,
}

impl Wanted {
    /// Where it is installed.
    pub(super) fn find(self) -> Result<PathBuf, Failure> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
        let mut places = folders.map(|folder| folder.join(self.program));
        places.find(|place| place.is_file()).ok_or_else(|| {
            let Wanted { program, package } = self;
            format!("{program} is not installed: install it (Debian package {package}), or leave it out with --only").into()
        })
    }
}

/// A running server. Dropping it kills the process.
pub(super) struct Program {
    child: Child,
    log: PathBuf,
    name: &'static str,
    /// Where clients connect.
    pub(super) address: SocketAddr,
}

impl Program {
    /// Starts it with these arguments and waits until it listens.
    pub(super) async fn start(
        wanted: Wanted,
        folder: &Path,
        port: u16,
        arguments: Vec<OsString>,
    ) -> Result<Self, Failure> {
        let path = wanted.find()?;
        let log = folder.join(format!("{}.log", wanted.program));
        let output = File::create(&log)?;
        let child = Command::new(&path)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", path.display()))?;
        let mut program = Program {
            child,
            log,
            name: wanted.program,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        };
        let began = Instant::now();
        while TcpStream::connect(program.address).await.is_err() {
            program.runs()?;
            if began.elapsed() > START {
                let words = format!(
                    "{} does not listen after {} s",
                    program.name,
                    START.as_secs()
                );
                return Err(program.explained(words.into()));
            }
            sleep(LOOK).await;
        }
        Ok(program)
    }

    /// What its process has used so far.
    pub(super) fn usage(&mut self) -> Result<Usage, Failure> {
        self.runs()?;
        Ok(Usage::of_family(self.child.id())?)
    }

    /// Fails when it has ended.
    fn runs(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            Some(status) => Err(self.explained(format!("it ended with {status}").into())),
            None => Ok(()),
        }
    }

    /// A failure with the end of its log, which may explain it.
    pub(super) fn explained(&self, failure: Failure) -> Failure {
        let (name, log) = (self.name, tail(&self.log));
        format!("{name}: {failure}\nthe end of its log:\n{log}").into()
    }
}

impl Drop for Program {
    /// Waits for the end, so that nothing is written to the run's folder while that is removed.
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody uses. These servers cannot say which one the system chose for them.
pub(super) fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        let wanted = Wanted {
            program: "no-such-program",
            package: "its-package",
        };
        let said = wanted.find().expect_err("it is not there").to_string();
        assert!(
            said.contains("no-such-program") && said.contains("its-package"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_says_so() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let wanted = Wanted {
            program: "false",
            package: "coreutils",
        };
        let port = free_port().expect("there is a port");
        let started = Program::start(wanted, folder.path(), port, Vec::new()).await;
        let said = started.err().expect("it does not listen").to_string();
        assert!(said.starts_with("false: it ended"), "{said}");
    }
}
