//! Get Attributes, Get Attribute List and Add Attribute (KMIP 2.1 sections 6.1.21, 6.1.22 and 6.1.2).

use super::{Operation, about, unique_identifier};
use crate::kmip::client::attributes::{self, Attribute, AttributeName};
use crate::kmip::client::exchange::Request;
use crate::kmip::client::version::Version;
use crate::kmip::codec::{Item, values};
use crate::kmip::message::{Field, MessageError};

/// Gets attributes of an object: those that are named and that it has, or all where none is named.
#[derive(Clone, Debug)]
pub struct GetAttributes {
    /// The identifier of the object.
    pub unique_identifier: String,
    /// Which ones.
    pub names: Vec<AttributeName>,
}

impl Request for GetAttributes {
    fn operation(&self) -> u32 {
        values::Operation::GetAttributes
    }

    fn payload(&self, version: Version) -> Item {
        let names = attributes::references(version, &self.names);
        about(&self.unique_identifier).items(names).into()
    }

    fn is_repeatable(&self) -> bool {
        true
    }
}

impl Operation for GetAttributes {
    type Answer = Vec<Attribute>;

    fn answer(
        &self,
        version: Version,
        payload: &Field<'_>,
    ) -> Result<Vec<Attribute>, MessageError> {
        attributes::read(version, payload)
    }
}

/// Gets the names of all attributes of an object.
#[derive(Clone, Debug)]
pub struct GetAttributeList {
    /// The identifier of the object.
    pub unique_identifier: String,
}

impl Request for GetAttributeList {
    fn operation(&self) -> u32 {
        values::Operation::GetAttributeList
    }

    fn payload(&self, _version: Version) -> Item {
        about(&self.unique_identifier).into()
    }

    fn is_repeatable(&self) -> bool {
        true
    }
}

impl Operation for GetAttributeList {
    type Answer = Vec<AttributeName>;

    fn answer(
        &self,
        version: Version,
        payload: &Field<'_>,
    ) -> Result<Vec<AttributeName>, MessageError> {
        attributes::read_references(version, payload)
    }
}

/// Adds an attribute to an object. The answer is the object's identifier.
#[derive(Clone, Debug)]
pub struct AddAttribute {
    /// The identifier of the object.
    pub unique_identifier: String,
    /// The attribute.
    pub attribute: Attribute,
}

impl Request for AddAttribute {
    fn operation(&self) -> u32 {
        values::Operation::AddAttribute
    }

    fn payload(&self, version: Version) -> Item {
        let attribute = attributes::to_add(version, &self.attribute);
        about(&self.unique_identifier).items([attribute]).into()
    }

    fn is_repeatable(&self) -> bool {
        false
    }
}

impl Operation for AddAttribute {
    type Answer = String;

    fn answer(&self, _version: Version, payload: &Field<'_>) -> Result<String, MessageError> {
        unique_identifier(payload)
    }
}
