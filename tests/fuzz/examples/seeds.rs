//! Writes the seeds of the fuzz targets from the golden vectors and from trees: `cargo run --example seeds`.
//! A seed that a finding left behind stays: only the files named here are written.

use std::error::Error;
use std::fs;
use std::path::Path;

use wardcast_fuzz::group::ids::*;
use wardcast_fuzz::group::planner::{Change, plan};
use wardcast_fuzz::group::policy::GroupPolicy;
use wardcast_fuzz::group::record::*;
use wardcast_fuzz::group::state::State;
use wardcast_fuzz::group::tree::Tree;
use wardcast_fuzz::group::wire::RemovalReason;

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
    trees(&golden)?;
    logs()?;
    deliveries()
}

/// A tree after joins, then after a batch of joins and leaves; each with the diff that led on from it.
fn trees(golden: &serde_json::Value) -> Result {
    let joins = |members: std::ops::Range<u64>| members.map(MemberId).collect::<Vec<_>>();
    let steps = [
        ("growing", joins(1..7), vec![]),
        ("mixed", joins(7..12), vec![1, 4]),
        ("leaving", vec![], vec![0, 2, 3]),
        ("rotating", vec![], vec![]),
    ];
    let mut tree = Tree::new();
    for (name, joins, leaves) in steps {
        let rotate = joins.is_empty() && leaves.is_empty();
        let change = Change {
            joins,
            leaves,
            rotate,
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
    for (epoch, joins, leaves) in [(1, 1..6, vec![]), (2, 6..8, vec![1, 3]), (3, 8..8, vec![])] {
        let rotate = joins.is_empty() && leaves.is_empty();
        let change = Change {
            joins: joins.clone().map(MemberId).collect(),
            leaves: leaves.clone(),
            rotate,
        };
        let plan = plan(state.tree(), &change)?;
        let joined = joins.map(|member| Joined {
            member: MemberId(member),
            identity: Identity(format!("dns:member-{member}.example")),
            role: Role::Both,
            sender: Some(SenderId(member as u32 - 1)),
        });
        let left = leaves
            .iter()
            .filter_map(|leaf| state.tree().member_at(*leaf));
        let left = left.map(|member| Departed {
            member,
            reason: RemovalReason::Evicted,
            note: Some("a reason".to_owned()),
        });
        let record = Record::Changed(Box::new(Changed {
            epoch: Epoch(epoch),
            diff: plan.diff,
            joined: joined.collect(),
            left: left.collect(),
            sender_space: 0,
        }));
        snapshots.push(state.to_bytes());
        state.apply(record.clone())?;
        records.push(record);
    }
    records.push(Record::PolicyChanged(GroupPolicy::default()));
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
