//! The JSON encoding (KMIP Profiles 2.1 section 5.3): `{"tag": …, "type": …, "value": …}`.
//!
//! | type | value |
//! | --- | --- |
//! | Structure (or no type) | a list of items |
//! | Integer, Interval | a number; a mask is its names with `\|` between them |
//! | `LongInteger`, `BigInteger`, `DateTimeExtended` | a number; as `"0x…"` from 2^52 on, which JavaScript cannot hold |
//! | Enumeration | a name, or `"0x…"` where there is none |
//! | Boolean | `true` or `false` |
//! | `TextString` | a string |
//! | `ByteString` | hexadecimal digits |
//! | `DateTime` | a date in UTC; `"0x…"` before the year 1 and after 9999 |
//!
//! What is read may also be written in the ways that the standard leaves open: numbers as `"0x…"` anywhere, names with
//! white space between them, dates of any zone, the parts of an item in any order and with a `"name"` among them, which
//! is passed over. A fraction of a `DateTime` is dropped, as the standard says.

use zeroize::Zeroizing;

use super::View;
use super::big::BigInteger;
use super::error::{DecodeError, EncodeError, Fault, shown};
use super::item::{Item, Tag, Type, Value};
use super::lexer::{Lexer, Scalar};
use super::limits::{MAX_DEPTH, MAX_ITEMS, MAX_TEXT};
use super::text::{self, Layout, Siblings};

/// Numbers nearer to zero than this are written as such.
const EXACT: u64 = 1 << 52;

/// Reads exactly one item, at a cost linear in the length.
///
/// # Errors
///
/// When there is anything but one item, something that KMIP has not, a name that is unknown, or a bound of
/// [`limits`](super::limits) is passed.
pub fn decode(text: &[u8]) -> Result<Item, DecodeError> {
    if text.len() > MAX_TEXT {
        return Err(refuse((MAX_TEXT, Fault::TooLarge(MAX_TEXT))));
    }
    let mut reader = reader(text)?;
    let item = reader.message().map_err(refuse)?;
    match reader.lexer.at_end() {
        true => Ok(item),
        false => Err(refuse((reader.lexer.at(), Fault::Trailing))),
    }
}

/// Reads items one after another, with nothing but white space between them, or in one list.
///
/// # Errors
///
/// As [`decode`]; the bounds are those of each message.
pub fn decode_all(text: &[u8]) -> Result<Vec<Item>, DecodeError> {
    let mut reader = reader(text)?;
    let mut items = Vec::new();
    if reader.lexer.take(b'[') {
        reader
            .list(|reader| {
                items.push(reader.message()?);
                Ok(())
            })
            .map_err(refuse)?;
    } else {
        while !reader.lexer.at_end() {
            items.push(reader.message().map_err(refuse)?);
        }
    }
    match reader.lexer.at_end() {
        true => Ok(items),
        false => Err(refuse((reader.lexer.at(), Fault::Trailing))),
    }
}

/// Where and why something is refused.
type Refused = (usize, Fault);

fn refuse((offset, fault): Refused) -> DecodeError {
    DecodeError {
        view: View::Json,
        offset,
        fault,
    }
}

fn reader(text: &[u8]) -> Result<Reader<'_>, DecodeError> {
    let not_text = |error: std::str::Utf8Error| refuse((error.valid_up_to(), Fault::NotText));
    let text = std::str::from_utf8(text).map_err(not_text)?;
    Ok(Reader {
        lexer: Lexer::new(text),
        items: 0,
    })
}

struct Reader<'t> {
    lexer: Lexer<'t>,
    items: usize,
}

/// An item's value while its tag and type may still be to come.
enum Read<'t> {
    Items(Vec<Item>),
    Scalar(usize, Scalar<'t>),
}

/// The parts of an item that were read, in whatever order they stand.
#[derive(Default)]
struct Parts<'t> {
    tag: Option<Tag>,
    kind: Option<Type>,
    value: Option<Read<'t>>,
    named: bool,
}

impl<'t> Reader<'t> {
    fn message(&mut self) -> Result<Item, Refused> {
        self.items = 0;
        self.item(1, &Siblings::default())
    }

    fn item(&mut self, depth: usize, siblings: &Siblings) -> Result<Item, Refused> {
        let start = self.lexer.at();
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err((start, Fault::TooMany));
        }
        self.lexer.expect(
            b'{',
            "an item is expected: {\"tag\": ..., \"type\": ..., \"value\": ...}",
        )?;
        let mut parts = Parts::default();
        if !self.lexer.take(b'}') {
            loop {
                self.part(&mut parts, depth)?;
                if self.lexer.take(b'}') {
                    break;
                }
                self.lexer
                    .expect(b',', "a comma or } is expected after a part of an item")?;
            }
        }
        let missing = |what| (start, Fault::Missing(what));
        let tag = parts.tag.ok_or(missing("tag"))?;
        let kind = parts.kind.unwrap_or(Type::Structure);
        let value = match parts.value.ok_or(missing("value"))? {
            Read::Items(items) if kind == Type::Structure => Value::Structure(items),
            Read::Items(_) => return Err((start, text::wrong(kind))),
            Read::Scalar(at, scalar) => {
                value(kind, siblings.context(tag), scalar).map_err(|fault| (at, fault))?
            }
        };
        Ok(Item::new(tag, value))
    }

    fn part(&mut self, parts: &mut Parts<'t>, depth: usize) -> Result<(), Refused> {
        let (start, name) = self.lexer.string()?;
        self.lexer
            .expect(b':', "a colon is expected after the name of a part")?;
        let twice = |there: bool, what| match there {
            true => Err((start, Fault::Duplicate(what))),
            false => Ok(()),
        };
        match &*name {
            "tag" => {
                twice(parts.tag.is_some(), "tag")?;
                let (at, tag) = self.lexer.string()?;
                parts.tag = Some(text::read_tag(&tag).map_err(|fault| (at, fault))?);
            }
            "type" => {
                twice(parts.kind.is_some(), "type")?;
                let (at, kind) = self.lexer.string()?;
                parts.kind = Some(text::read_type(&kind).map_err(|fault| (at, fault))?);
            }
            "value" => {
                twice(parts.value.is_some(), "value")?;
                let at = self.lexer.at();
                parts.value = Some(match self.lexer.take(b'[') {
                    true => Read::Items(self.items(at, depth)?),
                    false => Read::Scalar(at, self.lexer.scalar()?),
                });
            }
            "name" => {
                twice(parts.named, "name")?;
                parts.named = true;
                self.lexer.string()?;
            }
            _ => return Err((start, Fault::UnknownPart(shown(&name)))),
        }
        Ok(())
    }

    /// The items of a structure whose list has begun.
    fn items(&mut self, start: usize, depth: usize) -> Result<Vec<Item>, Refused> {
        let mut items = Vec::new();
        let mut siblings = Siblings::default();
        self.list(|reader| {
            if depth == MAX_DEPTH {
                return Err((start, Fault::TooDeep));
            }
            let item = reader.item(depth + 1, &siblings)?;
            siblings.passed(&item);
            items.push(item);
            Ok(())
        })?;
        Ok(items)
    }

    /// Reads what a list holds; its `[` was read.
    fn list(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        if self.lexer.take(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.lexer.take(b']') {
                return Ok(());
            }
            self.lexer
                .expect(b',', "a comma or ] is expected after an item")?;
        }
    }
}

/// The value of an item that is no structure.
fn value(kind: Type, context: Tag, scalar: Scalar<'_>) -> Result<Value, Fault> {
    match (scalar, kind) {
        (Scalar::Text(text), _) => text::read_value(kind, context, text),
        (Scalar::Truth(truth), Type::Boolean) => Ok(Value::Boolean(truth)),
        (Scalar::Number(digits), Type::BigInteger) => {
            let number = digits.parse::<i64>().map_err(|_| text::wrong(kind))?;
            Ok(Value::BigInteger(BigInteger::from(number)))
        }
        (
            Scalar::Number(digits),
            Type::Integer
            | Type::LongInteger
            | Type::Enumeration
            | Type::Interval
            | Type::DateTimeExtended,
        ) => text::read_value(kind, context, digits.into()).map_err(|_| text::wrong(kind)),
        _ => Err(text::wrong(kind)),
    }
}

/// Writes an item. The text is overwritten when it is dropped: it may hold a key.
///
/// # Errors
///
/// When a bound of [`limits`](super::limits) is passed.
pub fn encode(item: &Item, layout: Layout) -> Result<Zeroizing<String>, EncodeError> {
    let room = text::room(item)?;
    let mut out = Zeroizing::new(String::with_capacity(room));
    write(item, item.tag, (layout, 0), &mut out);
    debug_assert!(out.len() <= room, "it was written once in its place");
    Ok(out)
}

fn write(item: &Item, context: Tag, (layout, depth): (Layout, usize), out: &mut String) {
    let gap = match layout {
        Layout::OneLine => "",
        Layout::Indented => " ",
    };
    out.push_str("{\"tag\":");
    out.push_str(gap);
    out.push('"');
    text::write_tag(item.tag, out);
    if item.value.kind() != Type::Structure {
        out.push_str("\",");
        out.push_str(gap);
        out.push_str("\"type\":");
        out.push_str(gap);
        out.push('"');
        out.push_str(item.value.kind().name());
    }
    out.push_str("\",");
    out.push_str(gap);
    out.push_str("\"value\":");
    out.push_str(gap);
    match &item.value {
        Value::Structure(items) => {
            out.push('[');
            let mut siblings = Siblings::default();
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                layout.line(depth + 1, out);
                write(item, siblings.context(item.tag), (layout, depth + 1), out);
                siblings.passed(item);
            }
            if !items.is_empty() {
                layout.line(depth, out);
            }
            out.push(']');
        }
        value => write_scalar(value, context, out),
    }
    out.push('}');
}

fn write_scalar(value: &Value, context: Tag, out: &mut String) {
    match value {
        Value::Integer(number) => match text::mask_of(context).filter(|_| *number != 0) {
            Some(table) => quoted(out, |out| {
                text::write_mask(table, number.cast_unsigned(), '|', out);
            }),
            None => text::write_number(i64::from(*number), out),
        },
        Value::LongInteger(number) | Value::DateTimeExtended(number) => {
            match number.unsigned_abs() < EXACT {
                true => text::write_number(*number, out),
                false => quoted(out, |out| {
                    text::write_hex_number(number.cast_unsigned(), 16, out);
                }),
            }
        }
        Value::BigInteger(number) => match number.of_one_group() {
            Some(number) if number.unsigned_abs() < EXACT => text::write_number(number, out),
            _ => quoted(out, |out| {
                out.push_str("0x");
                text::write_hex(number.as_bytes(), out);
            }),
        },
        Value::Enumeration(value) => {
            quoted(out, |out| text::write_enumeration(context, *value, out))
        }
        Value::Boolean(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::TextString(text) => quoted(out, |out| write_text(text, out)),
        Value::ByteString(bytes) => quoted(out, |out| text::write_hex(bytes.as_bytes(), out)),
        Value::DateTime(seconds) => quoted(out, |out| text::write_date(*seconds, out)),
        Value::Interval(seconds) => text::write_number(i64::from(*seconds), out),
        Value::Structure(_) => {}
    }
}

fn quoted(out: &mut String, content: impl FnOnce(&mut String)) {
    out.push('"');
    content(out);
    out.push('"');
}

fn write_text(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' => {
                out.push_str("\\u00");
                text::write_hex(&[character as u8], out);
            }
            _ => out.push(character),
        }
    }
}
