//! One connection in service.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::timeout;
use tracing::{Instrument, Span, info_span};

use super::absence::Absence;
use super::driver::{Connection, ReadToEndError, RecvStream, SendStream};
use super::listener::{Front, Place};
use super::push::{push, say_goodbye};
use super::request::{answer, name};
use super::{CLOSING_RETRY_MS, MAX_REGISTRATIONS, REQUEST_DEADLINE};
use crate::engine::Outbox;
use crate::group::limits::MAX_REQUEST;
use crate::group::request::RequestId;
use crate::group::wire::{CloseCode, Message, Refusal, RefusalCode, Request, Response};
use crate::trace::{self, Few, TARGET};

/// Refusals that are logged in a second: their number is up to those who are refused. All are, at the level debug.
static LOGGED: Few = Few::new(20);

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
async fn request(served: Arc<Served>, send: SendStream, mut receive: RecvStream) {
    let answered = match timeout(REQUEST_DEADLINE, receive.read_to_end(MAX_REQUEST)).await {
        Ok(Ok(bytes)) => match Request::from_bytes(&bytes) {
            // One a member and rekey, where datagrams do not get through: they need no name.
            Ok(request @ Request::Acknowledge(_)) => respond(&served, request).await,
            Ok(request) => return named(&served, send, request).await,
            Err(error) => Err(Refusal::because(RefusalCode::Malformed, error.to_string())),
        },
        Ok(Err(ReadToEndError::TooLong)) => Err(Refusal::new(RefusalCode::TooLarge)),
        Ok(Err(ReadToEndError::Broken(_))) => return,
        Err(_) => {
            receive.stop(CloseCode::Timeout.number().into());
            Err(Refusal::because(
                RefusalCode::Malformed,
                "the request was not finished in time",
            ))
        }
    };
    let response = answered.unwrap_or_else(|refusal| refused(&served, &trace::fresh(), refusal));
    write(send, &response).await;
}

/// Answers a request that has a name, in its span.
async fn named(served: &Arc<Served>, send: SendStream, request: Request) {
    let id = trace::fresh();
    let span = info_span!(
        target: TARGET,
        "request",
        otel.name = name(&request),
        otel.kind = "server",
        %id,
        identity = %served.place.identity,
        refusal = tracing::field::Empty,
    );
    let answer = async {
        let answered = trace::within(Some(id.clone()), respond(served, request)).await;
        let response = answered.unwrap_or_else(|refusal| refused(served, &id, refusal));
        write(send, &response).await;
    };
    answer.instrument(span).await;
}

async fn write(mut send: SendStream, response: &Response) {
    // A peer that went away meanwhile needs no answer.
    let mut message = [response.to_bytes()];
    let _ = send.write_all_and_finish(&mut message).await;
}

async fn respond(served: &Arc<Served>, request: Request) -> Result<Response, Refusal> {
    let registers = matches!(request, Request::Join(_) | Request::Resume(_));
    if registers && served.outbox.len() >= MAX_REGISTRATIONS {
        let why = "this connection carries as many registrations as it may; open another one";
        return Err(Refusal::because(RefusalCode::TooManyRegistrations, why));
    }
    if served.front.closing.load(Ordering::Relaxed) && matches!(request, Request::Join(_)) {
        return Err(Refusal::retry(RefusalCode::Draining, CLOSING_RETRY_MS));
    }
    answer(served, request).await
}

/// The peer is told the request's name, and whoever he asks about it finds that in the log.
fn refused(served: &Served, id: &RequestId, mut refusal: Refusal) -> Response {
    let (code, identity) = (refusal.code.number(), &served.place.identity);
    Span::current().record("refusal", code);
    let why = &refusal.message;
    match LOGGED.more() {
        true => tracing::info!(request = %id, %identity, code, why, "refused"),
        false => tracing::debug!(request = %id, %identity, code, why, "refused"),
    }
    refusal.message += &format!(" (request {id})");
    metrics::counter!("wardcast_refusals_total", "reason" => refusal.code.name()).increment(1);
    Response::Refused(refusal)
}
