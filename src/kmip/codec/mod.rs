//! The codec: one tree of [items](Item), three encodings of it, none of which needs to know a message's schema.
//!
//! ```text
//!                     +-- ttlv: binary, one encoding a tree
//!   Item, Value  <--> +-- json: {"tag": ..., "type": ..., "value": ...}
//!                     +-- xml:  <Tag type="..." value="..."/>
//! ```
//!
//! What one of them reads all of them write, and reading that gives the same tree: tags, enumeration values and mask bits
//! that no table knows are written as numbers, a big integer keeps its length. The one exception is a control character in
//! text, which XML cannot write.
//!
//! - [`tag`] and [`values`] are the names of KMIP 1.0 to 2.1. A name stands for the same number in all of these versions.
//! - Names that depend on a neighbour are found: the value of an attribute of KMIP 1.x has those of the attribute that the
//!   `AttributeName` before it names.
//! - Whatever is read, time and memory are in proportion to its length, within [`limits`]; nothing that is there leads to
//!   a panic. A [`DecodeError`] says what was read, where it goes wrong and how.
//! - Values may be keys: [`ByteString`] and [`BigInteger`] are overwritten when they are dropped, as is what is
//!   written, and `Debug` of an [`Item`] shows none of them.
//!
//! Placeholders such as `$UNIQUE_IDENTIFIER_0`, which the standard's test cases have for values of a run, mean nothing here:
//! where text is expected they are text, elsewhere they are refused as any other text would be.

mod big;
mod error;
mod item;
pub mod json;
mod lexer;
pub mod limits;
mod names;
mod text;
mod time;
pub mod ttlv;
mod view;
pub mod xml;

pub use big::BigInteger;
pub use error::{DecodeError, EncodeError, Fault};
pub use item::{ByteString, Item, Tag, Type, Value};
pub(in crate::kmip) use names::attribute_tag;
pub use names::{is_operation_name, tag, value_name, value_text, values};
pub use text::Layout;
pub use view::View;
