//! Each system in a process of its own, with its subscribers: so that a process has open files for one system's
//! connections alone, and the CPU time of a system's subscribers is told from the others'.
//!
//! It is told on standard input what to push, a JSON object a line, and answers on standard output in the same way. When
//! standard input ends it ends, and its server with it.

use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::system::{Kind, System, Turn, Way};
use super::{Arguments, tally};
use crate::Failure;
use crate::site::Site;

/// What to push: a payload of so many bytes that carries a number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) bytes: usize,
}

/// What a system's process says.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Ready(Ready),
    Pushed(Pushed),
    Failed(String),
}

/// All subscribers are connected.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    /// Resident memory that the server gained as they connected, in bytes.
    pub(super) grew: u64,
    /// Of wardcast's members, those that compute keys.
    pub(super) real: usize,
    pub(super) joins_per_s: Option<f64>,
}

/// A push is done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Pushed {
    pub(super) turn: Turn,
    /// How long wardcast's rekey was.
    pub(super) rekey_bytes: Option<usize>,
}

/// The process of one system, as whoever started it sees it. Dropping it ends it.
pub(super) struct Host {
    pub(super) kind: Kind,
    pub(super) ready: Ready,
    /// Its end is the child's.
    orders: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Host {
    /// Starts a system and waits until all its subscribers are connected. It reads this process's own arguments.
    pub(super) async fn start(kind: Kind) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("peers-system")
            .arg(kind.name())
            .args(std::env::args_os().skip(2))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        let mut said = BufReader::new(output).lines();
        let ready = match next(kind, &mut said).await? {
            Said::Ready(ready) => ready,
            other => return Err(format!("{} began with {other:?}", kind.name()).into()),
        };
        Ok(Host {
            kind,
            ready,
            orders,
            said,
            _child: child,
        })
    }

    /// One push to all.
    pub(super) async fn push(&mut self, order: Order) -> Result<Pushed, Failure> {
        let mut line = serde_json::to_vec(&order)?;
        line.push(b'\n');
        self.orders.write_all(&line).await?;
        match next(self.kind, &mut self.said).await? {
            Said::Pushed(pushed) => Ok(pushed),
            other => Err(format!("{} answered with {other:?}", self.kind.name()).into()),
        }
    }
}

async fn next(kind: Kind, said: &mut Lines<BufReader<ChildStdout>>) -> Result<Said, Failure> {
    let line = said.next_line().await?;
    let line = line.ok_or_else(|| format!("the process of {} has ended", kind.name()))?;
    match serde_json::from_str(&line)? {
        Said::Failed(why) => Err(why.into()),
        said => Ok(said),
    }
}

/// The process itself: serves one system until standard input ends.
pub(crate) async fn serve(kind: Kind, arguments: &Arguments) -> Result<(), Failure> {
    let served = run(kind, arguments).await;
    if let Err(failure) = &served {
        say(&Said::Failed(failure.to_string()))?;
    }
    // Whoever started it says what went wrong.
    Ok(())
}

async fn run(kind: Kind, arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::make(arguments.extent.members as usize)?;
    let mut system = System::start(kind, &site, arguments).await?;
    let real = match &system.way {
        Way::Wardcast(joined) => joined.real(),
        _ => 0,
    };
    say(&Said::Ready(Ready {
        grew: system.grew,
        real,
        joins_per_s: system.joins_per_s,
    }))?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = orders.next_line().await? {
        let Order { number, bytes } = serde_json::from_str(&line)?;
        let turn = system.turn(&tally::payload(number, bytes)).await?;
        let rekey_bytes = match &mut system.way {
            Way::Wardcast(joined) => Some(joined.rekey_bytes()?),
            _ => None,
        };
        say(&Said::Pushed(Pushed { turn, rekey_bytes }))?;
    }
    Ok(())
}

fn say(what: &Said) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(what)?);
    Ok(())
}
