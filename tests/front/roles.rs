//! The table of roles, by real calls.

use serde_json::{Value, json};
use wardcast::kmip::client::Version;
use wardcast::kmip::codec::values;

use crate::kmip::{about, payload};
use crate::stub::{Reaction, Stub, success};
use crate::{OBJECT, Seen, Site, Stage};

use values::{Operation as operation, ResultReason as reason, ResultStatus as status};

/// Operations with the roles that may ask for them: v(iewer), o(perator), k(ey officer), a(uditor).
const EXPECTED: [(u32, &str); 24] = [
    (operation::Locate, "voka"),
    (operation::Check, "voka"),
    (operation::GetAttributes, "voka"),
    (operation::GetAttributeList, "voka"),
    (operation::Get, "oka"),
    (operation::Register, "ok"),
    (operation::Create, "ok"),
    (operation::Activate, "ok"),
    (operation::AddAttribute, "ok"),
    (operation::DeleteAttribute, "ok"),
    (operation::Archive, "ok"),
    (operation::Recover, "ok"),
    (operation::Revoke, "k"),
    (operation::Destroy, "k"),
    (operation::ReKey, "k"),
    (operation::Export, "k"),
    (operation::Import, "k"),
    (operation::DeriveKey, "k"),
    (operation::Encrypt, "k"),
    (operation::Decrypt, "k"),
    (operation::Sign, "k"),
    (operation::Login, ""),
    (operation::Put, ""),
    (operation::RNGSeed, ""),
];

/// Callers, with the letter of their role.
const CALLERS: [(&str, char); 5] = [
    ("viewer", 'v'),
    ("operator", 'o'),
    ("officer", 'k'),
    ("auditor", 'a'),
    ("nobody", '-'),
];

#[tokio::test]
async fn everybody_is_let_do_what_their_role_is_for_and_nothing_else() {
    let own = Site::new();
    let seen = Seen::default();
    let noted = seen.clone();
    let stub = Stub::start(&own, move |message| {
        noted.note(message);
        Reaction::Answer(success(message))
    })
    .await;
    let stage = Stage::start(own, &stub.url()).await;
    let mut relayed = Vec::new();
    for (name, letter) in CALLERS {
        let caller = stage.caller(name);
        for (asked, who) in EXPECTED {
            let reply = caller.ask(Version::V1_4, asked, about(OBJECT)).await;
            if who.contains(letter) {
                assert_eq!(
                    reply.status(),
                    status::Success,
                    "{asked} by {name}: {reply:?}"
                );
                relayed.push(asked);
            } else if who.is_empty() {
                let refused = match letter {
                    '-' => reason::PermissionDenied,
                    _ => reason::OperationNotSupported,
                };
                assert_eq!(reply.reason(), Some(refused), "{asked} by {name}");
            } else {
                let said = reply.denied();
                assert!(said.contains("needs the role"), "{asked} by {name}: {said}");
            }
        }
        for local in [operation::Query, operation::DiscoverVersions] {
            let reply = caller.ask(Version::V1_4, local, payload()).await;
            assert_eq!(
                reply.status() == status::Success,
                letter != '-',
                "{local} by {name}"
            );
        }
    }
    assert_eq!(
        seen.operations(),
        relayed,
        "what was refused did not reach the store"
    );
    on_record(&stage.site.audit(), relayed.len());
    let counted = stage.site.counter("wardcast_front_calls_total").await;
    assert!(counted >= relayed.len() as u64);
}

/// What was done is on record, each by itself, and that something was refused.
fn on_record(trail: &[Value], relayed: usize) {
    let of = |event: &str| {
        let begun = |record: &&Value| record["outcome"] == "begun";
        let own = trail
            .iter()
            .filter(|record| record["event"] == event && !begun(record));
        own.collect::<Vec<_>>()
    };
    // What nobody may is refused to all of them.
    assert_eq!(of("relayed").len(), relayed);
    let denied = of("denied");
    let nobody = denied
        .iter()
        .find(|record| record["identity"] == "cn:nobody");
    assert_eq!(nobody.expect("a record")["call"], "Locate");
    let all = of("relayed");
    let revoked = all
        .iter()
        .find(|record| record["actor"]["name"] == "cn:officer" && record["operation"] == "Revoke");
    let revoked = revoked.expect("a record");
    assert_eq!(revoked["actor"]["kind"], "caller");
    assert_eq!(
        (&revoked["object"], &revoked["outcome"]),
        (&json!(OBJECT), &json!("done"))
    );
}
