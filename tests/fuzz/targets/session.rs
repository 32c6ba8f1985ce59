//! Gives a member's session whatever deliveries come, with keys that open everything: it neither panics nor goes back,
//! and holds a bounded number of epochs.

#![no_main]

use wardcast_fuzz::group::ids::{Epoch, GroupId, KeyRef, MemberId, NodeId, Role, Time};
use wardcast_fuzz::group::limits::MAX_HELD_EPOCHS;
use wardcast_fuzz::group::operations::WrappedKey;
use wardcast_fuzz::group::session::*;
use wardcast_fuzz::group::wire::*;

/// What separates the messages of one input.
const SEPARATOR: &[u8] = b"\xff\xff\xff\xff";

/// Of the golden deliveries, so that those are good seeds.
const GROUP: GroupId = GroupId([
    0x67, 0xaa, 0xc6, 0x04, 0x0a, 0x4e, 0xfe, 0x2b, 0x8d, 0xc4, 0xb4, 0xd4, 0xdd, 0x58, 0x44, 0x58,
]);
const LEAF: KeyRef = KeyRef {
    node: NodeId { level: 0, index: 2 },
    generation: 1,
    step: 0,
};

struct Anything;

impl KeyOperations for Anything {
    type Key = u64;

    fn ratchet(&self, key: &u64) -> u64 {
        key.wrapping_add(1)
    }

    fn unwrap(&self, child: &u64, wrapped: &WrappedKey) -> Option<u64> {
        (wrapped[0] != 0).then(|| child.wrapping_mul(31).wrapping_add(u64::from(wrapped[1])))
    }

    fn confirms(&self, _: &u64, header: &ParsedHeader) -> bool {
        header.tag[0] != 0
    }
}

fn input(bytes: &[u8]) -> Option<SessionInput> {
    if let Ok(push) = Push::from_bytes(bytes) {
        return match push {
            Push::Rekey(rekey) => Some(SessionInput::Rekey {
                header: EpochHeader::parse(&rekey.header).ok()?,
                edges: rekey.edges,
                active: rekey.active,
            }),
            Push::Activate(Activate { epoch, .. }) => Some(SessionInput::Activate { epoch }),
            Push::Removed(_) => Some(SessionInput::Evicted),
            Push::GoAway(_) => Some(SessionInput::Tick),
            Push::Packet(packet) => Some(SessionInput::Rekey {
                header: EpochHeader::parse(&packet.header).ok()?,
                edges: packet.edges,
                active: packet.active,
            }),
            Push::Heartbeat(_) => Some(SessionInput::Lacking {
                after_ms: 100,
                within_ms: 1_000,
            }),
        };
    }
    let path = match Response::from_bytes(bytes).ok()? {
        Response::Granted(grant) => grant.path,
        Response::Path(path) => path,
        Response::KeySet(set) => set.path,
        _ => return None,
    };
    Some(SessionInput::Path {
        header: EpochHeader::parse(&path.header).ok()?,
        edges: path.edges,
        active: path.active,
        sender_ids: path.sender_ids,
        sender_space: path.sender_space,
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let membership = Membership {
        group: GROUP,
        member: MemberId(3),
        role: Role::Both,
        leaf: LEAF,
        seed: 1,
    };
    let mut session = MemberSession::joined(Anything, membership, 7);
    let mut now = Time(0);
    let mut newest = Epoch(0);
    for part in wardcast_fuzz::split(bytes, SEPARATOR) {
        let Some(input) = input(part) else {
            return;
        };
        let ends = matches!(input, SessionInput::Evicted);
        now = now.after(400);
        // Refusals are the session's business; what counts is what it holds afterwards.
        let _ = session.handle(now, input);
        while session.poll().is_some() {}
        if ends {
            return assert_eq!(session.held().count(), 0);
        }
        assert!(session.newest() >= newest);
        assert!(session.held().count() <= MAX_HELD_EPOCHS);
        newest = session.newest();
    }
});
