//! The same cases through a token host: its server in a thread of the test, its socket beside the test's PIN file.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

use crate::hsm::host::lazy;
use crate::hsm::host::server::{HostOptions, Server, bind, serve};
use crate::hsm::{Opener, PinSource, TokenConfig, TokenError, TokenKind};

/// More than any case takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

thread_local! {
    /// How many hosts this test has started; none if it uses its token directly.
    static HOSTS: Cell<Option<u32>> = const { Cell::new(None) };
    static SERVERS: RefCell<Vec<Server>> = const { RefCell::new(Vec::new()) };
}

/// Runs a case whose tokens are opened through hosts.
pub(super) fn on(case: impl FnOnce()) {
    HOSTS.set(Some(0));
    case();
    let hosts = HOSTS.take();
    // A library that is unloaded under an open session crashes the process as it ends.
    for server in SERVERS.take() {
        server.stop();
        server.wait();
    }
    assert_ne!(hosts, Some(0), "the case opened a token, and did so here");
}

/// Opens the token: directly, or with a host of its own that serves until the test ends.
pub(super) fn open(config: &TokenConfig) -> Result<Opener, TokenError> {
    let Some(number) = HOSTS.get() else {
        return crate::hsm::open(config);
    };
    HOSTS.set(Some(number + 1));
    let PinSource::File(pin) = &config.pin else {
        panic!("a test's PIN is in a file of its directory");
    };
    let directory = pin.parent().unwrap_or(Path::new("."));
    let socket = directory.join(format!("host-{number}"));
    let listener = bind(&socket, false).expect("listens");
    // The host has a configuration of its own, which names a master that exists; the gateway's may not.
    let mut own = config.clone();
    own.master = super::MASTER;
    let server = serve(listener, lazy(own), HostOptions::default()).expect("serves");
    SERVERS.with_borrow_mut(|servers| servers.push(server));
    let mut here = config.clone();
    here.kind = TokenKind::Host {
        socket,
        patience: PATIENCE,
    };
    crate::hsm::open(&here)
}
