//! Encoding and decoding of whole messages: size bounds, the strict pass, typed errors.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use thiserror::Error;

use super::strict;
use crate::group::edges::EdgeError;

/// A message of the protocol: `[kind, body]`, encoded deterministically.
pub trait Message: Sized + for<'b> Decode<'b, ()> + Encode<()> {
    /// What the message is called in errors.
    const WHAT: &'static str;
    /// The greatest encoding that a receiver reads, in bytes.
    const LIMIT: usize;

    /// The message's encoding.
    fn to_bytes(&self) -> Bytes {
        encode(self)
    }

    /// Reads a message; anything but exactly one well-formed message is refused, at a cost linear in its length.
    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        decode(Self::WHAT, Self::LIMIT, bytes)
    }
}

/// Why received bytes are refused: what they were to be, where they go wrong and how.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} is malformed at byte {offset}: {fault}")]
pub struct WireError {
    /// What was being read.
    pub what: &'static str,
    /// The offset of the item at fault; the length of the input when it ends too early.
    pub offset: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with received bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// Longer than the bound for what is read.
    #[error("it is longer than {0} bytes")]
    TooLarge(usize),
    /// It ends before it is complete, or claims more than there is.
    #[error("it ends too early")]
    Truncated,
    /// Bytes follow the complete item.
    #[error("bytes follow it")]
    Trailing,
    /// Containers are nested beyond the bound.
    #[error("it is nested too deeply")]
    TooDeep,
    /// A length or integer is not in its shortest form, or a length is indefinite.
    #[error("its encoding is not the deterministic one")]
    NotDeterministic,
    /// A float, a tag or a simple value where the protocol has none.
    #[error("a tag, float or simple value has no place in it")]
    Forbidden,
    /// A text string is not UTF-8.
    #[error("its text is not UTF-8")]
    NotText,
    /// A map key is not an unsigned integer.
    #[error("a map key is not an unsigned integer")]
    Key,
    /// A map holds a key twice.
    #[error("key {0} is there twice")]
    DuplicateKey(u64),
    /// A map's keys do not ascend.
    #[error("its map keys do not ascend")]
    KeyOrder,
    /// An enumeration has no such number: a message kind, role, suite.
    #[error("a number there names nothing known")]
    UnknownVariant,
    /// A required field is missing.
    #[error("a required field is missing")]
    Missing,
    /// A value of another type than the protocol has there.
    #[error("a value has the wrong type")]
    Type,
    /// A value outside what the protocol allows there.
    #[error("{0}")]
    Value(&'static str),
    /// An up-edge that no tree has.
    #[error("{0}")]
    Edge(EdgeError),
}

/// The deterministic encoding of a value.
pub(super) fn encode<T: Encode<()>>(value: &T) -> Bytes {
    let encoded = minicbor::to_vec(value);
    Bytes::from(encoded.expect("a Vec takes all bytes, and no encoder here fails by itself"))
}

/// Reads exactly one item of at most `limit` bytes.
pub(super) fn decode<T>(what: &'static str, limit: usize, bytes: &[u8]) -> Result<T, WireError>
where
    T: for<'b> Decode<'b, ()>,
{
    let error = |offset, fault| WireError {
        what,
        offset,
        fault,
    };
    if bytes.len() > limit {
        return Err(error(limit, Fault::TooLarge(limit)));
    }
    check(what, bytes)?;
    let mut decoder = minicbor::Decoder::new(bytes);
    let value = decoder.decode().map_err(|e| {
        let offset = e.position().unwrap_or(decoder.position());
        error(offset, fault_of(&e))
    })?;
    match decoder.position() {
        end if end == bytes.len() => Ok(value),
        end => Err(error(end, Fault::Trailing)),
    }
}

/// Checks that there is exactly one item that follows the protocol's encoding rules.
pub(super) fn check(what: &'static str, bytes: &[u8]) -> Result<(), WireError> {
    strict::check(bytes).map_err(|(offset, fault)| WireError {
        what,
        offset,
        fault,
    })
}

/// An error of a decoder that holds text for people only: the protocol's own checks use [`refuse`].
fn fault_of(error: &minicbor::decode::Error) -> Fault {
    use std::error::Error as _;
    if error.is_end_of_input() {
        return Fault::Truncated;
    }
    if let Some(source) = error.source() {
        if let Some(Refusing(why)) = source.downcast_ref() {
            return Fault::Value(why);
        }
        if let Some(edge) = source.downcast_ref() {
            return Fault::Edge(*edge);
        }
    }
    if error.is_unknown_variant() {
        return Fault::UnknownVariant;
    }
    if error.is_missing_value() {
        return Fault::Missing;
    }
    if error.is_type_mismatch() {
        return Fault::Type;
    }
    Fault::Value("a value is out of its range")
}

/// A decoder's own refusal, with the reason as it is shown to people.
#[derive(Debug, Error)]
#[error("{0}")]
struct Refusing(&'static str);

/// An error for a value that decoded but is not allowed where it stands.
pub(super) fn refuse(why: &'static str, at: usize) -> minicbor::decode::Error {
    minicbor::decode::Error::custom(Refusing(why)).at(at)
}
