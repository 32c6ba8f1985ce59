//! KMIP, the Key Management Interoperability Protocol (OASIS), versions 1.0 to 2.1: messages, and how they are encoded.
//!
//! [`codec`] reads and writes any message in the three encodings of the standard, as a tree without a schema.

pub mod codec;
