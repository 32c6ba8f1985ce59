//! The audit trail as events of the Open Cybersecurity Schema Framework, to an HTTPS collector.
//!
//! A batch is one POST of a JSON array. Any 2xx says that the collector has it, and the cursor moves on; until then it is
//! posted again: each record is there once or more, in order, and `metadata.uid` tells copies. What the collector refuses for good
//! (4xx) is logged as an error each time, is tried again with growing pauses, and holds up what comes after it, because nothing is
//! ever skipped.
//!
//! [`event`](mod@event) has the mapping.

pub mod event;

use std::time::Duration;

use rustls::ClientConfig;
use serde_json::Value;

use super::collector::Collector;
use super::identifiers::Identifiers;
use super::secret::Token;
use super::told::Told;
use super::{DESTINATION, SetupError};
use crate::relay::{Batch, Bounds, Destination, Sink, SinkError};

/// What one batch may have: an event is a few times as long as its record, and a body has to be one that every collector takes.
const BOUNDS: Bounds = Bounds {
    records: 250,
    bytes: 128 * 1024,
};
/// How long a record waits for others.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where the collector is, and what it is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where events are posted to.
    pub url: String,
    /// Shown as a bearer token (RFC 6750), if there is one.
    pub token: Option<Token>,
    /// What this machine is called in events.
    pub host: String,
    /// How identifiers are told.
    pub identifiers: Identifiers,
}

/// Posts records to a collector.
pub struct OcsfSink {
    options: Options,
    collector: Collector,
}

impl OcsfSink {
    /// A sink that connects once there is something to say.
    ///
    /// # Errors
    /// When the HTTPS client cannot be made.
    pub fn new(options: Options, tls: ClientConfig) -> Result<Self, SetupError> {
        let token = options.token.as_ref().map(|token| ("Bearer", token));
        Ok(OcsfSink {
            collector: Collector::new(tls, token, &[])?,
            options,
        })
    }
}

impl Sink for OcsfSink {
    fn name(&self) -> &'static str {
        "ocsf"
    }

    fn bounds(&self) -> Bounds {
        BOUNDS
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    async fn take(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let Options {
            url,
            host,
            identifiers,
            ..
        } = &self.options;
        let events = batch.lines.iter().map(|line| {
            let told = Told::new(line, identifiers);
            event::event(&told, host)
        });
        let body = Value::Array(events.collect()).to_string();
        self.collector.post(url, body.into_bytes()).await?;
        Ok(())
    }

    fn destination(&self) -> &'static Destination {
        &DESTINATION
    }
}
