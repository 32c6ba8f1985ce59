//! Requests that are refused, each with the code that says why; peers that do not follow the protocol.

use std::time::Duration;

use quinn::{ConnectionError, VarInt};
use serde_json::json;
use wardcast::group::ids::{Epoch, MemberId, Suite};
use wardcast::group::limits::MAX_REQUEST;
use wardcast::group::wire::{
    Acknowledge, CloseCode, Leave, Message, Offer, Pull, RefusalCode, Request, Response, Resume,
    Status,
};
use wardcast::member::JoinError;
use wardcast::pki::Authority;
use wardcast::tls::Credentials;

use crate::support::{GROUP, Setup, Site, raw};

fn join(group: &str) -> Request {
    Request::Join(raw::join(group))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_join_that_is_refused_has_its_code() {
    let site = Site::start(Setup::default()).await;
    let policy = json!({
        "registrations_per_identity": 1,
        "member_limit": 2,
        "admit": [
            { "identity": "cn:anna", "roles": ["both"] },
            { "identity": "cn:b*", "roles": ["both"] },
        ],
    });
    site.create(GROUP, policy).await;
    let connect = async |name| raw::connect(&site, name).await.expect("a connection");
    let anna = connect("anna").await;
    raw::joined(&anna).await;
    let mut no_suite = raw::join(GROUP);
    no_suite.offer = Offer::of(Suite::Two, vec![6; 1_216]);
    let mut no_point = raw::join(GROUP);
    no_point.offer = Offer::of(Suite::One, vec![4; 65]);

    let (mallory, bert) = (connect("mallory").await, connect("bert").await);
    let cases = [
        (&anna, join("nowhere"), RefusalCode::UnknownGroup),
        (&mallory, join(GROUP), RefusalCode::NotAdmitted),
        (
            &bert,
            Request::Join(no_suite),
            RefusalCode::UnsupportedSuite,
        ),
        (&bert, Request::Join(no_point), RefusalCode::BadPublicKey),
        (&anna, join(GROUP), RefusalCode::AlreadyMember),
        (
            &connect("anna").await,
            join(GROUP),
            RefusalCode::TooManyRegistrations,
        ),
    ];
    for (connection, request, code) in cases {
        let refusal = raw::refused(connection, &request).await;
        assert_eq!(refusal.code, code, "{request:?}: {refusal}");
        assert_eq!(refusal.retry_after_ms.is_some(), code.passes());
    }
    raw::joined(&bert).await;
    let refusal = raw::refused(&connect("bruno").await, &join(GROUP)).await;
    assert_eq!(refusal.code, RefusalCode::Full);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_is_as_unknown_as_what_never_was() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let anna = raw::connect(&site, "anna").await.expect("a connection");
    let grant = raw::joined(&anna).await;
    let eve = raw::connect(&site, "eve").await.expect("a connection");
    let group = || GROUP.to_owned();
    let resume = |member, leaf| {
        Request::Resume(Resume {
            group: group(),
            member,
            leaf,
            epoch: Epoch(0),
            offer: None,
        })
    };
    let mut leaf = grant.leaf;
    leaf.generation += 1;
    let (member, epoch) = (grant.member, Epoch(0));
    let pull = Pull {
        group: group(),
        member,
        epoch,
        leaf: None,
        offer: None,
    };
    let held = Acknowledge {
        group: group(),
        member,
        epoch: Epoch(9),
    };
    let leave = Leave {
        group: group(),
        member,
    };
    let cases = [
        (&eve, resume(member, grant.leaf)),
        (&eve, resume(MemberId(999), grant.leaf)),
        (&eve, Request::Pull(pull)),
        (&eve, Request::Acknowledge(held)),
        (&eve, Request::Leave(leave)),
        (&eve, Request::Status(Status { group: group() })),
        (&anna, resume(member, leaf)),
    ];
    for (connection, request) in cases {
        let refusal = raw::refused(connection, &request).await;
        assert_eq!(refusal.code, RefusalCode::UnknownMember, "{request:?}");
    }
    assert_eq!(site.group(GROUP).await.members, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_and_oversized_requests_are_refused_and_the_connection_goes_on() {
    let site = Site::start(Setup::default()).await;
    site.create(GROUP, json!({})).await;
    let peer = raw::connect(&site, "peer").await.expect("a connection");
    let good = Request::Join(raw::join(GROUP)).to_bytes();
    let trailing = [&good[..], &[0]].concat();
    let malformed: [&[u8]; 6] = [
        b"",
        b"\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x9f; 100],
        &good[..20],
        &trailing,
    ];
    for bytes in malformed {
        match raw::ask_bytes(&peer, bytes).await {
            Response::Refused(refusal) => assert_eq!(refusal.code, RefusalCode::Malformed),
            other => panic!("{bytes:?}: {other:?}"),
        }
    }
    match raw::ask_bytes(&peer, &vec![0; MAX_REQUEST + 1]).await {
        Response::Refused(refusal) => assert_eq!(refusal.code, RefusalCode::TooLarge),
        other => panic!("{other:?}"),
    }
    raw::joined(&peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_revoked_or_of_another_authority_gets_nowhere() {
    let setup = Setup {
        revoked: &["rob"],
        ..Setup::default()
    };
    let site = Site::start(setup).await;
    site.create(GROUP, json!({})).await;
    raw::joined(&raw::connect(&site, "anna").await.expect("a connection")).await;
    let stranger = Authority::new("another").expect("an authority");
    let stranger = stranger
        .issue(&wardcast::pki::Request::client("anna"))
        .expect("a certificate");
    for credentials in [
        site.credentials("rob"),
        Credentials::new(stranger.chain(), stranger.key()),
    ] {
        let mut options = site.options("rob");
        options.credentials = credentials;
        options.patience = Duration::from_secs(2);
        let client = wardcast::member::Client::new(options).expect("a client");
        let joined = client.join(GROUP, wardcast::group::ids::Role::Both).await;
        let refused = matches!(&joined, Err(JoinError::GaveUp { .. }));
        assert!(refused, "{joined:?}");
    }
    assert_eq!(site.group(GROUP).await.members, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_names_nobody_is_told_so() {
    let site = Site::start(Setup::default()).await;
    // A common name with a space is no identity.
    let closed = match raw::connect(&site, "some body").await {
        Ok(connection) => connection.closed().await,
        Err(error) => error,
    };
    match closed {
        ConnectionError::ApplicationClosed(close) => {
            let code = CloseCode::NotAuthenticated.number();
            assert_eq!(close.error_code, VarInt::from_u32(code.into()));
        }
        other => panic!("{other}"),
    }
}
