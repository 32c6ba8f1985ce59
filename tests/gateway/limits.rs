//! Bounds that peers run into: connections, requests at a time, groups on a connection, handshakes that pile up.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use quinn::{ConnectionError, VarInt};
use serde_json::json;
use tokio::time::timeout;
use wardcast::group::wire::{CloseCode, RefusalCode, Request, Response};
use wardcast::member::Client;

use crate::support::{GROUP, Setup, Site, raw};

/// Requests of one connection at a time, as in `src/quic`.
const REQUESTS: usize = 8;
/// Registrations that one connection carries, as in `src/quic`.
const REGISTRATIONS: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_has_so_many_connections_and_no_more() {
    let setup = Setup {
        more: "[limits]\nconnections_per_identity = 2",
        ..Setup::default()
    };
    let site = Site::start(setup).await;
    let first = raw::connect(&site, "anna").await.expect("a connection");
    let _second = raw::connect(&site, "anna").await.expect("a connection");
    let third = match raw::connect(&site, "anna").await {
        Ok(connection) => connection.closed().await,
        Err(error) => error,
    };
    match third {
        ConnectionError::ApplicationClosed(close) => {
            let code = CloseCode::Overloaded.number();
            assert_eq!(close.error_code, VarInt::from_u32(code.into()));
        }
        other => panic!("{other}"),
    }
    let other = raw::connect(&site, "bert").await.expect("another identity");
    // A place is free again once a connection is over.
    first.close(VarInt::from_u32(0), b"");
    let again = async {
        loop {
            let connection = raw::connect(&site, "anna").await.expect("a handshake");
            let closed = timeout(Duration::from_millis(300), connection.closed()).await;
            if closed.is_err() {
                return;
            }
        }
    };
    timeout(crate::support::SOON, again).await.expect("a place");
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_requests_at_a_time() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let peer = raw::connect(&site, "peer").await.expect("a connection");
    // Requests that are begun and not finished.
    let mut open = Vec::new();
    let begin = async {
        loop {
            let (mut send, receive) = peer.open_bi().await.expect("a stream");
            send.write_all(&[0x82]).await.expect("written");
            open.push((send, receive));
        }
    };
    let none_left = timeout(Duration::from_secs(1), begin).await;
    assert!(
        none_left.is_err() && open.len() == REQUESTS,
        "{}",
        open.len()
    );
    // What was begun is refused when its time is over.
    let (send, receive) = open.remove(0);
    match raw::answer(receive).await {
        Response::Refused(refusal) => assert_eq!(refusal.code, RefusalCode::Malformed),
        other => panic!("{other:?}"),
    }
    // The places are free again once the peer gives the streams up.
    drop((send, open));
    raw::joined(&peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_carries_so_many_registrations() {
    let site = Site::start(Setup::default()).await;
    let peer = raw::connect(&site, "peer").await.expect("a connection");
    for number in 0..=REGISTRATIONS {
        let name = format!("group-{number}");
        site.create(&name, json!({})).await;
        let join = Request::Join(raw::join(&name));
        match raw::ask(&peer, &join).await {
            Response::Granted(_) => assert!(number < REGISTRATIONS),
            Response::Refused(refusal) => {
                assert_eq!(number, REGISTRATIONS, "{refusal}");
                assert_eq!(refusal.code, RefusalCode::TooManyRegistrations);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_bound_are_refused_at_once() {
    let setup = Setup {
        more: "[limits]\nconnections = 3",
        ..Setup::default()
    };
    let site = Site::start(setup).await;
    let mut connections = Vec::new();
    for name in ["a", "b", "c"] {
        connections.push(raw::connect(&site, name).await.expect("a connection"));
    }
    let refused = raw::connect(&site, "d").await;
    let closed = matches!(&refused, Err(ConnectionError::ConnectionClosed(_)));
    assert!(closed, "{refused:?}");
}

/// Forwards what comes to the gateway and nothing back: handshakes through it begin and do not end.
fn one_way(site: &Site) -> SocketAddr {
    let entry = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = entry.local_addr().expect("an address");
    let gateway = site.quic;
    std::thread::spawn(move || {
        let mut exits = HashMap::new();
        let mut packet = [0; 2_048];
        while let Ok((length, from)) = entry.recv_from(&mut packet) {
            let exit = exits
                .entry(from)
                .or_insert_with(|| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
            // The gateway ends before this thread does.
            let _ = exit.send_to(&packet[..length], gateway);
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn members_get_in_while_handshakes_pile_up() {
    let setup = Setup {
        more: "[limits]\nhandshakes = 8",
        ..Setup::default()
    };
    let site = Site::start(setup).await;
    site.create(GROUP, json!({})).await;
    // Not QUIC at all, and packets that begin like it.
    let noise = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for byte in 0..=255_u8 {
        noise.send_to(&[byte; 1_200], site.quic).expect("sent");
        noise.send_to(&[byte; 21], site.quic).expect("sent");
    }
    let entry = one_way(&site);
    let stuck: Vec<Client> = (0..30)
        .map(|number| {
            let mut options = site.options(&format!("stuck-{number}"));
            options.address = entry;
            Client::new(options).expect("a client")
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    // They fill half of the places; from there on an address must prove itself, which these cannot and this one can.
    let began = Instant::now();
    let peer = raw::connect(&site, "peer").await.expect("a connection");
    raw::joined(&peer).await;
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "it waited for the others"
    );
    drop(stuck);
}
