//! Why something is not read, or not written: what, where and how.

use thiserror::Error;

use super::View;
use super::item::{Tag, Type};
use super::limits::MAX_SHOWN;

/// Why received bytes are no message: which encoding was read, where it goes wrong and how.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the {view} is malformed at byte {offset}: {fault}")]
pub struct DecodeError {
    /// The encoding that was read.
    pub view: View,
    /// The offset of the item, value or sign at fault; the length of the input when it ends too early.
    pub offset: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with received bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// Longer than the bound for what is read.
    #[error("it is longer than {0} bytes, the most that is read")]
    TooLarge(usize),
    /// It ends before it is complete, or an item claims more than there is.
    #[error("it ends too early")]
    Truncated,
    /// Something follows the complete message.
    #[error("something follows the message")]
    Trailing,
    /// Items are nested beyond the bound.
    #[error("items are nested more than {max} deep", max = super::limits::MAX_DEPTH)]
    TooDeep,
    /// More items than the bound.
    #[error("there are more than {max} items", max = super::limits::MAX_ITEMS)]
    TooMany,
    /// A number that is no type's.
    #[error("no type has the number {0}")]
    UnknownType(u8),
    /// A length that values of the type do not have.
    #[error("a value of type {kind} is not {length} bytes long")]
    Length {
        /// The type.
        kind: Type,
        /// The length that is claimed.
        length: usize,
    },
    /// What fills a value up to eight bytes is not zero.
    #[error("the bytes that fill it up to a multiple of eight are not zero")]
    Padding,
    /// A structure's items end before or after it does.
    #[error("an item of it reaches beyond its structure's end")]
    Overrun,
    /// Text is not UTF-8.
    #[error("its text is not UTF-8")]
    NotText,
    /// A value is not written as its type demands.
    #[error("the value of type {kind} is not {expected}")]
    Value {
        /// The type.
        kind: Type,
        /// What it has to be, in words that follow "is not".
        expected: &'static str,
    },
    /// A name that no tag has.
    #[error(
        "no tag is called {0:?}; one without a name is written as its number, 0x and six hexadecimal digits"
    )]
    UnknownTag(Box<str>),
    /// A name that no type has.
    #[error("no type is called {0:?}")]
    UnknownTypeName(Box<str>),
    /// A name that no value of the tag has.
    #[error(
        "{tag} has no value called {name:?}; one without a name is written as its number, 0x and hexadecimal digits"
    )]
    UnknownName {
        /// The tag, or the attribute's of KMIP 1.x.
        tag: Tag,
        /// The name, cut off where it is long.
        name: Box<str>,
    },
    /// A part that every item has is missing.
    #[error("the item has no {0:?}")]
    Missing(&'static str),
    /// A part is there twice.
    #[error("the item has {0:?} twice")]
    Duplicate(&'static str),
    /// A part that no item has.
    #[error("an item has no part called {0:?}")]
    UnknownPart(Box<str>),
    /// The rules of JSON or XML are broken.
    #[error("{0}")]
    Syntax(&'static str),
}

/// So much of a name as an error repeats.
pub(super) fn shown(name: &str) -> Box<str> {
    let mut end = name.len().min(MAX_SHOWN);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].into()
}

/// Why a tree is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Longer than the bound.
    #[error("the message would be longer than {0} bytes, the most that is read")]
    TooLarge(usize),
    /// Items are nested beyond the bound.
    #[error("items are nested more than {max} deep", max = super::limits::MAX_DEPTH)]
    TooDeep,
    /// More items than the bound.
    #[error("there are more than {max} items", max = super::limits::MAX_ITEMS)]
    TooMany,
    /// A character that XML 1.0 has no way to write.
    #[error(
        "{tag} holds the character {character:?}, which XML cannot; use the binary form or JSON"
    )]
    NotXml {
        /// The item that holds it.
        tag: Tag,
        /// The character.
        character: char,
    },
}
