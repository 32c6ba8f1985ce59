//! Which gateway a client connects to next: the one that it was made for, or where that one sent it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::lookup_host;

use crate::group::limits::MAX_AWAY_ADDRESSES;
use crate::group::wire::is_address;

/// A gateway, by address or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gateway {
    /// As the client's options have it, and the name that its certificate must have.
    Home(SocketAddr, String),
    /// `HOST:PORT`; the certificate must be for the host.
    Elsewhere(String),
}

impl Gateway {
    /// Where it is now, and the name that its certificate must have.
    pub(super) async fn resolve(&self, like: SocketAddr) -> io::Result<(SocketAddr, String)> {
        let named = match self {
            Self::Home(address, name) => return Ok((*address, name.clone())),
            Self::Elsewhere(named) => named,
        };
        let found: Vec<SocketAddr> = lookup_host(named).await?.collect();
        // A socket speaks one version of IP; a client's own is made anew where it has to be.
        let same = found.iter().find(|one| one.is_ipv4() == like.is_ipv4());
        let address = same.or(found.first());
        let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let host = named.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok((*address.ok_or_else(none)?, host.to_owned()))
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(address, _) => address.fmt(f),
            Self::Elsewhere(named) => f.write_str(named),
        }
    }
}

/// The gateways that there are, in the order in which they are tried: first those that the last one named, then the own one, and round
/// again. Whoever serves is stayed with.
pub(super) struct Route {
    gateways: Vec<Gateway>,
    at: usize,
}

impl Route {
    pub(super) fn new(home: Gateway) -> Self {
        Self {
            gateways: vec![home],
            at: 0,
        }
    }

    /// The one whose turn it is.
    pub(super) fn next(&self) -> &Gateway {
        &self.gateways[self.at]
    }

    /// It does not serve: it is the next one's turn.
    pub(super) fn failed(&mut self) {
        self.at = (self.at + 1) % self.gateways.len();
    }

    /// The gateway goes, and names these. What is no address is passed over; without any it is come back to.
    pub(super) fn sent(&mut self, to: &[String]) {
        let named = to.iter().take(MAX_AWAY_ADDRESSES);
        let named = named.filter(|one| is_address(one)).cloned();
        let mut gateways: Vec<Gateway> = named.map(Gateway::Elsewhere).collect();
        if !gateways.is_empty() {
            // The own one is always the last.
            gateways.extend(self.gateways.pop());
            (self.gateways, self.at) = (gateways, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(route: &mut Route, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(route.next().to_string());
            route.failed();
        }
        names
    }

    #[test]
    fn those_that_were_named_come_first_and_home_is_never_forgotten() {
        let home = Gateway::Home("127.0.0.1:1".parse().expect("an address"), "a".into());
        let mut route = Route::new(home);
        assert_eq!(names(&mut route, 2), ["127.0.0.1:1", "127.0.0.1:1"]);
        route.sent(&["b:2".into(), "nonsense".into(), "c:3".into()]);
        assert_eq!(names(&mut route, 4), ["b:2", "c:3", "127.0.0.1:1", "b:2"]);
        route.sent(&[]);
        assert_eq!(
            route.next().to_string(),
            "c:3",
            "it comes back where it was"
        );
        let many: Vec<String> = (1..100).map(|port| format!("d:{port}")).collect();
        route.sent(&many);
        assert_eq!(route.gateways.len(), MAX_AWAY_ADDRESSES + 1);
        assert_eq!(names(&mut route, 9)[8], "127.0.0.1:1");
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_its_host_is_what_the_certificate_must_have() {
        let like: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        for (named, address, host) in [
            ("127.0.0.1:7", "127.0.0.1:7", "127.0.0.1"),
            ("[::1]:7", "[::1]:7", "::1"),
            ("localhost:7", "127.0.0.1:7", "localhost"),
        ] {
            let resolved = Gateway::Elsewhere(named.into()).resolve(like).await;
            let (found, name) = resolved.expect("it is known");
            assert_eq!((found.to_string().as_str(), name.as_str()), (address, host));
        }
    }
}
