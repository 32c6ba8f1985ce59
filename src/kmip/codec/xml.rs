//! The XML encoding (KMIP Profiles 2.1 section 5.4): `<Tag type="…" value="…"/>`, structures as elements within elements.
//!
//! | type | value |
//! | --- | --- |
//! | Structure (or no type) | none; items are elements within it |
//! | Integer, Interval, `LongInteger`, `DateTimeExtended` | a number in decimal; a mask is its names with spaces between them |
//! | `BigInteger`, `ByteString` | hexadecimal digits |
//! | Enumeration | a name, or `0x…` where there is none |
//! | Boolean | `true` or `false` |
//! | `TextString` | text |
//! | `DateTime` | a date in UTC; `0x…` before the year 1 and after 9999 |
//!
//! A tag without a name is `<TTLV tag="0x540001" …/>`. Messages may stand within a `<KMIP>` element. What is read may
//! also be written in the other ways that the standard leaves open: numbers as `0x…`, dates of any zone, a namespace, and
//! a `name` beside a `tag`, which is passed over. A fraction of a `DateTime` is dropped, as the standard says. Document
//! types are refused, and with them all entities but XML's own five.

use std::borrow::Cow;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader as XmlReader, XmlVersion};
use zeroize::Zeroizing;

use super::View;
use super::error::{DecodeError, EncodeError, Fault, shown};
use super::item::{Item, Tag, Type, Value};
use super::limits::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_ITEMS, MAX_TEXT};
use super::text::{self, Layout, Siblings};

/// The element that may hold messages. No tag is called so.
const ROOT: &str = "KMIP";
/// The element of a tag without a name.
const UNNAMED: &str = "TTLV";

/// Reads exactly one item, at a cost linear in the length.
///
/// # Errors
///
/// When there is anything but one item, besides comments, something that KMIP has not, a name that is unknown, or a
/// bound of [`limits`](super::limits) is passed.
pub fn decode(text: &[u8]) -> Result<Item, DecodeError> {
    if text.len() > MAX_TEXT {
        return Err(refuse((MAX_TEXT, Fault::TooLarge(MAX_TEXT))));
    }
    let mut only = None;
    read(text, |at, item| match only.replace(item) {
        None => Ok(()),
        Some(_) => Err((at, Fault::Trailing)),
    })?;
    only.ok_or_else(|| refuse((text.len(), Fault::Truncated)))
}

/// Reads items one after another, within `<KMIP>` elements or without.
///
/// # Errors
///
/// As [`decode`]; the bounds are those of each message.
pub fn decode_all(text: &[u8]) -> Result<Vec<Item>, DecodeError> {
    let mut items = Vec::new();
    read(text, |_, item| {
        items.push(item);
        Ok(())
    })?;
    Ok(items)
}

/// Where and why something is refused.
type Refused = (usize, Fault);

fn refuse((offset, fault): Refused) -> DecodeError {
    DecodeError {
        view: View::Xml,
        offset,
        fault,
    }
}

/// Reads all messages of a text, and gives each with the place where it begins.
fn read(
    text: &[u8],
    mut each: impl FnMut(usize, Item) -> Result<(), Refused>,
) -> Result<(), DecodeError> {
    let not_text = |error: std::str::Utf8Error| refuse((error.valid_up_to(), Fault::NotText));
    let text = std::str::from_utf8(text).map_err(not_text)?;
    let mut reader = Reader {
        xml: XmlReader::from_str(text),
        items: 0,
    };
    let mut in_root = false;
    loop {
        let next = reader.next().map_err(refuse)?;
        match next {
            Next::Element { at, start, empty } if start.local_name().as_ref() == ROOT => {
                if in_root {
                    return Err(refuse((at, Fault::Syntax("a KMIP element within another"))));
                }
                in_root = !empty;
            }
            Next::Element { at, start, empty } => {
                reader.items = 0;
                let item = reader.item(at, &start, empty, 1, &Siblings::default());
                each(at, item.map_err(refuse)?).map_err(refuse)?;
            }
            Next::End => in_root = false,
            Next::Eof if in_root => return Err(refuse((text.len(), Fault::Truncated))),
            Next::Eof => return Ok(()),
        }
    }
}

struct Reader<'t> {
    xml: XmlReader<&'t [u8]>,
    items: usize,
}

/// What matters of XML.
enum Next<'t> {
    Element {
        at: usize,
        start: BytesStart<'t>,
        empty: bool,
    },
    End,
    Eof,
}

/// The attributes of an element.
#[derive(Default)]
struct Parts<'e> {
    tag: Option<Cow<'e, str>>,
    kind: Option<Cow<'e, str>>,
    value: Option<Cow<'e, str>>,
    name: Option<Cow<'e, str>>,
}

impl<'t> Reader<'t> {
    /// The offset of the next event.
    fn at(&self) -> usize {
        usize::try_from(self.xml.buffer_position()).unwrap_or(usize::MAX)
    }

    /// Passes over what says nothing: comments, white space, declarations.
    fn next(&mut self) -> Result<Next<'t>, Refused> {
        loop {
            let at = self.at();
            let event = self.xml.read_event().map_err(|error| self.broken(&error))?;
            match event {
                Event::Start(start) => {
                    let empty = false;
                    return Ok(Next::Element { at, start, empty });
                }
                Event::Empty(start) => {
                    let empty = true;
                    return Ok(Next::Element { at, start, empty });
                }
                Event::End(_) => return Ok(Next::End),
                Event::Eof => return Ok(Next::Eof),
                Event::Text(text) if text.bytes().all(|byte| byte.is_ascii_whitespace()) => {}
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) => {}
                Event::DocType(_) => {
                    return Err((at, Fault::Syntax("a document type has no place in KMIP")));
                }
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                    return Err((
                        at,
                        Fault::Syntax("text stands in attributes in KMIP, not between elements"),
                    ));
                }
            }
        }
    }

    fn item(
        &mut self,
        at: usize,
        start: &BytesStart<'t>,
        empty: bool,
        depth: usize,
        siblings: &Siblings,
    ) -> Result<Item, Refused> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err((at, Fault::TooMany));
        }
        if depth > MAX_DEPTH {
            return Err((at, Fault::TooDeep));
        }
        let here = |fault| (at, fault);
        let parts = parts(start).map_err(here)?;
        let name = start.local_name();
        let tag = match (name.as_ref(), &parts.tag) {
            (UNNAMED, Some(tag)) => text::read_tag(tag).map_err(here)?,
            (UNNAMED, None) => return Err(here(Fault::Missing("tag"))),
            (_, Some(_)) => {
                return Err(here(Fault::Syntax(
                    "only TTLV elements have a tag attribute",
                )));
            }
            (name, None) => Tag::named(name).ok_or_else(|| here(Fault::UnknownTag(shown(name))))?,
        };
        let kind = match &parts.kind {
            Some(kind) => text::read_type(kind).map_err(here)?,
            None => Type::Structure,
        };
        let value = match (kind, parts.value) {
            (Type::Structure, None) => Value::Structure(self.children(empty, depth)?),
            (Type::Structure, Some(_)) => return Err(here(text::wrong(kind))),
            (_, None) => return Err(here(Fault::Missing("value"))),
            (_, Some(value)) => {
                if !empty && !matches!(self.next()?, Next::End) {
                    return Err(here(Fault::Syntax(
                        "only structures have elements within them",
                    )));
                }
                text::read_value(kind, siblings.context(tag), value).map_err(here)?
            }
        };
        Ok(Item::new(tag, value))
    }

    fn children(&mut self, empty: bool, depth: usize) -> Result<Vec<Item>, Refused> {
        let mut items = Vec::new();
        let mut siblings = Siblings::default();
        if empty {
            return Ok(items);
        }
        loop {
            match self.next()? {
                Next::Element { at, start, empty } => {
                    let item = self.item(at, &start, empty, depth + 1, &siblings)?;
                    siblings.passed(&item);
                    items.push(item);
                }
                Next::End => return Ok(items),
                Next::Eof => return Err((self.at(), Fault::Truncated)),
            }
        }
    }

    fn broken(&self, error: &quick_xml::Error) -> Refused {
        let at = usize::try_from(self.xml.error_position()).unwrap_or(usize::MAX);
        (at, syntax(error))
    }
}

/// An error of the XML library, without the text that it repeats: that may be of any length.
fn syntax(error: &quick_xml::Error) -> Fault {
    use quick_xml::errors::{Error, IllFormedError};
    Fault::Syntax(match error {
        Error::Syntax(_) => "XML ends within a tag, a comment or a declaration",
        Error::IllFormed(IllFormedError::MismatchedEndTag { .. }) => {
            "an element ends under another name"
        }
        Error::IllFormed(IllFormedError::UnmatchedEndTag(_)) => {
            "an element ends that has not begun"
        }
        Error::IllFormed(_) => "it is not well-formed XML",
        Error::InvalidAttr(_) => "an attribute is not written as name=\"value\"",
        Error::Escape(_) => {
            "an entity is none of XML's own: &lt; &gt; &amp; &apos; &quot; and numbers"
        }
        _ => "it is no XML",
    })
}

fn parts<'e>(start: &'e BytesStart<'_>) -> Result<Parts<'e>, Fault> {
    let mut parts = Parts::default();
    let mut attributes = start.attributes();
    // Looking for one that is there twice takes the library a time that grows with their square; here there are few.
    attributes.with_checks(false);
    for (count, attribute) in attributes.enumerate() {
        if count == MAX_ATTRIBUTES {
            return Err(Fault::Syntax(
                "an element has more attributes than any of KMIP",
            ));
        }
        let attribute = attribute.map_err(|error| syntax(&error.into()))?;
        let (place, name) = match attribute.key.as_ref() {
            "tag" => (&mut parts.tag, "tag"),
            "type" => (&mut parts.kind, "type"),
            "value" => (&mut parts.value, "value"),
            "name" => (&mut parts.name, "name"),
            key if key == "xmlns" || key.starts_with("xmlns:") => continue,
            key => return Err(Fault::UnknownPart(shown(key))),
        };
        if attribute.value.contains('<') {
            return Err(Fault::Syntax("in an attribute, < is written as &lt;"));
        }
        let value = attribute
            .normalized_value(XmlVersion::Explicit1_0)
            .map_err(|error| syntax(&error))?;
        if value.chars().any(|character| !is_xml(character)) {
            return Err(Fault::Syntax("a character that XML has not"));
        }
        if place.replace(value).is_some() {
            return Err(Fault::Duplicate(name));
        }
    }
    Ok(parts)
}

/// Whether XML 1.0 can write a character (section 2.2).
fn is_xml(character: char) -> bool {
    !matches!(character, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// Writes an item. The text is overwritten when it is dropped: it may hold a key.
///
/// # Errors
///
/// When a bound of [`limits`](super::limits) is passed, or when text holds a character that XML has not.
pub fn encode(item: &Item, layout: Layout) -> Result<Zeroizing<String>, EncodeError> {
    let room = text::room(item)?;
    let mut out = Zeroizing::new(String::with_capacity(room));
    write(item, item.tag, (layout, 0), &mut out)?;
    debug_assert!(out.len() <= room, "it was written once in its place");
    Ok(out)
}

fn write(
    item: &Item,
    context: Tag,
    (layout, depth): (Layout, usize),
    out: &mut String,
) -> Result<(), EncodeError> {
    let name = item.tag.name().unwrap_or(UNNAMED);
    out.push('<');
    out.push_str(name);
    if name == UNNAMED {
        out.push_str(" tag=\"");
        text::write_tag(item.tag, out);
        out.push('"');
    }
    let Value::Structure(items) = &item.value else {
        out.push_str(" type=\"");
        out.push_str(item.value.kind().name());
        out.push_str("\" value=\"");
        write_scalar(item, context, out)?;
        out.push_str("\"/>");
        return Ok(());
    };
    if items.is_empty() {
        out.push_str("/>");
        return Ok(());
    }
    out.push('>');
    let mut siblings = Siblings::default();
    for item in items {
        layout.line(depth + 1, out);
        write(item, siblings.context(item.tag), (layout, depth + 1), out)?;
        siblings.passed(item);
    }
    layout.line(depth, out);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
    Ok(())
}

fn write_scalar(item: &Item, context: Tag, out: &mut String) -> Result<(), EncodeError> {
    match &item.value {
        Value::Integer(number) => match text::mask_of(context).filter(|_| *number != 0) {
            Some(table) => text::write_mask(table, number.cast_unsigned(), ' ', out),
            None => text::write_number(i64::from(*number), out),
        },
        Value::LongInteger(number) | Value::DateTimeExtended(number) => {
            text::write_number(*number, out);
        }
        Value::BigInteger(number) => text::write_hex(number.as_bytes(), out),
        Value::Enumeration(value) => text::write_enumeration(context, *value, out),
        Value::Boolean(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::TextString(text) => return write_text(item.tag, text, out),
        Value::ByteString(bytes) => text::write_hex(bytes.as_bytes(), out),
        Value::DateTime(seconds) => text::write_date(*seconds, out),
        Value::Interval(seconds) => text::write_number(i64::from(*seconds), out),
        Value::Structure(_) => {}
    }
    Ok(())
}

fn write_text(tag: Tag, text: &str, out: &mut String) -> Result<(), EncodeError> {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // Written as themselves they would be read as spaces.
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            _ if !is_xml(character) => return Err(EncodeError::NotXml { tag, character }),
            _ => out.push(character),
        }
    }
    Ok(())
}
