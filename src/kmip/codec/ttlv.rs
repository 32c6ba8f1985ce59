//! The binary encoding: tag, type, length, value (KMIP 2.1 section 10.1, KMIP 1.4 section 9.1).
//!
//! ```text
//!   0       3      4           8                      multiple of 8
//!   | tag   | type | length    | value ....... | zeros |
//! ```
//!
//! All numbers are big-endian. The length counts the value without the zeros that fill it up; that of a structure counts
//! its items with theirs. Each tree has one encoding, and no other bytes are read as it.

use zeroize::Zeroizing;

use super::View;
use super::big::{BigInteger, GROUP};
use super::error::{DecodeError, EncodeError, Fault};
use super::item::{Item, Tag, Type, Value};
use super::limits::{MAX_DEPTH, MAX_ITEMS, MAX_MESSAGE};

/// Bytes before a value.
const HEADER: usize = 8;
/// Values are filled up to a multiple of this.
const ALIGNMENT: usize = 8;

/// Reads exactly one item, at a cost linear in its length.
///
/// # Errors
///
/// When there is anything but one item whose every length, type and padding is as the standard has it, or a bound of
/// [`limits`](super::limits) is passed. The error has the offset of the item at fault.
pub fn decode(bytes: &[u8]) -> Result<Item, DecodeError> {
    let (item, length) = decode_first(bytes)?;
    match length == bytes.len() {
        true => Ok(item),
        false => Err(refuse(length, Fault::Trailing)),
    }
}

/// Reads the item that `bytes` begins with, and tells how many bytes it takes.
///
/// # Errors
///
/// As [`decode`], but for what follows the item.
pub fn decode_first(bytes: &[u8]) -> Result<(Item, usize), DecodeError> {
    let mut reader = Reader {
        bytes,
        at: 0,
        items: 0,
    };
    let item = reader.item(bytes.len(), 1)?;
    Ok((item, reader.at))
}

/// Reads items one after another.
///
/// # Errors
///
/// As [`decode`]; the bounds are those of each message.
pub fn decode_all(bytes: &[u8]) -> Result<Vec<Item>, DecodeError> {
    let mut items = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (item, length) = decode_first(&bytes[at..]).map_err(|mut error| {
            error.offset += at;
            error
        })?;
        items.push(item);
        at += length;
    }
    Ok(items)
}

/// How many bytes the item takes that `bytes` begins with, as its header says: enough to read a message from a stream.
/// None while the header is not all there. The number is the sender's: one above [`MAX_MESSAGE`] is refused when it is read.
#[must_use]
pub fn announced(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(4..HEADER)?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    Some(HEADER + length.next_multiple_of(ALIGNMENT))
}

fn refuse(offset: usize, fault: Fault) -> DecodeError {
    DecodeError {
        view: View::Ttlv,
        offset,
        fault,
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    items: usize,
}

/// What stands before a value.
struct Header {
    start: usize,
    tag: Tag,
    kind: Type,
    length: usize,
}

impl Reader<'_> {
    /// The item that begins here and must not reach beyond `end`.
    fn item(&mut self, end: usize, depth: usize) -> Result<Item, DecodeError> {
        let header = self.header(end)?;
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(refuse(header.start, Fault::TooMany));
        }
        let value = self.value(&header, depth)?;
        Ok(Item::new(header.tag, value))
    }

    /// Reads a header, and makes sure that the whole item lies before `end`.
    fn header(&mut self, end: usize) -> Result<Header, DecodeError> {
        let start = self.at;
        let all = self.bytes.len();
        let beyond = || match end == all {
            true => refuse(all, Fault::Truncated),
            false => refuse(start, Fault::Overrun),
        };
        let Some(&[first, high, low, number, a, b, c, d]) =
            self.bytes[start..end].first_chunk::<HEADER>()
        else {
            return Err(beyond());
        };
        let kind =
            Type::from_number(number).ok_or_else(|| refuse(start, Fault::UnknownType(number)))?;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if !has_length(kind, length) {
            return Err(refuse(start, Fault::Length { kind, length }));
        }
        if length > MAX_MESSAGE - HEADER {
            return Err(refuse(start, Fault::TooLarge(MAX_MESSAGE)));
        }
        if length.next_multiple_of(ALIGNMENT) > end - start - HEADER {
            return Err(beyond());
        }
        self.at += HEADER;
        let tag = Tag::new(first, u16::from_be_bytes([high, low]));
        Ok(Header {
            start,
            tag,
            kind,
            length,
        })
    }

    /// The items of a structure that takes so many bytes.
    fn structure(&mut self, length: usize, depth: usize) -> Result<Vec<Item>, DecodeError> {
        let end = self.at + length;
        let mut items = Vec::with_capacity(self.count(end));
        while self.at < end {
            if depth == MAX_DEPTH {
                return Err(refuse(self.at, Fault::TooDeep));
            }
            items.push(self.item(end, depth + 1)?);
        }
        Ok(items)
    }

    /// How many items follow one another from here up to `end`, so that there is room for them and no more. It goes by
    /// their lengths alone: what is wrong with them is seen when they are read.
    fn count(&self, end: usize) -> usize {
        let mut at = self.at;
        let mut items = 0;
        while let Some(length) = self.bytes[at..end].get(4..HEADER) {
            let length = length
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            items += 1;
            at = (at + HEADER + length.next_multiple_of(ALIGNMENT)).min(end);
        }
        items.min(MAX_ITEMS)
    }

    fn value(&mut self, header: &Header, depth: usize) -> Result<Value, DecodeError> {
        if header.kind == Type::Structure {
            return self.structure(header.length, depth).map(Value::Structure);
        }
        let start = self.at;
        self.at += header.length.next_multiple_of(ALIGNMENT);
        let (value, padding) = self.bytes[start..self.at].split_at(header.length);
        if padding.iter().any(|byte| *byte != 0) {
            return Err(refuse(start + header.length, Fault::Padding));
        }
        let kind = header.kind;
        let wrong = |expected| refuse(start, Fault::Value { kind, expected });
        Ok(match kind {
            Type::Integer => Value::Integer(word(value) as i32),
            Type::Enumeration => Value::Enumeration(word(value)),
            Type::Interval => Value::Interval(word(value)),
            Type::LongInteger => Value::LongInteger(long(value)),
            Type::DateTime => Value::DateTime(long(value)),
            Type::DateTimeExtended => Value::DateTimeExtended(long(value)),
            Type::Boolean => match long(value) {
                0 => Value::Boolean(false),
                1 => Value::Boolean(true),
                _ => return Err(wrong("0 or 1")),
            },
            Type::TextString => match std::str::from_utf8(value) {
                Ok(text) => Value::TextString(text.to_owned()),
                Err(error) => return Err(refuse(start + error.valid_up_to(), Fault::NotText)),
            },
            Type::BigInteger => match BigInteger::from_signed(value) {
                Some(number) => Value::BigInteger(number),
                None => return Err(wrong("one byte long at least")),
            },
            // And a structure, which was read above.
            Type::ByteString | Type::Structure => Value::ByteString(value.into()),
        })
    }
}

/// Whether values of a type can be so long.
fn has_length(kind: Type, length: usize) -> bool {
    match kind {
        Type::Integer | Type::Enumeration | Type::Interval => length == 4,
        Type::LongInteger | Type::Boolean | Type::DateTime | Type::DateTimeExtended => length == 8,
        Type::BigInteger => length > 0 && length.is_multiple_of(GROUP),
        Type::Structure => length.is_multiple_of(ALIGNMENT),
        Type::TextString | Type::ByteString => true,
    }
}

/// A number of the length that [`has_length`] made sure of.
fn word(value: &[u8]) -> u32 {
    value
        .first_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// A number of the length that [`has_length`] made sure of.
fn long(value: &[u8]) -> i64 {
    value
        .first_chunk()
        .map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// Writes an item. The bytes are overwritten when they are dropped: they may hold a key.
///
/// # Errors
///
/// When a bound of [`limits`](super::limits) is passed.
pub fn encode(item: &Item) -> Result<Zeroizing<Vec<u8>>, EncodeError> {
    let mut items = 0;
    let length = measure(item, 1, &mut items)?;
    if length > MAX_MESSAGE {
        return Err(EncodeError::TooLarge(MAX_MESSAGE));
    }
    // All at once: a vector that grows would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    write(item, &mut bytes);
    Ok(bytes)
}

/// How many bytes an item takes; also makes sure that the bounds are kept. `items` counts over the whole message.
pub(super) fn measure(item: &Item, depth: usize, items: &mut usize) -> Result<usize, EncodeError> {
    *items += 1;
    if *items > MAX_ITEMS {
        return Err(EncodeError::TooMany);
    }
    if depth > MAX_DEPTH {
        return Err(EncodeError::TooDeep);
    }
    let value = match &item.value {
        Value::Structure(children) => {
            let mut sum = 0;
            for child in children {
                sum += measure(child, depth + 1, items)?;
            }
            sum
        }
        Value::TextString(text) => text.len(),
        Value::ByteString(bytes) => bytes.as_bytes().len(),
        Value::BigInteger(number) => number.as_bytes().len(),
        _ => ALIGNMENT,
    };
    Ok(HEADER + value.next_multiple_of(ALIGNMENT))
}

fn write(item: &Item, out: &mut Vec<u8>) {
    let [_, first, high, low] = item.tag.number().to_be_bytes();
    let mut short = |value: [u8; 4]| {
        let [a, b, c, d] = value;
        out.extend_from_slice(&[
            first,
            high,
            low,
            item.value.kind() as u8,
            0,
            0,
            0,
            4,
            a,
            b,
            c,
            d,
            0,
            0,
            0,
            0,
        ]);
    };
    match &item.value {
        Value::Integer(number) => return short(number.to_be_bytes()),
        Value::Enumeration(number) | Value::Interval(number) => return short(number.to_be_bytes()),
        _ => {}
    }
    out.extend_from_slice(&[first, high, low, item.value.kind() as u8, 0, 0, 0, 8]);
    match &item.value {
        Value::Structure(children) => {
            let start = out.len();
            for child in children {
                write(child, out);
            }
            set_length(out, start);
        }
        Value::TextString(text) => variable(out, text.as_bytes()),
        Value::ByteString(bytes) => variable(out, bytes.as_bytes()),
        Value::BigInteger(number) => variable(out, number.as_bytes()),
        Value::Boolean(truth) => out.extend_from_slice(&u64::from(*truth).to_be_bytes()),
        Value::LongInteger(number) | Value::DateTime(number) | Value::DateTimeExtended(number) => {
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Integer(_) | Value::Enumeration(_) | Value::Interval(_) => {}
    }
}

fn variable(out: &mut Vec<u8>, value: &[u8]) {
    let start = out.len();
    out.extend_from_slice(value);
    set_length(out, start);
    let end = out.len() + (value.len().next_multiple_of(ALIGNMENT) - value.len());
    out.resize(end, 0);
}

/// Puts the length of what was written from `start` on before it.
fn set_length(out: &mut [u8], start: usize) {
    // The whole is shorter than MAX_MESSAGE.
    let length = (out.len() - start) as u32;
    out[start - 4..start].copy_from_slice(&length.to_be_bytes());
}
