//! The sandbox, in a child process of each test: it is for good.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use super::*;
use crate::group::ids::MasterId;
use crate::group::operations::Operation;
use crate::hsm::check::PREFIX;
use crate::hsm::conformance::softhsm::{directory, in_child};
use crate::hsm::conformance::{MASTER, batch, key};
use crate::hsm::{RingChange, TokenConfig, open, provision};

fn closed(network: bool) -> SandboxOptions {
    SandboxOptions {
        write: vec![directory().join("tokens")],
        network,
        required: false,
    }
}

fn refused<T>(what: &str, tried: std::io::Result<T>) {
    let Err(error) = tried else {
        panic!("{what}: is possible");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{what}");
}

fn works(config: &TokenConfig) {
    let mut token = open(config).and_then(|opener| opener()).expect("opens");
    let leaf = key(0, 0, 1, 0);
    let seal = Operation::Seal {
        root: key(1, 0, 1, 0),
        prefix: PREFIX.to_vec(),
    };
    let edge = Operation::Wrap {
        child: leaf,
        parent: key(1, 0, 1, 0),
    };
    let outputs = token.execute_one(&batch(vec![edge, seal]));
    assert_eq!(outputs.expect("executes").len(), 2);
}

#[test]
fn a_token_works_in_a_sandbox_and_nothing_else_does() {
    in_child(
        "hsm::host::sandbox::tests::a_token_works_in_a_sandbox_and_nothing_else_does",
        1,
        |config| {
            let outside = directory().join("outside");
            fs::write(&outside, "before").expect("writes");
            let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
            let address = listener.local_addr().expect("an address");
            let confinement = enter(&closed(false)).expect("enters");
            assert_eq!(confinement.missing, Vec::<&str>::new());
            assert_eq!(confinement.to_string(), "sandboxed");

            refused("writing a file", fs::write(&outside, "after"));
            refused("a new file", fs::File::create(directory().join("new")));
            refused("a new folder", fs::create_dir(directory().join("folder")));
            refused("removing a file", fs::remove_file(&outside));
            refused("TCP", TcpStream::connect(address));
            refused("UDP", UdpSocket::bind("127.0.0.1:0"));
            refused("a program", Command::new("true").spawn());
            assert_eq!(fs::read_to_string(&outside).expect("reads"), "before");
            fs::write("/dev/null", "nothing").expect("writes");

            // The library is loaded here for the first time, and makes keys.
            provision(config).expect("provisions");
            works(config);
            let mut other = config.clone();
            other.master = MasterId(2);
            assert_eq!(provision(&other).expect("provisions").created.len(), 1);
            works(config);
        },
    );
}

#[test]
fn a_ring_changes_in_a_sandbox() {
    in_child(
        "hsm::host::sandbox::tests::a_ring_changes_in_a_sandbox",
        1,
        |config| {
            enter(&closed(false)).expect("enters");
            provision(config).expect("provisions");
            let mut token = open(config).and_then(|opener| opener()).expect("opens");
            let added = MasterId(7);
            let masters = token.ring(RingChange::Create(added)).expect("creates");
            assert_eq!(masters, [MASTER, added]);
            let masters = token.ring(RingChange::Destroy(added)).expect("destroys");
            assert_eq!(masters, [MASTER]);
        },
    );
}

#[test]
fn a_library_may_be_given_its_network() {
    in_child(
        "hsm::host::sandbox::tests::a_library_may_be_given_its_network",
        1,
        |config| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
            let address = listener.local_addr().expect("an address");
            let confinement = enter(&closed(true)).expect("enters");
            assert_eq!(confinement.to_string(), "sandboxed, network allowed");
            TcpStream::connect(address).expect("connects");
            refused("a program", Command::new("true").spawn());
            refused("a new file", fs::File::create(directory().join("new")));
            provision(config).expect("provisions");
            works(config);
        },
    );
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let options = SandboxOptions {
        write: vec!["/nowhere/at/all".into()],
        ..SandboxOptions::default()
    };
    let error = enter(&options).expect_err("names it").to_string();
    assert!(error.contains("/nowhere/at/all"), "{error}");
    assert!(error.contains("create it"), "{error}");
}

#[test]
fn what_a_kernel_lacks_is_said() {
    let confinement = Confinement {
        network: true,
        missing: vec![
            "Landlock (writing to files)",
            "seccomp (networks, programs)",
        ],
    };
    assert_eq!(
        confinement.to_string(),
        "sandboxed, network allowed, without Landlock (writing to files) and seccomp (networks, programs)"
    );
}
