//! KMIP, the Key Management Interoperability Protocol (OASIS), versions 1.0 to 2.1: messages, and how they are encoded.
//!
//! [`codec`] reads and writes any message in the three encodings of the standard, as a tree without a schema. [`message`]
//! looks things up in such trees, with errors that name the place, and builds them. [`client`] asks a key store.

pub mod client;
pub mod codec;
pub mod message;
