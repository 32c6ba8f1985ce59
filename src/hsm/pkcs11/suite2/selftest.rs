//! One round of suite 2 with keys of a session, checked in software: a mechanism that is listed may still not work.

use std::collections::HashMap;

use super::super::hygiene;
use super::super::library::Opened;
use super::super::vault::{Desk, EscrowKey, Templates};
use super::provision::{generate_master, generate_pair};
use super::{Pairs, issuer_of};
use crate::crypto::{self, HybridKey, random};
use crate::group::ids::{GroupId, GroupNonce, KeyRef, MasterId, NodeId, Suite};
use crate::group::operations::{Batch, Issuer, Operation, Output};
use crate::group::request::Requests;
use crate::hsm::held::Held;
use crate::hsm::work::{self, Keys};
use crate::hsm::{TokenError, Usage};

const MASTER: MasterId = MasterId(0);
const SUITE: Suite = Suite::Two;
const TRANSCRIPT: &[u8] = b"wardcast self-test of a grant";
/// As much of a header as a token looks at, and no epoch's: its protected header names no algorithm.
const PREFIX: &[u8] =
    b"\x84\x6aSignature1\x40\x50wardcast/1 epoch\x58\x1ewardcast self-test of a header";

/// Grants, wraps, ratchets and seals as a rekey does, and follows it as a member does. The error says what failed.
pub(super) fn run(opened: &Opened) -> Result<(), String> {
    let member = HybridKey::generate();
    let (outputs, issuer) = outputs(opened, &member).map_err(|error| error.to_string())?;
    follow(&outputs, &issuer, &member).map_err(|what| format!("{what} is not what software says"))
}

/// In a session of its own, whose end is the end of every key in it.
fn outputs(opened: &Opened, member: &HybridKey) -> Result<(Vec<Output>, Issuer), TokenError> {
    let session = opened.library.write(opened.slot)?;
    let label = hygiene::session_label(MASTER);
    let agreement = generate_pair(&session, &label, false, false)?;
    let signing = generate_pair(&session, &label, true, false)?;
    let master = generate_master(&session, &label, false)?;
    let issuer = issuer_of(&session, agreement[0], signing[0])?;
    let pairs = Pairs {
        agreement: agreement[1],
        signing: signing[1],
    };
    let mut desk = Desk {
        session,
        raw: opened.library.raw.clone(),
        // The batch is of suite 2, so that these are not looked at.
        agreement: pairs.agreement,
        signing: pairs.signing,
        two: Ok(pairs),
        masters: HashMap::from([((SUITE, MASTER), master)]),
        escrow: EscrowKey::default(),
        templates: Templates::default(),
        worn: false,
        usage: Usage::default(),
    };
    let (mut held, mut keys, mut outputs) = (Held::new(), Keys::default(), vec![]);
    work::execute(
        &mut desk,
        &mut held,
        &mut keys,
        &batch(member),
        &mut outputs,
    )?;
    Ok((outputs, issuer))
}

fn key(level: u8, step: u16) -> KeyRef {
    KeyRef {
        node: NodeId { level, index: 0 },
        generation: 1,
        step,
    }
}

fn batch(member: &HybridKey) -> Batch {
    let edge = |step| Operation::Wrap {
        child: key(0, 0),
        parent: key(1, step),
    };
    Batch {
        suite: SUITE,
        group: GroupId(random()),
        master: MASTER,
        nonce: GroupNonce(random()),
        requests: Requests::default(),
        operations: vec![
            Operation::Grant {
                leaf: key(0, 0),
                member: member.public(),
                transcript: TRANSCRIPT.to_vec(),
            },
            edge(0),
            edge(1),
            Operation::Seal {
                root: key(1, 1),
                prefix: PREFIX.to_vec(),
            },
        ],
    }
}

/// What a member does with the answers; the error names what is wrong.
fn follow(outputs: &[Output], issuer: &Issuer, member: &HybridKey) -> Result<(), &'static str> {
    let [
        Output::Granted {
            wrapped,
            encapsulated,
        },
        Output::Wrapped(first),
        Output::Wrapped(second),
        Output::Sealed { tag, signature },
    ] = outputs
    else {
        return Err("the kind of an answer");
    };
    let agreement = &issuer.agreement;
    let leaf = member.open_grant(agreement, TRANSCRIPT, wrapped, encapsulated);
    let leaf = leaf.ok_or("a grant (X25519, ML-KEM-768, HKDF or AES key wrap)")?;
    let open = |edge| crypto::unwrap(SUITE, &leaf, edge).ok_or("a wrap");
    let (first, second) = (open(first)?, open(second)?);
    if crypto::ratchet(SUITE, &first) != second {
        return Err("a ratchet");
    }
    if crypto::confirmation_tag(SUITE, &second, PREFIX) != *tag {
        return Err("a tag");
    }
    let message = [PREFIX, tag].concat();
    match crypto::verify_signature(SUITE, &issuer.signing, &message, signature) {
        true => Ok(()),
        false => Err("a signature"),
    }
}
