//! The epoch header: a COSE_Sign1 whose payload ends with the confirmation tag.

use bytes::Bytes;
use coset::{
    CborSerializable, CoseSign1, CoseSign1Builder, Header, HeaderBuilder, ProtectedHeader,
    RegisteredLabelWithPrivate, SignatureContext, TaggedCborSerializable, iana, sig_structure_data,
};
use minicbor::{Decode, Encode};

use super::codec::{self, Fault, WireError};
use crate::group::ids::{Epoch, GroupId, KeyRef, Suite};
use crate::group::limits::MAX_HEADER;

/// The external additional data of the signature: it keeps headers apart from all else that the key signs.
pub const HEADER_AAD: &[u8] = b"wardcast/1 epoch";
/// What precedes the tag at a payload's end: key 23, the head of a byte string of 16.
const TAG_HEAD: [u8; 2] = [0x17, 0x50];
const TAG: usize = 16;
/// The first bytes of every header: COSE_Sign1's tag 18, an array of four.
const FIRST: u8 = 0xd2;
const WHAT: &str = "epoch header";

/// What an epoch is: signed once by the token, the same for every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EpochHeader {
    /// The suite of the epoch's keys.
    #[n(0)]
    pub suite: Suite,
    /// The group.
    #[n(1)]
    pub group: GroupId,
    /// The epoch.
    #[n(2)]
    pub epoch: Epoch,
    /// The epoch's root key.
    #[n(3)]
    pub root: KeyRef,
    /// Senders that were not told to switch do so this long after they received the header.
    #[n(4)]
    pub activation_delay_ms: u32,
    /// Receivers drop the epochs before this one so long after it became active.
    #[n(5)]
    pub retirement_delay_ms: u32,
    /// Which sender space is in use: a member whose identifiers are of another one does not send.
    #[n(6)]
    pub sender_space: u32,
    /// Members in this epoch.
    #[n(7)]
    pub members: u64,
    /// How many rollovers there were: a member that was granted its leaf key before the last of them needs a new one.
    #[n(8)]
    pub rollover: u64,
}

/// The payload as it stands on the wire: the header's entries and, last, the tag.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Payload {
    #[n(0)]
    suite: Suite,
    #[n(1)]
    group: GroupId,
    #[n(2)]
    epoch: Epoch,
    #[n(3)]
    root: KeyRef,
    #[n(4)]
    activation_delay_ms: u32,
    #[n(5)]
    retirement_delay_ms: u32,
    #[n(6)]
    sender_space: u32,
    #[n(7)]
    members: u64,
    #[n(8)]
    rollover: u64,
    #[cbor(n(23), with = "minicbor::bytes")]
    tag: [u8; TAG],
}

/// A received header: parsed, not yet verified.
///
/// Whoever uses it verifies `signature` over `signed` with the issuer's signing key, and the tag over
/// [`prefix`](ParsedHeader::prefix) with the root's confirmation key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedHeader {
    /// What the header says.
    pub header: EpochHeader,
    /// AES-CMAC of the prefix under the root's confirmation key.
    pub tag: [u8; TAG],
    /// Prefix and tag: COSE's Sig_structure.
    pub signed: Vec<u8>,
    /// Over `signed`, as long as the header's suite says: ECDSA P-256 with SHA-256 (r and s), or ML-DSA-65.
    pub signature: Bytes,
    /// The first 8 bytes of SHA-256 over the issuer's signing key.
    pub key_id: [u8; 8],
}

impl ParsedHeader {
    /// What the confirmation tag covers: all that is signed, but the tag itself.
    pub fn prefix(&self) -> &[u8] {
        &self.signed[..self.signed.len() - TAG]
    }
}

impl EpochHeader {
    /// What tag and signature cover, up to the tag; `signed = prefix || tag`.
    pub fn prefix(&self, key_id: [u8; 8]) -> Vec<u8> {
        let mut signed = sig_structure_data(
            SignatureContext::CoseSign1,
            protected(self.suite, key_id),
            None,
            HEADER_AAD,
            &self.payload([0; TAG]),
        );
        signed.truncate(signed.len() - TAG);
        signed
    }

    /// The complete header.
    pub fn assemble(&self, key_id: [u8; 8], tag: [u8; TAG], signature: &[u8]) -> Bytes {
        let message = CoseSign1Builder::new()
            .protected(protected(self.suite, key_id).header)
            .payload(self.payload(tag))
            .signature(signature.to_vec())
            .build();
        let encoded = message.to_tagged_vec();
        Bytes::from(encoded.expect("a COSE_Sign1 of plain values encodes"))
    }

    /// Reads a header; anything but exactly one well-formed header is refused.
    pub fn parse(bytes: &[u8]) -> Result<ParsedHeader, WireError> {
        let refuse = |offset, fault| WireError {
            what: WHAT,
            offset,
            fault,
        };
        let value = |why| refuse(0, Fault::Value(why));
        if bytes.len() > MAX_HEADER {
            return Err(refuse(MAX_HEADER, Fault::TooLarge(MAX_HEADER)));
        }
        match bytes.split_first() {
            Some((&FIRST, rest)) => codec::check(WHAT, rest).map_err(|e| WireError {
                offset: e.offset + 1,
                ..e
            })?,
            Some(_) => return Err(value("it is not a tagged COSE_Sign1")),
            None => return Err(refuse(0, Fault::Truncated)),
        }
        let message =
            CoseSign1::from_tagged_slice(bytes).map_err(|_| value("it is not a COSE_Sign1"))?;
        let signed = message.tbs_data(HEADER_AAD);
        let payload = message.payload.as_ref().ok_or(value("it has no payload"))?;
        let Payload {
            suite,
            group,
            epoch,
            root,
            activation_delay_ms,
            retirement_delay_ms,
            sender_space,
            members,
            rollover,
            tag,
        } = codec::decode("epoch header's payload", MAX_HEADER, payload)?;
        let key_id = key_id(&message, suite).map_err(value)?;
        if message.signature.len() != suite.sizes().signature {
            return Err(value("its signature is not as long as its suite says"));
        }
        let tail = payload.len().saturating_sub(TAG_HEAD.len() + TAG);
        if payload[tail..] != [&TAG_HEAD[..], &tag[..]].concat() {
            return Err(value("its tag is not the payload's last entry"));
        }
        Ok(ParsedHeader {
            header: EpochHeader {
                suite,
                group,
                epoch,
                root,
                activation_delay_ms,
                retirement_delay_ms,
                sender_space,
                members,
                rollover,
            },
            tag,
            signed,
            signature: message.signature.into(),
            key_id,
        })
    }

    fn payload(&self, tag: [u8; TAG]) -> Vec<u8> {
        let EpochHeader {
            suite,
            group,
            epoch,
            root,
            activation_delay_ms,
            retirement_delay_ms,
            sender_space,
            members,
            rollover,
        } = *self;
        let payload = Payload {
            suite,
            group,
            epoch,
            root,
            activation_delay_ms,
            retirement_delay_ms,
            sender_space,
            members,
            rollover,
            tag,
        };
        codec::encode(&payload).into()
    }
}

/// How a suite's issuer signs.
pub(super) fn algorithm(suite: Suite) -> iana::Algorithm {
    match suite {
        Suite::One => iana::Algorithm::ES256,
        Suite::Two => iana::Algorithm::ML_DSA_65,
    }
}

fn protected(suite: Suite, key_id: [u8; 8]) -> ProtectedHeader {
    ProtectedHeader {
        original_data: None,
        header: HeaderBuilder::new()
            .algorithm(algorithm(suite))
            .key_id(key_id.to_vec())
            .build(),
    }
}

/// The key identifier, once both of COSE's headers are exactly what the protocol has there.
fn key_id(message: &CoseSign1, suite: Suite) -> Result<[u8; 8], &'static str> {
    let ProtectedHeader {
        header,
        original_data,
    } = &message.protected;
    let key_id = <[u8; 8]>::try_from(header.key_id.as_slice())
        .map_err(|_| "its key identifier is not 8 bytes")?;
    let expected = RegisteredLabelWithPrivate::Assigned(algorithm(suite));
    if header.alg.as_ref() != Some(&expected) {
        return Err("its algorithm is not that of its suite");
    }
    // One encoding only: what a lenient parser skipped here would be signed without having been read.
    let expected = protected(suite, key_id).header.to_vec().ok();
    if original_data.is_none() || *original_data != expected {
        return Err("its protected header is not {1: algorithm, 4: key identifier}");
    }
    if message.unprotected != Header::default() {
        return Err("its unprotected header is not empty");
    }
    Ok(key_id)
}
