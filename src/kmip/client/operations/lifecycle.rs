//! Activate, Revoke, Archive, Recover and Destroy (KMIP 2.1 sections 6.1.1, 6.1.46, 6.1.4, 6.1.40 and 6.1.17).
//!
//! None of them is repeated when its answer is lost: the second time they fail, or date the change anew.

use super::{Operation, about, unique_identifier};
use crate::kmip::client::exchange::Request;
use crate::kmip::client::version::Version;
use crate::kmip::codec::{Item, Value, tag, values};
use crate::kmip::message::{Field, MessageError, Structure};

/// An operation that has an identifier and nothing else, and answers it.
macro_rules! by_identifier {
    ($($(#[$meta:meta])* $name:ident;)*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug)]
            pub struct $name {
                /// The identifier of the object.
                pub unique_identifier: String,
            }

            impl Request for $name {
                fn operation(&self) -> u32 {
                    values::Operation::$name
                }

                fn payload(&self, _version: Version) -> Item {
                    about(&self.unique_identifier).into()
                }

                fn is_repeatable(&self) -> bool {
                    false
                }
            }

            impl Operation for $name {
                type Answer = String;

                fn answer(
                    &self,
                    _version: Version,
                    payload: &Field<'_>,
                ) -> Result<String, MessageError> {
                    unique_identifier(payload)
                }
            }
        )*
    };
}

by_identifier! {
    /// Makes a pre-active object active. The answer is its identifier.
    Activate;
    /// Lets the server move an object to where it is not at hand. The answer is its identifier.
    Archive;
    /// Brings an archived object back. The answer is its identifier.
    Recover;
    /// Destroys an object: its attributes may stay. An active one is revoked before. The answer is its identifier.
    Destroy;
}

/// Makes an object deactivated or, for reasons of compromise, compromised. The answer is its identifier.
#[derive(Clone, Debug)]
pub struct Revoke {
    /// The identifier of the object.
    pub unique_identifier: String,
    /// One of [`RevocationReasonCode`](values::RevocationReasonCode).
    pub reason: u32,
    /// In words.
    pub message: Option<String>,
    /// Since when it is thought to be compromised, in seconds since 1970 began in UTC. For reasons of compromise alone.
    pub compromise_occurrence: Option<i64>,
}

impl Request for Revoke {
    fn operation(&self) -> u32 {
        values::Operation::Revoke
    }

    fn payload(&self, _version: Version) -> Item {
        let mut reason = Structure::new(tag::RevocationReason)
            .enumeration(tag::RevocationReasonCode, self.reason);
        if let Some(message) = &self.message {
            reason = reason.text(tag::RevocationMessage, message);
        }
        let occurred = self
            .compromise_occurrence
            .map(|seconds| Item::new(tag::CompromiseOccurrenceDate, Value::DateTime(seconds)));
        let payload = about(&self.unique_identifier).structure(reason);
        payload.items(occurred).into()
    }

    fn is_repeatable(&self) -> bool {
        false
    }
}

impl Operation for Revoke {
    type Answer = String;

    fn answer(&self, _version: Version, payload: &Field<'_>) -> Result<String, MessageError> {
        unique_identifier(payload)
    }
}
