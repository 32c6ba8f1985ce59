//! What a request is called, from whoever asks to the token and the key store.

use std::fmt;
use std::sync::Arc;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
const MAX_LENGTH: usize = 64;
/// Requests that are named where many led to one thing: the others' own records say what they led to.
pub const MAX_NAMED: usize = 8;

/// What a request is called on record, in logs, traces and answers, and to whoever is asked on its behalf. It says nothing about who
/// asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// This one, if it is well-formed: at most 64 letters and digits of ASCII, and `-`, `_` and `.` between them.
    pub fn new(text: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let good = (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(known);
        good.then(|| RequestId(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u64> for RequestId {
    /// 16 hexadecimal digits.
    fn from(number: u64) -> Self {
        RequestId(format!("{number:016x}").into())
    }
}

impl TryFrom<String> for RequestId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let why = "a request is called by 1 to 64 letters and digits of ASCII, '-', '_' and '.'";
        RequestId::new(&text).ok_or(why)
    }
}

impl<C> Encode<C> for RequestId {
    fn encode<W: Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RequestId {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let text = decoder.str()?;
        RequestId::new(text).ok_or_else(|| decode::Error::message("no name of a request"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The requests that led to one thing, in order: the first [`MAX_NAMED`] by name, the others by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Requests {
    #[n(0)]
    #[cbor(decode_with = "few")]
    named: Vec<RequestId>,
    #[n(1)]
    others: u32,
}

/// No more than are ever named: a token host writes them into its log, whatever a gateway sends.
fn few<C>(decoder: &mut Decoder<'_>, context: &mut C) -> Result<Vec<RequestId>, decode::Error> {
    let mut named = Vec::new();
    for request in decoder.array_iter_with::<C, RequestId>(context)? {
        if named.len() == MAX_NAMED {
            return Err(decode::Error::message("too many names of requests"));
        }
        named.push(request?);
    }
    Ok(named)
}

impl Requests {
    /// One more.
    pub fn add(&mut self, request: &RequestId) {
        match self.named.len() {
            MAX_NAMED.. => self.others = self.others.saturating_add(1),
            _ => self.named.push(request.clone()),
        }
    }

    /// These as well.
    pub fn append(&mut self, more: &Requests) {
        for request in &more.named {
            self.add(request);
        }
        self.others = self.others.saturating_add(more.others);
    }

    /// Whether none is known to have led to it.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

/// As in `0a1b… 0a1c… +12`.
impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, request) in self.named.iter().enumerate() {
            let between = if place == 0 { "" } else { " " };
            write!(f, "{between}{request}")?;
        }
        match self.others {
            0 => Ok(()),
            others => write!(f, " +{others}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_few_characters_that_mean_nothing_anywhere() {
        let long = "a".repeat(65);
        for bad in ["", "a b", "a\nb", "ä", "a\"b", &long] {
            assert_eq!(RequestId::new(bad), None, "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<RequestId>(&json).is_err(), "{bad:?}");
            let cbor = minicbor::to_vec(bad).unwrap();
            assert!(minicbor::decode::<RequestId>(&cbor).is_err(), "{bad:?}");
        }
        let good = RequestId::new(&long[1..]).unwrap();
        let json = serde_json::to_string(&good).unwrap();
        assert_eq!(json, format!("{:?}", &long[1..]));
        assert_eq!(serde_json::from_str::<RequestId>(&json).unwrap(), good);
        let cbor = minicbor::to_vec(&good).unwrap();
        assert_eq!(minicbor::decode::<RequestId>(&cbor).unwrap(), good);
    }

    #[test]
    fn few_requests_are_named_and_the_others_counted() {
        let mut requests = Requests::default();
        assert!(requests.is_empty());
        for number in 0..2 {
            requests.add(&RequestId::from(number));
        }
        assert_eq!(requests.to_string(), "0000000000000000 0000000000000001");
        for number in 2..20 {
            requests.add(&RequestId::from(number));
        }
        let shown = requests.to_string();
        assert!(shown.ends_with("0000000000000007 +12"), "{shown}");
        let cbor = minicbor::to_vec(&requests).unwrap();
        assert_eq!(minicbor::decode::<Requests>(&cbor).unwrap(), requests);
        requests.named.push(RequestId::from(20));
        let cbor = minicbor::to_vec(&requests).unwrap();
        assert!(minicbor::decode::<Requests>(&cbor).is_err());
    }
}
