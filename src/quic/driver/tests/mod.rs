//! The driver against clients of quinn.

mod site;

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::VarInt;
use quinn_proto::{ConnectionError, TransportErrorCode};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::site::{LONG, Site, lossy, within};
use super::streams::Broken;
use super::{Connection, ReadToEndError, SendStream};

/// Longer than any message of these tests.
const LONGEST: usize = 1 << 20;

/// Answers each request with what it was asked.
async fn echo(connection: &Connection) -> Result<(), ConnectionError> {
    loop {
        let (mut send, mut receive) = connection.accept_bi().await?;
        let asked = receive.read_to_end(LONGEST).await.expect("a request");
        let written = send.write_all_and_finish(&mut [asked.into()]).await;
        written.expect("is written");
    }
}

/// Half a message.
async fn begin(send: &mut SendStream) {
    let mut half = [Bytes::from_static(b"half")];
    send.write_all_chunks(&mut half).await.expect("is written");
}

async fn ask(client: &quinn::Connection, request: &[u8]) -> Vec<u8> {
    let (mut send, mut receive) = client.open_bi().await.expect("a stream");
    send.write_all(request).await.expect("is written");
    send.finish().expect("is finished");
    receive.read_to_end(LONGEST).await.expect("an answer")
}

#[tokio::test]
async fn both_ends_ask_and_know_who_the_other_is() {
    let site = Site::start();
    let (own, client) = site.connected().await;
    assert_eq!(
        own.remote_address(),
        site.client.local_addr().expect("is bound")
    );
    assert!(own.peer_identity().is_some());
    assert_eq!(own.close_reason(), None);
    let (mut mine, mut theirs) = ([0; 32], [0; 32]);
    let exported = own.export_keying_material(&mut mine, b"label", b"context");
    exported.expect("both are connected");
    let exported = client.export_keying_material(&mut theirs, b"label", b"context");
    exported.expect("both are connected");
    assert_eq!(mine, theirs);

    let echoing = own.clone();
    let echoing = tokio::spawn(async move { echo(&echoing).await });
    for length in [0, 1, 1_000, 60_000] {
        let request = vec![7; length];
        let answer = within("an answer", ask(&client, &request)).await;
        assert!(answer == request, "{length} bytes come back");
    }
    let answering = client.clone();
    let answering = tokio::spawn(async move {
        let (mut send, mut receive) = answering.accept_bi().await.expect("a stream");
        let asked = receive.read_to_end(LONGEST).await.expect("a request");
        send.write_all(&asked).await.expect("is written");
        send.finish().expect("is finished");
        sleep(LONG).await;
    });
    let (mut send, mut receive) = within("a stream", own.open_bi()).await.expect("a stream");
    let head = Bytes::from_static(b"head");
    let mut message = [head, Bytes::from(vec![1; 100_000])];
    let written = within("to be written", send.write_all_and_finish(&mut message)).await;
    written.expect("is written");
    let answer = within("an answer", receive.read_to_end(LONGEST)).await;
    assert_eq!(answer.map(|answer| answer.len()), Ok(100_004));
    answering.abort();
    client.close(5_u32.into(), b"done");
    let ended = within("its end", echoing).await.expect("no panic");
    assert!(matches!(ended, Err(ConnectionError::ApplicationClosed(_))));
    assert!(own.close_reason().is_some());
    drop((own, send, receive));
    site.is_freed().await;
}

#[tokio::test]
async fn a_request_that_is_too_long_is_stopped_and_others_go_on() {
    let site = Site::start();
    let (own, client) = site.connected().await;
    let (mut send, _receive) = client.open_bi().await.expect("a stream");
    send.write_all(&[1; 1_000]).await.expect("is written");
    let (_answer, mut receive) = within("a stream", own.accept_bi()).await.expect("a stream");
    let read = within("its bytes", receive.read_to_end(999)).await;
    assert_eq!(read, Err(ReadToEndError::TooLong));
    drop(receive);
    let stopped = within("to be stopped", send.stopped()).await;
    assert_eq!(stopped, Ok(Some(0_u32.into())));
    let asking = ask(&client, b"other");
    tokio::select! {
        answer = within("an answer", asking) => assert_eq!(answer, b"other"),
        ended = echo(&own) => panic!("it ended: {ended:?}"),
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_reset_and_stopped() {
    let site = Site::start();
    let (own, client) = site.connected().await;
    let (mut send, mut receive) = own.open_bi().await.expect("a stream");
    begin(&mut send).await;
    let (theirs, mut half) = within("a stream", client.accept_bi()).await.expect("one");
    drop(send);
    let read = within("its end", half.read_to_end(LONGEST)).await;
    let reset = quinn::ReadToEndError::Read(quinn::ReadError::Reset(0_u32.into()));
    assert_eq!(read, Err(reset));
    receive.stop(9_u32.into());
    let stopped = within("to be stopped", theirs.stopped()).await;
    assert_eq!(stopped, Ok(Some(9_u32.into())));

    // The other way round: what the client gives up is of no more use.
    let (mut send, mut receive) = own.open_bi().await.expect("a stream");
    begin(&mut send).await;
    let (mut theirs, mut half) = within("a stream", client.accept_bi()).await.expect("one");
    theirs.reset(3_u32.into()).expect("it is open");
    half.stop(4_u32.into()).expect("it is open");
    let read = within("its end", receive.read_to_end(LONGEST)).await;
    assert_eq!(read, Err(ReadToEndError::Broken(Broken)));
    let write = async {
        let chunk = Bytes::from(vec![0; 1_000]);
        while send.write_all_chunks(&mut [chunk.clone()]).await.is_ok() {}
    };
    within("to be stopped", write).await;
}

#[tokio::test]
async fn who_waits_is_told_that_the_connection_is_over() {
    let site = Site::with(|client| {
        client
            .max_concurrent_bidi_streams(1_u32.into())
            .stream_receive_window(1_000_u32.into());
    });
    let (own, client) = site.connected().await;
    let (mut send, mut receive) = own.open_bi().await.expect("the one stream");
    let mut message = [Bytes::from(vec![0; 10_000])];
    let ended = within("the end", async {
        let over = async {
            sleep(Duration::from_millis(50)).await;
            client.close(1_u32.into(), b"bye");
        };
        tokio::join!(
            own.accept_bi(),
            own.open_bi(),
            send.write_all_chunks(&mut message),
            receive.read_to_end(LONGEST),
            over,
        )
    })
    .await;
    assert!(ended.0.is_err() && ended.1.is_err());
    assert_eq!(ended.2, Err(Broken));
    assert_eq!(ended.3, Err(ReadToEndError::Broken(Broken)));
}

#[tokio::test]
async fn a_stream_is_opened_when_the_peer_lets_it() {
    let site = Site::with(|client| {
        client.max_concurrent_bidi_streams(1_u32.into());
    });
    let (own, client) = site.connected().await;
    let (mut send, mut receive) = own.open_bi().await.expect("the one stream");
    let early = timeout(Duration::from_millis(50), own.open_bi()).await;
    assert!(early.is_err(), "one alone is allowed");
    send.finish().expect("is finished");
    let answering = async {
        let (mut send, mut receive) = client.accept_bi().await.expect("a stream");
        receive.read_to_end(0).await.expect("nothing");
        send.finish().expect("is finished");
    };
    let read = async {
        receive.read_to_end(0).await.expect("nothing");
        own.open_bi().await.expect("another one")
    };
    within("another stream", async { tokio::join!(answering, read) }).await;
}

#[tokio::test]
async fn either_end_closes_and_nothing_is_left_of_it() {
    let site = Site::start();
    let (own, client) = site.connected().await;
    let inner = Arc::downgrade(&site.endpoint.lane().table().connections()[0]);
    own.close(7_u32.into(), b"go away");
    own.close(8_u32.into(), b"the first reason counts");
    assert_eq!(own.close_reason(), Some(ConnectionError::LocallyClosed));
    let closed = within("its end", client.closed()).await;
    let quinn::ConnectionError::ApplicationClosed(closed) = closed else {
        panic!("it is closed otherwise: {closed}");
    };
    assert_eq!(
        (closed.error_code, &closed.reason[..]),
        (7_u32.into(), &b"go away"[..])
    );
    drop(own);
    site.is_freed().await;
    assert_eq!(inner.strong_count(), 0);

    // Whoever is not held any more is closed.
    let (own, client) = site.connected().await;
    let clone = own.clone();
    drop(own);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(client.close_reason(), None);
    drop(clone);
    let closed = within("its end", client.closed()).await;
    let quinn::ConnectionError::ApplicationClosed(closed) = closed else {
        panic!("it is closed otherwise: {closed}");
    };
    assert_eq!(closed.error_code, VarInt::from_u32(0));
    site.is_freed().await;
}

#[tokio::test]
async fn who_is_refused_hears_of_it_and_who_must_prove_its_address_comes_again() {
    let site = Site::start();
    let refused = tokio::spawn(site.connecting());
    site.incoming().await.refuse();
    let error = within("a refusal", refused).await.expect("no panic");
    let Err(quinn::ConnectionError::ConnectionClosed(closed)) = error else {
        panic!("it is not refused");
    };
    assert_eq!(closed.error_code, TransportErrorCode::CONNECTION_REFUSED);

    let retried = tokio::spawn(site.connecting());
    let incoming = site.incoming().await;
    assert!(incoming.may_retry());
    incoming.retry();
    let incoming = site.incoming().await;
    assert!(!incoming.may_retry());
    let connecting = incoming.accept().expect("it may");
    let _own = within("a handshake", connecting).await.expect("connected");
    within("a handshake", retried)
        .await
        .expect("no panic")
        .expect("connected");
}

#[tokio::test]
async fn a_connection_that_goes_wrong_takes_no_other_with_it() {
    let site = Site::start();
    let (own, client) = site.connected().await;
    let (other, other_client) = site.connected().await;
    let inner = site.endpoint.lane().table().connections()[0].clone();
    let wrong = std::thread::spawn(move || {
        let _state = inner.state();
        panic!("as quinn-proto might");
    });
    assert!(wrong.join().is_err());
    let ended = within("its end", async {
        // It is found out with the next packet.
        let (mut send, _receive) = client.open_bi().await.expect("a stream");
        send.write_all(b"lost").await.expect("is written");
        own.accept_bi().await
    });
    assert!(ended.await.is_err());
    tokio::select! {
        answer = within("an answer", ask(&other_client, b"well")) => assert_eq!(answer, b"well"),
        ended = echo(&other) => panic!("it ended: {ended:?}"),
    }
    // Its handle is given to the next one: what is left of it does not take that along.
    let (next, next_client) = site.connected().await;
    drop(own);
    for _ in 0..3 {
        tokio::select! {
            answer = within("an answer", ask(&next_client, b"well")) => assert_eq!(answer, b"well"),
            ended = echo(&next) => panic!("it ended: {ended:?}"),
        }
        sleep(Duration::from_millis(5)).await;
    }
    drop((other, next));
    site.is_freed().await;
}

#[tokio::test]
async fn a_handshake_that_nobody_waits_for_ends() {
    let site = Site::start();
    let client = tokio::spawn(site.connecting());
    drop(site.incoming().await.accept().expect("it may"));
    let ended = within("its end", client).await.expect("no panic");
    assert!(ended.is_err());
    site.is_freed().await;
}

#[tokio::test]
async fn a_closed_endpoint_closes_all_and_takes_nobody_on() {
    let site = Site::start();
    let (own, client) = site.connected().await;
    let late = tokio::spawn(site.connecting());
    let late_incoming = site.incoming().await;
    site.endpoint.close(3_u32.into(), b"over");
    let closed = within("its end", client.closed()).await;
    assert!(matches!(
        closed,
        quinn::ConnectionError::ApplicationClosed(_)
    ));
    assert!(own.close_reason().is_some());
    let accepted = late_incoming.accept().expect("it may");
    assert!(within("its end", accepted).await.is_err());
    assert!(within("its end", late).await.expect("no panic").is_err());
    assert!(within("nobody", site.endpoint.accept()).await.is_none());
    let refused = within("a refusal", site.connecting()).await;
    assert!(matches!(
        refused,
        Err(quinn::ConnectionError::ConnectionClosed(_))
    ));
    drop(own);
    site.is_freed().await;
}

#[tokio::test]
async fn the_driver_ends_with_its_endpoint_and_the_last_connection() {
    let site = Site::start();
    let (own, client) = site.connected().await;
    let Site {
        endpoint, socket, ..
    } = site;
    assert!(endpoint.goes_round());
    within("another round", async {
        while !endpoint.goes_round() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    drop(endpoint);
    let echoing = own.clone();
    let echoing = tokio::spawn(async move { echo(&echoing).await });
    let answer = within("an answer", ask(&client, b"still there")).await;
    assert_eq!(answer, b"still there");
    drop(own);
    echoing.abort();
    within("its end", async {
        while socket.strong_count() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[test]
fn a_runtime_that_ends_leaves_nothing_behind() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (site, own, _client) = runtime.block_on(async {
        let site = Site::start();
        let (own, client) = site.connected().await;
        (site, own, client)
    });
    drop(runtime);
    assert!(!site.endpoint.lane().work().has_driver());
    assert!(own.close_reason().is_some(), "nobody drives it any more");
    let socket = site.socket.clone();
    drop((site, own));
    let began = std::time::Instant::now();
    while socket.strong_count() > 0 {
        assert!(began.elapsed() < LONG, "the socket is closed");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn a_member_may_go_elsewhere() {
    let site = Site::start();
    let (own, client) = site.connected().await;
    let another = UdpSocket::bind("127.0.0.1:0").expect("binds");
    let address = another.local_addr().expect("is bound");
    site.client.rebind(another).expect("is a socket");
    let answer = async { ask(&client, b"from elsewhere").await };
    tokio::select! {
        answer = within("an answer", answer) => assert_eq!(answer, b"from elsewhere"),
        ended = echo(&own) => panic!("it ended: {ended:?}"),
    }
    assert_eq!(own.remote_address(), address);
}

#[tokio::test]
async fn a_full_socket_loses_nothing() {
    let site = Site::start();
    let (own, client) = site.connected().await;
    let filling = site.socket.clone();
    let filling = tokio::spawn(async move {
        while let Some(socket) = filling.upgrade() {
            socket.fill();
            sleep(Duration::from_millis(1)).await;
        }
    });
    let asking = async {
        for _ in 0..20 {
            assert_eq!(ask(&client, &[5; 30_000]).await.len(), 30_000);
        }
    };
    tokio::select! {
        () = within("answers", asking) => {}
        ended = echo(&own) => panic!("it ended: {ended:?}"),
    }
    filling.abort();
}

#[tokio::test]
async fn a_peer_that_only_gives_signs_of_life_confirms_what_it_gets_now_and_then() {
    let site = Site::with(|client| {
        client.keep_alive_interval(Some(Duration::from_millis(2)));
    });
    let (_own, client) = site.connected().await;
    within("to be asked", async {
        while client.stats().frame_rx.ping < 3 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let stats = client.stats();
    assert!(stats.frame_rx.acks > 20 * stats.frame_rx.ping / 2, "rarely");
}

#[tokio::test]
async fn what_is_lost_is_sent_again() {
    let site = Site::start();
    let address = lossy(site.address());
    let connecting = site.client.connect(address, "localhost");
    let connecting = connecting.expect("is well-formed");
    let (own, client) = within("a connection", async {
        tokio::join!(site.accepted(), connecting)
    })
    .await;
    let client = client.expect("a connection");
    let asking = async {
        for length in 0..30 {
            let request = vec![1; 1_000 * length];
            assert_eq!(ask(&client, &request).await.len(), request.len());
        }
    };
    tokio::select! {
        () = within("answers", asking) => {}
        ended = echo(&own) => panic!("it ended: {ended:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connect_at_once_and_nothing_is_left_of_them() {
    const MANY: usize = 200;
    let site = Site::start();
    let endpoint = site.endpoint.clone();
    let serving = tokio::spawn(async move {
        let mut serving = JoinSet::new();
        while let Some(incoming) = endpoint.accept().await {
            serving.spawn(async move {
                let own = incoming.accept().expect("it may").await;
                echo(&own.expect("a connection")).await
            });
        }
        serving.join_all().await.len()
    });
    let mut asking = JoinSet::new();
    for number in 0..MANY {
        let connecting = site.connecting();
        asking.spawn(async move {
            let client = connecting.await.expect("a connection");
            let request = vec![number as u8; 10 * number];
            assert!(ask(&client, &request).await == request);
            client.close(0_u32.into(), b"");
        });
    }
    within("answers", asking.join_all()).await;
    site.is_freed().await;
    site.endpoint.close(0_u32.into(), b"");
    let served = within("its end", serving).await.expect("no panic");
    assert_eq!(served, MANY);
}
