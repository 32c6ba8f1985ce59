//! The client of a key store upstream, against a real PyKMIP server, a small stand-in for what that lacks, and hostile stubs.

#[path = "../support/pykmip.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod pykmip;

mod answers;
mod command;
mod failover;
mod lifecycle;
mod metrics;
mod operations;
mod queue;
mod renewal;
mod stand_in;
#[allow(dead_code, reason = "tests of the front use more of it")]
mod store;
mod stub;

use std::time::Duration;

use wardcast::kmip::client::{
    Attribute, Client, Endpoint, Object, OpaqueObject, Options, Register, Version,
};
use wardcast::kmip::codec::View;
use wardcast::pki::{Authority, Request};
use wardcast::tls::{Credentials, Trust};

/// An authority, and what it issues.
struct Site {
    authority: Authority,
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new("test").expect("an authority");
        Self { authority }
    }

    fn trust(&self) -> Trust {
        Trust::new([self.authority.certificate().clone()], Vec::new()).expect("an authority")
    }

    fn credentials(&self, name: &str) -> Credentials {
        let issued = self.authority.issue(&Request::client(name));
        let issued = issued.expect("a certificate");
        Credentials::new(issued.chain(), issued.key())
    }

    /// A client whose name is `gateway`, of TTLV addresses.
    fn client(&self, urls: &[&str], options: Options) -> Client {
        let endpoints = urls.iter().map(|url| endpoint(url, View::Ttlv));
        self.client_of("gateway", &endpoints.collect::<Vec<_>>(), options)
    }

    fn client_of(&self, name: &str, endpoints: &[Endpoint], options: Options) -> Client {
        let client = Client::new(endpoints, self.credentials(name), &self.trust(), options);
        client.expect("a client")
    }
}

fn endpoint(url: &str, encoding: View) -> Endpoint {
    Endpoint::new(url, encoding).expect("an address")
}

/// Only this version.
fn only(version: Version) -> Options {
    Options {
        versions: version..=version,
        ..Options::default()
    }
}

/// For PyKMIP, which may be slow where much runs beside it; an address rests for a short time.
fn calm() -> Options {
    Options {
        deadline: Duration::from_secs(20),
        attempt: Duration::from_secs(10),
        ..hasty()
    }
}

/// In a hurry: what a test waits for comes soon.
fn hasty() -> Options {
    Options {
        deadline: Duration::from_secs(3),
        attempt: Duration::from_millis(600),
        rest: (Duration::from_millis(200), Duration::from_millis(400)),
        ..Options::default()
    }
}

/// An opaque object with a name.
fn opaque(name: &str, value: &[u8]) -> Register {
    Register {
        object: Object::Opaque(OpaqueObject {
            // The one kind that PyKMIP knows.
            kind: 0x8000_0000,
            value: value.into(),
        }),
        attributes: vec![Attribute::name(name), Attribute::object_group("group")],
    }
}
