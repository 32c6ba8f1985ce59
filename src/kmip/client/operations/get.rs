//! Get (KMIP 2.1 section 6.1.20): an object, as the store has it.

use super::{Object, OpaqueObject, Operation, SecretData, WrappedKey, about, unique_identifier};
use crate::kmip::client::exchange::Request;
use crate::kmip::client::version::Version;
use crate::kmip::codec::{Item, tag, values};
use crate::kmip::message::{Field, MessageError};

/// Gets the object of an identifier. A key is neither wrapped nor unwrapped for it.
#[derive(Clone, Debug)]
pub struct Get {
    /// The identifier.
    pub unique_identifier: String,
}

/// An object that was got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// The identifier.
    pub unique_identifier: String,
    /// The object.
    pub object: Object,
}

impl Request for Get {
    fn operation(&self) -> u32 {
        values::Operation::Get
    }

    fn payload(&self, _version: Version) -> Item {
        about(&self.unique_identifier).into()
    }

    fn is_repeatable(&self) -> bool {
        true
    }
}

impl Operation for Get {
    type Answer = Got;

    /// An object of another type, or a key that is not wrapped, is an error.
    fn answer(&self, _version: Version, payload: &Field<'_>) -> Result<Got, MessageError> {
        let key = payload.optional(tag::SymmetricKey)?;
        let data = payload.optional(tag::SecretData)?;
        let object = match (key, data) {
            (Some(key), _) => Object::WrappedKey(WrappedKey::read(&key)?),
            (None, Some(data)) => Object::SecretData(SecretData::read(&data)?),
            (None, None) => {
                let object = payload.child(tag::OpaqueObject)?;
                Object::Opaque(OpaqueObject::read(&object)?)
            }
        };
        let unique_identifier = unique_identifier(payload)?;
        Ok(Got {
            unique_identifier,
            object,
        })
    }
}
