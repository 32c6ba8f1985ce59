//! One connection in service.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quinn::{Connection, RecvStream, SendStream};
use tokio::time::timeout;

use super::absence::Absence;
use super::listener::{Front, Place};
use super::push::{push, say_goodbye};
use super::request::answer;
use super::{CLOSING_RETRY_MS, MAX_REGISTRATIONS, REQUEST_DEADLINE};
use crate::engine::Outbox;
use crate::group::limits::MAX_REQUEST;
use crate::group::wire::{CloseCode, Message, Refusal, RefusalCode, Request, Response};

/// What the tasks of one connection share.
pub(super) struct Served {
    pub(super) front: Arc<Front>,
    pub(super) connection: Connection,
    pub(super) place: Place,
    /// Which of the gateway's sockets it has.
    pub(super) lane: u8,
    pub(super) outbox: Arc<Outbox>,
}

impl Served {
    pub(super) fn new(
        front: Arc<Front>,
        connection: Connection,
        place: Place,
        lane: u8,
    ) -> Arc<Self> {
        Arc::new(Self {
            front,
            connection,
            place,
            lane,
            outbox: Outbox::new(),
        })
    }

    /// Serves until the connection is over. Its members are absent from then on, not gone.
    pub(super) async fn run(self: Arc<Self>) {
        let mut draining = self.front.draining.subscribe();
        // Its handshake may have ended after the others were told.
        if draining.borrow().is_some() {
            draining.mark_changed();
        }
        let goes = loop {
            tokio::select! {
                opened = self.connection.accept_bi() => match opened {
                    Ok((send, receive)) => drop(tokio::spawn(request(self.clone(), send, receive))),
                    Err(error) => {
                        tracing::debug!(identity = %self.place.identity, %error, "connection over");
                        break false;
                    }
                },
                Some(delivery) = self.outbox.next() => drop(tokio::spawn(push(self.clone(), delivery))),
                _ = draining.changed() => break true,
            }
        };
        let absence = goes.then(|| draining.borrow().clone()).flatten();
        // Boxed, for all connections would hold the room for it as long as they live.
        Box::pin(self.part(absence)).await;
    }

    /// Tells the members to come back after their absence when the gateway goes, and the engine that they are away.
    async fn part(&self, absence: Option<Absence>) {
        if let Some(absence) = absence {
            say_goodbye(&self.connection, absence.of_one()).await;
            let code = CloseCode::Draining;
            self.connection
                .close(code.number().into(), code.text().as_bytes());
        }
        self.outbox.close();
        self.front.engine.detached(&self.outbox).await;
    }
}

/// Reads one request and writes its answer.
async fn request(served: Arc<Served>, mut send: SendStream, mut receive: RecvStream) {
    let response = match timeout(REQUEST_DEADLINE, receive.read_to_end(MAX_REQUEST)).await {
        Ok(Ok(bytes)) => match Request::from_bytes(&bytes) {
            Ok(request) => respond(&served, request).await,
            Err(error) => refused(Refusal::because(RefusalCode::Malformed, error.to_string())),
        },
        Ok(Err(quinn::ReadToEndError::TooLong)) => refused(Refusal::new(RefusalCode::TooLarge)),
        Ok(Err(quinn::ReadToEndError::Read(_))) => return,
        Err(_) => {
            let _ = receive.stop(CloseCode::Timeout.number().into());
            refused(Refusal::because(
                RefusalCode::Malformed,
                "the request was not finished in time",
            ))
        }
    };
    // A peer that went away meanwhile needs no answer.
    if send.write_all(&response.to_bytes()).await.is_ok() {
        let _ = send.finish();
    }
}

async fn respond(served: &Arc<Served>, request: Request) -> Response {
    let registers = matches!(request, Request::Join(_) | Request::Resume(_));
    if registers && served.outbox.len() >= MAX_REGISTRATIONS {
        let why = "this connection carries as many registrations as it may; open another one";
        return refused(Refusal::because(RefusalCode::TooManyRegistrations, why));
    }
    if served.front.closing.load(Ordering::Relaxed) && matches!(request, Request::Join(_)) {
        return refused(Refusal::retry(RefusalCode::Draining, CLOSING_RETRY_MS));
    }
    answer(served, request).await.unwrap_or_else(refused)
}

fn refused(refusal: Refusal) -> Response {
    metrics::counter!("wardcast_refusals_total", "reason" => refusal.code.name()).increment(1);
    Response::Refused(refusal)
}
