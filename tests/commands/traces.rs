//! Names of requests, and traces as a collector gets them (OTLP over HTTP).

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::gateway::Gateway;
use crate::join::Joined;
use crate::place::{Place, SOON, ended};

/// Far more than one export has.
const MAX_BODY: usize = 16 << 20;

/// A collector: whatever it is sent is a request of OTLP, or the test fails.
struct Collector {
    address: SocketAddr,
    requests: Receiver<ExportTraceServiceRequest>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (told, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, told) = (stream.expect("a connection"), told.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                    while let Some(request) = export(&mut reader) {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
                        (&stream).write_all(answer).expect("is answered");
                        // The test may be over.
                        let _ = told.send(request);
                    }
                });
            }
        });
        Collector { address, requests }
    }

    fn endpoint(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    /// Waits for a span that is like this, and keeps all that come.
    fn until(&self, spans: &mut Vec<Span>, what: &str, like: impl Fn(&Span) -> bool) -> Span {
        let began = Instant::now();
        loop {
            if let Some(found) = spans.iter().find(|span| like(span)) {
                return found.clone();
            }
            match self.requests.recv_timeout(Duration::from_millis(100)) {
                Ok(request) => spans.extend(taken(request)),
                Err(RecvTimeoutError::Timeout) => {
                    assert!(began.elapsed() < SOON, "no {what}: {spans:#?}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// One export; none when the connection ends.
fn export(reader: &mut BufReader<TcpStream>) -> Option<ExportTraceServiceRequest> {
    let mut headers = HashMap::new();
    let mut first = String::new();
    // It ends with its peer's process, whichever way.
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    assert!(first.starts_with("POST /v1/traces HTTP/1.1"), "{first}");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => break,
        };
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let length: usize = headers["content-length"].parse().expect("a number");
    assert!(length < MAX_BODY);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    Some(ExportTraceServiceRequest::decode(&body[..]).expect("OTLP"))
}

/// The spans of an export, all of the gateway's service.
fn taken(request: ExportTraceServiceRequest) -> impl Iterator<Item = Span> {
    request.resource_spans.into_iter().flat_map(|of_resource| {
        let resource = of_resource.resource.expect("a resource");
        assert_eq!(text(&resource.attributes, "service.name"), "wardcast");
        of_resource.scope_spans.into_iter().flat_map(|of| of.spans)
    })
}

fn text(attributes: &[KeyValue], name: &str) -> String {
    attribute(attributes, name).unwrap_or_else(|| panic!("{name}: none, in {attributes:#?}"))
}

fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|one| one.key == name)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_rekey_is_one_trace_with_what_it_consists_of() {
    let place = Place::provisioned();
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let variables = [
        ("WARDCAST_TRACE__ENDPOINT", endpoint.as_str()),
        ("WARDCAST_TRACE__RATIO", "1"),
    ];
    let gateway = Gateway::start_with(&place, &variables);
    gateway.admin(&place, "group create studio").exits(0);
    let mut member = Joined::start(&place, &gateway, "alice", &[]);
    member.until("installed");
    gateway.admin(&place, "group rotate studio").exits(0);
    member.until("installed");

    let mut spans = Vec::new();
    // The first is that of the join.
    let rekey = collector.until(&mut spans, "rekey", |span| {
        span.name == "change" && attribute(&span.attributes, "epoch").as_deref() == Some("2")
    });
    assert!(rekey.parent_span_id.is_empty(), "{rekey:#?}");
    assert_eq!(text(&rekey.attributes, "requests").len(), 16);
    for part in ["store", "token", "push", "acknowledgements"] {
        let child = collector.until(&mut spans, part, |span| {
            span.name == part && span.parent_span_id == rekey.span_id
        });
        assert_eq!(child.trace_id, rekey.trace_id);
        assert!(child.start_time_unix_nano >= rekey.start_time_unix_nano);
        assert!(
            child.end_time_unix_nano <= rekey.end_time_unix_nano,
            "{part}"
        );
    }
    let join = collector.until(&mut spans, "join", |span| span.name == "join");
    assert_eq!(
        text(&join.attributes, "identity"),
        "spiffe://example.org/alice"
    );
    assert_eq!(text(&join.attributes, "id").len(), 16);
    for part in ["attributes", "grant"] {
        collector.until(&mut spans, part, |span| {
            span.name == part && span.parent_span_id == join.span_id
        });
    }
    // What is left is told as the gateway ends.
    gateway.admin(&place, "member list studio").exits(0);
    assert_eq!(gateway.stop(), Some(0));
    collector.until(&mut spans, "the last request", |span| {
        span.name == "admin GET" && text(&span.attributes, "path").ends_with("/members")
    });
    assert!(!spans.iter().any(|span| span.name == "acknowledge"));
    drop(member);
}

#[test]
fn what_is_not_sampled_is_not_told_and_a_collector_that_is_away_holds_nobody_up() {
    let place = Place::provisioned();
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let variables = [
        ("WARDCAST_TRACE__ENDPOINT", endpoint.as_str()),
        ("WARDCAST_TRACE__RATIO", "0"),
    ];
    let gateway = Gateway::start_with(&place, &variables);
    gateway.admin(&place, "group create studio").exits(0);
    assert_eq!(gateway.stop(), Some(0));
    let told = collector.requests.try_recv();
    assert!(told.is_err(), "{told:?}");

    // Nobody listens on this port.
    let away = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!(
        "http://{}/v1/traces",
        away.local_addr().expect("an address")
    );
    drop(away);
    let variables = [
        ("WARDCAST_TRACE__ENDPOINT", endpoint.as_str()),
        ("WARDCAST_TRACE__RATIO", "1"),
    ];
    let gateway = Gateway::start_with(&place, &variables);
    gateway.admin(&place, "group rotate studio").exits(0);
    assert_eq!(gateway.stop(), Some(0));
    let log = String::from_utf8(place.read("log")).expect("text");
    let said = log.matches("the collector does not take traces").count();
    assert_eq!(said, 1, "{log}");
}

/// What the request is called by which somebody asks to join who may not, as he is told.
fn refused_join(place: &Place, gateway: &Gateway) -> String {
    place
        .run("pki issue --dir pki --name mallory --client --out mallory")
        .exits(0);
    let address = format!("localhost:{}", gateway.quic.port());
    let refused = place.run(&format!(
        "join --server {address} --ca pki/ca.pem --cert mallory.pem --key mallory.key --group studio --role receiver"
    ));
    let (_, rest) = refused.err.split_once("(request ").expect("is told");
    let (id, _) = rest.split_once(')').expect("its end");
    id.to_owned()
}

/// An operator asks for a path, by a request of this name.
fn asked(place: &Place, gateway: &Gateway, id: &str, path_and_more: &[&str]) -> String {
    let [path, more @ ..] = path_and_more else {
        panic!("a path");
    };
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--include", "--fail", "--cacert", "pki/ca.pem"]);
    curl.args(["--cert", "operator.pem", "--key", "operator.key"]);
    curl.args(["--header", &format!("X-Request-Id: {id}")]);
    curl.args(more);
    curl.arg(format!("https://localhost:{}{path}", gateway.admin.port()));
    curl.current_dir(place.path(""));
    ended("curl", curl).exits(0).out
}

#[test]
fn a_request_has_a_name_that_its_answer_and_the_log_say() {
    let place = Place::provisioned();
    let gateway = Gateway::start_with(&place, &[("WARDCAST_LOG__LEVEL", "debug")]);
    gateway.admin(&place, "group create studio").exits(0);
    let id = &refused_join(&place, &gateway);
    assert_eq!(id.len(), 16);

    let ask = |id: &str| {
        let answer = asked(&place, &gateway, id, &["/readyz"]);
        let header = answer
            .lines()
            .find_map(|line| line.strip_prefix("x-request-id: "));
        header.expect("is said").trim_end().to_owned()
    };
    assert_eq!(ask("call-17.of_the_operator"), "call-17.of_the_operator");
    // What is not well-formed is nobody's name.
    assert_eq!(ask("a name").len(), 16);
    assert_eq!(gateway.stop(), Some(0));
    let log = String::from_utf8(place.read("log")).expect("text");
    let line = log.lines().find(|line| line.contains(id));
    assert!(line.expect("is in the log").contains("cn:mallory"), "{log}");
    assert!(log.contains("call-17.of_the_operator"), "{log}");
}

/// What is on record of one kind.
fn records(place: &Place, event: &str) -> Vec<serde_json::Value> {
    let exported = place.run("audit export audit").exits(0).out;
    let records = exported
        .lines()
        .map(serde_json::from_str::<serde_json::Value>);
    let records = records.map(|record| record.expect("JSON"));
    records.filter(|record| record["event"] == event).collect()
}

#[test]
fn what_is_done_for_a_request_is_on_record_and_in_the_logs_of_pool_and_token_host_by_its_name() {
    let place = Place::provisioned();
    let gateway = Gateway::start_with(&place, &[("WARDCAST_LOG__LEVEL", "debug")]);
    gateway.admin(&place, "group create studio").exits(0);
    let mut member = Joined::start(&place, &gateway, "alice", &[]);
    let number = member.until("joined")["member"].clone();
    let refused = &refused_join(&place, &gateway);
    let body = format!(r#"{{"members": [{number}], "urgent": true}}"#);
    let evict = ["/v1/groups/studio/evict", "--json", &body];
    let answer = asked(&place, &gateway, "evict-17", &evict);
    assert!(answer.contains("x-request-id: evict-17"), "{answer}");
    member.until("removed");
    assert_eq!(gateway.stop(), Some(0));

    let named = |event: &str| {
        let found = records(&place, event).pop().expect(event);
        found["request"].as_str().expect("a name").to_owned()
    };
    let joined = named("granted");
    assert_eq!(joined.len(), 16);
    assert_eq!(named("refused"), *refused);
    assert_eq!(named("administered"), "evict-17");

    let log = String::from_utf8(place.read("log")).expect("text");
    let executed = |request: &str, by: &str| {
        let line = |line: &&str| {
            line.contains(&format!("requests={request}"))
                && line.contains("batch executed")
                && line.contains(by)
        };
        assert!(log.lines().any(|one| line(&one)), "{by}: {request}\n{log}");
    };
    for request in [joined.as_str(), "evict-17"] {
        executed(request, "hsm::pool");
        executed(request, "hsm::host");
    }
}
