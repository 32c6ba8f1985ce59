//! Objects that the gateway keeps in a store: opaque ones, descriptors, and keys that are wrapped. There is no plain key.

use crate::kmip::codec::{ByteString, Item, Value, tag, values};
use crate::kmip::message::{Field, MessageError, Structure};

/// An `OpaqueObject` (KMIP 2.1 section 2.3): bytes that mean nothing to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaqueObject {
    /// What it is: a number that its owner chose, from `0x80000000` on.
    pub kind: u32,
    /// The bytes.
    pub value: ByteString,
}

/// A `SecretData` (KMIP 2.1 section 2.7) that is no secret: bytes that are to have a state, which opaque objects have not, and be
/// activated and revoked. Nothing that must not be read belongs into it: it is neither wrapped nor overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretData {
    /// One of [`SecretDataType`](values::SecretDataType).
    pub kind: u32,
    /// The bytes.
    pub value: ByteString,
}

/// A `SymmetricKey` whose key block is wrapped (KMIP 2.1 section 3.1 and 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Of the key inside: one of [`KeyFormatType`](values::KeyFormatType).
    pub format: u32,
    /// Of the key inside: one of [`CryptographicAlgorithm`](values::CryptographicAlgorithm).
    pub algorithm: u32,
    /// Of the key inside, in bits.
    pub length: i32,
    /// How it is wrapped.
    pub wrapping: KeyWrapping,
    /// The wrapped bytes.
    pub material: ByteString,
}

/// `KeyWrappingData`: how a key is wrapped, and under which one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyWrapping {
    /// One of [`WrappingMethod`](values::WrappingMethod).
    pub method: u32,
    /// The identifier of the key that it is wrapped under.
    pub unique_identifier: String,
    /// One of [`BlockCipherMode`](values::BlockCipherMode).
    pub block_cipher_mode: u32,
    /// The wrapping key's own algorithm, one of [`CryptographicAlgorithm`](values::CryptographicAlgorithm), if it is named.
    pub algorithm: Option<u32>,
    /// What was wrapped: the key alone or an encoded `KeyValue`; one of [`EncodingOption`](values::EncodingOption).
    pub encoding: u32,
}

impl OpaqueObject {
    pub(super) fn item(&self) -> Item {
        Structure::new(tag::OpaqueObject)
            .enumeration(tag::OpaqueDataType, self.kind)
            .bytes(tag::OpaqueDataValue, self.value.clone())
            .into()
    }

    pub(super) fn read(object: &Field<'_>) -> Result<Self, MessageError> {
        Ok(Self {
            kind: object.child(tag::OpaqueDataType)?.enumeration()?,
            value: object.child(tag::OpaqueDataValue)?.bytes()?.into(),
        })
    }
}

impl SecretData {
    pub(super) fn item(&self) -> Item {
        let value = Structure::new(tag::KeyValue).bytes(tag::KeyMaterial, self.value.clone());
        let block = Structure::new(tag::KeyBlock)
            .enumeration(tag::KeyFormatType, values::KeyFormatType::Opaque)
            .structure(value);
        Structure::new(tag::SecretData)
            .enumeration(tag::SecretDataType, self.kind)
            .structure(block)
            .into()
    }

    pub(super) fn read(object: &Field<'_>) -> Result<Self, MessageError> {
        let value = object.child(tag::KeyBlock)?.child(tag::KeyValue)?;
        Ok(Self {
            kind: object.child(tag::SecretDataType)?.enumeration()?,
            value: value.child(tag::KeyMaterial)?.bytes()?.into(),
        })
    }
}

impl WrappedKey {
    pub(super) fn item(&self) -> Item {
        // A wrapped KeyValue is bytes; a wrapped key is bytes in a KeyValue (KMIP 2.1 section 3.1).
        let value = match self.wrapping.encoding == values::EncodingOption::TTLVEncoding {
            true => Item::new(tag::KeyValue, Value::ByteString(self.material.clone())),
            false => Structure::new(tag::KeyValue)
                .bytes(tag::KeyMaterial, self.material.clone())
                .into(),
        };
        let block = Structure::new(tag::KeyBlock)
            .enumeration(tag::KeyFormatType, self.format)
            .items([value])
            .enumeration(tag::CryptographicAlgorithm, self.algorithm)
            .integer(tag::CryptographicLength, self.length)
            .structure(self.wrapping.structure());
        Structure::new(tag::SymmetricKey).structure(block).into()
    }

    /// A key that is not wrapped is refused, as one that lacks its `KeyWrappingData`.
    pub(super) fn read(key: &Field<'_>) -> Result<Self, MessageError> {
        let block = key.child(tag::KeyBlock)?;
        let wrapping = KeyWrapping::read(&block.child(tag::KeyWrappingData)?)?;
        let value = block.child(tag::KeyValue)?;
        let material = match &value.item().value {
            Value::ByteString(bytes) => bytes.clone(),
            _ => value.child(tag::KeyMaterial)?.bytes()?.into(),
        };
        Ok(Self {
            format: block.child(tag::KeyFormatType)?.enumeration()?,
            algorithm: block.child(tag::CryptographicAlgorithm)?.enumeration()?,
            length: block.child(tag::CryptographicLength)?.integer()?,
            wrapping,
            material,
        })
    }
}

impl KeyWrapping {
    fn structure(&self) -> Structure {
        let mut parameters = Structure::new(tag::CryptographicParameters)
            .enumeration(tag::BlockCipherMode, self.block_cipher_mode);
        if let Some(algorithm) = self.algorithm {
            parameters = parameters.enumeration(tag::CryptographicAlgorithm, algorithm);
        }
        let under = Structure::new(tag::EncryptionKeyInformation)
            .text(tag::UniqueIdentifier, &self.unique_identifier)
            .structure(parameters);
        Structure::new(tag::KeyWrappingData)
            .enumeration(tag::WrappingMethod, self.method)
            .structure(under)
            .enumeration(tag::EncodingOption, self.encoding)
    }

    fn read(data: &Field<'_>) -> Result<Self, MessageError> {
        let under = data.child(tag::EncryptionKeyInformation)?;
        let parameters = under.child(tag::CryptographicParameters)?;
        let algorithm = parameters.optional(tag::CryptographicAlgorithm)?;
        let encoding = data.optional(tag::EncodingOption)?;
        let encoding = encoding
            .map(|encoding| encoding.enumeration())
            .transpose()?;
        Ok(Self {
            method: data.child(tag::WrappingMethod)?.enumeration()?,
            unique_identifier: super::unique_identifier(&under)?,
            block_cipher_mode: parameters.child(tag::BlockCipherMode)?.enumeration()?,
            algorithm: algorithm.map(|found| found.enumeration()).transpose()?,
            // What it is where nothing is said (KMIP 2.1 section 3.2).
            encoding: encoding.unwrap_or(values::EncodingOption::TTLVEncoding),
        })
    }
}
