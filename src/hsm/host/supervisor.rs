//! The host as the gateway's child: started, asked whether it is alive, replaced when it is not, stopped at the end.
//!
//! A host that dies is started again, at once if it had lived for a while and after a growing pause if not. One that does
//! not answer (it is frozen, or all its threads are) is killed and replaced. The child holds the read end of a pipe as
//! its standard input: when the gateway is gone, however it went, the pipe closes and the host ends.
//!
//! Under a service manager that runs the host as a unit of its own there is no supervisor: the gateway only connects.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::remote;
use crate::crypto::random;

/// What to start, and where it listens then.
#[derive(Clone, Debug)]
pub struct HostCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments: everybody on the machine can read them, so no secret is among them.
    pub arguments: Vec<OsString>,
    /// The socket that it is going to listen on.
    pub socket: PathBuf,
}

impl HostCommand {
    /// This same program as a token host. It is started from the image that runs, even if an upgrade has replaced the file:
    /// gateway and host are always of one version.
    /// `lane` says which of the configured tokens it holds: 0 is the first.
    pub fn this_program(config: &Path, lane: usize, socket: &Path) -> Self {
        let arguments = ["token-host", "--supervised", "--config"].map(OsString::from);
        let mut arguments = arguments.to_vec();
        arguments.extend([config.into(), "--socket".into(), socket.into()]);
        arguments.extend(["--token".into(), lane.to_string().into()]);
        HostCommand {
            program: "/proc/self/exe".into(),
            arguments,
            socket: socket.to_owned(),
        }
    }
}

/// How patient the supervisor is.
#[derive(Clone, Copy, Debug)]
pub struct SupervisorOptions {
    /// How often the host is asked whether it is alive.
    pub ping_every: Duration,
    /// How long it may take to answer.
    pub ping_patience: Duration,
    /// How often in a row it may fail to answer; with one more it is replaced.
    pub ping_failures: u32,
    /// The pause before a host that died young is started again; it doubles each time.
    pub first_pause: Duration,
    /// The longest such pause.
    pub longest_pause: Duration,
    /// A host that lived that long did not die young.
    pub proven: Duration,
    /// How long a host may take to end when it is stopped.
    pub drain: Duration,
}

impl Default for SupervisorOptions {
    fn default() -> Self {
        SupervisorOptions {
            ping_every: Duration::from_secs(1),
            ping_patience: Duration::from_secs(2),
            ping_failures: 2,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            proven: Duration::from_secs(5),
            drain: Duration::from_secs(6),
        }
    }
}

/// How the child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostState {
    /// It was started and has not answered yet.
    Starting {
        /// Its process.
        pid: u32,
    },
    /// It answers.
    Alive {
        /// Its process.
        pid: u32,
    },
    /// It has not answered the last time.
    Silent {
        /// Its process.
        pid: u32,
    },
    /// There is none for the moment.
    Down,
    /// There is none any more.
    Stopped,
}

/// A running supervisor. Dropping it kills the child; [`Supervisor::stop`] lets it end in good order.
pub struct Supervisor {
    state: watch::Receiver<HostState>,
    restarts: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts the host, and again whenever that is necessary. Returns at once. Needs a Tokio runtime.
    pub fn start(command: HostCommand, options: SupervisorOptions) -> Self {
        let (told, state) = watch::channel(HostState::Down);
        let (stop, stopping) = watch::channel(false);
        let restarts = Arc::new(AtomicU64::new(0));
        let task = Task {
            command,
            options,
            state: told,
            restarts: restarts.clone(),
            stopping,
        };
        Supervisor {
            state,
            restarts,
            stop,
            task: tokio::spawn(task.run()),
        }
    }

    /// How the host is, now and whenever that changes.
    pub fn state(&self) -> watch::Receiver<HostState> {
        self.state.clone()
    }

    /// How often a host took the place of another.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Ends the host: its calls under way first, by force if it takes too long. Call it after the pool has shut down.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        // It fails only as it panics, and then its child is killed already.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a child is no more.
enum Gone {
    Died(std::io::Result<ExitStatus>),
    Silent,
    Stopped,
}

struct Task {
    command: HostCommand,
    options: SupervisorOptions,
    state: watch::Sender<HostState>,
    restarts: Arc<AtomicU64>,
    stopping: watch::Receiver<bool>,
}

impl Task {
    async fn run(mut self) {
        let mut pause = self.options.first_pause;
        loop {
            let began = Instant::now();
            let gone = match self.spawn() {
                Ok(mut child) => self.live(&mut child).await,
                Err(error) => Gone::Died(Err(error)),
            };
            self.state.send_replace(HostState::Down);
            match gone {
                Gone::Stopped => break,
                Gone::Silent => tracing::error!("the token host did not answer; it was killed"),
                Gone::Died(Ok(status)) => tracing::error!(%status, "the token host died"),
                Gone::Died(Err(error)) => tracing::error!(%error, "cannot run the token host"),
            }
            if began.elapsed() >= self.options.proven {
                pause = self.options.first_pause;
            } else {
                if self.stopped_within(jittered(pause)).await {
                    break;
                }
                pause = (pause * 2).min(self.options.longest_pause);
            }
            self.restarts.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("wardcast_token_host_restarts_total").increment(1);
        }
        self.state.send_replace(HostState::Stopped);
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.command.program);
        command
            .args(&self.command.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A Ctrl-C at the terminal is for the gateway, which ends the host when nothing needs it any more.
            .process_group(0)
            .kill_on_drop(true);
        command.arg0("wardcast");
        command.spawn()
    }

    /// Watches over a child until it is gone.
    async fn live(&mut self, child: &mut Child) -> Gone {
        let pid = child.id().unwrap_or_default();
        tracing::info!(pid, "token host started");
        self.state.send_replace(HostState::Starting { pid });
        // Taken from the child, because waiting for that would close it.
        let input = child.stdin.take();
        let gone = tokio::select! {
            status = child.wait() => return Gone::Died(status),
            () = self.silence(pid) => Gone::Silent,
            () = stopped(self.stopping.clone()) => Gone::Stopped,
        };
        if matches!(gone, Gone::Stopped) {
            // The end of its input tells it to end.
            drop(input);
            if timeout(self.options.drain, child.wait()).await.is_ok() {
                return gone;
            }
            tracing::warn!("the token host did not end in time; it is killed");
        }
        if let Err(error) = child.kill().await {
            tracing::error!(%error, "cannot kill the token host");
        }
        gone
    }

    /// Done when the child has not answered too often in a row.
    async fn silence(&self, pid: u32) {
        let SupervisorOptions {
            ping_every,
            ping_patience,
            ping_failures,
            ..
        } = self.options;
        let mut failures = 0;
        while failures <= ping_failures {
            let socket = self.command.socket.clone();
            let ping = spawn_blocking(move || remote::ping(&socket, ping_patience));
            // A ping that panics is one that was not answered.
            match ping.await {
                Ok(Ok(())) => {
                    failures = 0;
                    self.tell(HostState::Alive { pid });
                }
                Ok(Err(error)) if failures > 0 => {
                    tracing::warn!(%error, "the token host does not answer");
                    failures += 1;
                    self.tell(HostState::Silent { pid });
                }
                _ => failures += 1,
            }
            // A host that has just been started answers soon.
            let starting = matches!(*self.state.borrow(), HostState::Starting { .. });
            sleep(if starting {
                ping_every / 10
            } else {
                ping_every
            })
            .await;
        }
    }

    fn tell(&self, state: HostState) {
        let changes = |now: &mut HostState| std::mem::replace(now, state) != state;
        self.state.send_if_modified(changes);
    }

    async fn stopped_within(&self, pause: Duration) -> bool {
        timeout(pause, stopped(self.stopping.clone())).await.is_ok()
    }
}

/// Done when the supervisor is told to stop, or is no more.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Between a half and the whole of it: hosts that died together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let share: [u8; 1] = random();
    pause / 2 + pause / 2 * u32::from(share[0]) / 255
}
