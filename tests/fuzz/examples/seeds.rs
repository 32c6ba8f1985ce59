//! Writes the seeds of the fuzz targets from the golden vectors and from trees: `cargo run --example seeds`.
//! A seed that a finding left behind stays: only the files named here are written.

use std::error::Error;
use std::fs;
use std::path::Path;

use wardcast_fuzz::group::ids::*;
use wardcast_fuzz::group::operations::*;
use wardcast_fuzz::group::planner::{Change, plan};
use wardcast_fuzz::group::policy::GroupPolicy;
use wardcast_fuzz::group::record::*;
use wardcast_fuzz::group::request::Requests;
use wardcast_fuzz::group::state::State;
use wardcast_fuzz::group::tree::Tree;
use wardcast_fuzz::group::wire::datagram::{
    ChannelId, acknowledge, alive, go_away, leaves, newest, probe, report, sealed_head,
};
use wardcast_fuzz::group::wire::{GoAway, Message, Push, RemovalReason, TrailHead};
use wardcast_fuzz::hsm::{ErrorClass, Profile, RingChange, TokenError, Usage};
use wardcast_fuzz::kmip::codec::{Item, Layout, Value, View, tag};
use wardcast_fuzz::protocol::{self, Answer, Request};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> Result {
    let golden = fs::read(Path::new(HERE).join("../vectors/wire.json"))?;
    let golden: serde_json::Value = serde_json::from_slice(&golden)?;
    for (section, target) in [
        ("requests", "request"),
        ("responses", "response"),
        ("pushes", "push"),
        ("push replies", "push_reply"),
    ] {
        for vector in golden[section].as_array().ok_or("a section")? {
            let name = vector["name"].as_str().ok_or("a name")?;
            write(
                target,
                name,
                &unhex(vector["hex"].as_str().ok_or("bytes")?)?,
            )?;
        }
    }
    let header = golden["epoch header"]["header"]["hex"].as_str();
    write("header", "header", &unhex(header.ok_or("a header")?)?)?;
    let header = golden["epoch header in suite 2"]["header"]["hex"].as_str();
    write("header", "suite-2", &unhex(header.ok_or("a header")?)?)?;
    trees(&golden)?;
    logs()?;
    host_requests()?;
    host_answers()?;
    datagrams()?;
    kmip_messages()?;
    deliveries()
}

/// Messages of KMIP, and one with a value of each kind, in each encoding.
fn kmip_messages() -> Result {
    let vectors = Path::new(HERE).join("../vectors/kmip");
    let mut messages = Vec::new();
    for name in ["room-key-1.4", "room-key-2.1", "extensions"] {
        let text = fs::read(vectors.join("messages").join(format!("{name}.xml")))?;
        for (place, item) in View::Xml.decode_all(&text)?.into_iter().enumerate() {
            messages.push((format!("{name}-{place}"), item));
        }
    }
    let values: serde_json::Value =
        serde_json::from_slice(&fs::read(vectors.join("values.json"))?)?;
    let mut items = Vec::new();
    for vector in values.as_array().ok_or("vectors")? {
        items.push(View::Ttlv.decode(&unhex(vector["ttlv"].as_str().ok_or("bytes")?)?)?);
    }
    messages.push((
        "values".to_owned(),
        Item::new(tag::BatchItem, Value::Structure(items)),
    ));
    for (name, item) in &messages {
        write(
            "kmip_ttlv",
            name,
            &View::Ttlv.encode(item, Layout::OneLine)?,
        )?;
        write(
            "kmip_json",
            name,
            &View::Json.encode(item, Layout::OneLine)?,
        )?;
        write("kmip_xml", name, &View::Xml.encode(item, Layout::OneLine)?)?;
    }
    Ok(())
}

/// One datagram of the push channel of each kind.
fn datagrams() -> Result {
    let code = |_: &[u8]| [7; 16];
    let sealed = [&sealed_head([1; 8], [2; 12])[..], &[3; 40]].concat();
    write("datagram", "sealed", &sealed)?;
    let acknowledged = acknowledge(ChannelId(70_001), Epoch(300), code);
    write("datagram", "acknowledge", &acknowledged)?;
    let reported = report(ChannelId(70_001), Epoch(300), code);
    write("datagram", "report", &reported)?;
    write("datagram", "alive", &alive(ChannelId(70_001), 9, code))?;
    let answer = newest(ChannelId(70_001), Epoch(300), 9, code);
    write("datagram", "newest", &answer)?;
    let away = Push::GoAway(GoAway::default()).to_bytes();
    let away = go_away(ChannelId(70_001), &away, code);
    write("datagram", "go_away", &away)?;
    let leaving = leaves(ChannelId(70_001), Epoch(300), code);
    write("datagram", "leaves", &leaving)?;
    write("datagram", "probe", &probe(ChannelId(70_001), 9, code))
}

/// Questions to a token host, one by one and as a stream.
fn host_requests() -> Result {
    let node = |level| KeyRef {
        node: NodeId { level, index: 1 },
        generation: 2,
        step: 3,
    };
    let operations = vec![
        Operation::Wrap {
            child: node(0),
            parent: node(1),
        },
        Operation::Grant {
            leaf: node(0),
            member: vec![4; 65].into(),
            transcript: vec![5; 70],
        },
        Operation::Seal {
            root: node(1),
            prefix: vec![6; 60],
        },
        Operation::PushKey { root: node(1) },
        Operation::Escrow { root: node(1) },
        Operation::SignHead {
            head: TrailHead {
                sequence: 300,
                digest: [7; 32],
            },
        },
    ];
    let batch = Batch {
        suite: Suite::One,
        group: GroupId([1; 16]),
        master: MasterId(1),
        nonce: GroupNonce([2; 32]),
        requests: Requests::default(),
        operations,
    };
    let requests = [
        Request::Hello {
            version: protocol::VERSION,
            budget_ms: 5_000,
        },
        Request::Execute {
            budget_ms: 5_000,
            batches: vec![batch.clone(), batch],
        },
        Request::Ring {
            budget_ms: 5_000,
            change: RingChange::Create(MasterId(2)),
        },
        Request::Ping,
    ];
    let mut stream = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        write(
            "host_frame",
            &format!("request-{number}"),
            &request.to_bytes(),
        )?;
        protocol::write(&mut stream, request)?;
    }
    write("host_frame", "stream", &stream)
}

/// What a token host answers.
fn host_answers() -> Result {
    let issuer = Issuer {
        signing: vec![7; 65].into(),
        agreement: vec![8; 65].into(),
    };
    let outputs = vec![
        Output::Wrapped([1; 40]),
        Output::Granted {
            wrapped: [2; 40],
            encapsulated: vec![3; 20].into(),
        },
        Output::BadPublicKey,
        Output::Sealed {
            tag: [4; 16],
            signature: vec![5; 64].into(),
        },
        Output::PushKey(PushKey([6; 32])),
        Output::HeadSigned(vec![9; 64].into()),
        Output::Escrowed([10; 40]),
    ];
    let answers = [
        Answer::Welcome {
            profile: Profile {
                issuers: Issuers {
                    one: issuer.clone(),
                    two: Some(issuer),
                },
                masters: vec![MasterId(1)],
                description: "a token".to_owned(),
                mechanisms: vec!["CKM_AES_KEY_WRAP".to_owned()],
            },
        },
        Answer::Executed {
            results: vec![Ok(outputs), Err(TokenError::Panicked)],
            usage: Usage::default(),
        },
        Answer::Failed {
            error: TokenError::Call {
                class: ErrorClass::Retry,
                operation: "wrap a key".into(),
                code: "C_WrapKey: CKR_DEVICE_ERROR".to_owned(),
                value: Some(0x30),
            },
        },
    ];
    for (number, answer) in answers.iter().enumerate() {
        write(
            "host_frame",
            &format!("answer-{number}"),
            &answer.to_bytes(),
        )?;
    }
    Ok(())
}

/// A tree after joins, then after a batch of joins and leaves; each with the diff that led on from it.
fn trees(golden: &serde_json::Value) -> Result {
    let joins = |members: std::ops::Range<u64>| members.map(MemberId).collect::<Vec<_>>();
    let steps = [
        ("growing", joins(1..7), vec![]),
        ("mixed", joins(7..12), vec![1, 4]),
        ("leaving", vec![], vec![0, 2, 3]),
        ("rotating", vec![], vec![]),
        ("renewing", joins(12..14), vec![5]),
    ];
    let mut tree = Tree::new();
    for (name, joins, leaves) in steps {
        let rotate = joins.is_empty() && leaves.is_empty();
        let change = Change {
            joins,
            leaves,
            rotate,
            renew: name == "renewing",
        };
        let plan = plan(&tree, &change)?;
        write("tree", name, &tree.to_bytes())?;
        write(
            "diff",
            name,
            &[tree.to_bytes(), minicbor::to_vec(&plan.diff)?].concat(),
        )?;
        tree.apply(&plan.diff)?;
    }
    // The rekey's edges stand in an array; the target reads them one after the other.
    let rekey = unhex(golden["pushes"][0]["hex"].as_str().ok_or("a rekey")?)?;
    let edge = [0x87, 0x00, 0x18];
    let at = rekey.windows(3).position(|part| part == edge);
    write("edge", "edges", &rekey[at.ok_or("edges")?..])
}

/// A log of a few epochs; with snapshots of it, each followed by the records after it.
fn logs() -> Result {
    let created = Created {
        group: GroupId([7; 16]),
        name: "studio".to_owned(),
        nonce: GroupNonce([8; 32]),
        master: MasterId(1),
        suite: Suite::One,
        policy: GroupPolicy::default(),
    };
    let mut state = State::begin(created.clone());
    let mut records = vec![Record::Created(created)];
    let mut snapshots = vec![state.to_bytes()];
    state.apply(records[0].clone())?;
    let renewal = Renewal {
        master: MasterId(2),
        nonce: GroupNonce([9; 32]),
        suite: Suite::Two,
        spread_ms: 12,
    };
    let epochs = [
        (1, 1..6, vec![]),
        (2, 6..8, vec![1, 3]),
        (3, 8..8, vec![]),
        (4, 8..9, vec![2]),
    ];
    for (epoch, joins, leaves) in epochs {
        let rotate = joins.is_empty() && leaves.is_empty();
        let change = Change {
            joins: joins.clone().map(MemberId).collect(),
            leaves: leaves.clone(),
            rotate,
            renew: epoch == 4,
        };
        let plan = plan(state.tree(), &change)?;
        let joined = joins.map(|member| Joined {
            member: MemberId(member),
            identity: Identity(format!("dns:member-{member}.example")),
            role: Role::Both,
            sender: Some(SenderId(member as u32 - 1)),
            suites: Some(Suites::of(Suite::One)),
        });
        let left = leaves
            .iter()
            .filter_map(|leaf| state.tree().member_at(*leaf));
        let left = left.map(|member| Departed {
            member,
            reason: RemovalReason::Evicted,
            note: Some("a reason".to_owned()),
            identity: None,
            by: None,
        });
        let record = Record::Changed(Box::new(Changed {
            epoch: Epoch(epoch),
            diff: plan.diff,
            joined: joined.collect(),
            left: left.collect(),
            sender_space: 0,
            renewal: (epoch == 4).then_some(renewal),
        }));
        snapshots.push(state.to_bytes());
        state.apply(record.clone())?;
        records.push(record);
    }
    records.push(Record::PolicyChanged(GroupPolicy::default()));
    records.push(Record::Frozen(Frozen {
        why: "a reason".to_owned(),
        by: Some(Identity("cn:operator".to_owned())),
    }));
    records.push(Record::Thawed(Thawed { by: None }));
    records.push(Record::Destroyed);
    for (at, record) in records.iter().enumerate() {
        write("record", &format!("record-{at}"), &record.to_bytes())?;
    }
    for (at, snapshot) in snapshots.into_iter().enumerate() {
        let mut parts = vec![snapshot];
        parts.extend(records[at..].iter().map(Record::to_bytes));
        write("state", &format!("from-{at}"), &parts.join(&[0xff; 4][..]))?;
    }
    Ok(())
}

/// One member's deliveries, all of them and each half.
fn deliveries() -> Result {
    let golden = fs::read(Path::new(HERE).join("../vectors/member.json"))?;
    let golden: serde_json::Value = serde_json::from_slice(&golden)?;
    let mut messages = Vec::new();
    for step in golden["steps"].as_array().ok_or("steps")? {
        messages.push(unhex(step["message"].as_str().ok_or("bytes")?)?);
    }
    let half = messages.len() / 2;
    write("session", "all", &messages.join(&[0xff; 4][..]))?;
    write("session", "first", &messages[..half].join(&[0xff; 4][..]))?;
    write("session", "then", &messages[half..].join(&[0xff; 4][..]))
}

fn write(target: &str, name: &str, bytes: &[u8]) -> Result {
    let directory = Path::new(HERE).join("seeds").join(target);
    fs::create_dir_all(&directory)?;
    Ok(fs::write(directory.join(name.replace(' ', "-")), bytes)?)
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}
