//! A connection to a log server: TLS, with a certificate of one's own, and an end in good order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::unacknowledged::unacknowledged;

/// Connecting, with TLS, takes no longer.
const CONNECT: Duration = Duration::from_secs(10);
/// The server ends a connection within this time once it is told that nothing more comes.
const CLOSE: Duration = Duration::from_secs(5);

/// A connection.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    own: SocketAddr,
    peer: SocketAddr,
    /// Bytes of frames that were written.
    written: u64,
}

impl Connection {
    /// Connects. Whoever does not acknowledge what was sent for `patience` is taken for dead, whether or not anything is sent.
    pub(super) async fn open(
        address: &str,
        name: &ServerName<'static>,
        tls: &Arc<ClientConfig>,
        patience: Duration,
    ) -> io::Result<Self> {
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            keep_alive(&stream, patience)?;
            let (own, peer) = (stream.local_addr()?, stream.peer_addr()?);
            let tls = TlsConnector::from(tls.clone());
            let stream = tls.connect(name.clone(), stream).await?;
            Ok(Connection {
                stream,
                own,
                peer,
                written: 0,
            })
        };
        timeout(CONNECT, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Writes frames; done once the system has them.
    pub(super) async fn write(&mut self, frames: &[u8], within: Duration) -> io::Result<()> {
        let writing = async {
            self.stream.write_all(frames).await?;
            self.stream.flush().await
        };
        let written = timeout(within, writing).await;
        written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        self.written += frames.len() as u64;
        Ok(())
    }

    /// Bytes of frames that were written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// How many of these the server's system has acknowledged, at least: what is queued has TLS around it, and is never less than
    /// the frames in it.
    pub(super) async fn arrived(&mut self) -> u64 {
        let (own, peer) = (self.own, self.peer);
        // The table is as long as the machine has connections, and the kernel walks all of them.
        let looked = spawn_blocking(move || unacknowledged(own, peer)).await;
        match looked.unwrap_or_else(|error| Err(error.into())) {
            Ok(Some(queued)) => self.written.saturating_sub(queued),
            // What is not known has not arrived.
            Ok(None) => 0,
            Err(error) => {
                tracing::debug!(%error, "the system's table of connections cannot be read");
                0
            }
        }
    }

    /// Done when the server ends the connection. It has nothing to say: what it says is passed over.
    pub(super) async fn ended(&mut self) -> io::Error {
        let mut heard = [0; 256];
        loop {
            match self.stream.read(&mut heard).await {
                Ok(0) => return io::Error::other("it closed the connection"),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    /// Tells the server that nothing more comes (close_notify), and waits until it ends the connection too: it has read all then,
    /// for a system that still has what was not read resets the connection. A server that ended it before it was told may have been
    /// sent more since then, which nobody read: that is no end in good order.
    pub(super) async fn close(mut self) -> io::Result<()> {
        if let Ok(ended) = timeout(Duration::ZERO, self.ended()).await {
            return Err(ended);
        }
        let closing = async {
            self.stream.shutdown().await?;
            let mut heard = [0; 256];
            loop {
                match self.stream.read(&mut heard).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    // It ended TCP without ending TLS first, as some do.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        timeout(CLOSE, closing)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn keep_alive(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    let milliseconds = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    let idle = patience.max(Duration::from_secs(2)) / 2;
    sockopt::set_tcp_user_timeout(stream, milliseconds)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(idle.as_secs().max(1)))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(1))?;
    Ok(())
}
