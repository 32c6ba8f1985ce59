//! A record as a message of RFC 5424, in a frame of RFC 5425.
//!
//! ```text
//! 412 <110>1 2026-11-27T09:12:44.105310Z gw1 wardcast 714 joined [wardcast@32473 sequence="17" event="joined" actor="gateway"
//!   group="studio" groupId="0a…" identity="cn:alice" member="3" epoch="5" outcome="success" hash="9f…"] BOM cn:alice is member …
//! ```
//!
//! - PRI (section 6.2.1): the facility that is configured, by default 13, log audit; severity 6 (informational), 5 (notice) where
//!   one record counts what did not all end alike, 4 (warning) where somebody was refused or failed, 3 (error) where the gateway or a key
//!   is in trouble.
//! - APP-NAME is `wardcast`, PROCID the process, MSGID the trail's name of what happened.
//! - STRUCTURED-DATA (6.3): one element; `sequence` and `hash` (the SHA-256 of the record's line in the trail) say which record it is.
//! - MSG (6.4): a sentence in UTF-8, after a byte order mark.
//!
//! A message stays below 8,192 bytes, which receivers should take (RFC 5425, section 4.3.1): texts are cut. Control characters
//! become spaces, so that no text makes up a line of its own where a receiver writes lines.

use crate::siem::sentence::sentence;
use crate::siem::told::{Severity, Told};

/// Bytes of a message at most.
pub(super) const MAX_MESSAGE: usize = 8_192;
/// Bytes of one parameter's value, and of the sentence, before they are escaped.
const MAX_VALUE: usize = 256;
const MAX_SENTENCE: usize = 2_048;
/// Lengths of header fields (RFC 5424, section 6).
const MAX_HOST: usize = 255;
const MAX_MSGID: usize = 32;
const APP_NAME: &str = "wardcast";
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What all messages of a gateway have in common.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// 0 to 23.
    pub(super) facility: u8,
    pub(super) host: String,
    pub(super) process: u32,
    /// The private enterprise number of the element of structured data.
    pub(super) enterprise: u32,
}

/// Appends a record to frames.
pub(super) fn frame(header: &Header, told: &Told, frames: &mut Vec<u8>) {
    let message = message(header, told);
    debug_assert!(
        message.len() <= MAX_MESSAGE,
        "the bounds of its parts are less together"
    );
    // Octet counting: MSG-LEN SP SYSLOG-MSG.
    frames.extend_from_slice(format!("{} ", message.len()).as_bytes());
    frames.extend_from_slice(message.as_bytes());
}

fn message(header: &Header, told: &Told) -> String {
    let severity = match told.severity {
        Severity::Informational => 6,
        Severity::Unknown => 5,
        Severity::Medium => 4,
        Severity::High => 3,
    };
    let priority = u32::from(header.facility) * 8 + severity;
    let host = printable(&header.host, MAX_HOST);
    let kind = printable(&told.event, MAX_MSGID);
    let (time, process) = (&told.time, header.process);
    let data = structured_data(header.enterprise, told);
    let text = clean(&sentence(told), MAX_SENTENCE);
    format!(
        "<{priority}>1 {time} {host} {APP_NAME} {process} {kind} {data} {BYTE_ORDER_MARK}{text}"
    )
}

fn structured_data(enterprise: u32, told: &Told) -> String {
    let (group, name) = told.group.clone().unzip();
    let parameters = [
        ("sequence", Some(told.sequence.to_string())),
        ("event", Some(told.event.clone())),
        ("actor", Some(told.actor.to_owned())),
        ("actorName", told.name.clone()),
        ("group", name),
        ("groupId", group),
        ("identity", told.field("identity")),
        ("member", told.field("member")),
        ("epoch", told.field("epoch")),
        ("object", told.field("object")),
        ("request", told.field("request")),
        ("outcome", Some(told.outcome.word().to_owned())),
        ("hash", Some(told.hash.clone())),
    ];
    let mut data = format!("[{APP_NAME}@{enterprise}");
    for (name, value) in parameters {
        if let Some(value) = value {
            data += &format!(" {name}=\"{}\"", escaped(&clean(&value, MAX_VALUE)));
        }
    }
    data + "]"
}

/// What may not stand in a parameter's value as it is (section 6.3.3).
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for sign in value.chars() {
        if matches!(sign, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(sign);
    }
    escaped
}

/// Without control characters, and no longer than that, with a mark where it was cut.
fn clean(text: &str, most: usize) -> String {
    let spaced = |sign: char| if sign.is_control() { ' ' } else { sign };
    let mut clean: String = text.chars().map(spaced).collect();
    if clean.len() > most {
        let end = (0..=most).rfind(|at| clean.is_char_boundary(*at));
        clean.truncate(end.unwrap_or_default());
        clean.push('…');
    }
    clean
}

/// A field of the header: visible ASCII characters, or the nil value.
fn printable(text: &str, most: usize) -> String {
    let good = text.chars().filter(char::is_ascii_graphic).take(most);
    let field: String = good.collect();
    match field.is_empty() {
        true => "-".to_owned(),
        false => field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Actor, Digest, Entry, Event, Group, Record, SEVERAL};
    use crate::group::ids::{Epoch, GroupId, Identity, MemberId, Role};
    use crate::group::request::RequestId;
    use crate::relay::Line;
    use crate::siem::identifiers::Identifiers;

    fn told(identity: &str, event: impl Fn(Identity) -> Event) -> Told {
        let identity = Identity(identity.into());
        let line = Line {
            record: Record {
                sequence: 17,
                time: "2026-11-27T09:12:44.105310Z".into(),
                entry: Entry {
                    actor: Actor::Member(identity.clone()),
                    group: Some(Group::new(GroupId([0xab; 16]), "board \"room\"").into()),
                    revision: None,
                    request: RequestId::new("a-1"),
                    event: event(identity),
                },
                previous: Digest::default(),
            },
            digest: Digest([0x1a; 32]),
            bytes: Vec::new(),
        };
        Told::new(&line, &Identifiers::Clear)
    }

    fn header() -> Header {
        Header {
            facility: 13,
            host: "gw 1".into(),
            process: 714,
            enterprise: 32_473,
        }
    }

    #[test]
    fn a_message_has_every_part_that_the_standard_names() {
        let told = told("cn:alice", |identity| Event::Joined {
            epoch: Epoch(5),
            member: MemberId(3),
            identity,
            role: Role::Both,
            sender: None,
        });
        let mut frames = Vec::new();
        frame(&header(), &told, &mut frames);
        let (id, hash) = ("ab".repeat(16), "1a".repeat(32));
        let message = format!(
            "<110>1 2026-11-27T09:12:44.105310Z gw1 wardcast 714 joined [wardcast@32473 sequence=\"17\" event=\"joined\" \
             actor=\"member\" actorName=\"cn:alice\" group=\"board \\\"room\\\"\" groupId=\"{id}\" identity=\"cn:alice\" \
             member=\"3\" epoch=\"5\" request=\"a-1\" outcome=\"success\" hash=\"{hash}\"] \u{feff}cn:alice is member 3 of group \
             \"board \\\"room\\\"\" as both from epoch 5 on"
        );
        let expected = format!("{} {message}", message.len());
        assert_eq!(String::from_utf8(frames).expect("UTF-8"), expected);
    }

    #[test]
    fn what_did_not_all_end_alike_is_neither_a_success_nor_a_failure_of_anybody() {
        let mut told = told("cn:alice", |_| Event::Relayed {
            operation: "Locate".into(),
            object: None,
            outcome: SEVERAL.into(),
            times: Some(9),
        });
        (told.actor, told.name) = ("gateway", None);
        let message = message(&header(), &told);
        // Facility 13, severity 5.
        assert!(message.starts_with("<109>1 "), "{message}");
        assert!(message.contains(" outcome=\"several\" "), "{message}");
        let sentence = "several callers asked for Locate: several";
        assert!(message.ends_with(sentence), "{message}");
    }

    #[test]
    fn no_text_breaks_out_of_its_place_or_makes_a_message_too_long() {
        let nasty = "]\" \\\n<13>1 forged é".repeat(2_000);
        let told = told(&nasty, |identity| Event::Refused {
            identity,
            role: Role::Receiver,
            why: nasty.clone(),
            times: 1,
        });
        let message = message(&header(), &told);
        assert!(message.len() < MAX_MESSAGE, "{}", message.len());
        assert!(message.starts_with("<108>1 "), "{message}");
        assert!(!message.contains('\n'));
        let data = &message[message.find('[').expect("begins")..];
        let mut escape = false;
        let end = data.chars().position(|sign| {
            let ends = sign == ']' && !escape;
            escape = sign == '\\' && !escape;
            ends
        });
        let after: String = data.chars().skip(end.expect("ends") + 1).take(2).collect();
        assert_eq!(after, format!(" {BYTE_ORDER_MARK}"));
    }
}
