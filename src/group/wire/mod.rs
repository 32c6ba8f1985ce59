//! The wire format: messages, the epoch header and their CBOR.
