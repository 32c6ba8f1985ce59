//! The versions of the protocol that the client speaks.

use std::fmt;

use crate::kmip::codec::{Item, tag};
use crate::kmip::message::{Field, MessageError, Structure};

/// A version of KMIP. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// KMIP 1.4: attributes have names.
    V1_4,
    /// KMIP 2.0: attributes have tags.
    V2_0,
    /// KMIP 2.1.
    V2_1,
}

impl Version {
    /// All of them, the oldest first.
    pub const ALL: [Self; 3] = [Self::V1_4, Self::V2_0, Self::V2_1];

    /// The two numbers of the version, the major one first.
    #[must_use]
    pub fn numbers(self) -> (i32, i32) {
        match self {
            Self::V1_4 => (1, 4),
            Self::V2_0 => (2, 0),
            Self::V2_1 => (2, 1),
        }
    }

    /// The version of two numbers, if the client speaks it.
    #[must_use]
    pub fn of(numbers: (i32, i32)) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|version| version.numbers() == numbers)
    }

    /// Whether attributes are items with tags of their own (KMIP 2.x), rather than pairs of a name and a value (KMIP 1.x).
    #[must_use]
    pub fn has_attribute_tags(self) -> bool {
        self >= Self::V2_0
    }

    /// As messages have it.
    #[must_use]
    pub fn item(self) -> Item {
        let (major, minor) = self.numbers();
        Structure::new(tag::ProtocolVersion)
            .integer(tag::ProtocolVersionMajor, major)
            .integer(tag::ProtocolVersionMinor, minor)
            .into()
    }

    /// Both numbers of a `ProtocolVersion`, whatever they are.
    ///
    /// # Errors
    /// When one of them is missing, or is no integer.
    pub fn numbers_in(version: &Field<'_>) -> Result<(i32, i32), MessageError> {
        let major = version.child(tag::ProtocolVersionMajor)?.integer()?;
        let minor = version.child(tag::ProtocolVersionMinor)?.integer()?;
        Ok((major, minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.numbers();
        write!(f, "{major}.{minor}")
    }
}
