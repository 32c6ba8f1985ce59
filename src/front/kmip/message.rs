//! Requests as callers send them, and the answers to them (KMIP 2.1 sections 7 and 8, KMIP 1.4 sections 6 and 7).

use crate::kmip::client::{MAX_BATCH, Version};
use crate::kmip::codec::{ByteString, Item, Tag, Value, tag, value_text, values};
use crate::kmip::message::{Field, MessageError, Structure};

use values::{ResultReason as reason, ResultStatus as status};

/// A request: what is asked for, and how its items go together.
pub(super) struct Asked {
    /// The version that the caller speaks.
    pub(super) version: Version,
    /// What the caller calls the request.
    correlation: Option<Item>,
    /// The longest answer in its binary form, in bytes, that the caller takes.
    pub(super) maximum: Option<usize>,
    /// Items after one that failed are done all the same.
    pub(super) go_on: bool,
    /// Whether the answer may come later.
    pub(super) later: Later,
    /// What is asked for.
    pub(super) items: Vec<AskedItem>,
}

/// Whether an answer may come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Later {
    /// It comes at once.
    No,
    /// It may.
    May,
    /// It has to.
    Must,
}

/// One item of a request.
pub(super) struct AskedItem {
    pub(super) operation: u32,
    id: Option<ByteString>,
    /// The item tagged `RequestPayload`.
    pub(super) payload: Item,
    /// What else it has, such as extensions of messages.
    pub(super) beside: Vec<Item>,
}

/// The answer to one item: all but its identifier, and its operation where that is the one of the item.
#[derive(Clone)]
pub(super) struct Reply {
    /// What was done, where that was asked for before: the answer to a `Poll` is that of what is polled (KMIP 2.1 section 6.1.43).
    operation: Option<u32>,
    pub(super) status: u32,
    /// From `ResultStatus` on.
    pub(super) items: Vec<Item>,
}

/// Why a whole message is not taken.
#[derive(Debug)]
pub(super) struct Rejected {
    /// The version to say it in.
    pub(super) version: Version,
    pub(super) reason: u32,
    pub(super) why: String,
}

impl Rejected {
    fn because(version: Version, reason: u32, why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            version,
            reason,
            why,
        }
    }

    /// What is no message at all. The oldest version is understood by most.
    pub(super) fn malformed(why: impl Into<String>) -> Self {
        Self::because(Version::V1_4, reason::InvalidMessage, why)
    }
}

impl Asked {
    /// Reads a message.
    pub(super) fn read(message: &Item) -> Result<Self, Rejected> {
        let malformed = |error: MessageError| Rejected::malformed(error.to_string());
        let message = Field::of(message, tag::RequestMessage).map_err(malformed)?;
        let header = message.child(tag::RequestHeader).map_err(malformed)?;
        let version = version(&header)?;
        let malformed = |error: MessageError| {
            Rejected::because(version, reason::InvalidMessage, error.to_string())
        };
        let unable = |why: &str| Rejected::because(version, reason::FeatureNotSupported, why);
        if header
            .optional(tag::Authentication)
            .map_err(malformed)?
            .is_some()
        {
            return Err(unable(
                "Authentication: credentials in messages are not taken; show a certificate or a bearer token",
            ));
        }
        let go_on = match number(&header, tag::BatchErrorContinuationOption).map_err(malformed)? {
            None | Some(values::BatchErrorContinuationOption::Stop) => false,
            Some(values::BatchErrorContinuationOption::Continue) => true,
            Some(_) => {
                return Err(unable(
                    "BatchErrorContinuationOption: what is done cannot be undone; ask for Stop or Continue",
                ));
            }
        };
        let count = header
            .child(tag::BatchCount)
            .and_then(|count| count.integer());
        let count = count.map_err(malformed)?;
        let items: Vec<Field<'_>> = message
            .children(tag::BatchItem)
            .map_err(malformed)?
            .collect();
        if usize::try_from(count) != Ok(items.len()) || items.is_empty() || items.len() > MAX_BATCH
        {
            let found = items.len();
            let why = format!(
                "BatchCount is {count}, with {found} items: both must be the same, and 1 to {MAX_BATCH}"
            );
            return Err(Rejected::because(version, reason::InvalidMessage, why));
        }
        let several = items.len() > 1;
        let items = items.iter().map(|item| AskedItem::read(item, several));
        let items = items.collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        let maximum = header
            .optional(tag::MaximumResponseSize)
            .map_err(malformed)?;
        let maximum = maximum
            .map(|size| size.integer())
            .transpose()
            .map_err(malformed)?;
        let correlation = header
            .optional(tag::ClientCorrelationValue)
            .map_err(malformed)?;
        Ok(Self {
            version,
            correlation: correlation.map(|value| value.item().clone()),
            maximum: maximum.map(|size| usize::try_from(size).unwrap_or(0)),
            go_on,
            later: later(&header).map_err(malformed)?,
            items,
        })
    }

    /// The answer, of an answer to each item from the first on.
    pub(super) fn answer(&self, replies: Vec<Reply>) -> Item {
        let items = self.items.iter().zip(replies).map(|(asked, reply)| {
            let id = asked.id.clone();
            let id = id.map(|id| Item::new(tag::UniqueBatchItemID, Value::ByteString(id)));
            let item = Structure::new(tag::BatchItem)
                .enumeration(tag::Operation, reply.operation.unwrap_or(asked.operation))
                .items(id)
                .items(reply.items);
            Item::from(item)
        });
        message(self.version, self.correlation.clone(), items.collect())
    }

    /// The answer that the message as a whole was not taken.
    pub(super) fn refused(&self, reason: u32, why: &str) -> Item {
        let refusal = Structure::new(tag::BatchItem).items(Reply::failed(reason, why).items);
        message(self.version, self.correlation.clone(), vec![refusal.into()])
    }
}

impl AskedItem {
    fn read(item: &Field<'_>, several: bool) -> Result<Self, MessageError> {
        let operation = item.child(tag::Operation)?.enumeration()?;
        let id = match several {
            true => Some(item.child(tag::UniqueBatchItemID)?),
            false => item.optional(tag::UniqueBatchItemID)?,
        };
        let id = id.map(|id| id.bytes()).transpose()?;
        let payload = match item.optional(tag::RequestPayload)? {
            Some(payload) => {
                payload.items()?;
                payload.item().clone()
            }
            None => Structure::new(tag::RequestPayload).into(),
        };
        let known = [tag::Operation, tag::UniqueBatchItemID, tag::RequestPayload];
        let beside = item
            .items()?
            .iter()
            .filter(|item| !known.contains(&item.tag));
        Ok(Self {
            operation,
            id: id.map(ByteString::from),
            payload,
            beside: beside.cloned().collect(),
        })
    }

    /// What the gateway itself asks for.
    pub(super) fn of(operation: u32, payload: Item) -> Self {
        Self {
            operation,
            id: None,
            payload,
            beside: Vec::new(),
        }
    }

    /// As it is kept until it is done.
    pub(super) fn item(&self) -> Item {
        let item = Structure::new(tag::BatchItem).enumeration(tag::Operation, self.operation);
        item.items([self.payload.clone()])
            .items(self.beside.iter().cloned())
            .into()
    }

    /// As it was kept.
    pub(super) fn kept(item: &Item) -> Result<Self, MessageError> {
        Self::read(&Field::of(item, tag::BatchItem)?, false)
    }

    /// The identifier of the object that it is about, if it names one.
    pub(super) fn object(&self) -> Option<&str> {
        object(&self.payload)
    }
}

/// The identifier in a payload.
pub(super) fn object(payload: &Item) -> Option<&str> {
    let Value::Structure(items) = &payload.value else {
        return None;
    };
    items.iter().find_map(|item| match &item.value {
        Value::TextString(text) if item.tag == tag::UniqueIdentifier => Some(text.as_str()),
        _ => None,
    })
}

/// What an operation is called, or its number.
pub(super) fn name(operation: u32) -> String {
    value_text(tag::Operation, operation)
}

impl Reply {
    /// It was done.
    pub(super) fn done(payload: impl IntoIterator<Item = Item>) -> Self {
        let answer = Structure::new(tag::ResponsePayload).items(payload);
        let item = Item::new(tag::ResultStatus, Value::Enumeration(status::Success));
        Self {
            operation: None,
            status: status::Success,
            items: vec![item, answer.into()],
        }
    }

    /// It was taken notice of, and there is nothing to say about it.
    pub(super) fn acknowledged() -> Self {
        let status = status::Success;
        Self {
            operation: None,
            status,
            items: vec![Item::new(tag::ResultStatus, Value::Enumeration(status))],
        }
    }

    /// It was not done.
    pub(super) fn failed(reason: u32, why: impl Into<String>) -> Self {
        let status = status::OperationFailed;
        let items = [
            Item::new(tag::ResultStatus, Value::Enumeration(status)),
            Item::new(tag::ResultReason, Value::Enumeration(reason)),
            Item::new(tag::ResultMessage, Value::TextString(why.into())),
        ];
        Self {
            operation: None,
            status,
            items: items.into(),
        }
    }

    /// It will be done.
    pub(super) fn pending(correlation: &[u8]) -> Self {
        let status = status::OperationPending;
        let correlation = Value::ByteString(correlation.into());
        let items = [
            Item::new(tag::ResultStatus, Value::Enumeration(status)),
            Item::new(tag::AsynchronousCorrelationValue, correlation),
        ];
        Self {
            operation: None,
            status,
            items: items.into(),
        }
    }

    /// As the store answered an item.
    pub(super) fn of(batch_item: &Item) -> Result<Self, MessageError> {
        let field = Field::of(batch_item, tag::BatchItem)?;
        let status = field.child(tag::ResultStatus)?.enumeration()?;
        let own = [tag::Operation, tag::UniqueBatchItemID];
        let items = field
            .items()?
            .iter()
            .filter(|item| !own.contains(&item.tag));
        Ok(Self {
            operation: None,
            status,
            items: items.cloned().collect(),
        })
    }

    /// As the answer of what was asked for before.
    pub(super) fn about(self, operation: u32) -> Self {
        Self {
            operation: Some(operation),
            ..self
        }
    }

    /// As it is kept.
    pub(super) fn item(&self) -> Item {
        let operation = self.operation.map(Value::Enumeration);
        let operation = operation.map(|operation| Item::new(tag::Operation, operation));
        let items = self.items.iter().cloned();
        Structure::new(tag::BatchItem)
            .items(operation)
            .items(items)
            .into()
    }

    /// As it was kept.
    pub(super) fn kept(batch_item: &Item) -> Result<Self, MessageError> {
        let operation = Field::of(batch_item, tag::BatchItem)?.optional(tag::Operation)?;
        let operation = operation.map(|operation| operation.enumeration());
        Ok(Self {
            operation: operation.transpose()?,
            ..Self::of(batch_item)?
        })
    }

    /// Whether it was not done, now or later.
    pub(super) fn is_failure(&self) -> bool {
        ![status::Success, status::OperationPending].contains(&self.status)
    }

    /// Its `ResponsePayload`.
    pub(super) fn payload(&self) -> Option<&Item> {
        self.items
            .iter()
            .find(|item| item.tag == tag::ResponsePayload)
    }

    /// In a word: the status, or the reason where it failed.
    pub(super) fn outcome(&self) -> String {
        match self.status {
            status::Success => "done".to_owned(),
            status::OperationPending => "pending".to_owned(),
            _ => {
                let mut numbers = self.items.iter().filter_map(|item| match &item.value {
                    Value::Enumeration(value) if item.tag == tag::ResultReason => Some(*value),
                    _ => None,
                });
                let reason = numbers
                    .next()
                    .map(|value| value_text(tag::ResultReason, value));
                reason.unwrap_or_else(|| value_text(tag::ResultStatus, self.status))
            }
        }
    }
}

/// The answer to what could not be read.
pub(super) fn rejection(rejected: &Rejected) -> Item {
    let failed = Reply::failed(rejected.reason, &rejected.why);
    let refusal = Structure::new(tag::BatchItem).items(failed.items);
    message(rejected.version, None, vec![refusal.into()])
}

fn message(version: Version, correlation: Option<Item>, items: Vec<Item>) -> Item {
    let header = Structure::new(tag::ResponseHeader)
        .items([version.item()])
        .date_time(tag::TimeStamp, crate::front::now())
        .items(correlation)
        // There are no more than items of a request.
        .integer(tag::BatchCount, items.len() as i32);
    Structure::new(tag::ResponseMessage)
        .structure(header)
        .items(items)
        .into()
}

fn version(header: &Field<'_>) -> Result<Version, Rejected> {
    let found = header
        .child(tag::ProtocolVersion)
        .and_then(|found| Version::numbers_in(&found));
    let found = found.map_err(|error| Rejected::malformed(error.to_string()))?;
    Version::of(found).ok_or_else(|| {
        let why = format!(
            "KMIP {}.{} is not spoken here: 1.4, 2.0 and 2.1 are",
            found.0, found.1
        );
        // Who asks in 1.x does not know the reason that 2.x has for it.
        match found.0 {
            ..2 => Rejected::malformed(why),
            _ => Rejected::because(Version::V2_1, reason::UnsupportedProtocolVersion, why),
        }
    })
}

fn number(header: &Field<'_>, tag: Tag) -> Result<Option<u32>, MessageError> {
    let found = header.optional(tag)?;
    found.map(|found| found.enumeration()).transpose()
}

/// Whether the answer may come later: KMIP 1.x says so by yes or no. In 2.x who leaves it to the server is answered at once.
fn later(header: &Field<'_>) -> Result<Later, MessageError> {
    let Some(indicator) = header.optional(tag::AsynchronousIndicator)? else {
        return Ok(Later::No);
    };
    Ok(match &indicator.item().value {
        Value::Boolean(true) => Later::May,
        Value::Boolean(false) => Later::No,
        _ if indicator.enumeration()? == values::AsynchronousIndicator::Mandatory => Later::Must,
        _ => Later::No,
    })
}
