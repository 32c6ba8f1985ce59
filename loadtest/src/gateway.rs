//! The gateway under load: `wardcast serve` in a process of its own, started, watched, and ended with the run.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Failure;
use crate::operator::Operator;
use crate::site::{OPERATOR, Site};
use crate::token::{self, TokenKind};
use crate::usage::{self, Usage};

/// How long the gateway may take until it listens; a PKCS#11 library may be slow to load.
const START: Duration = Duration::from_secs(30);
/// Its configuration, in the folder of the run.
const CONFIGURATION: &str = "wardcast.toml";
/// How much of its log is shown when it does not.
const LAST_LINES: usize = 8;

/// Which gateway to start.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Setup {
    /// Where the gateway's keys are.
    #[arg(long, value_enum, default_value = "soft")]
    pub(crate) token: TokenKind,
    /// The PKCS#11 library; SoftHSM's, where it is usual, if none is named.
    #[arg(long)]
    module: Option<PathBuf>,
    /// The gateway's program; `wardcast` beside this one if none is named.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// UDP sockets of the gateway, each with threads of its own; one for each processor if 0.
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub(crate) sockets: u8,
}

impl Setup {
    /// The same with so many sockets.
    pub(crate) fn with_sockets(&self, sockets: u8) -> Self {
        Setup {
            sockets,
            ..self.clone()
        }
    }
}

/// A running gateway. Dropping it kills the process.
pub(crate) struct Gateway {
    child: Child,
    log: PathBuf,
    /// Where members connect.
    pub(crate) address: SocketAddr,
    /// Its admin interface.
    pub(crate) operator: Operator,
}

/// The first line that a gateway says on standard output.
#[derive(Deserialize)]
struct Started {
    listening: Listening,
}

#[derive(Deserialize)]
struct Listening {
    quic: SocketAddr,
    admin: Option<SocketAddr>,
}

impl Gateway {
    /// Prepares token and configuration, starts the process and waits until it listens.
    pub(crate) async fn start(site: &Site, setup: &Setup, policy: &str) -> Result<Self, Failure> {
        let program = program(setup)?;
        let folder = site.folder();
        let token = token::prepare(folder, setup.token, setup.module.as_deref())?;
        let configuration = folder.join(CONFIGURATION);
        std::fs::write(&configuration, configure(&token, policy, setup.sockets))?;
        provision(&program, folder, &configuration)?;
        Self::launch(site, &program, None).await
    }

    /// Starts it again once it has ended, for members at another address.
    pub(crate) async fn again(
        &mut self,
        site: &Site,
        setup: &Setup,
        address: SocketAddr,
    ) -> Result<(), Failure> {
        *self = Self::launch(site, &program(setup)?, Some(address)).await?;
        Ok(())
    }

    /// Waits until it has ended in good order.
    pub(crate) async fn ended(&mut self, within: Duration) -> Result<(), Failure> {
        let status = timeout(within, self.child.wait()).await;
        match status.map_err(|_| format!("the gateway does not end within {within:?}"))?? {
            status if status.success() => Ok(()),
            status => Err(format!("the gateway ended with {status}").into()),
        }
    }

    async fn launch(
        site: &Site,
        program: &Path,
        address: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        let folder = site.folder();
        let log = folder.join("gateway.log");
        let mut command = Command::from(prepared(program, folder));
        if let Some(address) = address {
            command.env("WARDCAST_LISTEN__ADDRESS", address.to_string());
        }
        let mut child = command
            .arg("serve")
            .arg("--config")
            .arg(folder.join(CONFIGURATION))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| unusable(program, &error))?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(START, lines.next_line()).await;
        let line = line.ok().and_then(Result::ok).flatten();
        let line = line.ok_or_else(|| format!("the gateway does not start:\n{}", tail(&log)))?;
        let Started { listening } = serde_json::from_str(&line).map_err(|error| {
            format!("the gateway says {line:?} instead of where it listens: {error}")
        })?;
        let admin = listening
            .admin
            .ok_or("the gateway has no admin interface")?;
        Ok(Gateway {
            child,
            log,
            address: listening.quic,
            operator: Operator::new(site, admin)?,
        })
    }

    /// What its process has used so far.
    pub(crate) fn usage(&mut self) -> Result<Usage, Failure> {
        Ok(Usage::of(self.pid()?)?)
    }

    /// The same, with that of its token host.
    pub(crate) fn family_usage(&mut self) -> Result<Usage, Failure> {
        Ok(Usage::of_family(self.pid()?)?)
    }

    /// How many files both have open.
    pub(crate) fn open_files(&mut self) -> Result<u64, Failure> {
        Ok(usage::open_files(self.pid()?)?)
    }

    fn pid(&mut self) -> Result<u32, Failure> {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("the gateway ended with {status}:\n{}", tail(&self.log)).into());
        }
        Ok(self.child.id().ok_or("the gateway has ended")?)
    }

    /// A failure with the end of its log, which may explain it.
    pub(crate) fn explained(&self, failure: Failure) -> Failure {
        let log = tail(&self.log);
        format!("{failure}\nthe end of the gateway's log:\n{log}").into()
    }
}

fn program(setup: &Setup) -> Result<PathBuf, Failure> {
    match &setup.gateway {
        Some(program) => Ok(program.clone()),
        None => Ok(std::env::current_exe()?.with_file_name("wardcast")),
    }
}

fn configure(token: &str, policy: &str, sockets: u8) -> String {
    format!(
        "[listen]\naddress = \"127.0.0.1:0\"\nsockets = {sockets}\n\n\
         [tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"ca.pem\"\n\n\
         {token}\n\
         [store]\npath = \"state.db\"\n\n\
         [admin]\naddress = \"127.0.0.1:0\"\noperators = [\"{OPERATOR}\"]\n\n\
         [log]\nlevel = \"warn\"\n\n\
         [policy.default]\n{policy}"
    )
}

fn provision(program: &Path, folder: &Path, configuration: &Path) -> Result<(), Failure> {
    let output = prepared(program, folder)
        .args(["token", "provision", "--config"])
        .arg(configuration)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unusable(program, &error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("the token cannot be provisioned: {}", said.trim()).into())
}

/// The program with an environment of its own: what is set for another gateway must not reach this one.
fn prepared(program: &Path, folder: &Path) -> Blocking {
    let mut command = Blocking::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WARDCAST_") {
            command.env_remove(name);
        }
    }
    command.env("SOFTHSM2_CONF", token::softhsm_configuration(folder));
    command
}

fn unusable(program: &Path, error: &std::io::Error) -> String {
    format!(
        "cannot run {}: {error}; build it with `cargo build --release --workspace`, or name it with --gateway",
        program.display()
    )
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
