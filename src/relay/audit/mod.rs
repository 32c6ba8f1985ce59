//! The audit trail, upstream: batches of its lines as opaque objects, each found by name, registered once.

mod envelope;
mod fetch;

use std::time::Duration;

use tokio::time::sleep;

use super::{Batch, Bounds, Line, Resume, Sink, SinkError, Start};
use crate::audit::Event;
use crate::kmip::client::{
    Attribute, Client, ClientError, Get, Locate, Object, OpaqueObject, Register,
};

pub use envelope::{Envelope, EnvelopeFault};
pub use fetch::{FetchError, Fetched, Source, fetch};

/// What one batch may have. PyKMIP reads an object in a time that grows with the square of its size, so objects are many and small.
const BOUNDS: Bounds = Bounds {
    records: 1_000,
    bytes: 64 * 1024,
};
/// How long a record waits for a signature that follows it.
const PATIENCE: Duration = Duration::from_secs(15);
/// A store that answers has done within this time what it was asked before, if it does it at all: much longer than it takes to read
/// a batch.
pub(super) const SETTLE: Duration = Duration::from_secs(5);
/// Objects of one name that are looked at.
const MOST_ALIKE: u32 = 16;
/// What an `OpaqueObject` is, where its owner says no more.
pub(super) const KIND: u32 = 0x8000_0000;

/// Registers batches of the audit trail.
///
/// The store need not know that names are unique. So a batch that may be there already, because an answer was lost or the gateway
/// died meanwhile, is looked up by its name first, and compared.
pub struct AuditSink {
    client: Client,
    /// What names begin with.
    gateway: String,
    /// The batch that was sent last, by its first record, and whether it may be there.
    doubt: Option<(u64, bool)>,
}

impl AuditSink {
    /// Registers with this client, under names that begin with the gateway's.
    pub fn new(client: Client, gateway: impl Into<String>) -> Self {
        AuditSink {
            client,
            gateway: gateway.into(),
            doubt: None,
        }
    }

    /// Whether the store has this content under this name.
    async fn has(&self, name: &str, content: &[u8]) -> Result<bool, SinkError> {
        let locate = Locate {
            attributes: vec![Attribute::name(name)],
            maximum_items: Some(MOST_ALIKE),
        };
        let mut strangers = 0;
        for unique_identifier in self.client.call(&locate).await?.unique_identifiers {
            let got = self.client.call(&Get { unique_identifier }).await?;
            match got.object {
                Object::Opaque(object) if object.value.as_bytes() == content => return Ok(true),
                _ => strangers += 1,
            }
        }
        match strangers {
            0 => Ok(false),
            _ => Err(SinkError::Refused(format!(
                "the store has something else under the name {name:?}: it is of another trail of the same gateway name, or was changed; set upstream.name to another name"
            ))),
        }
    }
}

impl Sink for AuditSink {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn bounds(&self) -> Bounds {
        BOUNDS
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// A batch had best be sealed by a signature.
    fn closes(&self, line: &Line) -> bool {
        matches!(line.record.entry.event, Event::Signed(_))
    }

    /// Without a cursor it goes on after the newest batch that is there: what is on record upstream is not sent again with other
    /// ends.
    async fn begin(&mut self, start: Start) -> Result<Option<Resume>, SinkError> {
        if start.taken.is_some() {
            return Ok(None);
        }
        let Some(mut newest) = fetch::newest(&self.client, &self.gateway).await? else {
            return Ok(None);
        };
        // What was sent before a crash may be on its way there still.
        sleep(SETTLE).await;
        if let Some(later) = fetch::newest(&self.client, &self.gateway).await? {
            newest = later;
        }
        Ok(Some(Resume {
            after: newest,
            must_follow: true,
        }))
    }

    async fn take(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let first = batch.first();
        let name = envelope::name(&self.gateway, first, batch.last());
        let content = envelope::seal(&self.gateway, batch);
        let doubtful = match self.doubt {
            Some((of, doubtful)) if of == first => doubtful,
            _ => batch.again,
        };
        if doubtful {
            if self.has(&name, &content).await? {
                return Ok(());
            }
            // It may be on its way there still.
            sleep(SETTLE).await;
            if self.has(&name, &content).await? {
                return Ok(());
            }
        }
        self.doubt = Some((first, false));
        let register = Register {
            object: Object::Opaque(OpaqueObject {
                kind: KIND,
                value: content.as_slice().into(),
            }),
            attributes: vec![
                Attribute::name(&name),
                Attribute::object_group(&envelope::group(&self.gateway)),
            ],
        };
        let done = self.client.call(&register).await;
        if let Err(ClientError::Unknown { .. } | ClientError::Answer { .. }) = done {
            self.doubt = Some((first, true));
        }
        done?;
        Ok(())
    }
}
