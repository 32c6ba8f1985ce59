//! The operations that the gateway needs: what each asks for and what it answers, the same in all versions.

mod attributes;
mod discover_versions;
mod get;
mod lifecycle;
mod locate;
mod object;
mod query;
mod register;

pub use attributes::{AddAttribute, GetAttributeList, GetAttributes};
pub use discover_versions::DiscoverVersions;
pub use get::{Get, Got};
pub use lifecycle::{Activate, Archive, Destroy, Recover, Revoke};
pub use locate::{Locate, LocatePage, Located};
pub use object::{KeyWrapping, OpaqueObject, SecretData, WrappedKey};
pub use query::{Query, ServerFacts};
pub use register::{Object, Register};

use super::exchange::Request;
use super::version::Version;
use crate::kmip::codec::tag;
use crate::kmip::message::{Field, MessageError, Structure};

/// An operation with a typed answer.
pub trait Operation: Request {
    /// What it answers.
    type Answer;

    /// Reads the answer.
    ///
    /// # Errors
    ///
    /// When the payload of the response is not what the standard asks for.
    fn answer(&self, version: Version, payload: &Field<'_>) -> Result<Self::Answer, MessageError>;
}

/// A payload that begins with the identifier of an object.
fn about(unique_identifier: &str) -> Structure {
    Structure::new(tag::RequestPayload).text(tag::UniqueIdentifier, unique_identifier)
}

/// The identifier in a response.
fn unique_identifier(payload: &Field<'_>) -> Result<String, MessageError> {
    Ok(payload.child(tag::UniqueIdentifier)?.text()?.to_owned())
}
