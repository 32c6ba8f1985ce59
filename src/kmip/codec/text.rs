//! What JSON and XML have in common: values as text, names, and what an attribute of KMIP 1.x is called
//! (KMIP Profiles 2.1 section 5.3 and 5.4, KMIP Additional Message Encodings 1.0).

use std::borrow::Cow;

use super::big::{BigInteger, GROUP};
use super::error::{EncodeError, Fault, shown};
use super::item::{ByteString, Item, Tag, Type, Value};
use super::limits::{MAX_ITEMS, MAX_MESSAGE, MAX_TEXT};
use super::names::{self, Table, tag};
use super::{time, ttlv};

/// How much white space JSON and XML are written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A line for the whole message.
    OneLine,
    /// A line for each item, indented as deep as it is nested.
    Indented,
}

impl Layout {
    /// Begins the line of an item at a depth; the outermost has none.
    pub(super) fn line(self, depth: usize, out: &mut String) {
        if self == Self::Indented {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    }
}

/// Bytes that an item takes at most besides its value: names, white space and signs of JSON or XML.
const ROOM_OF_AN_ITEM: usize = 256;
/// Bytes that all names of a mask take at most.
const ROOM_OF_A_MASK: usize = 320;
/// Bytes that a byte of text takes at most: `\u0001`, `&quot;`.
const ROOM_OF_A_BYTE: usize = 6;

/// Room for the whole message, so that the text is written once in its place: one that grows would leave copies of keys
/// behind. Refuses what is beyond the bounds.
pub(super) fn room(item: &Item) -> Result<usize, EncodeError> {
    let mut items = 0;
    if ttlv::measure(item, 1, &mut items)? > MAX_MESSAGE {
        return Err(EncodeError::TooLarge(MAX_MESSAGE));
    }
    const MOST: usize =
        MAX_ITEMS * (ROOM_OF_AN_ITEM + ROOM_OF_A_MASK) + MAX_MESSAGE * ROOM_OF_A_BYTE;
    const { assert!(MOST <= MAX_TEXT, "what is written can be read") };
    Ok(items * ROOM_OF_AN_ITEM + values(item))
}

/// Bytes that the values take at most.
fn values(item: &Item) -> usize {
    match &item.value {
        Value::Structure(items) => items.iter().map(values).sum(),
        Value::TextString(text) => text.len() * ROOM_OF_A_BYTE,
        Value::ByteString(bytes) => bytes.as_bytes().len() * 2,
        Value::BigInteger(number) => number.as_bytes().len() * 2,
        Value::Integer(_) => ROOM_OF_A_MASK,
        _ => 0,
    }
}

/// Whose names the values of an item have: in KMIP 1.x an `AttributeValue` has those of the attribute that the
/// `AttributeName` before it names.
#[derive(Default)]
pub(super) struct Siblings {
    attribute: Option<Tag>,
}

impl Siblings {
    /// The tag whose names an item's value has.
    pub(super) fn context(&self, tag: Tag) -> Tag {
        match self.attribute {
            Some(attribute) if tag == tag::AttributeValue => attribute,
            _ => tag,
        }
    }

    /// Takes note of an item that stands before others.
    pub(super) fn passed(&mut self, item: &Item) {
        if let (tag::AttributeName, Value::TextString(name)) = (item.tag, &item.value) {
            self.attribute = names::attribute_tag(name);
        }
    }
}

/// The mask whose bits have names, for an Integer.
pub(super) fn mask_of(context: Tag) -> Option<&'static Table> {
    names::table_of(context).filter(|table| table.mask)
}

/// Appends the names of a mask's bits, and the bits without a name as one number. Nothing for a mask without bits.
pub(super) fn write_mask(table: &Table, bits: u32, separator: char, out: &mut String) {
    let start = out.len();
    let mut rest = bits;
    for (bit, name) in table.values.iter().filter(|(bit, _)| bits & bit != 0) {
        if out.len() > start {
            out.push(separator);
        }
        out.push_str(name);
        rest ^= bit;
    }
    if rest != 0 {
        if out.len() > start {
            out.push(separator);
        }
        write_hex_number(u64::from(rest), 8, out);
    }
}

/// Appends the name of an Enumeration's value, or its number.
pub(super) fn write_enumeration(context: Tag, value: u32, out: &mut String) {
    match names::value_name(context, value) {
        Some(name) => out.push_str(name),
        None => write_hex_number(u64::from(value), 8, out),
    }
}

/// Appends a date, or the number of seconds where the year has not four digits.
pub(super) fn write_date(seconds: i64, out: &mut String) {
    if !time::write(seconds, out) {
        write_hex_number(seconds.cast_unsigned(), 16, out);
    }
}

/// Appends a number in decimal.
pub(super) fn write_number(number: i64, out: &mut String) {
    use std::fmt::Write as _;
    let written = write!(out, "{number}");
    debug_assert!(written.is_ok(), "a String takes all text");
}

/// Appends a tag's name, or its number.
pub(super) fn write_tag(tag: Tag, out: &mut String) {
    match tag.name() {
        Some(name) => out.push_str(name),
        None => write_hex_number(u64::from(tag.number()), 6, out),
    }
}

/// Appends `0x` and so many digits.
pub(super) fn write_hex_number(number: u64, digits: usize, out: &mut String) {
    out.push_str("0x");
    let bytes = number.to_be_bytes();
    write_hex(&bytes[bytes.len() - digits / 2..], out);
}

/// Appends two digits for each byte.
pub(super) fn write_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// The bytes of hexadecimal digits.
fn read_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    // All at once: a vector that grows would leave copies behind.
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.as_bytes().chunks_exact(2) {
        bytes.push((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    }
    Some(bytes)
}

/// The number of `0x` and up to so many hexadecimal digits.
pub(super) fn read_hex_number(text: &str, most: usize) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    let possible = digits.len() <= most && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match possible {
        true => u64::from_str_radix(digits, 16).ok(),
        false => None,
    }
}

/// A tag by its name or its number.
pub(super) fn read_tag(text: &str) -> Result<Tag, Fault> {
    let number = || Tag::from_number(u32::try_from(read_hex_number(text, 6)?).ok()?);
    Tag::named(text)
        .or_else(number)
        .ok_or_else(|| Fault::UnknownTag(shown(text)))
}

/// A type by its name.
pub(super) fn read_type(text: &str) -> Result<Type, Fault> {
    Type::named(text).ok_or_else(|| Fault::UnknownTypeName(shown(text)))
}

/// A value that is written as text: all of XML's, and those of JSON that stand between quotes.
pub(super) fn read_value(kind: Type, context: Tag, text: Cow<'_, str>) -> Result<Value, Fault> {
    if kind == Type::TextString {
        // What was unescaped is taken, not copied.
        return Ok(Value::TextString(text.into_owned()));
    }
    let text = &*text;
    let value = match kind {
        Type::Structure | Type::TextString => None,
        Type::Integer => return read_integer(context, text),
        Type::Enumeration => return read_enumeration(context, text),
        Type::ByteString => read_hex(text).map(|bytes| Value::ByteString(ByteString::from(bytes))),
        Type::BigInteger => read_big_integer(text).map(Value::BigInteger),
        Type::Boolean => read_boolean(text).map(Value::Boolean),
        Type::LongInteger => read_long(text).map(Value::LongInteger),
        Type::Interval => read_word(text).map(Value::Interval),
        Type::DateTime => time::read(text)
            .map(|(seconds, _)| seconds)
            .or_else(|| read_hex_number(text, 16).map(u64::cast_signed))
            .map(Value::DateTime),
        Type::DateTimeExtended => read_extended(text).map(Value::DateTimeExtended),
    };
    value.ok_or_else(|| wrong(kind))
}

/// The error of a value that is not written as its type demands.
pub(super) fn wrong(kind: Type) -> Fault {
    let expected = match kind {
        Type::Structure => "a list of items",
        Type::Integer => "a number of 32 bits, in decimal or as 0x and hexadecimal digits",
        Type::LongInteger => "a number of 64 bits, in decimal or as 0x and hexadecimal digits",
        Type::BigInteger => "hexadecimal digits, a multiple of 16 of them",
        Type::Enumeration => "a name, or 0x and up to 8 hexadecimal digits",
        Type::Boolean => "true or false",
        Type::TextString => "text",
        Type::ByteString => "hexadecimal digits, two for each byte",
        Type::DateTime => {
            "a date such as 2026-11-30T12:00:00+00:00, or 0x and up to 16 hexadecimal digits"
        }
        Type::Interval => "a number of 32 bits that is not negative",
        Type::DateTimeExtended => {
            "a number of microseconds, in decimal or as 0x and hexadecimal digits, or a date"
        }
    };
    Fault::Value { kind, expected }
}

/// A number, or a mask: names and numbers with white space or `|` between them.
fn read_integer(context: Tag, text: &str) -> Result<Value, Fault> {
    if let Some(number) = read_word_signed(text) {
        return Ok(Value::Integer(number));
    }
    let Some(table) = mask_of(context) else {
        return Err(wrong(Type::Integer));
    };
    let mut bits = None;
    let is_separator = |c: char| c == '|' || c.is_ascii_whitespace();
    for name in text.split(is_separator).filter(|name| !name.is_empty()) {
        let number = table
            .value_of(name)
            .or_else(|| read_word_signed(name).map(i32::cast_unsigned));
        let unknown = || Fault::UnknownName {
            tag: context,
            name: shown(name),
        };
        bits = Some(bits.unwrap_or(0) | number.ok_or_else(unknown)?);
    }
    let bits: Option<u32> = bits;
    bits.map(|bits| Value::Integer(bits.cast_signed()))
        .ok_or_else(|| wrong(Type::Integer))
}

fn read_enumeration(context: Tag, text: &str) -> Result<Value, Fault> {
    let number = names::value_of(context, text).or_else(|| read_word(text));
    let unknown = || Fault::UnknownName {
        tag: context,
        name: shown(text),
    };
    number.map(Value::Enumeration).ok_or_else(unknown)
}

fn read_word(text: &str) -> Option<u32> {
    let hex = || u32::try_from(read_hex_number(text, 8)?).ok();
    text.parse().ok().or_else(hex)
}

fn read_word_signed(text: &str) -> Option<i32> {
    let hex = || u32::try_from(read_hex_number(text, 8)?).ok();
    text.parse().ok().or_else(|| hex().map(u32::cast_signed))
}

fn read_long(text: &str) -> Option<i64> {
    let hex = || read_hex_number(text, 16).map(u64::cast_signed);
    text.parse().ok().or_else(hex)
}

fn read_extended(text: &str) -> Option<i64> {
    let date = || {
        let (seconds, fraction) = time::read(text)?;
        seconds
            .checked_mul(1_000_000)?
            .checked_add(i64::from(fraction))
    };
    read_long(text).or_else(date)
}

fn read_boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => match read_hex_number(text, 16)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}

/// Whole groups of eight bytes, as the standard demands: how many there are is part of the value.
fn read_big_integer(text: &str) -> Option<BigInteger> {
    let bytes = read_hex(text.strip_prefix("0x").unwrap_or(text))?;
    let bytes = ByteString::from(bytes);
    let whole = bytes.as_bytes().len().is_multiple_of(GROUP);
    BigInteger::from_signed(bytes.as_bytes()).filter(|_| whole)
}
