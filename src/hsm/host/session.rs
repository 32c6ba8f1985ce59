//! One connection of a token host: its questions, answered one after the other by a session of its own.

use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::time::Instant;

use super::protocol::{self, Answer, Request, VERSION};
use super::server::{Shared, socket_name};
use crate::group::operations::{Batch, Output};
use crate::hsm::{ErrorClass, Token, TokenError};

/// Answers until the gateway closes the connection, or says something that is no question.
pub(super) fn run(shared: &Shared, seat: u64, mut stream: UnixStream) {
    let mut token: Option<Box<dyn Token>> = None;
    loop {
        let request: Request = match protocol::read(&mut stream) {
            Ok(Some(request)) => request,
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "a session ends early");
                break;
            }
        };
        shared.busy(seat, Some(Instant::now() + request.budget()));
        let answered = panic::catch_unwind(AssertUnwindSafe(|| {
            answer(shared, &stream, &mut token, request)
        }));
        let (answer, over) = match answered {
            Ok(answer) => (answer, false),
            // What is half done in a session that panicked is not seen again.
            Err(_) => (failed(TokenError::Panicked), true),
        };
        shared.busy(seat, None);
        if let Err(error) = protocol::write(&mut stream, &answer) {
            tracing::warn!(%error, "an answer came too late for its gateway");
            break;
        }
        if over {
            break;
        }
    }
    // Closing a session is a call into the token as well.
    shared.busy(seat, Some(Instant::now() + protocol::CLOSE_BUDGET));
    drop(token);
}

fn answer(
    shared: &Shared,
    stream: &UnixStream,
    token: &mut Option<Box<dyn Token>>,
    request: Request,
) -> Answer {
    let host = |why: String| {
        failed(TokenError::Host {
            class: ErrorClass::Fatal,
            socket: socket_name(stream),
            why,
        })
    };
    match (request, token) {
        (Request::Ping, _) => Answer::Pong,
        (Request::Hello { version, .. }, _) if version != VERSION => host(format!(
            "it speaks version {VERSION}, the gateway {version}: restart the one that is older"
        )),
        (Request::Hello { .. }, token @ None) => match (shared.opener)() {
            Ok(opened) => {
                let mut profile = opened.profile().clone();
                let confinement = &shared.options.confinement;
                profile.description =
                    format!("{}, in a token host ({confinement})", profile.description);
                *token = Some(opened);
                Answer::Welcome { profile }
            }
            Err(error) => {
                tracing::error!(%error, "cannot open a token session");
                failed(error)
            }
        },
        (Request::Execute { batches, .. }, Some(token)) => {
            if !protocol::fits(&batches) {
                return failed(TokenError::BadBatch(
                    "more batches or operations than one call may have".into(),
                ));
            }
            let executed = token.execute(&batches);
            let (usage, results) = (executed.usage, executed.into_results());
            for (batch, result) in batches.iter().zip(&results) {
                said(batch, result);
            }
            Answer::Executed { usage, results }
        }
        (Request::Ring { change, .. }, Some(token)) => match token.ring(change) {
            Ok(masters) => Answer::Masters { masters },
            Err(error) => failed(error),
        },
        (Request::Hello { .. }, Some(_)) => host("a session says hello once".to_owned()),
        (Request::Execute { .. } | Request::Ring { .. }, None) => {
            host("a session begins with hello".to_owned())
        }
    }
}

/// What became of a batch, and for which requests: the gateway's log says it of the same.
fn said(batch: &Batch, result: &Result<Vec<Output>, TokenError>) {
    let (group, requests, operations) = (batch.group, &batch.requests, batch.operations.len());
    match result {
        Ok(_) => tracing::debug!(%group, %requests, operations, "batch executed"),
        Err(error) => tracing::warn!(%group, %requests, operations, %error, "batch failed"),
    }
}

fn failed(error: TokenError) -> Answer {
    Answer::Failed { error }
}
