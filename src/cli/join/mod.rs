//! `wardcast join`: a member on the command line. A line per event; exported keys for whatever speaks SRTP, ESP or the like.

mod hook;
mod line;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::net::lookup_host;
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

use crate::group::ids::{Epoch, Role};
use crate::group::wire::{RefusalCode, RemovalReason, Token};
use crate::member::{Client, End, Event, JoinError, Membership, Options, Presence, Sockets};
use crate::tls::{Credentials, Trust};
use hook::Hook;
use line::{Export, Exports, Line};

/// A gateway that restarts is noticed within three times this.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// How the membership ended, for scripts; listed in the command's help.
const EXIT_CODES: &str = "Exit codes:
  0  left, on SIGINT or SIGTERM
  1  trouble: no gateway, no answer, an unusable answer
  2  wrong usage, or certificates that do not serve
  3  removed: evicted, absent or silent for too long, or the group was destroyed
  4  refused: not admitted, no such group, the group is full

Each line of --json is an object with \"event\": joined, installed, send, retired, disconnected, resumed, removed, left.";

/// Joins a group and follows it until told to stop.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct JoinArgs {
    /// The gateway, as HOST:PORT.
    #[arg(long, value_name = "HOST:PORT")]
    server: String,
    /// The name that the gateway's certificate must have; the host of --server unless told otherwise.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Certificates of the authority that issued the gateway's (PEM).
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    #[command(flatten)]
    who: WhoArgs,
    /// The group's name.
    #[arg(long)]
    group: String,
    /// What to do with the traffic keys.
    #[arg(long, value_enum, default_value_t = RoleArg::Both)]
    role: RoleArg,
    /// Export this many bytes under this label from each epoch, shown in hexadecimal; may be given several times.
    #[arg(long, value_name = "LABEL:LENGTH")]
    export: Vec<Export>,
    /// Run this shell command for each event, the event as JSON on its standard input, exported keys among it.
    #[arg(long, value_name = "COMMAND")]
    on_rekey: Option<String>,
    #[command(flatten)]
    ways: WayArgs,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

/// Who this member is.
#[derive(Args, Debug)]
struct WhoArgs {
    /// This member's certificate chain (PEM).
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The private key of that certificate (PEM).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// A bearer token (JWT) to present, where the gateway's rules ask for what it says: the content of this file.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// How rekeys come, besides over the connection.
#[derive(Args, Debug)]
struct WayArgs {
    /// Give the connection up after so many seconds without anything to ask, and get rekeys by datagram alone; receivers only.
    #[arg(long, value_name = "SECONDS")]
    park_after: Option<u32>,
    /// Listen on this interface, such as eth0, where the group has a multicast address; each installed epoch then says whether
    /// it was heard there.
    #[arg(long, value_name = "INTERFACE")]
    multicast: Option<String>,
}

/// A role, as written on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArg {
    /// Decrypts only.
    Receiver,
    /// Encrypts only.
    Sender,
    /// Encrypts and decrypts.
    Both,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Receiver => Role::Receiver,
            RoleArg::Sender => Role::Sender,
            RoleArg::Both => Role::Both,
        }
    }
}

/// Why the command did not end well.
enum Failure {
    /// It could not begin.
    Usage(String),
    Join(JoinError),
    /// Said on standard output already.
    Removed,
    Refused,
}

impl Failure {
    fn exit(self) -> ExitCode {
        match self {
            Self::Usage(why) => complain(&why, 2),
            Self::Join(error @ JoinError::Refused(_)) => complain(&error.to_string(), 4),
            Self::Join(error) => complain(&error.to_string(), 1),
            Self::Removed => ExitCode::from(3),
            Self::Refused => ExitCode::from(4),
        }
    }
}

fn complain(why: &str, code: u8) -> ExitCode {
    eprintln!("wardcast: {why}");
    ExitCode::from(code)
}

/// Runs the command.
pub async fn run(args: &JoinArgs) -> ExitCode {
    match follow(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

/// SIGINT and SIGTERM: asks for a clean leave.
struct Stop(Signal, Signal);

impl Stop {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::Usage(format!("cannot listen for signals: {error}")))
        };
        Ok(Self(
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
        ))
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

async fn follow(args: &JoinArgs) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let client =
        Client::new(options(args).await?).map_err(|error| Failure::Usage(error.to_string()))?;
    let teller = Teller::new(args);
    let joined = tokio::select! {
        joined = client.join(&args.group, args.role.into()) => joined.map_err(Failure::Join)?,
        () = stop.told() => return Ok(()), // nothing was begun that needs an end
    };
    let ended = teller.follow(joined, &mut stop).await;
    teller.finish().await;
    ended
}

async fn options(args: &JoinArgs) -> Result<Options, Failure> {
    let usage = |why: String| Failure::Usage(why);
    let found = lookup_host(&args.server).await;
    let mut found = found.map_err(|error| {
        usage(format!(
            "--server {}: {error}; write it as HOST:PORT",
            args.server
        ))
    })?;
    let address: SocketAddr = found
        .next()
        .ok_or_else(|| usage(format!("--server {}: has no address", args.server)))?;
    let host = args
        .server
        .rsplit_once(':')
        .map_or("", |(host, _)| host)
        .trim_matches(['[', ']']);
    let name = args.name.as_deref().unwrap_or(host);
    let who = &args.who;
    let credentials =
        Credentials::load(&who.cert, &who.key).map_err(|error| usage(error.to_string()))?;
    let trust = Trust::load(&args.ca, &[]).map_err(|error| usage(error.to_string()))?;
    Ok(Options {
        token: who.token_file.as_deref().map(token).transpose()?,
        keep_alive: KEEP_ALIVE,
        presence: Presence {
            park_after: args
                .ways
                .park_after
                .map(|after| Duration::from_secs(after.into())),
            ..Presence::default()
        },
        sockets: Sockets {
            multicast: args.ways.multicast.clone(),
            ..Sockets::default()
        },
        ..Options::new(address, name, credentials, trust)
    })
}

/// The token in a file, without the white space around it.
fn token(path: &Path) -> Result<Token, Failure> {
    let unusable = |why: &str| Failure::Usage(format!("--token-file {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unusable(&error.to_string()))?;
    let text = Zeroizing::new(text);
    Token::new(text.trim()).ok_or_else(|| unusable("it is no token: too long, or no plain text"))
}

/// Prints lines and feeds the hook.
struct Teller {
    group: String,
    exports: Vec<Export>,
    json: bool,
    listens: bool,
    hook: Option<Hook>,
}

impl Teller {
    fn new(args: &JoinArgs) -> Self {
        let hook = args.on_rekey.clone().map(Hook::start);
        Self {
            group: args.group.clone(),
            exports: args.export.clone(),
            json: args.json,
            listens: args.ways.multicast.is_some(),
            hook,
        }
    }

    async fn tell(&self, line: &Line) {
        let text = Zeroizing::new(if self.json {
            line.json()
        } else {
            line.to_string()
        });
        // A reader that went away ends nothing: the hook may be what matters.
        let _ = writeln!(std::io::stdout(), "{}", *text);
        if let Some(hook) = &self.hook {
            hook.tell(Zeroizing::new(line.json())).await;
        }
    }

    async fn finish(self) {
        if let Some(hook) = self.hook {
            hook.finish().await;
        }
    }

    /// The exported keys of an epoch; none of an epoch that was retired since.
    fn export(&self, membership: &Membership, epoch: Epoch) -> Exports {
        let exported = self.exports.iter().filter_map(|Export { label, length }| {
            let key = membership.export(epoch, label, b"", *length).ok()?;
            Some((
                label.clone(),
                key.iter().map(|byte| format!("{byte:02x}")).collect(),
            ))
        });
        exported.collect()
    }

    fn joined(&self, membership: &Membership) -> Line {
        Line::Joined {
            group: self.group.clone(),
            member: membership.member(),
            role: membership.role(),
            sender_ids: membership.sender_ids(),
        }
    }

    async fn follow(&self, mut membership: Membership, stop: &mut Stop) -> Result<(), Failure> {
        self.tell(&self.joined(&membership)).await;
        let mut heard = 0;
        loop {
            let group = self.group.clone();
            let event = tokio::select! {
                event = membership.next() => event,
                () = stop.told() => {
                    membership.leave().await.map_err(Failure::Join)?;
                    self.tell(&Line::Left { group }).await;
                    return Ok(());
                }
            };
            let line = match event {
                Some(Event::Installed { epoch }) => Line::Installed {
                    group,
                    epoch,
                    exports: self.export(&membership, epoch),
                    multicast: self.listens.then(|| {
                        let now = membership.counters().heard;
                        std::mem::replace(&mut heard, now) < now
                    }),
                },
                Some(Event::Send { epoch }) => Line::Send {
                    group,
                    epoch,
                    sender_ids: membership.sender_ids(),
                },
                Some(Event::Retired { epoch }) => Line::Retired { group, epoch },
                Some(Event::Disconnected { reason }) => Line::Disconnected { group, reason },
                Some(Event::Resumed { epoch }) => Line::Resumed { group, epoch },
                Some(Event::Rejoined { .. }) => self.joined(&membership),
                Some(Event::Ended(end)) => return self.ended(end).await,
                None => return self.ended(End::Closed).await,
            };
            self.tell(&line).await;
        }
    }

    async fn ended(&self, end: End) -> Result<(), Failure> {
        let group = self.group.clone();
        let (reason, failure) = match end {
            End::Removed(reason @ RemovalReason::Left) => (reason.to_string(), None),
            End::Removed(reason) => (reason.to_string(), Some(Failure::Removed)),
            End::Forgotten(refusal) => match refusal.code {
                RefusalCode::NotAdmitted => (refusal.to_string(), Some(Failure::Refused)),
                _ => (refusal.to_string(), Some(Failure::Removed)),
            },
            End::Closed => (
                "the connection was closed".to_owned(),
                Some(Failure::Removed),
            ),
        };
        self.tell(&Line::Removed { group, reason }).await;
        failure.map_or(Ok(()), Err)
    }
}
