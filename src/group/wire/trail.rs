//! The head of an audit trail, as a token signs it: a COSE_Sign1 whose parts stand in the trail's own record.
//!
//! ```text
//! Sig_structure = [                     ; RFC 9052, 4.4: these bytes are signed
//!   "Signature1",
//!   h'A10126',                          ; the protected header {1: -7}: ES256; {1: -49} in suite 2
//!   'wardcast/1 audit head',            ; the external additional data
//!   h'...'                              ; the payload: {0: suite, 1: sequence, 2: digest}
//! ]
//! ```
//!
//! # Why it cannot be taken for an epoch header, nor a header for it
//!
//! The same key signs both, so all that tells them apart is what is signed. That is one CBOR item in either case, whose third
//! element is the external additional data: [`TRAIL_AAD`] here, [`HEADER_AAD`] there. Two items that differ in an element
//! differ in their bytes, so a signature over one verifies for no reading of the other; whoever verifies builds the item
//! himself, with the data of what he expects. A token does not take the gateway's word for it either: this item it builds by
//! itself from a number and a digest, and of what it is asked to seal it looks at the third element first
//! ([`is_of_a_header`]).

use coset::{HeaderBuilder, ProtectedHeader, SignatureContext, sig_structure_data};
use minicbor::{Decode, Decoder, Encode};

use super::codec;
use super::header::{HEADER_AAD, algorithm};
use crate::group::ids::Suite;

/// The external additional data of a signature over a trail's head.
pub const TRAIL_AAD: &[u8] = b"wardcast/1 audit head";

/// A record of an audit trail, and with it all before: each line is hashed with the digest of the one before in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TrailHead {
    /// The record's number.
    #[n(0)]
    pub sequence: u64,
    /// The SHA-256 of its line.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub digest: [u8; 32],
}

#[derive(Encode)]
#[cbor(map)]
struct Payload {
    #[n(0)]
    suite: Suite,
    #[n(1)]
    sequence: u64,
    #[cbor(n(2), with = "minicbor::bytes")]
    digest: [u8; 32],
}

impl TrailHead {
    /// What the signature covers.
    pub fn signed(&self, suite: Suite) -> Vec<u8> {
        let TrailHead { sequence, digest } = *self;
        let protected = ProtectedHeader {
            original_data: None,
            header: HeaderBuilder::new().algorithm(algorithm(suite)).build(),
        };
        let payload = codec::encode(&Payload {
            suite,
            sequence,
            digest,
        });
        let context = SignatureContext::CoseSign1;
        sig_structure_data(context, protected, None, TRAIL_AAD, &payload)
    }
}

/// Whether what is to be signed is of an epoch header: the third element of the item that it is, or begins, says so.
pub fn is_of_a_header(signed: &[u8]) -> bool {
    let mut item = Decoder::new(signed);
    let mut external = || {
        let elements = item.array()?;
        let context = item.str()?;
        let _protected = item.bytes()?;
        let external = item.bytes()?;
        Ok::<_, minicbor::decode::Error>(
            elements == Some(4) && context == "Signature1" && external == HEADER_AAD,
        )
    };
    external().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::ids::{Epoch, GroupId, KeyRef, NodeId};
    use crate::group::wire::EpochHeader;

    const HEAD: TrailHead = TrailHead {
        sequence: 300,
        digest: [0xab; 32],
    };

    fn header(suite: Suite) -> EpochHeader {
        EpochHeader {
            suite,
            group: GroupId([7; 16]),
            epoch: Epoch(9),
            root: KeyRef {
                node: NodeId { level: 2, index: 0 },
                generation: 4,
                step: 1,
            },
            activation_delay_ms: 1000,
            retirement_delay_ms: 5000,
            sender_space: 0,
            members: 5,
            rollover: 0,
        }
    }

    #[test]
    fn what_is_signed_is_what_the_page_says() {
        let expected = [
            b"\x84\x6aSignature1\x43\xa1\x01\x26\x55wardcast/1 audit head\x58\x2a".as_slice(),
            b"\xa3\x00\x01\x01\x19\x01\x2c\x02\x58\x20",
            &[0xab; 32],
        ]
        .concat();
        assert_eq!(HEAD.signed(Suite::One), expected);
        assert_ne!(HEAD.signed(Suite::Two), expected);
    }

    #[test]
    fn only_what_has_the_headers_context_is_of_a_header() {
        for suite in Suite::ALL {
            let prefix = header(suite).prefix([3; 8]);
            assert!(is_of_a_header(&prefix));
            let signed = HEAD.signed(suite);
            // Nor is a beginning of it, to which a tag would be appended.
            for length in 0..=signed.len() {
                assert!(!is_of_a_header(&signed[..length]), "{length} bytes");
            }
            for length in 0..30 {
                assert!(!is_of_a_header(&prefix[..length]), "{length} bytes");
            }
        }
        for other in [
            &b""[..],
            b"a header",
            b"\x85\x6aSignature1\x40\x50wardcast/1 epoch",
            b"\x84\x69Signature\x40\x50wardcast/1 epoch",
            b"\x84\x6aSignature1\x40\x4fwardcast/1 epoc",
            b"\x9f\x6aSignature1\x40\x50wardcast/1 epoch",
        ] {
            assert!(!is_of_a_header(other), "{other:?}");
        }
    }
}
