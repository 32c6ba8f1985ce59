//! The floor to compare with: quinn alone, with the same handshakes, the same number of bytes and an answer, and nothing else.
//!
//! Absolute times travel badly between machines, ratios to this do. The bare server pushes on a bidirectional stream and takes an
//! answer of eight bytes, each member on a connection of its own with a certificate of its own, in a process of its own.

pub(crate) mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, IdleTimeout, TransportConfig, VarInt};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use wardcast::tls::{self, Credentials, Trust};

use crate::Failure;
use crate::distribution::Quantiles;
use crate::report::{self, Progress, Report};
use crate::site::Site;
use crate::usage::Usage;

const ALPN: &[u8] = b"bare";
/// Bytes that a member answers a push with.
const ANSWER: usize = 8;
/// No part of a run is idle for longer.
const IDLE: Duration = Duration::from_secs(120);

/// What the same work costs without the gateway.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bare {
    /// Mutual-TLS handshakes in a second.
    pub(crate) handshakes_per_second: f64,
    /// Server CPU for one handshake, in microseconds.
    pub(crate) cpu_us_per_handshake: f64,
    /// Bytes of each push.
    pub(crate) payload_bytes: usize,
    /// From the push until all have answered.
    pub(crate) all_answered: Quantiles,
    /// Server CPU for a push and its answer, in microseconds.
    pub(crate) cpu_us_per_delivery: f64,
    /// The part of it that was spent in the kernel.
    pub(crate) kernel_share: Option<f64>,
    /// Resident memory for one connection, in bytes.
    pub(crate) bytes_per_connection: u64,
}

impl Report for Bare {
    fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: String| (name.to_owned(), value);
        vec![
            row(
                "bare handshakes",
                format!("{:.0}/s", self.handshakes_per_second),
            ),
            row(
                "bare server CPU per handshake",
                format!("{:.0} us", self.cpu_us_per_handshake),
            ),
            row("bare push of", format!("{} bytes", self.payload_bytes)),
            row(
                "bare push until all answered",
                report::quantiles(&self.all_answered),
            ),
            row(
                "bare server CPU per push and answer",
                report::cpu(self.cpu_us_per_delivery, self.kernel_share),
            ),
            row(
                "bare server memory per connection",
                report::kib(self.bytes_per_connection),
            ),
        ]
    }
}

/// As the gateway's, which sends little that is more than one small packet: what it does without, this does not pay for either.
fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let idle = VarInt::from_u32(u32::try_from(IDLE.as_millis()).expect("two minutes fit"));
    transport
        .max_idle_timeout(Some(IdleTimeout::from(idle)))
        .enable_segmentation_offload(false)
        .mtu_discovery_config(None);
    Arc::new(transport)
}

/// How much is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Extent {
    /// Connections, each with a certificate of its own.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub(crate) members: u32,
    /// Pushes to all of them, or causes of each kind.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,
    /// Members that connect at the same time.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) at_once: u32,
}

/// Measures pushes of so many bytes.
pub(crate) async fn measure(site: &Site, extent: Extent, bytes: usize) -> Result<Bare, Failure> {
    let credentials = site.members().iter().take(extent.members as usize);
    let members = credentials.len();
    let mut server = Server::start(site).await?;
    let before = server.usage()?;
    let mut progress = Progress::begin("bare");
    let began = Instant::now();
    let server_at = (server.address, site.trust());
    let at_once = extent.at_once as usize;
    let connections = connect(credentials, server_at, at_once, &mut progress).await?;
    let connecting = began.elapsed();
    server.wait_for(members).await?;
    let connected = server.usage()?;
    for connection in &connections {
        tokio::spawn(answer(connection.clone()));
    }

    server.push(bytes, members).await?; // the first one sets up what later ones find ready
    let start = server.usage()?;
    let mut took = Vec::new();
    for _ in 0..extent.rounds {
        took.push(server.push(bytes, members).await?);
    }
    let end = server.usage()?;
    let spent = end.since(&start);
    progress.end(&format!(
        "{members} handshakes and {} pushes to all",
        extent.rounds
    ));
    let per = |spent: Duration, count: usize| spent.as_secs_f64() * 1e6 / count.max(1) as f64;
    Ok(Bare {
        handshakes_per_second: members as f64 / connecting.as_secs_f64(),
        cpu_us_per_handshake: per(connected.since(&before).cpu, members),
        payload_bytes: bytes,
        all_answered: Quantiles::of(&took).ok_or("no round was run")?,
        cpu_us_per_delivery: per(spent.cpu, members * took.len()),
        kernel_share: spent.kernel_share,
        bytes_per_connection: end.resident.saturating_sub(before.resident) / members.max(1) as u64,
    })
}

async fn connect(
    all: impl ExactSizeIterator<Item = &Credentials>,
    (server, trust): (SocketAddr, &Trust),
    at_once: usize,
    progress: &mut Progress,
) -> Result<Vec<Connection>, Failure> {
    let count = all.len();
    let mut connections = Vec::with_capacity(count);
    let mut connecting = JoinSet::new();
    for credentials in all {
        if connecting.len() >= at_once
            && let Some(connected) = connecting.join_next().await
        {
            connections.push(connected??);
            progress.at(connections.len(), count);
        }
        // A socket each, as members have: the server's kernel pays for each address.
        let endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let config = client(credentials, trust, ALPN)?;
        connecting.spawn(async move {
            let connection = endpoint.connect_with(config, server, "localhost")?.await?;
            Ok::<_, Failure>(connection)
        });
    }
    while let Some(connected) = connecting.join_next().await {
        connections.push(connected??);
    }
    Ok(connections)
}

/// A client of quinn alone, for the protocol of that name.
pub(crate) fn client(
    credentials: &Credentials,
    trust: &Trust,
    protocol: &[u8],
) -> Result<ClientConfig, Failure> {
    let crypto = tls::client_config(credentials.clone(), trust, &[protocol])?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
    config.transport_config(transport());
    Ok(config)
}

/// Answers pushes until the connection ends.
async fn answer(connection: Connection) {
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        let read = receive.read_to_end(1 << 20).await.is_ok();
        if !read || send.write_all(&[1; ANSWER]).await.is_err() || send.finish().is_err() {
            return;
        }
    }
}

/// The bare server's process.
struct Server {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Server {
    async fn start(site: &Site) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bare-server")
            .arg(site.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let commands = child.stdin.take().expect("it is piped");
        let mut answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let address = answers
            .next_line()
            .await?
            .ok_or("the bare server did not start")?;
        let address = address.parse()?;
        Ok(Server {
            child,
            commands,
            answers,
            address,
        })
    }

    fn usage(&self) -> Result<Usage, Failure> {
        let pid = self.child.id().ok_or("the bare server has ended")?;
        Ok(Usage::of(pid)?)
    }

    async fn ask(&mut self, command: &str) -> Result<usize, Failure> {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        let answer = self.answers.next_line().await?;
        Ok(answer.ok_or("the bare server has ended")?.parse()?)
    }

    /// A client's handshake is done a little before the server's.
    async fn wait_for(&mut self, members: usize) -> Result<(), Failure> {
        while self.ask("count").await? < members {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn push(&mut self, bytes: usize, members: usize) -> Result<Duration, Failure> {
        let began = Instant::now();
        let answered = self.ask(&format!("push {bytes}")).await?;
        if answered == members {
            Ok(began.elapsed())
        } else {
            Err(format!("only {answered} of {members} answered a bare push").into())
        }
    }
}
