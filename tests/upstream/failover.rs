//! Servers that are killed, come back, take over, close and fall silent; and what may be sent again.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use wardcast::kmip::client::{
    Batch, Client, ClientError, Get, Heard, Locate, Options, Query, TransportError, Version,
};
use wardcast::kmip::codec::{Item, values};

use crate::pykmip::PyKmip;
use crate::stub::{Reaction, Stub, operations, success};
use crate::{Site, calm, hasty, only, opaque};

const REGISTER: u32 = values::Operation::Register;

async fn answered_by(client: &Client) -> Result<String, ClientError> {
    let answers = client.exchange(&[&Query], Batch::default()).await?;
    Ok(answers.address)
}

/// Calls until it is so.
async fn until(client: &Client, wanted: impl Fn(&Result<String, ClientError>) -> bool) {
    let began = Instant::now();
    loop {
        let answer = answered_by(client).await;
        if wanted(&answer) {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "still {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_second_server_takes_over_until_the_first_is_back() {
    let site = Site::new();
    let mut first = PyKmip::start(&site.authority);
    let mut second = PyKmip::start(&site.authority);
    let client = site.client(&[&first.url(), &second.url()], calm());
    assert_eq!(client.addresses(), [first.url(), second.url()]);
    assert_eq!(client.heard(), Heard::default());
    assert_eq!(answered_by(&client).await, Ok(first.url()));
    let heard = client.heard();
    assert_eq!(heard.by, Some((first.url(), Version::V2_0)));
    assert!(heard.answered.is_some() && heard.trouble.is_none());
    first.kill();
    for _ in 0..10 {
        assert_eq!(
            answered_by(&client).await,
            Ok(second.url()),
            "nobody notices"
        );
    }
    client
        .call(&opaque("kept", b"x"))
        .await
        .expect("registered at the second");
    first.restart();
    until(&client, |answer| *answer == Ok(first.url())).await;
    first.kill();
    second.kill();
    until(&client, Result::is_err).await;
    let heard = client.heard();
    assert!(heard.trouble.is_some(), "{heard:?}");
    assert_eq!(heard.by, Some((first.url(), Version::V2_0)));
}

#[tokio::test]
async fn a_killed_server_comes_back_with_what_it_has() {
    let site = Site::new();
    let mut server = PyKmip::start(&site.authority);
    let client = site.client(&[&server.url()], calm());
    let register = opaque("kept", b"sealed");
    let unique_identifier = client.call(&register).await.expect("registered");
    server.kill();
    let refused = client.call(&register).await.expect_err("it is dead");
    assert!(!refused.is_unknown(), "nothing was sent: {refused}");
    assert!(refused.to_string().contains(&server.url()), "{refused}");
    let resting = |answer: &Result<String, ClientError>| matches!(answer, Err(ClientError::Resting { retry_after }) if !retry_after.is_zero());
    until(&client, resting).await;
    server.restart();
    until(&client, Result::is_ok).await;
    let got = client.call(&Get { unique_identifier }).await.expect("got");
    assert_eq!(got.object, register.object);
}

#[tokio::test]
async fn idle_connections_are_closed_and_replaced() {
    let site = Site::new();
    let server = PyKmip::start(&site.authority);
    let options = Options {
        idle: Duration::from_millis(200),
        ..Options::default()
    };
    let client = site.client(&[&server.url()], options);
    client.call(&Query).await.expect("facts");
    client.call(&Query).await.expect("facts");
    let began = Instant::now();
    while server.logged("Stopping session") < 2 {
        assert!(began.elapsed() < Duration::from_secs(5), "it is still open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.call(&Query).await.expect("facts");
    // One session is the look whether the server listens.
    assert_eq!(server.logged("Starting session"), 3);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_used() {
    let site = Site::new();
    let stub = Stub::start(&site, |request| Reaction::Last(success(request))).await;
    let client = site.client(&[&stub.url()], only(Version::V2_1));
    for _ in 0..3 {
        client.call(&opaque("a", b"x")).await.expect("registered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stub.operations(), [REGISTER; 3]);
}

#[tokio::test]
async fn a_register_whose_answer_is_lost_is_not_sent_again() {
    let site = Site::new();
    for silent in [false, true] {
        let react = move |request: &Item| match operations(request)[..] {
            [REGISTER] if silent => Reaction::Silence,
            [REGISTER] => Reaction::Close,
            _ => Reaction::Answer(success(request)),
        };
        let first = Stub::start(&site, react).await;
        let second = Stub::start(&site, react).await;
        let options = Options {
            versions: Version::V2_1..=Version::V2_1,
            ..hasty()
        };
        let client = site.client(&[&first.url(), &second.url()], options);
        let lost = client.call(&opaque("a", b"x")).await.expect_err("lost");
        assert!(lost.is_unknown(), "{lost}");
        let said = lost.to_string();
        assert!(said.contains("whether it was done is unknown"), "{said}");
        let expected = match silent {
            true => TransportError::TimedOut(Duration::from_millis(600)),
            false => TransportError::Closed,
        };
        assert!(
            matches!(lost, ClientError::Unknown { error, .. } if error == expected),
            "{said}"
        );
        assert_eq!(first.operations(), [REGISTER]);
        assert!(second.operations().is_empty());
        // In a batch with it, what may be repeated is not, either.
        let register = opaque("b", b"x");
        let batch = client
            .exchange(&[&Query, &register], Batch::default())
            .await;
        assert!(batch.is_ok(), "the stub knows no such batch: {batch:?}");
    }
}

#[tokio::test]
async fn what_may_be_repeated_is_within_a_bound() {
    let site = Site::new();
    let closing = Stub::start(&site, |_| Reaction::Close).await;
    let well = Stub::start(&site, |request| Reaction::Answer(success(request))).await;
    let options = Options {
        versions: Version::V2_1..=Version::V2_1,
        failures: 100,
        ..hasty()
    };
    let client = site.client(&[&closing.url(), &well.url()], options.clone());
    let located = client
        .call(&Locate::default())
        .await
        .expect("from the second");
    assert_eq!(located.unique_identifiers, ["1"]);
    assert_eq!(
        (closing.operations().len(), well.operations().len()),
        (1, 1)
    );

    let alone = site.client(&[&closing.url()], options);
    let failed = alone.call(&Locate::default()).await.expect_err("it closes");
    let error = TransportError::Closed;
    let address = closing.url();
    assert_eq!(failed, ClientError::Unreachable { address, error });
    assert_eq!(closing.operations().len(), 1 + 3, "three attempts");
}

/// A server that accepts and does nothing: neither TLS nor an answer.
#[tokio::test]
async fn a_silent_server_costs_an_attempt_and_then_rests() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = format!("kmips://{}", listener.local_addr().expect("an address"));
    let well = Stub::start(&site, |request| Reaction::Answer(success(request))).await;
    let options = Options {
        versions: Version::V2_1..=Version::V2_1,
        failures: 2,
        rest: (Duration::from_secs(60), Duration::from_secs(60)),
        ..hasty()
    };
    let client = site.client(&[&silent, &well.url()], options.clone());
    for (slow, name) in [(true, "a"), (true, "b"), (false, "c")] {
        let began = Instant::now();
        client
            .call(&opaque(name, b"x"))
            .await
            .expect("registered at the second");
        let took = began.elapsed();
        assert_eq!(took >= Duration::from_millis(600), slow, "{took:?}");
    }
    assert_eq!(well.operations(), [REGISTER; 3]);

    let alone = site.client(&[&silent], options);
    let began = Instant::now();
    let failed = alone.call(&Query).await.expect_err("it is silent");
    assert!(
        matches!(failed, ClientError::Unreachable { .. }),
        "{failed}"
    );
    assert!(
        began.elapsed() < Duration::from_millis(1_700),
        "two attempts, then it rests"
    );
    drop(listener);
}
