//! When a store was heard of last, and why not since.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::Version;
use super::error::ClientError;
use super::exchange::Answers;

/// When a store was heard of last, whoever asked, and why not since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// When it answered a request, whatever it said; none if it never did.
    pub answered: Option<Instant>,
    /// Which of its addresses did, and in which version.
    pub by: Option<(String, Version)>,
    /// Why a request after that has no answer.
    pub trouble: Option<String>,
}

/// The same, as it changes.
#[derive(Debug, Default)]
pub(super) struct Hearing(Mutex<Heard>);

impl Hearing {
    pub(super) fn heard(&self) -> Heard {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A request came to its end.
    pub(super) fn ended(&self, result: &Result<Answers, ClientError>) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(answers) => {
                heard.answered = Some(Instant::now());
                heard.trouble = None;
                let known = heard.by.as_ref();
                if known.is_none_or(|(at, of)| *at != answers.address || *of != answers.version) {
                    heard.by = Some((answers.address.clone(), answers.version));
                }
            }
            Err(
                ClientError::Failed { .. }
                | ClientError::Skipped { .. }
                | ClientError::Answer { .. },
            ) => {
                heard.answered = Some(Instant::now());
                heard.trouble = None;
            }
            Err(
                error @ (ClientError::Unreachable { .. }
                | ClientError::Unknown { .. }
                | ClientError::Version { .. }),
            ) => heard.trouble = Some(error.to_string()),
            // Nothing was sent, and why is known already.
            Err(_) => {}
        }
    }
}
