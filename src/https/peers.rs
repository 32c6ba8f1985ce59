//! How many connections come from one address: nobody takes all places alone.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by address. Clones share them.
#[derive(Clone)]
pub(super) struct Peers {
    most: usize,
    /// As many as there are connections: addresses without one are not kept.
    known: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The place of one connection.
pub(super) struct Place {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// At most so many of one address.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            known: Arc::default(),
        }
    }

    /// A place, if the address has not as many as it may.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut known = self.known();
        let count = known.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place {
            peers: self.clone(),
            address,
        })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.peers.known();
        if let Some(count) = known.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                known.remove(&self.address);
            }
        }
    }
}

/// What one host has for itself: of IPv6 that is a network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            Ipv6Addr::from(network).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_places_and_gives_them_back() {
        let peers = Peers::new(2);
        let one = address("192.0.2.1");
        let first = peers.enter(one).expect("a place");
        let _second = peers.enter(address("::ffff:192.0.2.1")).expect("the same");
        assert!(peers.enter(one).is_none());
        assert!(peers.enter(address("192.0.2.2")).is_some());
        drop(first);
        let again = peers.enter(one);
        assert!(again.is_some() && peers.enter(one).is_none());
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        let peers = Peers::new(1);
        let _one = peers.enter(address("2001:db8::1")).expect("a place");
        assert!(peers.enter(address("2001:db8::ffff:2")).is_none());
        drop(
            peers
                .enter(address("2001:db8:0:1::1"))
                .expect("another network"),
        );
        assert_eq!(peers.known().len(), 1, "nothing is kept of who is gone");
    }
}
