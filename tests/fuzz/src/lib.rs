//! What the fuzz targets share: the core under test, compiled by its path, and the property of every message.

#[path = "../../../src/group/mod.rs"]
#[allow(missing_docs, dead_code, clippy::all)]
pub mod group;
#[path = "../../../src/tls/identity.rs"]
#[allow(dead_code)]
pub mod identity;

#[path = "../../../src/hsm/error.rs"]
#[allow(missing_docs, dead_code)]
mod error;
#[path = "../../../src/hsm/pin.rs"]
#[allow(missing_docs, dead_code)]
pub mod pin;
#[path = "../../../src/hsm/profile.rs"]
#[allow(missing_docs, dead_code)]
mod profile;
#[path = "../../../src/hsm/host/protocol.rs"]
#[allow(missing_docs, dead_code)]
pub mod protocol;

/// KMIP's messages, without the client, which has sockets.
#[path = "."]
pub mod kmip {
    #[path = "../../../src/kmip/codec/mod.rs"]
    #[allow(missing_docs, dead_code, unused_imports, clippy::all)]
    pub mod codec;
}

/// What the token host's messages name of the token's module.
pub mod hsm {
    pub use crate::error::{ErrorClass, TokenError};
    pub use crate::profile::{Profile, RingChange, Usage};
}

use std::fmt::Debug;

use group::wire::Message;
use kmip::codec::{EncodeError, Layout, View};

/// What decodes encodes again, to bytes that decode to the same; what does not is refused with an error that points
/// into the input.
pub fn message<M: Message + PartialEq + Debug>(bytes: &[u8]) {
    match M::from_bytes(bytes) {
        Ok(message) => {
            let encoded = message.to_bytes();
            assert!(encoded.len() <= bytes.len(), "the encoding is the shortest");
            assert_eq!(M::from_bytes(&encoded), Ok(message));
        }
        Err(error) => assert!(error.offset <= bytes.len()),
    }
}

/// What decodes encodes again in each of KMIP's encodings, to what decodes to the same; binary, to the same bytes. XML
/// alone cannot write all text.
pub fn kmip(view: View, bytes: &[u8]) {
    let item = match view.decode(bytes) {
        Ok(item) => item,
        Err(error) => return assert!(error.offset <= bytes.len()),
    };
    for to in [View::Ttlv, View::Json, View::Xml] {
        let encoded = match to.encode(&item, Layout::OneLine) {
            Ok(encoded) => encoded,
            Err(EncodeError::NotXml { .. }) if to == View::Xml && view != View::Xml => continue,
            Err(EncodeError::TooLarge(_)) if view != View::Ttlv => return,
            Err(error) => panic!("{to}: {error}"),
        };
        assert!(to != view || to != View::Ttlv || &encoded[..] == bytes);
        assert_eq!(to.decode(&encoded), Ok(item.clone()));
    }
}

/// The parts of an input that holds several.
pub fn split<'b>(bytes: &'b [u8], separator: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let at = bytes
            .windows(separator.len())
            .position(|part| part == separator);
        rest = at.map(|at| &bytes[at + separator.len()..]);
        Some(at.map_or(bytes, |at| &bytes[..at]))
    })
}
