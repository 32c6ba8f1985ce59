//! The push channel's keys and datagrams: `tests/vectors/channel.json`, for this implementation and any other.

use serde_json::{Value, json};
use wardcast::crypto::{ChannelKey, Key, PushCipher, push_key};
use wardcast::group::ids::{Epoch, MemberId, Suite};
use wardcast::group::wire::Message;
use wardcast::group::wire::datagram::{
    CHANNEL_LABEL, ChannelId, Datagram, acknowledge, alive, channel_context, go_away, leaves,
    newest, probe, report,
};

use crate::golden::{hex, regenerating, replace, unhex};
use crate::samples;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/channel.json");
const ROOT: [u8; 32] = [0x42; 32];
const KEY: [u8; 32] = [0x17; 32];
const CHANNEL: ChannelId = ChannelId(70_001);
const MEMBER: MemberId = MemberId(9);

fn cipher() -> PushCipher {
    PushCipher::new(&push_key(Suite::One, &Key::from_bytes(ROOT)))
}

/// All but the sealed datagrams: their nonces are random.
fn expected() -> Value {
    let key = ChannelKey::new(Key::from_bytes(KEY));
    let code = |covered: &[u8]| key.code(covered);
    let pushes = samples::pushes();
    let away = pushes
        .iter()
        .find(|(name, _)| *name == "go away, elsewhere");
    let message = away.expect("there is one").1.to_bytes();
    json!({
        "about": "The push channel, written by tests/wire/channel.rs.",
        "push key": {
            "root": hex(&ROOT),
            "key": hex(&push_key(Suite::One, &Key::from_bytes(ROOT)).0),
            "name": hex(&cipher().name()),
        },
        "channel": {
            "key": hex(&KEY),
            "number": CHANNEL.0,
            "exporter label": String::from_utf8_lossy(CHANNEL_LABEL),
            "group": hex(&samples::GROUP.0),
            "member": MEMBER.0,
            "exporter context": hex(&channel_context(&samples::GROUP, MEMBER, CHANNEL)),
            "acknowledge": { "epoch": 70_000, "hex": hex(&acknowledge(CHANNEL, Epoch(70_000), code)) },
            "go away": { "message": hex(&message), "hex": hex(&go_away(CHANNEL, &message, code)) },
            "leaves": { "epoch": 70_000, "hex": hex(&leaves(CHANNEL, Epoch(70_000), code)) },
            "alive": { "number": "7", "hex": hex(&alive(CHANNEL, 7, code)) },
            "newest": { "epoch": 70_000, "answers": "7", "hex": hex(&newest(CHANNEL, Epoch(70_000), 7, code)) },
            "report": { "epoch": 70_000, "hex": hex(&report(CHANNEL, Epoch(70_000), code)) },
            "probe": { "number": "18446744073709551615", "hex": hex(&probe(CHANNEL, u64::MAX, code)) },
        },
    })
}

/// Sealed pushes as they stand in the file.
fn sealed() -> Vec<Value> {
    let pushes = samples::pushes();
    let pushes = pushes
        .iter()
        .filter(|(name, _)| !["removed", "go away"].contains(name));
    let seal = |message: &[u8]| cipher().seal(&[message]).expect("fits");
    pushes
        .map(|(name, push)| {
            let message = push.to_bytes();
            json!({ "name": name, "message": hex(&message), "datagram": hex(&seal(&message)) })
        })
        .collect()
}

#[test]
fn the_channels_keys_and_datagrams_are_what_is_written() {
    let mut expected = expected();
    if regenerating() {
        let mut new = expected.clone();
        new["sealed"] = sealed().into();
        replace(FILE, &new);
    }
    let golden: Value = serde_json::from_slice(&std::fs::read(FILE).unwrap()).unwrap();
    let written = golden["sealed"].as_array().unwrap();
    for (vector, push) in written.iter().zip(sealed()) {
        assert_eq!(vector["message"], push["message"], "{}", vector["name"]);
        let datagram = unhex(vector["datagram"].as_str().unwrap());
        let opened = cipher().open(&Datagram::parse(&datagram).unwrap());
        assert_eq!(
            hex(&opened.unwrap()),
            vector["message"],
            "{}",
            vector["name"]
        );
    }
    assert_eq!(written.len(), 5);
    expected["sealed"] = golden["sealed"].clone();
    assert_eq!(golden, expected);
}
