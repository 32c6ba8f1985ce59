//! A record on one line, for people.

use serde_json::Value;

use crate::audit::{Actor, Record};

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
    };
    let mut event = serde_json::to_value(&entry.event).unwrap_or_default();
    let fields = event.as_object_mut();
    let mut fields = fields.map(std::mem::take).unwrap_or_default();
    let name = fields.remove("event");
    let name = name.as_ref().and_then(Value::as_str).unwrap_or("?");
    let mut text = format!("{time}  {sequence:>8}  {name:<15}  {actor}");
    if let Some(group) = &entry.group {
        text += &format!("  group={:?}", group.name);
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
    use crate::audit::{Digest, Entry, Event, Group};
    use crate::group::ids::{Epoch, GroupId, Identity, MemberId};

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
                ..Entry::of_gateway(event)
            },
            previous: Digest::default(),
        };
        let expected = r#"2026-11-27T00:00:00.000000Z        17  departed         operator cn:ops  group="board room"  epoch=5  identity="cn:mallory"  member=3  note="left the\nteam"  reason="the member was evicted""#;
        assert_eq!(line(&record), expected);
    }
}
