//! The audit trail to Splunk: its HTTP Event Collector, with the acknowledgements of its indexers.
//!
//! A batch is posted to `URL/services/collector/event`, an event for each record: `time` and `host` are the record's and the
//! gateway's, `sourcetype` is `wardcast:audit`, and the event is the record as the trail has it, with its number (`sequence`), the
//! SHA-256 of its line (`hash`), and what became of it in a word (`result`).
//!
//! The answer names an acknowledgement, for which `URL/services/collector/ack` is asked until it is there: the events are
//! replicated then, and only then the cursor moves on. What is not acknowledged within `ack_s`, because the indexer died or the
//! acknowledgement was lost, is posted again: each record is there once or more, and `hash` tells copies.

use std::time::Duration;

use reqwest::header::HeaderName;
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::collector::Collector;
use super::identifiers::Identifiers;
use super::secret::Token;
use super::told::Told;
use super::{DESTINATION, SetupError};
use crate::crypto;
use crate::relay::{Batch, Bounds, Destination, Sink, SinkError};

/// What one batch may have: with what is around each event it stays below a million bytes, which every Splunk takes.
const BOUNDS: Bounds = Bounds {
    records: 500,
    bytes: 256 * 1024,
};
/// How long a record waits for others.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is asked for an acknowledgement: at first, and at most.
const ASK: Duration = Duration::from_millis(250);
const ASK_AT_MOST: Duration = Duration::from_secs(4);
const CHANNEL: &str = "x-splunk-request-channel";
const SOURCE: &str = "wardcast";
const SOURCE_TYPE: &str = "wardcast:audit";

/// Where Splunk is, and what it is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// `https://HOST:8088`.
    pub url: String,
    /// The collector's token, for which acknowledgements are turned on.
    pub token: Token,
    /// The index that events go to; the token's own if empty.
    pub index: String,
    /// Within this time a batch is acknowledged, or is posted again.
    pub acknowledged: Duration,
    /// What this machine is called in events.
    pub host: String,
    /// How identifiers are told.
    pub identifiers: Identifiers,
}

/// Posts records to Splunk.
pub struct SplunkSink {
    options: Options,
    collector: Collector,
    event: String,
    ack: String,
}

#[derive(Deserialize)]
struct Posted {
    #[serde(rename = "ackId")]
    acknowledgement: Option<u64>,
}

#[derive(Deserialize)]
struct Acknowledged {
    acks: std::collections::HashMap<String, bool>,
}

impl SplunkSink {
    /// A sink with a channel of its own, which acknowledgements are kept apart by.
    ///
    /// # Errors
    /// When the HTTPS client cannot be made.
    pub fn new(options: Options, tls: ClientConfig) -> Result<Self, SetupError> {
        let channel = channel();
        let token = Some(("Splunk", &options.token));
        let name = HeaderName::from_static(CHANNEL);
        let collector = Collector::new(tls, token, &[(name, &channel)])?;
        let url = options.url.trim_end_matches('/');
        Ok(SplunkSink {
            event: format!("{url}/services/collector/event"),
            ack: format!("{url}/services/collector/ack?channel={channel}"),
            options,
            collector,
        })
    }

    fn events(&self, batch: &Batch) -> Vec<u8> {
        let Options {
            host,
            index,
            identifiers,
            ..
        } = &self.options;
        let mut body = Vec::new();
        for line in &batch.lines {
            let told = Told::new(line, identifiers);
            let mut event = json!({
                "time": told.milliseconds() as f64 / 1_000.0,
                "host": host,
                "source": SOURCE,
                "sourcetype": SOURCE_TYPE,
                "event": told.json(),
            });
            if !index.is_empty() {
                event["index"] = index.as_str().into();
            }
            body.extend_from_slice(event.to_string().as_bytes());
            body.push(b'\n');
        }
        body
    }

    /// Whether this was acknowledged.
    async fn asked(&self, acknowledgement: u64) -> Result<bool, SinkError> {
        let body = json!({ "acks": [acknowledgement] }).to_string();
        let answer = self.collector.post(&self.ack, body.into_bytes()).await?;
        let answer: Acknowledged =
            serde_json::from_slice(&answer).map_err(|error| self.strange(&error))?;
        let all = &answer.acks;
        Ok(all.get(&acknowledgement.to_string()) == Some(&true))
    }

    fn strange(&self, error: &serde_json::Error) -> SinkError {
        let url = &self.options.url;
        SinkError::Refused(format!(
            "{url} answers as no HTTP Event Collector does: {error}"
        ))
    }
}

impl Sink for SplunkSink {
    fn name(&self) -> &'static str {
        "splunk"
    }

    fn bounds(&self) -> Bounds {
        BOUNDS
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    async fn take(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let posted = self.collector.post(&self.event, self.events(batch));
        let posted: Posted =
            serde_json::from_slice(&posted.await?).map_err(|error| self.strange(&error))?;
        let Some(acknowledgement) = posted.acknowledgement else {
            let why = "the collector acknowledges nothing; turn on indexer acknowledgement (useACK) for the token";
            return Err(SinkError::Refused(why.into()));
        };
        let began = Instant::now();
        let mut pause = ASK;
        let mut why = "it does not say so".to_owned();
        while began.elapsed() < self.options.acknowledged {
            sleep(pause).await;
            pause = (pause * 2).min(ASK_AT_MOST);
            match self.asked(acknowledgement).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(SinkError::Unreachable(error)) => why = error,
                // It knows the channel no more: it was started anew.
                Err(SinkError::Refused(error)) => return Err(SinkError::Unreachable(error)),
            }
        }
        let seconds = self.options.acknowledged.as_secs();
        Err(SinkError::Unreachable(format!(
            "the batch was not acknowledged within {seconds} s, and is posted again: {why}"
        )))
    }

    fn destination(&self) -> &'static Destination {
        &DESTINATION
    }
}

/// A random UUID (RFC 9562, version 4).
fn channel() -> String {
    let mut bytes = crypto::random::<16>();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = data_encoding::HEXLOWER.encode(&bytes);
    [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_random_uuids() {
        let (one, other) = (channel(), channel());
        assert_ne!(one, other);
        let dashes: Vec<usize> = one.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!((one.len(), dashes), (36, vec![8, 13, 18, 23]));
        assert_eq!(&one[14..15], "4");
        assert!("89ab".contains(&one[19..20]), "{one}");
    }
}
