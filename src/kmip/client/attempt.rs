//! One attempt at one address: a connection, the version to speak, one message each way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::time::timeout_at;

use super::client::{Job, Shared};
use super::error::{ClientError, ServerError, TransportError};
use super::exchange::{Answers, Batch, Exchange, Request, Response};
use super::operations::DiscoverVersions;
use super::transport::{Connection, Outgoing};
use super::version::Version;
use crate::kmip::codec::Layout;

/// How an attempt failed.
pub(super) enum Failure {
    /// The address is in trouble.
    Broke { sent: bool, error: TransportError },
    /// The server answered, but did not do it.
    Said(ClientError),
    /// Nothing was sent, and no other attempt would be better.
    Unsendable(ClientError),
}

impl Shared {
    pub(super) async fn attempt(&self, index: usize, job: Job<'_>) -> Result<Answers, Failure> {
        let now = Instant::now();
        let until = job.deadline.min(now + self.options.attempt);
        let sent = AtomicBool::new(false);
        let result = timeout_at(until.into(), self.converse(index, job, &sent)).await;
        result.unwrap_or_else(|_| {
            Err(Failure::Broke {
                sent: sent.load(Ordering::Relaxed),
                error: TransportError::TimedOut(until - now),
            })
        })
    }

    async fn converse(
        &self,
        index: usize,
        job: Job<'_>,
        sent: &AtomicBool,
    ) -> Result<Answers, Failure> {
        let mut connection = self.connection(index).await?;
        let version = match job.batch.version {
            Some(version) => version,
            None => self.agree(index, &mut connection).await?,
        };
        let exchange = self.prepare(version, job.items, job.batch);
        let response = self.round(&mut connection, &exchange, sent).await?;
        let address = &self.addresses[index];
        if connection.is_by(&address.transport()) {
            self.idle.keep(index, connection, Instant::now());
        }
        match response {
            Response::Items(items) => Ok(Answers {
                version,
                address: address.name.clone(),
                items,
            }),
            Response::Refused(error) => {
                address.remember(None);
                Err(refused(&address.name, error))
            }
        }
    }

    /// A connection that is idle, or a new one. One that shows other credentials than those in use is not used again.
    async fn connection(&self, index: usize) -> Result<Connection, Failure> {
        let transport = self.addresses[index].transport();
        while let Some(mut connection) = self.idle.take(index, Instant::now()) {
            if connection.is_by(&transport) && connection.is_quiet().await {
                return Ok(connection);
            }
        }
        // One that is idle at another address makes room.
        self.idle.shrink(self.permits.available_permits());
        let connected = transport.connect().await;
        self.show_connections();
        connected.map_err(|error| Failure::Broke { sent: false, error })
    }

    /// The version to speak: the greatest that both sides may.
    async fn agree(&self, index: usize, connection: &mut Connection) -> Result<Version, Failure> {
        let address = &self.addresses[index];
        let range = &self.options.versions;
        if range.start() == range.end() {
            return Ok(*range.start());
        }
        if let Some(version) = address.version() {
            return Ok(version);
        }
        let offered = Version::ALL
            .into_iter()
            .filter(|version| range.contains(version));
        let offered: Vec<Version> = offered.collect();
        let discover = DiscoverVersions {
            versions: offered.clone(),
        };
        let mut refusal = None;
        // Servers that speak a later version understand the question in an earlier one; not so the other way round.
        for asking in &offered {
            let items: [&dyn Request; 1] = [&discover];
            let exchange = self.prepare(*asking, &items, Batch::default());
            let asked = AtomicBool::new(false);
            let response = self.round(connection, &exchange, &asked).await;
            let items = match response {
                Ok(Response::Items(items)) => items,
                Ok(Response::Refused(error)) => {
                    refusal = Some(refused(&address.name, error));
                    continue;
                }
                // What is asked here is not what the caller asks for, which was not sent.
                Err(Failure::Broke { error, .. }) => {
                    return Err(Failure::Broke { sent: false, error });
                }
                Err(failure) => return Err(failure),
            };
            let answers = Answers {
                version: *asking,
                address: address.name.clone(),
                items,
            };
            let spoken = match answers.read(0, &discover) {
                Ok(spoken) => spoken,
                Err(error) => {
                    refusal = Some(Failure::Said(error));
                    continue;
                }
            };
            let mut both = offered.iter().rev();
            let Some(version) = both.find(|version| spoken.contains(&version.numbers())) else {
                return Err(Failure::Said(ClientError::Version {
                    address: address.name.clone(),
                    wanted: format!("{} to {}", range.start(), range.end()),
                    spoken,
                }));
            };
            address.remember(Some(*version));
            return Ok(*version);
        }
        let after = self.options.deadline;
        Err(refusal.unwrap_or(Failure::Unsendable(ClientError::Queued { after })))
    }

    fn prepare<'r>(
        &self,
        version: Version,
        items: &'r [&'r dyn Request],
        batch: Batch<'r>,
    ) -> Exchange<'r> {
        let count = items.len() as u32;
        Exchange {
            version,
            items,
            batch,
            max_response: self.options.max_response,
            first: self.batch_item_ids.fetch_add(count, Ordering::Relaxed),
        }
    }

    /// One message each way.
    async fn round(
        &self,
        connection: &mut Connection,
        exchange: &Exchange<'_>,
        sent: &AtomicBool,
    ) -> Result<Response, Failure> {
        let encoding = connection.encoding();
        let bytes = encoding.encode(&exchange.request(), Layout::OneLine);
        let bytes = bytes.map_err(|error| Failure::Unsendable(error.into()))?;
        let outgoing = Outgoing {
            bytes: &bytes,
            limit: self.options.max_response,
            sent,
        };
        let broke = |error| Failure::Broke {
            sent: sent.load(Ordering::Relaxed),
            error,
        };
        let answer = connection.exchange(outgoing).await;
        let answer = answer.map_err(broke)?;
        let item = encoding
            .decode(&answer)
            .map_err(|error| broke(error.into()))?;
        exchange.response(&item).map_err(broke)
    }
}

/// The server refused the whole message.
fn refused(address: &str, error: ServerError) -> Failure {
    let address = address.to_owned();
    Failure::Said(ClientError::Failed { address, error })
}
