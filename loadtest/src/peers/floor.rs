//! The floor: the same bytes to as many UDP addresses and a datagram back from each, with nothing that keeps a secret or
//! mends a loss.
//!
//! The bare loop is a process of its own; its receivers are addresses of this one, which answer at once. They are read like
//! those of the members that only acknowledge, so that both sides' generators cost alike.

pub(crate) mod server;

use std::hint::black_box;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::tally::{self, Tally};
use crate::Failure;
use crate::sockets::{Answers, Keep, Sockets, Watch, Watched};
use crate::usage::Usage;

/// Bytes of an acknowledgement: the round, the receiver, and nothing.
const ANSWER: usize = 32;
/// More than any payload, which is one datagram.
const LARGEST: usize = 2048;

/// The bare loop's process and its receivers.
pub(super) struct Floor {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
    tally: Arc<Tally>,
    sockets: Arc<Sockets>,
    receivers: Vec<Watch>,
    members: usize,
}

impl Floor {
    /// Starts the process; it has no receivers yet.
    pub(super) async fn start(members: usize) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("floor-server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let commands = child.stdin.take().expect("it is piped");
        let mut answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let address = answers.next_line().await?;
        let address = address.ok_or("the bare loop did not start")?.parse()?;
        Ok(Floor {
            child,
            commands,
            answers,
            address,
            tally: Arc::new(Tally::new(members)),
            sockets: Sockets::start(Keep::Free)?,
            receivers: Vec::with_capacity(members),
            members,
        })
    }

    /// Opens the receivers and tells the process where they are.
    pub(super) async fn connect(&mut self) -> Result<(), Failure> {
        for index in 0..self.members {
            let port = self.sockets.port()?;
            self.say(&format!("member {}", port.address())).await?;
            self.receivers.push(port.watch(Arc::new(Receiver {
                server: self.address,
                index: index as u64,
                tally: self.tally.clone(),
            })));
        }
        self.say("count").await?;
        let known = self.answer().await?;
        if known == self.members.to_string() {
            Ok(())
        } else {
            Err(format!("the bare loop knows {known} of {} receivers", self.members).into())
        }
    }

    /// Sends the payload to all; how many acknowledged it.
    pub(super) async fn push(&mut self, payload: &[u8]) -> Result<usize, Failure> {
        if payload.len() > LARGEST {
            let length = payload.len();
            return Err(
                format!("{length} bytes are no datagram: the floor has {LARGEST} at most").into(),
            );
        }
        self.tally.expect(payload);
        let round = tally::number(payload).unwrap_or(0);
        self.say(&format!("push {round} {}", payload.len())).await?;
        let acked: usize = self.answer().await?.parse()?;
        if acked < self.members {
            let members = self.members;
            return Err(format!(
                "only {acked} of {members} acknowledged a datagram of the bare loop, which repeats none: give its socket room (sysctl net.core.rmem_max), or leave it out with --only"
            )
            .into());
        }
        self.tally.all().await?;
        Ok(acked)
    }

    pub(super) fn usage(&self) -> Result<Usage, Failure> {
        let pid = self.child.id().ok_or("the bare loop has ended")?;
        Ok(Usage::of(pid)?)
    }

    async fn say(&mut self, command: &str) -> Result<(), Failure> {
        let line = format!("{command}\n");
        Ok(self.commands.write_all(line.as_bytes()).await?)
    }

    async fn answer(&mut self) -> Result<String, Failure> {
        let line = self.answers.next_line().await?;
        Ok(line.ok_or("the bare loop has ended")?)
    }
}

/// One receiver, which answers at once.
struct Receiver {
    server: SocketAddr,
    index: u64,
    tally: Arc<Tally>,
}

impl Watched for Receiver {
    fn take(&self, payload: &[u8], answers: &mut Answers) {
        let mut answer = [0; ANSWER];
        answer[tally::NUMBER..2 * tally::NUMBER].copy_from_slice(&self.index.to_be_bytes());
        let number = payload.len().min(tally::NUMBER);
        answer[..number].copy_from_slice(&payload[..number]);
        answers.add(self.server, &answer);
        self.tally.took(payload);
    }

    fn fetch(&self) {
        black_box(self.index);
    }
}
