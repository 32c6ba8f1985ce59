//! Discover Versions (KMIP 2.1 section 6.1.18): which versions a server speaks.

use super::Operation;
use crate::kmip::client::exchange::Request;
use crate::kmip::client::version::Version;
use crate::kmip::codec::{Item, tag, values};
use crate::kmip::message::{Field, MessageError, Structure};

/// Asks which of these versions the server speaks; all that it speaks where none is named. The answer has the two numbers of
/// each, in the order of the server's preference.
#[derive(Clone, Debug, Default)]
pub struct DiscoverVersions {
    /// Versions, the oldest first.
    pub versions: Vec<Version>,
}

impl Request for DiscoverVersions {
    fn operation(&self) -> u32 {
        values::Operation::DiscoverVersions
    }

    fn payload(&self, _version: Version) -> Item {
        let versions = self.versions.iter().rev().map(|version| version.item());
        Structure::new(tag::RequestPayload).items(versions).into()
    }

    fn is_repeatable(&self) -> bool {
        true
    }
}

impl Operation for DiscoverVersions {
    type Answer = Vec<(i32, i32)>;

    fn answer(&self, _version: Version, payload: &Field<'_>) -> Result<Self::Answer, MessageError> {
        let versions = payload.children(tag::ProtocolVersion)?;
        versions.map(|found| Version::numbers_in(&found)).collect()
    }
}
