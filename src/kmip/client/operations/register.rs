//! Register (KMIP 2.1 section 6.1.41): gives the store an object to keep.

use super::{OpaqueObject, Operation, SecretData, WrappedKey, unique_identifier};
use crate::kmip::client::attributes::{self, Attribute};
use crate::kmip::client::exchange::Request;
use crate::kmip::client::version::Version;
use crate::kmip::codec::{Item, tag, values};
use crate::kmip::message::{Field, MessageError, Structure};

/// Registers an object. The answer is its identifier.
///
/// It is never repeated when its answer is lost: there would be two objects. Whoever gives it a `Name` can locate it.
#[derive(Clone, Debug)]
pub struct Register {
    /// The object.
    pub object: Object,
    /// Its attributes. A wrapped key's algorithm and length are added to them.
    pub attributes: Vec<Attribute>,
}

/// An object that may be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// Bytes that mean nothing to the store.
    Opaque(OpaqueObject),
    /// Bytes with a state.
    SecretData(SecretData),
    /// A key that is wrapped.
    WrappedKey(WrappedKey),
}

impl Request for Register {
    fn operation(&self) -> u32 {
        values::Operation::Register
    }

    fn payload(&self, version: Version) -> Item {
        let mut attributes = self.attributes.clone();
        let (kind, item) = match &self.object {
            Object::Opaque(object) => (values::ObjectType::OpaqueObject, object.item()),
            Object::SecretData(data) => (values::ObjectType::SecretData, data.item()),
            Object::WrappedKey(key) => {
                attributes.push(Attribute::algorithm(key.algorithm));
                attributes.push(Attribute::length(key.length));
                (values::ObjectType::SymmetricKey, key.item())
            }
        };
        Structure::new(tag::RequestPayload)
            .enumeration(tag::ObjectType, kind)
            .items([attributes::of_new(version, &attributes), item])
            .into()
    }

    fn is_repeatable(&self) -> bool {
        false
    }
}

impl Operation for Register {
    type Answer = String;

    fn answer(&self, _version: Version, payload: &Field<'_>) -> Result<String, MessageError> {
        unique_identifier(payload)
    }
}
