//! What a member offers to be granted a leaf key with: an ephemeral public key of each suite that it has.

use bytes::Bytes;
use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};

use super::codec::refuse;
use super::fields::octets;
use crate::group::ids::{Suite, Suites};

/// Ephemeral public keys, fresh for every request: a leaf key is wrapped for the one of the group's suite. There is one at
/// least, and each is as long as its suite says.
///
/// ```cddl
/// offer = {? 1: point, ? 2: hybrid-key, more}     ; by the suite's number
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    keys: Keys,
}

/// The keys as they stand in a map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Keys {
    #[cbor(n(1), with = "octets", default, skip_if = "Bytes::is_empty")]
    one: Bytes,
    #[cbor(n(2), with = "octets", default, skip_if = "Bytes::is_empty")]
    two: Bytes,
}

impl Keys {
    fn of(&self, suite: Suite) -> &Bytes {
        match suite {
            Suite::One => &self.one,
            Suite::Two => &self.two,
        }
    }
}

impl Offer {
    /// An offer of one suite.
    pub fn of(suite: Suite, key: impl Into<Bytes>) -> Self {
        let keys = Keys::default();
        Offer { keys }.with(suite, key)
    }

    /// This offer, and a key of another suite.
    pub fn with(mut self, suite: Suite, key: impl Into<Bytes>) -> Self {
        match suite {
            Suite::One => self.keys.one = key.into(),
            Suite::Two => self.keys.two = key.into(),
        }
        self
    }

    /// The member's key of a suite, if it has that suite.
    pub fn key(&self, suite: Suite) -> Option<&Bytes> {
        Some(self.keys.of(suite)).filter(|key| !key.is_empty())
    }

    /// The suites that the member has.
    pub fn suites(&self) -> Suites {
        let offered = Suite::ALL.into_iter();
        offered.filter(|&suite| self.key(suite).is_some()).collect()
    }

    /// The keys that were read, when they make an offer.
    pub(super) fn checked(one: Bytes, two: Bytes) -> Result<Self, &'static str> {
        let offer = Offer {
            keys: Keys { one, two },
        };
        let fits = |suite: Suite| {
            let key = offer.key(suite);
            key.is_none_or(|key| key.len() == suite.sizes().member)
        };
        if !fits(Suite::One) {
            return Err("a member's key of suite 1 is a point of 65 bytes");
        }
        if !fits(Suite::Two) {
            return Err("a member's key of suite 2 is 1216 bytes");
        }
        if offer.suites() == Suites::default() {
            return Err("an offer has a key of one suite at least");
        }
        Ok(offer)
    }
}

impl<C> Encode<C> for Offer {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        self.keys.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Offer {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, DecodeError> {
        let at = d.position();
        let Keys { one, two } = Keys::decode(d, ctx)?;
        Offer::checked(one, two).map_err(|why| refuse(why, at))
    }
}
