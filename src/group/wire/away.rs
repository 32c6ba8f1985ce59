//! Where members go when their gateway does.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::{Message, Push};
use crate::group::limits::MAX_ADDRESS;

/// The gateway stops serving this connection: close it, come back later, here or at another gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GoAway {
    /// When to come back.
    #[n(0)]
    pub retry_after_ms: u64,
    /// Where to, as `HOST:PORT`, the first that serves; here again if there is none. A member goes there as whom it is, trusts
    /// whom it trusts, and wants the certificate to be for `HOST`; and comes here again where none of them serves it.
    #[n(1)]
    pub to: Option<Vec<String>>,
}

impl GoAway {
    /// The message that tells it, in so many bytes at most: of addresses that do not fit the last are left out.
    pub fn message_within(mut self, most: usize) -> Bytes {
        loop {
            let message = Push::GoAway(self.clone()).to_bytes();
            let fits = message.len() <= most;
            if fits || self.to.as_mut().and_then(Vec::pop).is_none() {
                return message;
            }
        }
    }
}

/// Whether this is an address as [`GoAway`] has them: a name or an IP address (of version 6 in brackets) and a port, such as
/// `gateway.example.org:7443` or `[2001:db8::7]:7443`.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let clear = |host: &str| {
        let letter = |sign: char| sign.is_ascii_alphanumeric() || "-._".contains(sign);
        match host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(letter),
        }
    };
    let parts = text.rsplit_once(':');
    text.len() <= MAX_ADDRESS
        && parts.is_some_and(|(host, port)| {
            let digits = port.chars().all(|sign| sign.is_ascii_digit());
            clear(host) && digits && port.parse::<u16>().is_ok_and(|port| port != 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::wire::datagram::MAX_GO_AWAY;

    #[test]
    fn addresses_that_do_not_fit_into_a_datagram_are_left_out() {
        let named = |count: usize| {
            let to = (0..count).map(|at| format!("{}:{}", "a".repeat(250), 1000 + at));
            GoAway {
                retry_after_ms: u64::MAX,
                to: Some(to.collect()),
            }
        };
        let told = |away: GoAway| Push::from_bytes(&away.message_within(MAX_GO_AWAY));
        let whole = Push::GoAway(named(4));
        assert_eq!(told(named(4)).expect("is a push"), whole);
        assert_eq!(told(named(8)).expect("is a push"), whole);
        let alone = GoAway::default();
        let message = alone.clone().message_within(0);
        assert_eq!(message, Push::GoAway(alone).to_bytes(), "never less");
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["a:1", "b.example.org:7443", "10.0.0.1:65535", "[::1]:7443"] {
            assert!(is_address(good), "{good}");
        }
        let long = format!("{}:1", "a".repeat(MAX_ADDRESS));
        for bad in [
            "", "a", "a:", ":1", "a:0", "a:65536", "a:+1", "::1:7", "[x]:1", "a b:1", &long,
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
