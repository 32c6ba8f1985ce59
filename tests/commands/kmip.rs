//! `wardcast kmip`.

use crate::gateway::Gateway;
use crate::place::{Place, Ran, SMALLEST, ended};
use crate::readme::shell;

/// Runs a command line in a shell, with `wardcast` on its path.
fn run(place: &Place, line: &str) -> Ran {
    ended(line, shell(place, line))
}

const MESSAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/kmip/messages");

#[test]
fn messages_come_back_from_every_encoding() {
    let place = Place::empty();
    let lines = "
        to() { wardcast kmip convert --from $1 --to $2; }
        to xml ttlv < \"$MESSAGES/room-key-1.4.xml\" > a.ttlv
        to ttlv json < a.ttlv > a.json
        to json xml < a.json > a.xml
        to xml json < a.xml | to json ttlv > b.ttlv
        cmp a.ttlv b.ttlv
        wardcast kmip convert --from ttlv --to json --one-line < a.ttlv > lines
        wc -l < lines
        (echo '['; paste -sd, lines; echo ']') | to json ttlv | cmp a.ttlv
        to xml xml < \"$MESSAGES/room-key-2.1.xml\" | head -n 2";
    let lines = lines.replace("$MESSAGES", MESSAGES);
    let ran = run(&place, &lines).exits(0);
    assert_eq!(ran.out, "2\n<KMIP>\n<RequestMessage>\n");
}

#[test]
fn the_examples_of_its_help_work_as_they_stand() {
    let place = Place::empty();
    let help = place.run("kmip convert --help").exits(0).out;
    let (_, examples) = help.split_once("Examples:").expect("examples");
    let ran = run(&place, examples).exits(0);
    let message = r#"<RequestMessage><RequestHeader/></RequestMessage>"#;
    let expected = [
        r#"<BatchCount type="Integer" value="7"/>"#,
        r#"{"tag": "RequestMessage", "value": ["#,
        r#"  {"tag": "RequestHeader", "value": []}"#,
        "]}",
        "<KMIP>",
        message,
        message,
        "</KMIP>",
    ];
    assert_eq!(ran.out.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_no_message_is_refused_with_its_place() {
    let place = Place::empty();
    let from = |input: &str, line: &str| {
        run(
            &place,
            &format!("printf '{input}' | wardcast kmip convert {line}"),
        )
    };
    let batch = r#"<BatchItem>\n  <BatchCount type="Integer" value="many"/>\n</BatchItem>"#;
    from(batch, "--from xml --to json").fails(
        1,
        &[
            "standard input",
            "XML",
            "byte 14",
            "line 2, column 3",
            "number of 32 bits",
        ],
    );
    from("", "--from json --to xml").fails(1, &["holds no message"]);
    from("\\102\\000\\015", "--from ttlv --to xml").fails(1, &["TTLV", "byte 3", "ends too early"]);
    let text = r#"{"tag":"ResultMessage","type":"TextString","value":"\\u0001"}"#;
    from(text, "--from json --to xml")
        .fails(1, &["message 1", "ResultMessage", "binary form or JSON"]);
    from("", "--from yaml --to xml").fails(2, &["yaml", "xml, json, ttlv"]);
}

#[test]
fn bytes_are_not_written_to_a_terminal() {
    let place = Place::empty();
    let line = r#"echo '<Data/>' | script -qec 'wardcast kmip convert --from xml --to ttlv < /dev/null' /dev/null"#;
    let ran = run(&place, line);
    assert!(ran.out.contains("no terminal shows"), "{ran:#?}");
}

#[test]
fn a_message_is_sent_and_its_answer_decides_the_exit_code() {
    let place = Place::provisioned();
    let front = "\n[front]\naddress = \"127.0.0.1:0\"\n[front.roles]\nviewer = [\"cn:operator\"]\n";
    place.write("wardcast.toml", &format!("{SMALLEST}{front}"));
    let gateway = Gateway::start(&place);
    let port = gateway.front.expect("a front").port();
    let message = |operation: &str| {
        format!(
            r#"{{"tag":"RequestMessage","value":[{{"tag":"RequestHeader","value":[{{"tag":"ProtocolVersion","value":[
            {{"tag":"ProtocolVersionMajor","type":"Integer","value":2}},{{"tag":"ProtocolVersionMinor","type":"Integer","value":1}}]}},
            {{"tag":"BatchCount","type":"Integer","value":1}}]}},{{"tag":"BatchItem","value":[
            {{"tag":"Operation","type":"Enumeration","value":"{operation}"}},{{"tag":"RequestPayload","value":[]}}]}}]}}"#
        )
    };
    let send = |input: &str, more: &str| {
        place.write("message", input);
        let server = format!("--server https://localhost:{port}/kmip --ca pki/ca.pem");
        run(
            &place,
            &format!("wardcast kmip send {server} {more} < message"),
        )
    };
    let certificate = "--cert operator.pem --key operator.key";
    let done = send(&message("DiscoverVersions"), certificate).exits(0);
    assert!(done.out.contains("ProtocolVersionMinor"), "{done:#?}");
    let refused = send(&message("Revoke"), certificate).exits(3);
    assert!(refused.out.contains("PermissionDenied"), "{refused:#?}");
    let nobody = send(&message("Query"), "--cert alice.pem --key alice.key").exits(3);
    assert!(nobody.out.contains("PermissionDenied"), "{nobody:#?}");
    send("nonsense", certificate).exits(1);
    send(&message("Revoke"), "").exits(2);
    place.write("token", "x.y.z");
    let refused = send(&message("Revoke"), "--token-file token").exits(1);
    assert!(refused.err.contains("401"), "{refused:#?}");
    assert!(!refused.err.contains("x.y.z"), "{refused:#?}");
}
