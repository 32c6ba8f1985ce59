//! Locate (KMIP 2.1 section 6.1.30): finds objects by their attributes.

use super::Operation;
use crate::kmip::client::attributes::{self, Attribute};
use crate::kmip::client::exchange::Request;
use crate::kmip::client::version::Version;
use crate::kmip::codec::{Item, Value, tag, values};
use crate::kmip::message::{Field, MessageError, Structure};

/// Finds the objects that have all of these attributes.
#[derive(Clone, Debug, Default)]
pub struct Locate {
    /// Such as [`Attribute::name`], [`Attribute::object_group`], [`Attribute::object_type`].
    pub attributes: Vec<Attribute>,
    /// No more than these.
    pub maximum_items: Option<u32>,
}

/// Finds the same, but for the first so many in the server's order: the objects that no single answer has room for.
#[derive(Clone, Debug, Default)]
pub struct LocatePage {
    /// What is looked for.
    pub locate: Locate,
    /// How many are left out.
    pub offset: u32,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The identifiers, in the server's order.
    pub unique_identifiers: Vec<String>,
    /// How many there are, if the server says so; more than the identifiers where these were limited.
    pub located_items: Option<i32>,
}

impl Request for Locate {
    fn operation(&self) -> u32 {
        values::Operation::Locate
    }

    fn payload(&self, version: Version) -> Item {
        self.after(version, 0)
    }

    fn is_repeatable(&self) -> bool {
        true
    }
}

impl Locate {
    fn after(&self, version: Version, offset: u32) -> Item {
        let number = |tag, number: u32| {
            let number = i32::try_from(number).unwrap_or(i32::MAX);
            Item::new(tag, Value::Integer(number))
        };
        let maximum = self.maximum_items;
        let offset = (offset > 0).then_some(offset);
        Structure::new(tag::RequestPayload)
            .items(maximum.map(|most| number(tag::MaximumItems, most)))
            .items(offset.map(|first| number(tag::OffsetItems, first)))
            .items(attributes::to_locate(version, &self.attributes))
            .into()
    }
}

impl Request for LocatePage {
    fn operation(&self) -> u32 {
        values::Operation::Locate
    }

    fn payload(&self, version: Version) -> Item {
        self.locate.after(version, self.offset)
    }

    fn is_repeatable(&self) -> bool {
        true
    }
}

impl Operation for LocatePage {
    type Answer = Located;

    fn answer(&self, version: Version, payload: &Field<'_>) -> Result<Located, MessageError> {
        self.locate.answer(version, payload)
    }
}

impl Operation for Locate {
    type Answer = Located;

    fn answer(&self, _version: Version, payload: &Field<'_>) -> Result<Located, MessageError> {
        let located = payload.optional(tag::LocatedItems)?;
        let found = payload.children(tag::UniqueIdentifier)?;
        Ok(Located {
            unique_identifiers: found
                .map(|found| found.text().map(str::to_owned))
                .collect::<Result<_, _>>()?,
            located_items: located.map(|located| located.integer()).transpose()?,
        })
    }
}
