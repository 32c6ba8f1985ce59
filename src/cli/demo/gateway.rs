//! The demo's gateway: this same program as a child process, started, killed and started again.

use std::fs::{self, File, OpenOptions};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::cli::admin::Client;
use crate::group::ids::MemberId;

use super::place::{GROUP, Place};

/// How long the gateway may take until its admin interface answers.
const START: Duration = Duration::from_secs(20);
/// How often that is tried.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// How much of its log is shown when it does not start.
const LAST_LINES: usize = 8;

/// The running gateway. Dropping it kills the process, on whatever way out of the demo.
pub(super) struct Gateway {
    place: Place,
    child: Child,
    admin: Client,
}

fn start(place: &Place) -> Result<Child, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let log = place.path("gateway.log");
    let log = OpenOptions::new().create(true).append(true).open(&log);
    let log: File = log.map_err(|error| format!("cannot write the gateway's log: {error}"))?;
    let output = log
        .try_clone()
        .map_err(|error| format!("cannot write the gateway's log: {error}"))?;
    let mut command = Command::new(program);
    command
        .arg("serve")
        .arg("--config")
        .arg(place.path("wardcast.toml"));
    // The demo's gateway is configured by the demo alone.
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WARDCAST_"))
    {
        command.env_remove(name);
    }
    command.env("SOFTHSM2_CONF", place.softhsm_configuration());
    command
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(log)
        .kill_on_drop(true);
    command
        .spawn()
        .map_err(|error| format!("cannot start the gateway: {error}"))
}

impl Gateway {
    /// Starts it and waits until it answers; creates the demo's group.
    pub(super) async fn open(place: Place) -> Result<Self, String> {
        let child = start(&place)?;
        let server = format!("localhost:{}", place.admin_port);
        let [ca, cert, key] =
            ["ca.pem", "operator.pem", "operator.key"].map(|name| place.path(name));
        let admin = Client::new(&server, &ca, &cert, &key).map_err(|error| error.to_string())?;
        let mut gateway = Self {
            place,
            child,
            admin,
        };
        gateway.answers().await?;
        gateway
            .admin
            .create(GROUP, None)
            .await
            .map_err(|error| format!("cannot create the group: {error}"))?;
        Ok(gateway)
    }

    /// The folder, the ports and the authority.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Where it is and what it runs on.
    pub(super) fn about(&self) -> String {
        format!(
            "QUIC on {}, {}, state and logs in {}",
            self.place.address(),
            self.place.token(),
            self.place.folder()
        )
    }

    async fn answers(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!(
                    "the gateway ended with {status}; the end of its log:\n{}",
                    self.log()
                ));
            }
            match self.admin.groups().await {
                Ok(_) => return Ok(()),
                Err(_) if Instant::now() < deadline => sleep(TRY_AGAIN).await,
                Err(error) => return Err(format!("{error}; the end of its log:\n{}", self.log())),
            }
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.place.path("gateway.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    /// `kill -9`: it can neither finish what it does nor say goodbye.
    pub(super) async fn kill(&mut self) -> Result<(), String> {
        self.child
            .kill()
            .await
            .map_err(|error| format!("cannot kill the gateway: {error}"))
    }

    /// Starts it again on the same state and ports.
    pub(super) async fn restart(&mut self) -> Result<(), String> {
        self.child = start(&self.place)?;
        self.answers().await
    }

    /// A new key for the group.
    pub(super) async fn rotate(&self) -> Result<(), String> {
        self.admin
            .rotate(GROUP)
            .await
            .map_err(|error| format!("cannot rotate: {error}"))
    }

    /// Removes members at once.
    pub(super) async fn evict(&self, members: &[MemberId]) -> Result<(), String> {
        let evicted = self
            .admin
            .evict(GROUP, members, true, "shown by the demo")
            .await;
        evicted.map_err(|error| format!("cannot evict: {error}"))
    }
}
