//! A record on one line, for people.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::audit::{Actor, Event, Record};

/// Time, number, who, what, to which group, and the rest by name.
pub(super) fn line(record: &Record) -> String {
    let Record {
        sequence,
        time,
        entry,
        ..
    } = record;
    let actor = match &entry.actor {
        Actor::Gateway => "gateway".to_owned(),
        Actor::Member(who) => format!("member {who}"),
        Actor::Operator(who) => format!("operator {who}"),
        Actor::Caller(who) => format!("caller {who}"),
    };
    let mut event = serde_json::to_value(&entry.event).unwrap_or_default();
    let fields = event.as_object_mut();
    let fields = fields.map(std::mem::take).unwrap_or_default();
    // By name, whatever order a map of this library keeps.
    let mut fields: BTreeMap<String, Value> = fields.into_iter().collect();
    if let Event::Signed(_) = entry.event {
        // Long, and for `verify`; `--json` shows them.
        fields.retain(|name, _| !["issuer", "signature"].contains(&name.as_str()));
    }
    let name = fields.remove("event");
    let name = name.as_ref().and_then(Value::as_str).unwrap_or("?");
    let mut text = format!("{time}  {sequence:>8}  {name:<15}  {actor}");
    if let Some(group) = &entry.group {
        text += &format!("  group={:?}", group.name);
    }
    if let Some(request) = &entry.request {
        text += &format!("  request={request}");
    }
    for (name, value) in fields {
        // Policies are long, and stand in the record.
        if !value.is_object() {
            text += &format!("  {name}={value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Digest, Entry, Group, Octets, Signature};
    use crate::group::ids::{Epoch, GroupId, Identity, MemberId, Suite};
    use crate::group::request::RequestId;

    #[test]
    fn a_line_says_who_did_what_to_whom() {
        let operator = Identity("cn:ops".into());
        let event = Event::Departed {
            epoch: Epoch(5),
            member: MemberId(3),
            identity: Some(Identity("cn:mallory".into())),
            reason: "the member was evicted".into(),
            note: Some("left the\nteam".into()),
        };
        let record = Record {
            sequence: 17,
            time: "2026-11-27T00:00:00.000000Z".into(),
            entry: Entry {
                actor: Actor::Operator(operator),
                group: Some(Group::new(GroupId([1; 16]), "board room").into()),
                request: Some(RequestId::from(0x0a1b)),
                ..Entry::of_gateway(event)
            },
            previous: Digest::default(),
        };
        let expected = r#"2026-11-27T00:00:00.000000Z        17  departed         operator cn:ops  group="board room"  request=0000000000000a1b  epoch=5  identity="cn:mallory"  member=3  note="left the\nteam"  reason="the member was evicted""#;
        assert_eq!(line(&record), expected);
    }
    #[test]
    fn a_signature_says_over_what_it_is() {
        let event = Event::Signed(Signature {
            up_to: 16,
            head: Digest([0x1a; 32]),
            suite: Suite::One,
            issuer: Octets(vec![4; 65]),
            signature: Octets(vec![9; 64]),
        });
        let record = Record {
            sequence: 18,
            time: "2026-11-27T00:00:00.000000Z".into(),
            entry: Entry::of_gateway(event),
            previous: Digest::default(),
        };
        let head = "1a".repeat(32);
        let expected = format!(
            r#"2026-11-27T00:00:00.000000Z        18  signed           gateway  head="{head}"  suite="1"  up_to=16"#
        );
        assert_eq!(line(&record), expected);
    }
}
