//! The host's side: one connection is one thread is one session with the token.
//!
//! Calls into a vendor's library block, sometimes for ever, so everything here is plain threads and blocking sockets.
//! Peers are checked by what the kernel says of them, not by what they say. A call that has not come back when its
//! gateway gave up is stuck; a host with too many of these ends, so that a fresh one takes its place.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::protocol::{self, Answer};
use super::session;
use crate::hsm::threads::Threads;
use crate::hsm::{ErrorClass, Opener, TokenError};

/// Connections at a time, whatever the options say.
pub const MAX_CONNECTIONS: usize = 256;
/// Beyond the connections, those that may be told at a time that there is no room.
const MAX_TURNED_AWAY: usize = 16;
/// Connections that wait to be accepted.
const MAX_WAITING: i32 = 128;
/// How long a peer may take to read an answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// How often stuck calls are looked for.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// How long a stopping host waits for calls that are under way.
const DRAIN: Duration = Duration::from_secs(5);

/// How a host serves.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Connections at a time, each a session with the token; at most [`MAX_CONNECTIONS`].
    pub connections: usize,
    /// The users whose processes are served.
    pub uids: Vec<u32>,
    /// Calls that may be stuck in the token; with one more the host ends.
    pub stuck: usize,
    /// How the process is confined, for whoever asks: it becomes part of the token's description.
    pub confinement: String,
}

impl Default for HostOptions {
    /// Serves this process's own user.
    fn default() -> Self {
        HostOptions {
            connections: 64,
            uids: vec![rustix::process::getuid().as_raw()],
            stuck: 8,
            confinement: "not sandboxed".to_owned(),
        }
    }
}

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else could put a socket of his own there.
    #[error("everybody may write to {0}: put the socket into a directory of its user's own")]
    Directory(PathBuf),
    /// A host runs already.
    #[error("another token host listens on {0}: stop it first, or configure another socket")]
    Taken(PathBuf),
    /// Something else is there.
    #[error("{0} is no socket: remove it, or configure another path")]
    NoSocket(PathBuf),
    /// The system refused.
    #[error("cannot listen on {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on a socket that is this user's alone, or with `group` also his group's (the directory's permissions and the
/// check of peers apply besides). What a host that is no more left behind is removed.
pub fn bind(path: &Path, group: bool) -> Result<UnixListener, BindError> {
    let failed = |source| BindError::Io {
        path: path.to_owned(),
        source,
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mode = directory.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o002 != 0 {
        return Err(BindError::Directory(directory.to_owned()));
    }
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NoSocket(path.to_owned()));
        }
        // Nobody listens there any more, so nobody misses it.
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            Ok(_) => return Err(BindError::Taken(path.to_owned())),
            Err(error) => return Err(failed(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = listen(path).map_err(failed)?;
    if group {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o660)).map_err(failed)?;
    }
    Ok(listener)
}

/// Listens at a path that is its owner's alone from the first moment on.
fn listen(path: &Path) -> io::Result<UnixListener> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Linux gives the file the mode of the socket that is bound to it.
    rustix::fs::fchmod(&socket, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, MAX_WAITING)?;
    Ok(UnixListener::from(socket))
}

/// Why a host ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to.
    Stopped,
    /// More calls are stuck in the token than may be.
    Stuck,
}

/// A host that serves, until it is stopped.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) opener: Opener,
    pub(super) options: HostOptions,
    listener: UnixListener,
    seats: Mutex<Seats>,
    changed: Condvar,
    threads: Threads,
}

#[derive(Default)]
struct Seats {
    next: u64,
    taken: HashMap<u64, Seat>,
    turned_away: usize,
    stopping: bool,
}

/// A connection, as those see it who are not its thread.
struct Seat {
    stream: UnixStream,
    /// When its gateway gives up on the call that is under way.
    until: Option<Instant>,
    /// It was logged that this call is stuck.
    logged: bool,
}

/// Serves in threads of its own from now on.
pub fn serve(listener: UnixListener, opener: Opener, options: HostOptions) -> io::Result<Server> {
    let shared = Arc::new(Shared {
        opener,
        options,
        listener,
        seats: Mutex::default(),
        changed: Condvar::new(),
        threads: Threads::default(),
    });
    let server = Server {
        shared: shared.clone(),
    };
    thread::Builder::new()
        .name("accept".to_owned())
        .spawn(move || accept(&shared))?;
    Ok(server)
}

impl Server {
    /// Accepts nobody any more and ends every session, those with a call under way after that call.
    pub fn stop(&self) {
        let mut seats = self.shared.seats();
        seats.stopping = true;
        // An error means that it is not connected: it ends by itself.
        let _ = rustix::net::shutdown(&self.shared.listener, rustix::net::Shutdown::Both);
        for seat in seats.taken.values() {
            let _ = seat.stream.shutdown(Shutdown::Read);
        }
        self.shared.changed.notify_all();
    }

    /// Waits for the end, and watches for stuck calls meanwhile. A call that is stuck at the end is left behind: only
    /// the end of the process ends it.
    pub fn wait(&self) -> End {
        let end = self.watch();
        self.shared.threads.join_ending();
        end
    }

    fn watch(&self) -> End {
        let mut deadline = None;
        let mut seats = self.shared.seats();
        loop {
            if seats.stopping {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + DRAIN);
                if seats.taken.is_empty() {
                    return End::Stopped;
                }
                if Instant::now() >= deadline {
                    let left = seats.taken.len();
                    tracing::warn!(left, "sessions are left that did not end in time");
                    return End::Stopped;
                }
            }
            let stuck = seats.stuck();
            if stuck > self.shared.options.stuck {
                tracing::error!(
                    stuck,
                    "too many calls are stuck in the token: the host ends, to be started afresh"
                );
                return End::Stuck;
            }
            let waited = self.shared.changed.wait_timeout(seats, WATCH_EVERY);
            seats = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Seats {
    fn stuck(&mut self) -> usize {
        let now = Instant::now();
        let mut stuck = 0;
        for seat in self.taken.values_mut() {
            if seat.until.is_some_and(|until| until < now) {
                stuck += 1;
                if !std::mem::replace(&mut seat.logged, true) {
                    tracing::warn!("a call is stuck in the token; its gateway has given up");
                }
            }
        }
        stuck
    }
}

impl Shared {
    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins, or has come back.
    pub(super) fn busy(&self, seat: u64, until: Option<Instant>) {
        if let Some(seat) = self.seats().taken.get_mut(&seat) {
            seat.until = until;
            if std::mem::take(&mut seat.logged) {
                tracing::warn!("a call that was stuck has come back");
            }
        }
    }

    fn leave(&self, seat: u64) {
        self.seats().taken.remove(&seat);
        self.changed.notify_all();
    }
}

fn accept(shared: &Arc<Shared>) {
    loop {
        let stream = match shared.listener.accept() {
            Ok((stream, _)) => stream,
            Err(_) if shared.seats().stopping => return,
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                // Out of descriptors, for example: trying again at once would only burn time.
                thread::sleep(WATCH_EVERY);
                continue;
            }
        };
        if let Err(error) = seat(shared, stream) {
            tracing::error!(%error, "cannot serve a connection");
        }
    }
}

/// Gives a connection its seat and thread, if its peer may have one.
fn seat(shared: &Arc<Shared>, stream: UnixStream) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(&stream)?;
    let uid = peer.uid.as_raw();
    if !shared.options.uids.contains(&uid) {
        let pid = peer.pid.as_raw_nonzero();
        tracing::warn!(
            uid,
            pid,
            "refused a connection of a user who is not configured"
        );
        return Ok(());
    }
    stream.set_write_timeout(Some(WRITE_PATIENCE))?;
    let mut seats = shared.seats();
    if seats.stopping {
        return Ok(());
    }
    if seats.taken.len() >= shared.options.connections.min(MAX_CONNECTIONS) {
        if seats.turned_away >= MAX_TURNED_AWAY {
            return Ok(());
        }
        seats.turned_away += 1;
        drop(seats);
        return turn_away(shared.clone(), stream);
    }
    let number = seats.next;
    seats.next += 1;
    let seat = Seat {
        stream: stream.try_clone()?,
        until: None,
        logged: false,
    };
    seats.taken.insert(number, seat);
    drop(seats);
    let own = shared.clone();
    let work = move || {
        session::run(&own, number, stream);
        own.threads.ending();
        own.leave(number);
    };
    let started = shared.threads.spawn(format!("session-{number}"), work);
    if started.is_err() {
        shared.leave(number);
    }
    started
}

/// Answers the first question with the news that there is no room.
fn turn_away(shared: Arc<Shared>, mut stream: UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(WRITE_PATIENCE))?;
    let work = move || {
        let connections = shared.options.connections;
        if let Ok(Some(_)) = protocol::read::<protocol::Request>(&mut stream) {
            let error = TokenError::Host {
                class: ErrorClass::Elsewhere,
                socket: socket_name(&stream),
                why: format!("all of its {connections} connections are taken"),
            };
            // Whoever went away meanwhile needs no answer.
            let _ = protocol::write(&mut stream, &Answer::Failed { error });
        }
        shared.seats().turned_away -= 1;
    };
    let thread = thread::Builder::new().name("turn-away".to_owned());
    thread.spawn(work).map(drop)
}

/// What the host listens on, for errors.
pub(super) fn socket_name(stream: &UnixStream) -> String {
    let address = stream.local_addr().ok();
    let path = address.as_ref().and_then(|address| address.as_pathname());
    path.map_or_else(String::new, |path| path.display().to_string())
}
