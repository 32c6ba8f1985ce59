//! Where hostile load comes from: a process of its own, so that its CPU time is told apart, and it can be told to rest.
//!
//! It says what it has sent so far, a JSON object a line: once before it begins, and whenever it has come to rest.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{MissedTickBehavior, interval};
use wardcast::tls::{Credentials, Trust};

use super::hello::Hellos;
use super::junk::Junk;
use super::requests::Requests;
use crate::Failure;
use crate::site::Site;
use crate::usage::Usage;

/// How often something is sent: as much as the rate asks for since the last time.
const TICK: Duration = Duration::from_millis(2);

/// How much was sent of each kind.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Handshakes that are begun and not gone on with.
    pub(super) half_open: u64,
    /// Datagrams of garbage that look like QUIC's.
    pub(super) like_quic: u64,
    /// Datagrams of garbage that look like the push channel's.
    pub(super) like_channel: u64,
    /// Hostile requests on authenticated connections.
    pub(super) requests: u64,
}

/// The process, as whoever started it sees it. Dropping it ends it.
pub(super) struct Hostile {
    child: Child,
    orders: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    sent: Sent,
}

impl Hostile {
    /// Starts it; it rests.
    pub(super) async fn start(
        site: &Site,
        gateway: SocketAddr,
        rate: u32,
    ) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("flood-source")
            .arg(gateway.to_string())
            .arg(site.folder())
            .arg(rate.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let orders = child.stdin.take().expect("it is piped");
        let said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut hostile = Hostile {
            child,
            orders,
            said,
            sent: Sent::default(),
        };
        hostile.listen().await?;
        Ok(hostile)
    }

    /// It floods from now on.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        Ok(self.orders.write_all(b"flood\n").await?)
    }

    /// It has come to rest.
    pub(super) async fn rest(&mut self) -> Result<(), Failure> {
        self.orders.write_all(b"rest\n").await?;
        self.listen().await
    }

    /// What it has sent so far.
    pub(super) fn sent(&self) -> Sent {
        self.sent
    }

    pub(super) fn usage(&self) -> Result<Usage, Failure> {
        let pid = self.child.id().ok_or("the hostile process has ended")?;
        Ok(Usage::of(pid)?)
    }

    async fn listen(&mut self) -> Result<(), Failure> {
        let line = self.said.next_line().await?;
        let line = line.ok_or("the hostile process has ended")?;
        self.sent = serde_json::from_str(&line)?;
        Ok(())
    }
}

/// Which gateway to flood, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    gateway: SocketAddr,
    /// Where its certificates are.
    directory: PathBuf,
    /// What is thrown in a second, all kinds together.
    rate: u32,
}

/// The process itself: floods when it is told to on standard input, until that ends.
pub(crate) async fn serve(target: &Target) -> Result<(), Failure> {
    let Target {
        gateway,
        ref directory,
        rate,
    } = *target;
    let mut source = Source::prepare(gateway, directory).await?;
    source.say()?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut floods, mut owed) = (false, 0.0);
    loop {
        tokio::select! {
            line = lines.next_line() => match line?.as_deref() {
                Some("flood") => floods = true,
                Some("rest") => {
                    floods = false;
                    source.say()?;
                }
                _ => return Ok(()),
            },
            _ = ticks.tick(), if floods => {
                // A busy machine sends less rather than all at once later.
                owed += f64::from(rate) * TICK.as_secs_f64();
                while owed >= 1.0 {
                    owed -= 1.0;
                    source.throw();
                }
            }
        }
    }
}

/// All kinds.
struct Source {
    hellos: Hellos,
    junk: Junk,
    requests: Requests,
    sent: Sent,
    next: u8,
}

impl Source {
    async fn prepare(gateway: SocketAddr, directory: &Path) -> Result<Self, Failure> {
        let trust = Trust::load(&directory.join("ca.pem"), &[])?;
        let own = |end: &str| directory.join(format!("hostile.{end}"));
        let credentials = Credentials::load(&own("pem"), &own("key"))?;
        Ok(Source {
            hellos: Hellos::record(gateway, &credentials, &trust).await?,
            junk: Junk::new(gateway)?,
            requests: Requests::connect(gateway, &credentials, &trust).await?,
            sent: Sent::default(),
            next: 0,
        })
    }

    /// One of each kind in turn.
    fn throw(&mut self) {
        match self.next {
            0 => self.sent.half_open += u64::from(self.hellos.send()),
            1 => self.sent.like_quic += u64::from(self.junk.send_like_quic()),
            2 => self.sent.like_channel += u64::from(self.junk.send_like_channel()),
            _ => self.sent.requests += u64::from(self.requests.send()),
        }
        self.next = (self.next + 1) % 4;
    }

    fn say(&self) -> Result<(), Failure> {
        println!("{}", serde_json::to_string(&self.sent)?);
        Ok(())
    }
}
