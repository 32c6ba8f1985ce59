//! The audit trail to a log server: RFC 5424 over TLS (RFC 5425).
//!
//! [`message`] has the mapping. Frames are counted in octets, so that no text ends one. The server's certificate is checked
//! against the name in the address; the gateway shows its own.
//!
//! # What counts as taken
//! Syslog has no acknowledgement. So the cursor on disk trails what was written: it moves over a record `settle_s` seconds after the
//! server's system had acknowledged its bytes (TCP), if the connection lives then. When a connection ends before, for
//! whatever reason, everything beyond the cursor is sent again by the next one, from the trail on disk: no record is missing, each
//! is there once or more, and the first copies are in order. `sequence` and `hash` tell copies.
//!
//! A server that acknowledges nothing for `settle_s` is taken for dead. When the gateway stops, it says that nothing more comes
//! (close_notify) and waits for the server to end the connection too: it does once it has read all, and then nothing is in doubt.
//!
//! What this cannot cover: a server that dies hard more than `settle_s` after its system took a record, or after it ended
//! the connection in good order, and had not written it yet. `settle_s` has to be longer than what a server takes from its socket
//! to its disk; where it queues in memory for longer, its queue has to be on disk.

mod connection;
pub mod message;
mod unacknowledged;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::identifiers::Identifiers;
use super::told::Told;
use super::{DESTINATION, SetupError};
use crate::relay::{Batch, Bounds, Destination, Sink, SinkError};
use connection::Connection;
use message::Header;

/// What one batch may have: a part of a second's work.
const BOUNDS: Bounds = Bounds {
    records: 500,
    bytes: 256 * 1024,
};
/// How long a record waits for others.
const PATIENCE: Duration = Duration::from_millis(100);
/// A batch is written within this time, or the server is taken for dead.
const WRITE: Duration = Duration::from_secs(30);

/// How a log server is reached, and what it is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// `HOST:PORT`.
    pub address: String,
    /// The facility of all messages, 0 to 23 (RFC 5424, table 1).
    pub facility: u8,
    /// The private enterprise number in the name of the structured data (RFC 5424, section 7.2.2).
    pub enterprise: u32,
    /// How long what has arrived is in doubt still.
    pub settle: Duration,
    /// What this machine is called in messages.
    pub host: String,
    /// How identifiers are told.
    pub identifiers: Identifiers,
}

/// Writes records to a log server.
pub struct SyslogSink {
    options: Options,
    header: Header,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    connection: Option<Connection>,
}

impl SyslogSink {
    /// A sink that connects once there is something to say.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(options: Options, tls: ClientConfig) -> Result<Self, SetupError> {
        let host = options.address.rsplit_once(':').map(|(host, _)| host);
        let host = host.map(|host| host.trim_start_matches('[').trim_end_matches(']'));
        let name = ServerName::try_from(host.unwrap_or_default().to_owned())
            .map_err(|_| SetupError::Address(options.address.clone()))?;
        Ok(SyslogSink {
            header: Header {
                facility: options.facility,
                host: options.host.clone(),
                process: std::process::id(),
                enterprise: options.enterprise,
            },
            options,
            name,
            tls: Arc::new(tls),
            connection: None,
        })
    }

    fn unreachable(&self, error: &std::io::Error) -> SinkError {
        SinkError::Unreachable(format!("{}: {error}", self.options.address))
    }
}

impl Sink for SyslogSink {
    fn name(&self) -> &'static str {
        "syslog"
    }

    fn bounds(&self) -> Bounds {
        BOUNDS
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    async fn take(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let Options {
                    address, settle, ..
                } = &self.options;
                let opened = Connection::open(address, &self.name, &self.tls, *settle).await;
                opened.map_err(|error| self.unreachable(&error))?
            }
        };
        let mut frames = Vec::new();
        for line in &batch.lines {
            let told = Told::new(line, &self.options.identifiers);
            message::frame(&self.header, &told, &mut frames);
        }
        let written = connection.write(&frames, WRITE).await;
        written.map_err(|error| self.unreachable(&error))?;
        self.connection = Some(connection);
        Ok(())
    }

    fn destination(&self) -> &'static Destination {
        &DESTINATION
    }

    fn settling(&self) -> Option<Duration> {
        Some(self.options.settle)
    }

    fn sent(&self) -> u64 {
        self.connection.as_ref().map_or(0, Connection::written)
    }

    async fn arrived(&mut self) -> u64 {
        match &mut self.connection {
            Some(connection) => connection.arrived().await,
            None => 0,
        }
    }

    async fn broken(&mut self) -> SinkError {
        let Some(connection) = &mut self.connection else {
            return std::future::pending().await;
        };
        let error = connection.ended().await;
        self.connection = None;
        self.unreachable(&error)
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        match self.connection.take() {
            Some(connection) => {
                let closed = connection.close().await;
                closed.map_err(|error| self.unreachable(&error))
            }
            None => Err(SinkError::Unreachable("it is not connected".into())),
        }
    }
}
