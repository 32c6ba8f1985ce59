//! The gateway's side: a token whose session is in the token host, at the other end of a Unix socket.
//!
//! Every call has a deadline. When it passes, when the connection breaks or when what comes back is no answer, the
//! session is over: an answer that comes late must not be taken for the next one's. The pool then opens another.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::protocol::{self, Answer, FrameError, MAX_BUDGET, MAX_OPERATIONS, Request, VERSION};
use crate::group::ids::MasterId;
use crate::group::operations::{Batch, Output};
use crate::hsm::{ErrorClass, Executed, Opener, Profile, RingChange, Token, TokenError};

/// Opens sessions in the token host that listens on this socket; each of their calls takes at most `patience`.
pub fn opener(socket: &Path, patience: Duration) -> Opener {
    let host = Host {
        socket: socket.to_owned(),
        patience: patience.min(MAX_BUDGET),
    };
    Arc::new(move || Ok(Box::new(Remote::open(host.clone())?) as Box<dyn Token>))
}

/// Whether the host answers in time; the token is not asked.
pub fn ping(socket: &Path, patience: Duration) -> Result<(), TokenError> {
    let host = Host {
        socket: socket.to_owned(),
        patience,
    };
    let stream = host.connect()?;
    match host.ask(&stream, &Request::Ping) {
        // A host with no seat left says so: it is alive.
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Where the host is, and how long it may take.
#[derive(Clone)]
struct Host {
    socket: PathBuf,
    patience: Duration,
}

impl Host {
    fn connect(&self) -> Result<UnixStream, TokenError> {
        self.try_connect().map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::WouldBlock => "it accepts no connection, as many wait already".to_owned(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    format!("it does not run ({error}): the gateway starts it again, or the service manager does")
                }
                io::ErrorKind::PermissionDenied => {
                    format!("{error}: give the gateway's user access to the socket")
                }
                _ => error.to_string(),
            };
            self.error(ErrorClass::Elsewhere, why)
        })
    }

    /// Does not wait: a host that is frozen lets connections queue up to a bound, and blocks whoever comes after that.
    fn try_connect(&self) -> io::Result<UnixStream> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(&self.socket)?)?;
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// One question and its answer. After an error the stream is of no use.
    fn ask(&self, stream: &UnixStream, request: &Request) -> Result<Answer, TokenError> {
        let mut timed = Timed {
            stream,
            until: Instant::now() + self.patience,
        };
        let answer = protocol::write(&mut timed, request)
            .and_then(|()| protocol::read(&mut timed)?.ok_or(FrameError::Closed));
        answer.map_err(|error| match error {
            FrameError::Io(error) if late(&error) => {
                let seconds = self.patience.as_secs_f32();
                let why = format!("it did not answer within {seconds} s");
                self.error(ErrorClass::Elsewhere, why)
            }
            error => self.error(ErrorClass::LoginNeeded, error.to_string()),
        })
    }

    fn budget_ms(&self) -> u32 {
        u32::try_from(self.patience.as_millis()).unwrap_or(u32::MAX)
    }

    fn error(&self, class: ErrorClass, why: String) -> TokenError {
        TokenError::Host {
            class,
            socket: self.socket.display().to_string(),
            why,
        }
    }
}

/// Both of them mean that a socket's time-out has passed.
fn late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// A stream whose reads and writes end by one deadline, however little comes at a time.
struct Timed<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(left),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A session in the token host.
struct Remote {
    host: Host,
    /// None once a call has gone wrong.
    stream: Option<UnixStream>,
    profile: Profile,
}

impl Remote {
    fn open(host: Host) -> Result<Self, TokenError> {
        let stream = host.connect()?;
        let hello = Request::Hello {
            version: VERSION,
            budget_ms: host.budget_ms(),
        };
        let profile = match host.ask(&stream, &hello)? {
            Answer::Welcome { profile } => profile,
            other => return Err(unexpected(&host, other)),
        };
        Ok(Remote {
            host,
            stream: Some(stream),
            profile,
        })
    }

    /// The stream is back in its place only after a whole answer.
    fn ask(&mut self, request: &Request) -> Result<Answer, TokenError> {
        let stream = self.stream.take().ok_or_else(|| {
            let why = "the session ended with an earlier call".to_owned();
            self.host.error(ErrorClass::LoginNeeded, why)
        })?;
        let answer = self.host.ask(&stream, request)?;
        self.stream = Some(stream);
        Ok(answer)
    }

    /// Answered, but not to what was asked: nothing that comes over this connection can be trusted to fit.
    fn misfit(&mut self, answer: Answer) -> TokenError {
        let error = unexpected(&self.host, answer);
        if !matches!(error, TokenError::Host { .. }) {
            return error;
        }
        self.stream = None;
        error
    }

    /// Executes what fits into one call, in one round trip.
    fn call(&mut self, batches: &[Batch], executed: &mut Executed) {
        let request = Request::Execute {
            budget_ms: self.host.budget_ms(),
            batches: batches.to_vec(),
        };
        let error = match self.ask(&request) {
            Ok(Answer::Executed { results, usage }) if fits(batches, &results) => {
                results.into_iter().for_each(|result| executed.push(result));
                executed.usage += usage;
                return;
            }
            Ok(other) => self.misfit(other),
            Err(error) => error,
        };
        for _ in batches {
            executed.push(Err(error.clone()));
        }
    }
}

fn fits(batches: &[Batch], results: &[Result<Vec<Output>, TokenError>]) -> bool {
    let whole = |(batch, result): (&Batch, &Result<Vec<Output>, TokenError>)| match result {
        Ok(outputs) => protocol::answers(batch, outputs),
        Err(_) => true,
    };
    batches.len() == results.len() && batches.iter().zip(results).all(whole)
}

fn unexpected(host: &Host, answer: Answer) -> TokenError {
    match answer {
        Answer::Failed { error } => error,
        _ => {
            let why = "its answer does not fit what was asked".to_owned();
            host.error(ErrorClass::LoginNeeded, why)
        }
    }
}

impl Token for Remote {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn execute(&mut self, batches: &[Batch]) -> Executed {
        let mut executed = Executed::for_batches(batches);
        let mut left = batches;
        while let Some(first) = left.first() {
            if first.operations.len() > MAX_OPERATIONS {
                let error = TokenError::BadBatch("more operations than a token host takes".into());
                executed.push(Err(error));
                left = &left[1..];
                continue;
            }
            // The longest beginning that fits; nearly always all.
            let mut count = left.len();
            while !protocol::fits(&left[..count]) {
                count -= 1;
            }
            self.call(&left[..count], &mut executed);
            left = &left[count..];
        }
        executed
    }

    fn ring(&mut self, change: RingChange) -> Result<Vec<MasterId>, TokenError> {
        let budget_ms = self.host.budget_ms();
        match self.ask(&Request::Ring { budget_ms, change })? {
            Answer::Masters { masters } => {
                self.profile.masters.clone_from(&masters);
                Ok(masters)
            }
            other => Err(self.misfit(other)),
        }
    }
}
