//! The tree: items of a tag and a value, without a schema.

use std::fmt;

use zeroize::Zeroizing;

use super::big::BigInteger;
use super::names;
use super::names::tag;

/// What an item is: three bytes. The standard's tags begin with `0x42`, those of vendors with `0x54`.
///
/// A tag that has no name in [`tag`] is as good as any other: it passes through every conversion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u32);

impl Tag {
    /// The tag of a first byte and the two after it.
    #[must_use]
    pub const fn new(first: u8, rest: u16) -> Self {
        Self((first as u32) << 16 | rest as u32)
    }

    /// The tag of a 24-bit number; none for a greater one.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        if number > 0xff_ffff {
            return None;
        }
        Some(Self(number))
    }

    /// The tag as a 24-bit number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// What the standard calls it, as JSON and XML write it, if it is one of the standard's.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        names::tag_name(self)
    }

    /// The tag that the standard calls so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        names::tag_of(name)
    }
}

/// The name, or the number as six hexadecimal digits after `0x`.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:06X}", self.0),
        }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The types of values, with their numbers in the binary form (KMIP 2.1 section 10.1, KMIP 1.4 section 9.1.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "they are described at Value")]
pub enum Type {
    Structure = 1,
    Integer,
    LongInteger,
    BigInteger,
    Enumeration,
    Boolean,
    TextString,
    ByteString,
    DateTime,
    Interval,
    DateTimeExtended,
}

impl Type {
    /// All types, in the order of their numbers, which begin with 1.
    pub const ALL: [Self; 11] = [
        Self::Structure,
        Self::Integer,
        Self::LongInteger,
        Self::BigInteger,
        Self::Enumeration,
        Self::Boolean,
        Self::TextString,
        Self::ByteString,
        Self::DateTime,
        Self::Interval,
        Self::DateTimeExtended,
    ];

    /// The type of a number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        let place = usize::from(number).checked_sub(1)?;
        Self::ALL.get(place).copied()
    }

    /// The type that the standard calls so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What the standard calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Structure => "Structure",
            Self::Integer => "Integer",
            Self::LongInteger => "LongInteger",
            Self::BigInteger => "BigInteger",
            Self::Enumeration => "Enumeration",
            Self::Boolean => "Boolean",
            Self::TextString => "TextString",
            Self::ByteString => "ByteString",
            Self::DateTime => "DateTime",
            Self::Interval => "Interval",
            Self::DateTimeExtended => "DateTimeExtended",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bytes that may be a key: overwritten when they are dropped, and never printed.
///
/// Comparing takes a time that depends on the content; compare secrets elsewhere.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ByteString(Zeroizing<Vec<u8>>);

impl ByteString {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for ByteString {
    fn from(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl From<Vec<u8>> for ByteString {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

/// A value of one of KMIP's types.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Items in order; the same tag may be there several times.
    Structure(Vec<Item>),
    /// A number of 32 bits, or a bit mask.
    Integer(i32),
    /// A number of 64 bits.
    LongInteger(i64),
    /// A number of any length.
    BigInteger(BigInteger),
    /// One of the numbers that the standard lists for the tag, or a vendor's, from `0x80000000` on.
    Enumeration(u32),
    /// Yes or no.
    Boolean(bool),
    /// Text.
    TextString(String),
    /// Bytes.
    ByteString(ByteString),
    /// Seconds since 1970 began in UTC.
    DateTime(i64),
    /// Seconds.
    Interval(u32),
    /// Microseconds since 1970 began in UTC. From KMIP 2.0 on.
    DateTimeExtended(i64),
}

impl Value {
    /// The type of the value.
    #[must_use]
    pub fn kind(&self) -> Type {
        match self {
            Self::Structure(_) => Type::Structure,
            Self::Integer(_) => Type::Integer,
            Self::LongInteger(_) => Type::LongInteger,
            Self::BigInteger(_) => Type::BigInteger,
            Self::Enumeration(_) => Type::Enumeration,
            Self::Boolean(_) => Type::Boolean,
            Self::TextString(_) => Type::TextString,
            Self::ByteString(_) => Type::ByteString,
            Self::DateTime(_) => Type::DateTime,
            Self::Interval(_) => Type::Interval,
            Self::DateTimeExtended(_) => Type::DateTimeExtended,
        }
    }
}

/// A tag and its value: a whole message, or any part of one.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub tag: Tag,
    /// Its value.
    pub value: Value,
}

impl Item {
    /// An item of a tag and a value.
    #[must_use]
    pub fn new(tag: Tag, value: Value) -> Self {
        Self { tag, value }
    }
}

/// Text that is no secret and that somebody who reads a log looks for. Any other may be a password.
const SHOWN_TEXT: [super::Tag; 12] = [
    tag::UniqueIdentifier,
    tag::PrivateKeyUniqueIdentifier,
    tag::PublicKeyUniqueIdentifier,
    tag::LinkedObjectIdentifier,
    tag::AttributeName,
    tag::NameValue,
    tag::ObjectGroup,
    tag::ApplicationNamespace,
    tag::VendorIdentification,
    tag::ResultMessage,
    tag::ClientCorrelationValue,
    tag::ServerCorrelationValue,
];

/// For logs: names and numbers, but of byte strings and big integers, and of most text, the length alone.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.tag)?;
        match &self.value {
            Value::Enumeration(value) => match names::value_name(self.tag, *value) {
                Some(name) => f.write_str(name),
                None => write!(f, "{value:#010X}"),
            },
            Value::TextString(text) if SHOWN_TEXT.contains(&self.tag) => write!(f, "{text:?}"),
            value => value.fmt(f),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure(items) => f.debug_list().entries(items).finish(),
            Self::Integer(number) => number.fmt(f),
            Self::LongInteger(number) => number.fmt(f),
            Self::BigInteger(number) => number.fmt(f),
            Self::Enumeration(number) => write!(f, "{number:#010X}"),
            Self::Boolean(truth) => truth.fmt(f),
            Self::TextString(text) => write!(f, "(text of {} bytes)", text.len()),
            Self::ByteString(bytes) => bytes.fmt(f),
            Self::DateTime(seconds) => write!(f, "{seconds} s"),
            Self::Interval(seconds) => write!(f, "{seconds} s"),
            Self::DateTimeExtended(microseconds) => write!(f, "{microseconds} us"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_printed() {
        let secret = |tag, value| format!("{:?}", Item::new(tag, value));
        let bytes = Value::ByteString(b"hunter2".as_slice().into());
        assert_eq!(secret(tag::KeyMaterial, bytes), "KeyMaterial (7 bytes)");
        let text = Value::TextString("hunter2".to_owned());
        assert_eq!(secret(tag::Password, text), "Password (text of 7 bytes)");
        let number = Value::BigInteger(BigInteger::from(77));
        assert_eq!(
            secret(tag::PrivateExponent, number),
            "PrivateExponent (8 bytes)"
        );
    }

    #[test]
    fn what_a_reader_of_logs_looks_for_is_printed() {
        let header = Item::new(
            tag::BatchItem,
            Value::Structure(vec![
                Item::new(tag::Operation, Value::Enumeration(10)),
                Item::new(tag::ResultReason, Value::Enumeration(0x8000_0001)),
                Item::new(tag::UniqueIdentifier, Value::TextString("7".to_owned())),
                Item::new(Tag::new(0x54, 1), Value::Boolean(true)),
            ]),
        );
        assert_eq!(
            format!("{header:?}"),
            "BatchItem [Operation Get, ResultReason 0x80000001, UniqueIdentifier \"7\", 0x540001 true]"
        );
    }

    #[test]
    fn types_have_their_numbers_and_names() {
        for (place, kind) in Type::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place + 1);
            assert_eq!(Type::from_number(kind as u8), Some(kind));
            assert_eq!(Type::named(kind.name()), Some(kind));
        }
        assert_eq!(Type::from_number(0), None);
        assert_eq!(Type::from_number(12), None);
        assert_eq!(Tag::from_number(0x100_0000), None);
    }
}
