//! Where a group's pushes go by IP multicast, and how long those who listen there wait.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An address that routers and switches take for a group of receivers, with a port: `239.1.2.3:7445` or `[ff15::7]:7445`.
///
/// ```
/// use wardcast::group::multicast::{MulticastAddress, NotMulticast};
///
/// let address: MulticastAddress = "239.1.2.3:7445".parse().unwrap();
/// assert_eq!(address.to_string(), "239.1.2.3:7445");
/// let unicast = "192.0.2.1:7445".parse::<MulticastAddress>();
/// assert!(matches!(unicast, Err(NotMulticast::Unicast(_))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MulticastAddress(SocketAddr);

/// Why something is no multicast address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotMulticast {
    /// It is no address with a port.
    #[error("{0:?} is no address with a port; write it as 239.1.2.3:7445 or [ff15::7]:7445")]
    Malformed(String),
    /// Nobody can join it.
    #[error(
        "{0} is no multicast address; those are 224.0.0.0 to 239.255.255.255, and what begins with ff"
    )]
    Unicast(IpAddr),
    /// Nothing can be sent there.
    #[error("{0} has port 0; choose another one")]
    NoPort(IpAddr),
}

impl MulticastAddress {
    /// Where to send to, and what to join.
    pub fn socket(self) -> SocketAddr {
        self.0
    }
}

impl TryFrom<SocketAddr> for MulticastAddress {
    type Error = NotMulticast;

    fn try_from(address: SocketAddr) -> Result<Self, NotMulticast> {
        let (ip, port) = (address.ip(), address.port());
        match (ip.is_multicast(), port) {
            (false, _) => Err(NotMulticast::Unicast(ip)),
            (true, 0) => Err(NotMulticast::NoPort(ip)),
            // Without the scope and the flow label that one of version 6 may have here: they mean nothing elsewhere.
            (true, _) => Ok(MulticastAddress((ip, port).into())),
        }
    }
}

impl FromStr for MulticastAddress {
    type Err = NotMulticast;

    fn from_str(text: &str) -> Result<Self, NotMulticast> {
        let address: SocketAddr = text
            .parse()
            .map_err(|_| NotMulticast::Malformed(text.to_owned()))?;
        address.try_into()
    }
}

impl TryFrom<String> for MulticastAddress {
    type Error = NotMulticast;

    fn try_from(text: String) -> Result<Self, NotMulticast> {
        text.parse()
    }
}

impl From<MulticastAddress> for String {
    fn from(address: MulticastAddress) -> String {
        address.to_string()
    }
}

impl fmt::Display for MulticastAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<C> Encode<C> for MulticastAddress {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(2)?;
        match self.0.ip() {
            IpAddr::V4(four) => e.bytes(&four.octets())?,
            IpAddr::V6(six) => e.bytes(&six.octets())?,
        };
        e.u16(self.0.port())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for MulticastAddress {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let at = d.position();
        let refused = |why| DecodeError::message(why).at(at);
        if d.array()? != Some(2) {
            return Err(refused("an address is an array of two"));
        }
        let octets = d.bytes()?;
        let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
        let ip = four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
        let ip = ip.map_err(|_| refused("an address has 4 or 16 bytes"))?;
        let address = SocketAddr::new(ip, d.u16()?);
        address
            .try_into()
            .map_err(|_| refused("not a multicast address with a port"))
    }
}

/// An optional address as text, which is empty where there is none: TOML has no null.
pub(super) mod text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::MulticastAddress;

    pub(in super::super) fn serialize<S: Serializer>(
        address: &Option<MulticastAddress>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str(""),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<MulticastAddress>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(D::Error::custom)
    }
}

/// How long those who listen wait, as the gateway tells them; in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MulticastTimes {
    /// Between two heartbeats.
    pub heartbeat_ms: u32,
    /// The longest between two reports of a member.
    pub report_ms: u32,
    /// Until the last repetition of a rekey has been sent: whoever lacks it asks no earlier.
    pub settle_ms: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_multicast_addresses_with_a_port_are_taken() {
        let parse = |text: &str| text.parse::<MulticastAddress>();
        for good in [
            "224.0.1.1:1",
            "239.255.255.255:65535",
            "[ff02::1]:7",
            "[ff15::7]:7445",
        ] {
            assert_eq!(parse(good).expect("is one").to_string(), good);
        }
        for unicast in ["127.0.0.1:5", "255.255.255.255:5", "[fe80::1]:5", "[::]:5"] {
            assert!(
                matches!(parse(unicast), Err(NotMulticast::Unicast(_))),
                "{unicast}"
            );
        }
        assert!(matches!(parse("239.0.0.1:0"), Err(NotMulticast::NoPort(_))));
        for none in ["", "239.0.0.1", "ff02::1", "somewhere:7"] {
            assert!(
                matches!(parse(none), Err(NotMulticast::Malformed(_))),
                "{none}"
            );
        }
    }

    #[test]
    fn an_address_survives_its_encoding_and_no_other_is_decoded() {
        for text in ["239.1.2.3:7445", "[ff15::7]:7445"] {
            let address: MulticastAddress = text.parse().expect("is one");
            let bytes = minicbor::to_vec(address).expect("encodes");
            let decoded: MulticastAddress = minicbor::decode(&bytes).expect("decodes");
            assert_eq!(decoded, address);
        }
        let unicast: [&[u8]; 4] = [
            b"\x82\x44\x7f\x00\x00\x01\x07",
            b"\x82\x44\xef\x00\x00\x01\x00",
            b"\x82\x43\xef\x00\x00\x07",
            b"\x81\x44\xef\x00\x00\x01",
        ];
        for bytes in unicast {
            assert!(minicbor::decode::<MulticastAddress>(bytes).is_err());
        }
    }
}
