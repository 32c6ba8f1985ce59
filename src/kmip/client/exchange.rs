//! Batches: the request of some items, and what a response has to have to be its answer.

use crate::kmip::codec::{Item, tag, values};
use crate::kmip::message::{Field, MessageError, Structure};

use super::Version;
use super::error::{ClientError, ResponseFault, ServerError, TransportError};
use super::operations::Operation;
use super::options::MAX_SHOWN;

/// One item of a request.
pub trait Request: Send + Sync {
    /// What is asked for: one of [`Operation`](values::Operation).
    fn operation(&self) -> u32;

    /// The item tagged `RequestPayload`, as a version has it.
    fn payload(&self, version: Version) -> Item;

    /// Whether doing it twice is as good as doing it once: it may be sent again when its answer is lost.
    fn is_repeatable(&self) -> bool;

    /// What stands behind the payload, such as an extension of the message.
    fn beside(&self) -> &[Item] {
        &[]
    }
}

/// An item whose payload is there already.
#[derive(Clone, Debug)]
pub struct RawRequest {
    /// The operation.
    pub operation: u32,
    /// The item tagged `RequestPayload`, of the version that [`Batch::version`] names.
    pub payload: Item,
    /// Whether it may be sent again when its answer is lost.
    pub repeatable: bool,
    /// What stands behind the payload, such as an extension of the message.
    pub beside: Vec<Item>,
}

impl Request for RawRequest {
    fn operation(&self) -> u32 {
        self.operation
    }

    fn payload(&self, _version: Version) -> Item {
        self.payload.clone()
    }

    fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    fn beside(&self) -> &[Item] {
        &self.beside
    }
}

/// How the items of a batch go together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'r> {
    /// They are done in order.
    pub ordered: bool,
    /// Those after one that failed are done all the same.
    pub go_on: bool,
    /// The version to speak, rather than the one that was agreed on. Whether the server speaks it is for the server to say.
    pub version: Option<Version>,
    /// What the request is called that it is sent for: the ClientCorrelationValue, a hint for the server's log (KMIP 2.1 section 9.4).
    /// It is in every version from 1.4 on, but there are servers that refuse it.
    pub correlation: Option<&'r str>,
}

/// The answers to a batch.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The version that was spoken.
    pub version: Version,
    /// The address that answered.
    pub address: String,
    /// An answer to each item, in the order of the request.
    pub items: Vec<Answer>,
}

/// The answer to one item.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The server did it. The item is tagged `BatchItem`.
    Done(Item),
    /// The server did not. The item is tagged `BatchItem`.
    Failed(ServerError, Item),
    /// The server stopped before it.
    Skipped,
}

impl Answer {
    /// The answer's `ResponsePayload`; none where the server sent none, or failed.
    #[must_use]
    pub fn payload(&self) -> Option<&Item> {
        match self {
            Self::Done(item) => Field::of(item, tag::BatchItem)
                .and_then(|item| item.optional(tag::ResponsePayload))
                .ok()
                .flatten()
                .map(|payload| payload.item()),
            Self::Failed(..) | Self::Skipped => None,
        }
    }
}

impl Answers {
    /// The answer to the item at a place of the request, which was this operation.
    ///
    /// # Errors
    ///
    /// When the server did not do it, or the answer is malformed.
    pub fn read<O: Operation>(
        &self,
        place: usize,
        operation: &O,
    ) -> Result<O::Answer, ClientError> {
        let address = || self.address.clone();
        let answer = self.items.get(place).unwrap_or(&Answer::Skipped);
        let item = match answer {
            Answer::Done(item) => item,
            Answer::Failed(error, _) => {
                let (address, error) = (address(), error.clone());
                return Err(ClientError::Failed { address, error });
            }
            Answer::Skipped => return Err(ClientError::Skipped { address: address() }),
        };
        let read = Field::of(item, tag::BatchItem)
            .and_then(|item| item.child(tag::ResponsePayload))
            .and_then(|payload| operation.answer(self.version, &payload));
        read.map_err(|fault| ClientError::Answer {
            address: address(),
            fault,
        })
    }
}

/// A request that is being built or was sent.
pub(super) struct Exchange<'r> {
    pub(super) version: Version,
    pub(super) items: &'r [&'r dyn Request],
    pub(super) batch: Batch<'r>,
    /// The longest answer, in bytes.
    pub(super) max_response: usize,
    /// The identifier of the first item; the others follow. An answer to an earlier batch has others.
    pub(super) first: u32,
}

/// What a response is.
pub(super) enum Response {
    /// Answers to the items.
    Items(Vec<Answer>),
    /// The server refused the message as a whole.
    Refused(ServerError),
}

impl Exchange<'_> {
    /// The message (KMIP 2.1 section 8, KMIP 1.4 section 7).
    pub(super) fn request(&self) -> Item {
        let several = self.items.len() > 1;
        let mut header = Structure::new(tag::RequestHeader)
            .items([self.version.item()])
            .integer(tag::MaximumResponseSize, number(self.max_response));
        if let Some(correlation) = self.batch.correlation {
            header = header.text(tag::ClientCorrelationValue, correlation);
        }
        if several {
            let option = match self.batch.go_on {
                true => values::BatchErrorContinuationOption::Continue,
                false => values::BatchErrorContinuationOption::Stop,
            };
            header = header
                .enumeration(tag::BatchErrorContinuationOption, option)
                .boolean(tag::BatchOrderOption, self.batch.ordered);
        }
        let header = header.integer(tag::BatchCount, number(self.items.len()));
        let items = self.items.iter().enumerate().map(|(place, item)| {
            let mut built =
                Structure::new(tag::BatchItem).enumeration(tag::Operation, item.operation());
            if several {
                built = built.bytes(tag::UniqueBatchItemID, self.id(place).as_slice());
            }
            let built = built.items([item.payload(self.version)]);
            Item::from(built.items(item.beside().iter().cloned()))
        });
        let message = Structure::new(tag::RequestMessage).structure(header);
        message.items(items).into()
    }

    fn id(&self, place: usize) -> [u8; 4] {
        self.first.wrapping_add(place as u32).to_be_bytes()
    }

    /// Whether a response answers this request, and how.
    pub(super) fn response(&self, response: &Item) -> Result<Response, TransportError> {
        Ok(self.checked(response)?)
    }

    fn checked(&self, response: &Item) -> Result<Response, ResponseFault> {
        let message = Field::of(response, tag::ResponseMessage)?;
        let header = message.child(tag::ResponseHeader)?;
        let answered = Version::numbers_in(&header.child(tag::ProtocolVersion)?)?;
        let said = header.child(tag::BatchCount)?.integer()?;
        let found: Vec<Field<'_>> = message.children(tag::BatchItem)?.collect();
        let count = ResponseFault::Count {
            asked: self.items.len(),
            said,
            found: found.len(),
        };
        if usize::try_from(said) != Ok(found.len()) || found.is_empty() {
            return Err(count);
        }
        if let [only] = &found[..]
            && let Some(error) = refusal(only)?
        {
            // A server that does not understand a message may answer in another version.
            return Ok(Response::Refused(error));
        }
        if answered != self.version.numbers() {
            let asked = self.version;
            return Err(ResponseFault::Version { asked, answered });
        }
        if found.len() > self.items.len() {
            return Err(count);
        }
        let mut answers: Vec<Option<Answer>> = self.items.iter().map(|_| None).collect();
        for (place, item) in found.iter().enumerate() {
            let index = self.index(item, place)?;
            let asked = self.items[index].operation();
            if let Some(operation) = item.optional(tag::Operation)?
                && operation.enumeration()? != asked
            {
                let answered = operation.enumeration()?;
                return Err(ResponseFault::Operation {
                    place,
                    asked,
                    answered,
                });
            }
            if answers[index].is_some() {
                return Err(ResponseFault::BatchItemId(place));
            }
            answers[index] = Some(answer(item, asked)?);
        }
        let failed = answers
            .iter()
            .flatten()
            .any(|answer| !matches!(answer, Answer::Done(_)));
        if found.len() < self.items.len() && (self.batch.go_on || !failed) {
            return Err(count);
        }
        let answers = answers
            .into_iter()
            .map(|found| found.unwrap_or(Answer::Skipped));
        Ok(Response::Items(answers.collect()))
    }

    /// Which item of the request one of the response answers.
    fn index(&self, item: &Field<'_>, place: usize) -> Result<usize, ResponseFault> {
        if self.items.len() == 1 {
            return Ok(0);
        }
        let id = item.optional(tag::UniqueBatchItemID)?;
        let id = id.map(|id| id.bytes()).transpose()?;
        let index = (0..self.items.len()).find(|index| id == Some(self.id(*index).as_slice()));
        index.ok_or(ResponseFault::BatchItemId(place))
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The error of an item that is about no operation and no item of the request.
fn refusal(item: &Field<'_>) -> Result<Option<ServerError>, MessageError> {
    let about = item.optional(tag::Operation)?.is_some()
        || item.optional(tag::UniqueBatchItemID)?.is_some();
    let status = item.child(tag::ResultStatus)?.enumeration()?;
    if about || status == values::ResultStatus::Success {
        return Ok(None);
    }
    server_error(item, None, status).map(Some)
}

fn answer(item: &Field<'_>, operation: u32) -> Result<Answer, MessageError> {
    let status = item.child(tag::ResultStatus)?.enumeration()?;
    let whole = item.item().clone();
    if status == values::ResultStatus::Success {
        item.optional(tag::ResponsePayload)?;
        return Ok(Answer::Done(whole));
    }
    let error = server_error(item, Some(operation), status)?;
    Ok(Answer::Failed(error, whole))
}

fn server_error(
    item: &Field<'_>,
    operation: Option<u32>,
    status: u32,
) -> Result<ServerError, MessageError> {
    let reason = item.optional(tag::ResultReason)?;
    let message = item.optional(tag::ResultMessage)?;
    Ok(ServerError {
        operation,
        status,
        reason: reason.map(|reason| reason.enumeration()).transpose()?,
        message: message
            .map(|message| message.text())
            .transpose()?
            .map(shown),
    })
}

/// What a server says goes into logs and to terminals.
pub(super) fn shown(message: &str) -> String {
    let plain = |sign: char| match sign.is_control() {
        true => ' ',
        false => sign,
    };
    message.chars().take(MAX_SHOWN).map(plain).collect()
}
