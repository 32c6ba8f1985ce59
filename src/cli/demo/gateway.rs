//! The demo's gateway: this same program as a child process, started, killed and started again.

use std::fs::{self, File, OpenOptions};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::cli::admin::Client;
use crate::group::ids::MemberId;

use super::place::{GROUP, Place};

/// How long the gateway may take until its admin interface answers.
const START: Duration = Duration::from_secs(20);
/// How often that is tried.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// Its log, in the demo's folder.
const LOG: &str = "gateway.log";
/// How much of its log is shown when it does not start.
const LAST_LINES: usize = 8;

/// The running gateway. Dropping it kills the process, on whatever way out of the demo; and if this process is killed, the
/// child's input ends, and so does the child.
pub(super) struct Gateway {
    place: Place,
    child: Arc<Mutex<Child>>,
    admin: Client,
}

/// This program with these arguments, configured by the demo alone, its output in the demo's folder.
fn program(place: &Place, words: &[&str]) -> Result<Command, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(place.path(LOG));
    let log: File = log.map_err(|error| format!("cannot write the gateway's log: {error}"))?;
    let mut command = Command::new(program);
    command
        .args(words)
        .arg("--config")
        .arg(place.path("wardcast.toml"));
    let ours = |name: &str| name.starts_with("WARDCAST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        command.env_remove(name);
    }
    command.env("SOFTHSM2_CONF", place.softhsm_configuration());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log);
    Ok(command)
}

fn start(place: &Place) -> Result<Child, String> {
    let mut command = program(place, &["serve", "--stop-with-input"])?;
    command
        .spawn()
        .map_err(|error| format!("cannot start the gateway: {error}"))
}

/// The end of what the gateway logged.
fn log(place: &Place) -> String {
    let log = fs::read_to_string(place.path(LOG)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

async fn provision(place: &Place) -> Result<(), String> {
    let mut status = tokio::process::Command::from(program(place, &["token", "provision"])?);
    let status = status.kill_on_drop(true).status().await;
    let status = status.map_err(|error| format!("cannot provision the token: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cannot provision the token:\n{}", log(place)))
    }
}

impl Gateway {
    /// Starts it and waits until it answers; creates the demo's group.
    pub(super) async fn open(place: Place) -> Result<Self, String> {
        provision(&place).await?;
        let child = Arc::new(Mutex::new(start(&place)?));
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
            if let Ok(Some(status)) = self.child().try_wait() {
                return Err(format!(
                    "the gateway ended with {status}; the end of its log:\n{}",
                    log(&self.place)
                ));
            }
            match self.admin.groups().await {
                Ok(_) => return Ok(()),
                Err(_) if Instant::now() < deadline => sleep(TRY_AGAIN).await,
                Err(error) => {
                    return Err(format!(
                        "{error}; the end of its log:\n{}",
                        log(&self.place)
                    ));
                }
            }
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        // A child is one number; there is nothing half done in it.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What kills the gateway, `kill -9`, from wherever it is called: it can neither finish what it does nor say goodbye.
    pub(super) fn killer(&self) -> impl FnOnce() + Send + 'static {
        let child = self.child.clone();
        // It fails only on one that has ended, which its restart notices.
        move || drop(child.lock().unwrap_or_else(PoisonError::into_inner).kill())
    }

    /// Starts it again on the same state and ports, once it has ended.
    pub(super) async fn restart(&mut self) -> Result<(), String> {
        let ended = self.child().wait();
        ended.map_err(|error| format!("the killed gateway does not end: {error}"))?;
        let child = start(&self.place)?;
        *self.child() = child;
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

impl Drop for Gateway {
    fn drop(&mut self) {
        let mut child = self.child();
        // Both fail only on one that has ended and was waited for.
        let _ = child.kill();
        let _ = child.wait();
    }
}
