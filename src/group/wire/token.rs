//! A bearer token, as a join presents it: a secret of its owner's.

use std::fmt;

use minicbor::decode::{Decode, Decoder, Error as DecodeError};
use minicbor::encode::{Encode, Encoder, Error as EncodeError, Write};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::codec::refuse;
use crate::group::limits::MAX_TOKEN;

/// Text of 1 to [`MAX_TOKEN`] printable characters of ASCII. Erased on drop, shown as `Token(..)`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Token(String);

impl Token {
    /// Takes it as it is; none if it cannot be one.
    pub fn new(token: &str) -> Option<Self> {
        let good = token.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = (1..=MAX_TOKEN).contains(&token.len());
        (good && fits).then(|| Self(token.to_owned()))
    }

    /// The token itself: only for whoever verifies it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Token {}

impl<C> Encode<C> for Token {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Token {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let at = d.position();
        let why = "a token is 1 to 8192 printable characters of ASCII";
        Token::new(d.str()?).ok_or_else(|| refuse(why, at))
    }
}
