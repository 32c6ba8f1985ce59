//! Looking things up in messages, with errors that name the place, and building messages.
//!
//! ```
//! use wardcast::kmip::codec::{Item, tag, values};
//! use wardcast::kmip::message::{Field, Structure};
//!
//! let payload = Structure::new(tag::ResponsePayload).text(tag::UniqueIdentifier, "7");
//! let batch_item = Structure::new(tag::BatchItem)
//!     .enumeration(tag::ResultStatus, values::ResultStatus::Success)
//!     .structure(payload);
//! let answer: Item = Structure::new(tag::ResponseMessage).structure(batch_item).into();
//!
//! let message = Field::of(&answer, tag::ResponseMessage)?;
//! let batch_item = message.child(tag::BatchItem)?;
//! assert_eq!(batch_item.child(tag::ResultStatus)?.enumeration()?, values::ResultStatus::Success);
//! let payload = batch_item.child(tag::ResponsePayload)?;
//! assert_eq!(payload.child(tag::UniqueIdentifier)?.text()?, "7");
//!
//! let error = payload.child(tag::InitialDate).expect_err("it is not there");
//! assert_eq!(error.to_string(), "ResponseMessage/BatchItem/ResponsePayload/InitialDate: missing");
//! # Ok::<(), wardcast::kmip::message::MessageError>(())
//! ```

use std::fmt::Write as _;

use smallvec::SmallVec;
use thiserror::Error;

use super::codec::{BigInteger, ByteString, Item, Tag, Type, Value};

/// Why a message is not what it has to be, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {fault}")]
pub struct MessageError {
    /// The tags from the message to the field, with `/` between them. A field that is there several times has its place
    /// among them behind it, counted from 0: `ResponseMessage/BatchItem[1]/ResultStatus`.
    pub path: String,
    /// What is wrong.
    pub fault: MessageFault,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageFault {
    /// It is not there.
    #[error("missing")]
    Missing,
    /// It is there several times, and has one meaning.
    #[error("there more than once")]
    Repeated,
    /// It has another type.
    #[error("of type {found}, not {expected}")]
    Type {
        /// The type that it should have.
        expected: Type,
        /// The type that it has.
        found: Type,
    },
    /// Another message than what was expected.
    #[error("another message, not {0}")]
    Tag(Tag),
}

/// A tag on the way to a field, and its place among those of the same tag where there may be several.
#[derive(Clone, Copy, Debug)]
struct Step {
    tag: Tag,
    place: Option<usize>,
}

/// An item of a message, that knows where it is.
#[derive(Clone, Debug)]
pub struct Field<'t> {
    item: &'t Item,
    path: SmallVec<[Step; 6]>,
}

/// Gives the value of a field if it has the type.
macro_rules! getter {
    ($(#[$meta:meta])* $name:ident, $kind:ident($value:ident) => $given:expr, $type:ty) => {
        $(#[$meta])*
        ///
        /// # Errors
        ///
        /// When the field has another type.
        pub fn $name(&self) -> Result<$type, MessageError> {
            match &self.item.value {
                Value::$kind($value) => Ok($given),
                _ => Err(self.other_type(Type::$kind)),
            }
        }
    };
}

impl<'t> Field<'t> {
    /// The outermost field.
    ///
    /// # Errors
    ///
    /// When the message has another tag.
    pub fn of(item: &'t Item, tag: Tag) -> Result<Self, MessageError> {
        let step = Step {
            tag: item.tag,
            place: None,
        };
        let field = Self {
            item,
            path: SmallVec::from_iter([step]),
        };
        match item.tag == tag {
            true => Ok(field),
            false => Err(field.error(MessageFault::Tag(tag))),
        }
    }

    /// The one field of a structure that has a tag.
    ///
    /// # Errors
    ///
    /// When there is none or there are several, or this is no structure.
    pub fn child(&self, tag: Tag) -> Result<Self, MessageError> {
        let step = Step { tag, place: None };
        let missing = || error(&self.path, Some(step), MessageFault::Missing);
        self.optional(tag)?.ok_or_else(missing)
    }

    /// The one field of a structure that has a tag, if there is one.
    ///
    /// # Errors
    ///
    /// When there are several, or this is no structure.
    pub fn optional(&self, tag: Tag) -> Result<Option<Self>, MessageError> {
        let mut found = self.items()?.iter().filter(|item| item.tag == tag);
        let first = found.next();
        let step = Step { tag, place: None };
        match found.next() {
            Some(_) => Err(error(&self.path, Some(step), MessageFault::Repeated)),
            None => Ok(first.map(|item| self.below(item, None))),
        }
    }

    /// All fields of a structure that have a tag, in order.
    ///
    /// # Errors
    ///
    /// When this is no structure.
    pub fn children(&self, tag: Tag) -> Result<impl Iterator<Item = Self>, MessageError> {
        let found = self.items()?.iter().filter(move |item| item.tag == tag);
        let places = found.enumerate();
        Ok(places.map(|(place, item)| self.below(item, Some(place))))
    }

    getter! {
        /// The items of a structure.
        items, Structure(items) => items, &'t [Item]
    }
    getter! {
        /// A number of 32 bits.
        integer, Integer(number) => *number, i32
    }
    getter! {
        /// A number of 64 bits.
        long_integer, LongInteger(number) => *number, i64
    }
    getter! {
        /// A number of any length.
        big_integer, BigInteger(number) => number, &'t BigInteger
    }
    getter! {
        /// A value of an enumeration.
        enumeration, Enumeration(value) => *value, u32
    }
    getter! {
        /// Yes or no.
        boolean, Boolean(truth) => *truth, bool
    }
    getter! {
        /// Text.
        text, TextString(text) => text, &'t str
    }
    getter! {
        /// Bytes.
        bytes, ByteString(bytes) => bytes.as_bytes(), &'t [u8]
    }
    getter! {
        /// Seconds since 1970 began in UTC.
        date_time, DateTime(seconds) => *seconds, i64
    }
    getter! {
        /// Seconds.
        interval, Interval(seconds) => *seconds, u32
    }
    getter! {
        /// Microseconds since 1970 began in UTC.
        date_time_extended, DateTimeExtended(microseconds) => *microseconds, i64
    }

    /// The item itself.
    #[must_use]
    pub fn item(&self) -> &'t Item {
        self.item
    }

    /// An error that lies with this field.
    #[must_use]
    pub fn error(&self, fault: MessageFault) -> MessageError {
        error(&self.path, None, fault)
    }

    fn other_type(&self, expected: Type) -> MessageError {
        let found = self.item.value.kind();
        self.error(MessageFault::Type { expected, found })
    }

    fn below(&self, item: &'t Item, place: Option<usize>) -> Self {
        let tag = item.tag;
        let mut path = self.path.clone();
        path.push(Step { tag, place });
        Self { item, path }
    }
}

fn error(path: &[Step], last: Option<Step>, fault: MessageFault) -> MessageError {
    let mut text = String::new();
    for step in path.iter().copied().chain(last) {
        if !text.is_empty() {
            text.push('/');
        }
        let written = match step.place {
            Some(place) => write!(text, "{}[{place}]", step.tag),
            None => write!(text, "{}", step.tag),
        };
        debug_assert!(written.is_ok(), "a String takes all text");
    }
    MessageError { path: text, fault }
}

/// Builds a structure: each call adds an item behind the others.
#[derive(Clone, Debug)]
pub struct Structure {
    tag: Tag,
    items: Vec<Item>,
}

impl Structure {
    /// A structure without items.
    #[must_use]
    pub fn new(tag: Tag) -> Self {
        let items = Vec::new();
        Self { tag, items }
    }

    /// Adds items as they are; one that there may be, or not, is an `Option`.
    #[must_use]
    pub fn items(mut self, items: impl IntoIterator<Item = Item>) -> Self {
        self.items.extend(items);
        self
    }

    /// Adds an item of any value.
    #[must_use]
    pub fn value(self, tag: Tag, value: Value) -> Self {
        self.items([Item::new(tag, value)])
    }

    /// Adds a structure.
    #[must_use]
    pub fn structure(self, structure: Self) -> Self {
        self.items([structure.into()])
    }

    /// Adds a number of 32 bits, or a bit mask.
    #[must_use]
    pub fn integer(self, tag: Tag, number: i32) -> Self {
        self.value(tag, Value::Integer(number))
    }

    /// Adds a number of 64 bits.
    #[must_use]
    pub fn long_integer(self, tag: Tag, number: i64) -> Self {
        self.value(tag, Value::LongInteger(number))
    }

    /// Adds a value of an enumeration.
    #[must_use]
    pub fn enumeration(self, tag: Tag, value: u32) -> Self {
        self.value(tag, Value::Enumeration(value))
    }

    /// Adds yes or no.
    #[must_use]
    pub fn boolean(self, tag: Tag, truth: bool) -> Self {
        self.value(tag, Value::Boolean(truth))
    }

    /// Adds text.
    #[must_use]
    pub fn text(self, tag: Tag, text: impl Into<String>) -> Self {
        self.value(tag, Value::TextString(text.into()))
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(self, tag: Tag, bytes: impl Into<ByteString>) -> Self {
        self.value(tag, Value::ByteString(bytes.into()))
    }

    /// Adds a moment, in seconds since 1970 began in UTC.
    #[must_use]
    pub fn date_time(self, tag: Tag, seconds: i64) -> Self {
        self.value(tag, Value::DateTime(seconds))
    }

    /// Adds a span of time, in seconds.
    #[must_use]
    pub fn interval(self, tag: Tag, seconds: u32) -> Self {
        self.value(tag, Value::Interval(seconds))
    }
}

impl From<Structure> for Item {
    fn from(structure: Structure) -> Self {
        Self::new(structure.tag, Value::Structure(structure.items))
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{tag, values};
    use super::*;

    fn answer() -> Item {
        let batch_item = |number: i32| {
            Structure::new(tag::BatchItem)
                .enumeration(tag::ResultStatus, values::ResultStatus::Success)
                .integer(tag::BatchCount, number)
        };
        let date = Item::new(tag::TimeStamp, Value::DateTime(9));
        Structure::new(tag::ResponseMessage)
            .items(Some(date))
            .items(None)
            .structure(batch_item(1))
            .structure(batch_item(2))
            .into()
    }

    fn said<T: std::fmt::Debug>(result: Result<T, MessageError>) -> String {
        result.expect_err("an error").to_string()
    }

    #[test]
    fn fields_are_found() {
        let answer = answer();
        let message = Field::of(&answer, tag::ResponseMessage).expect("the message");
        let date = message
            .child(tag::TimeStamp)
            .and_then(|date| date.date_time());
        assert_eq!(date, Ok(9));
        assert!(message.optional(tag::Nonce).expect("a structure").is_none());
        let batch = message.children(tag::BatchItem).expect("a structure");
        let numbers: Result<Vec<i32>, _> = batch
            .map(|item| item.child(tag::BatchCount)?.integer())
            .collect();
        assert_eq!(numbers, Ok(vec![1, 2]));
    }

    #[test]
    fn errors_name_the_place() {
        let answer = answer();
        assert_eq!(
            said(Field::of(&answer, tag::RequestMessage)),
            "ResponseMessage: another message, not RequestMessage"
        );
        let message = Field::of(&answer, tag::ResponseMessage).expect("the message");
        assert_eq!(
            said(message.child(tag::BatchItem)),
            "ResponseMessage/BatchItem: there more than once"
        );
        let second = message
            .children(tag::BatchItem)
            .expect("a structure")
            .nth(1);
        let second = second.expect("two");
        assert_eq!(
            said(second.child(tag::ResultReason)),
            "ResponseMessage/BatchItem[1]/ResultReason: missing"
        );
        let count = second.child(tag::BatchCount).expect("there");
        assert_eq!(
            said(count.text()),
            "ResponseMessage/BatchItem[1]/BatchCount: of type Integer, not TextString"
        );
        assert_eq!(
            said(count.child(tag::Nonce)),
            "ResponseMessage/BatchItem[1]/BatchCount: of type Integer, not Structure"
        );
    }
}
