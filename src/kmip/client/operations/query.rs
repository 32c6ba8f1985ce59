//! Query (KMIP 2.1 section 6.1.37): what a server is, and what it can do.

use super::Operation;
use crate::kmip::client::exchange::{Request, shown};
use crate::kmip::client::version::Version;
use crate::kmip::codec::{Item, tag, values};
use crate::kmip::message::{Field, MessageError, Structure};

/// Asks for operations, object types, the vendor and the namespaces of application specific information.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query;

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// Numbers of [`Operation`](values::Operation).
    pub operations: Vec<u32>,
    /// Numbers of [`ObjectType`](values::ObjectType).
    pub object_types: Vec<u32>,
    /// Who made it, shortened and on one line as messages about errors are.
    pub vendor: Option<String>,
    /// Namespaces of application specific information.
    pub application_namespaces: Vec<String>,
}

impl Request for Query {
    fn operation(&self) -> u32 {
        values::Operation::Query
    }

    fn payload(&self, _version: Version) -> Item {
        use values::QueryFunction as function;
        Structure::new(tag::RequestPayload)
            .enumeration(tag::QueryFunction, function::QueryOperations)
            .enumeration(tag::QueryFunction, function::QueryObjects)
            .enumeration(tag::QueryFunction, function::QueryServerInformation)
            .enumeration(tag::QueryFunction, function::QueryApplicationNamespaces)
            .into()
    }

    fn is_repeatable(&self) -> bool {
        true
    }
}

impl Operation for Query {
    type Answer = ServerFacts;

    fn answer(&self, _version: Version, payload: &Field<'_>) -> Result<ServerFacts, MessageError> {
        let numbers = |tag| -> Result<Vec<u32>, MessageError> {
            payload
                .children(tag)?
                .map(|found| found.enumeration())
                .collect()
        };
        let vendor = payload.optional(tag::VendorIdentification)?;
        let namespaces = payload.children(tag::ApplicationNamespace)?;
        Ok(ServerFacts {
            operations: numbers(tag::Operation)?,
            object_types: numbers(tag::ObjectType)?,
            vendor: vendor.map(|vendor| vendor.text()).transpose()?.map(shown),
            application_namespaces: namespaces
                .map(|found| found.text().map(str::to_owned))
                .collect::<Result<_, _>>()?,
        })
    }
}
