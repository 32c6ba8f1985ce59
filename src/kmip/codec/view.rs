//! The three encodings, where it is not known beforehand which one is meant.

use std::fmt;

use zeroize::Zeroizing;

use super::{DecodeError, EncodeError, Item, Layout, json, ttlv, xml};

/// An encoding of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// The binary encoding.
    Ttlv,
    /// The JSON encoding.
    Json,
    /// The XML encoding.
    Xml,
}

impl View {
    /// The content type of its HTTP bodies (KMIP Profiles 2.1 section 5.2).
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Ttlv => "application/octet-stream",
            Self::Json => "application/json",
            Self::Xml => "text/xml",
        }
    }

    /// Reads exactly one item.
    ///
    /// # Errors
    ///
    /// As `decode` of [`ttlv`], [`json`] or [`xml`].
    pub fn decode(self, bytes: &[u8]) -> Result<Item, DecodeError> {
        match self {
            Self::Ttlv => ttlv::decode(bytes),
            Self::Json => json::decode(bytes),
            Self::Xml => xml::decode(bytes),
        }
    }

    /// Reads items one after another.
    ///
    /// # Errors
    ///
    /// As `decode_all` of [`ttlv`], [`json`] or [`xml`].
    pub fn decode_all(self, bytes: &[u8]) -> Result<Vec<Item>, DecodeError> {
        match self {
            Self::Ttlv => ttlv::decode_all(bytes),
            Self::Json => json::decode_all(bytes),
            Self::Xml => xml::decode_all(bytes),
        }
    }

    /// Writes an item; the layout means nothing to the binary encoding. What is written is overwritten when it is dropped.
    ///
    /// # Errors
    ///
    /// As `encode` of [`ttlv`], [`json`] or [`xml`].
    pub fn encode(self, item: &Item, layout: Layout) -> Result<Zeroizing<Vec<u8>>, EncodeError> {
        let mut text = match self {
            Self::Ttlv => return ttlv::encode(item),
            Self::Json => json::encode(item, layout)?,
            Self::Xml => xml::encode(item, layout)?,
        };
        Ok(Zeroizing::new(std::mem::take(&mut *text).into_bytes()))
    }
}

/// What people call it.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ttlv => "TTLV",
            Self::Json => "JSON",
            Self::Xml => "XML",
        })
    }
}
