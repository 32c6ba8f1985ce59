//! Frames and messages: what goes in comes out, and nothing else does.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::group::ids::{GroupId, GroupNonce, KeyRef, NodeId, Suite};
use crate::group::operations::{Issuer, Issuers, PushKey};
use crate::group::request::Requests;
use crate::group::wire::TrailHead;
use crate::hsm::ErrorClass;

fn key(level: u8) -> KeyRef {
    KeyRef {
        node: NodeId { level, index: 3 },
        generation: 7,
        step: 2,
    }
}

fn batch(suite: Suite, operations: Vec<Operation>) -> Batch {
    Batch {
        suite,
        group: GroupId([1; 16]),
        master: MasterId(4),
        nonce: GroupNonce([2; 32]),
        requests: Requests::default(),
        operations,
    }
}

fn grant(suite: Suite) -> Operation {
    Operation::Grant {
        leaf: key(0),
        member: vec![5; suite.sizes().member].into(),
        transcript: vec![6; 300],
    }
}

fn seal() -> Operation {
    Operation::Seal {
        root: key(3),
        prefix: vec![7; 200],
    }
}

fn edge() -> Operation {
    Operation::Wrap {
        child: key(0),
        parent: key(1),
    }
}

fn sign_head() -> Operation {
    let head = TrailHead {
        sequence: 70_000,
        digest: [8; 32],
    };
    Operation::SignHead { head }
}

/// One of each kind, in the order of the outputs.
fn operations(suite: Suite) -> Vec<Operation> {
    let key = Operation::PushKey { root: key(3) };
    let escrow = Operation::Escrow { root: self::key(3) };
    vec![edge(), grant(suite), seal(), key, escrow, sign_head()]
}

fn outputs(suite: Suite) -> Vec<Output> {
    let sizes = suite.sizes();
    vec![
        Output::Wrapped([1; 40]),
        Output::Granted {
            wrapped: [2; 40],
            encapsulated: vec![3; sizes.encapsulated].into(),
        },
        Output::Sealed {
            tag: [4; 16],
            signature: vec![5; sizes.signature].into(),
        },
        Output::PushKey(PushKey([6; 32])),
        Output::Escrowed([8; 40]),
        Output::HeadSigned(vec![7; sizes.signature].into()),
    ]
}

fn requests() -> Vec<Request> {
    let all = |suite| batch(suite, operations(suite));
    vec![
        Request::Hello {
            version: VERSION,
            budget_ms: 5_000,
        },
        Request::Execute {
            budget_ms: 5_000,
            batches: vec![all(Suite::One), batch(Suite::One, vec![]), all(Suite::Two)],
        },
        Request::Ring {
            budget_ms: 1,
            change: RingChange::List,
        },
        Request::Ring {
            budget_ms: u32::MAX,
            change: RingChange::Create(MasterId(u32::MAX)),
        },
        Request::Ring {
            budget_ms: 0,
            change: RingChange::Destroy(MasterId(0)),
        },
        Request::Ping,
    ]
}

fn answers() -> Vec<Answer> {
    let issuer = |byte: u8| Issuer {
        signing: Bytes::from(vec![byte; 65]),
        agreement: Bytes::from(vec![byte + 1; 65]),
    };
    let error = TokenError::Call {
        class: ErrorClass::Elsewhere,
        operation: "wrap a key".into(),
        code: "C_WrapKey: CKR_DEVICE_ERROR".to_owned(),
        value: Some(0x30),
    };
    let profile = Profile {
        issuers: Issuers {
            one: issuer(1),
            two: Some(issuer(8)),
        },
        masters: vec![MasterId(1), MasterId(2)],
        description: "a token".to_owned(),
        mechanisms: vec!["CKM_AES_KEY_WRAP".to_owned()],
    };
    let mut without = profile.clone();
    without.issuers.two = None;
    vec![
        Answer::Welcome { profile },
        Answer::Welcome { profile: without },
        Answer::Executed {
            results: vec![
                Ok(outputs(Suite::One)),
                Err(error.clone()),
                Ok(vec![Output::BadPublicKey]),
                Ok(outputs(Suite::Two)),
                Ok(vec![]),
            ],
            usage: Usage {
                wraps: u64::MAX,
                ..Usage::default()
            },
        },
        Answer::Masters {
            masters: vec![MasterId(9)],
        },
        Answer::Pong,
        Answer::Failed { error },
    ]
}

fn there_and_back<M: Message + Clone + PartialEq + std::fmt::Debug>(messages: Vec<M>) {
    let mut pipe = Vec::new();
    for message in &messages {
        write(&mut pipe, message).expect("writes");
    }
    let mut pipe = &pipe[..];
    for message in messages {
        assert_eq!(read(&mut pipe).expect("reads"), Some(message));
    }
    assert!(read::<M>(&mut pipe).expect("ends").is_none());
}

#[test]
fn what_is_written_is_read() {
    there_and_back(requests());
    there_and_back(answers());
}

#[test]
fn a_connection_that_breaks_within_a_message_is_told_from_one_that_ends() {
    let mut whole = Vec::new();
    write(&mut whole, &requests()[1]).expect("writes");
    for length in 1..whole.len() {
        let read = read::<Request>(&mut &whole[..length]);
        assert!(
            matches!(read, Err(FrameError::Closed)),
            "{length}: {read:?}"
        );
    }
}

#[test]
fn a_length_beyond_the_bound_is_refused_before_anything_is_read() {
    let mut frame = (MAX_FRAME as u32 + 1).to_be_bytes().to_vec();
    frame.push(0);
    let mut left = &frame[..];
    let Err(FrameError::Malformed(error)) = read::<Request>(&mut left) else {
        panic!("is refused");
    };
    assert_eq!(error.fault, Fault::TooLarge(MAX_FRAME));
    assert_eq!(left.len(), 1);
    // A claim that is allowed, with little behind it.
    let frame = [&(MAX_FRAME as u32).to_be_bytes()[..], &[0; 9]].concat();
    let read = read::<Request>(&mut &frame[..]);
    assert!(matches!(read, Err(FrameError::Closed)), "{read:?}");
}

#[test]
fn a_message_beyond_the_bound_is_not_written() {
    let large = Operation::Seal {
        root: key(3),
        prefix: vec![0; MAX_FRAME],
    };
    let request = Request::Execute {
        budget_ms: 1,
        batches: vec![batch(Suite::One, vec![large])],
    };
    let mut pipe = Vec::new();
    let error = write(&mut pipe, &request).expect_err("is too large");
    assert!(matches!(error, FrameError::Malformed(_)), "{error}");
    assert!(pipe.is_empty());
}

/// The bounds belong together: the largest call of the costliest operation fits into a frame, either way.
#[test]
fn the_largest_call_fits_into_a_frame() {
    let grants = vec![grant(Suite::Two); MAX_OPERATIONS];
    let call = vec![batch(Suite::Two, grants)];
    assert!(fits(&call));
    let request = Request::Execute {
        budget_ms: u32::MAX,
        batches: call,
    };
    write(&mut Vec::new(), &request).expect("fits");
    let seal = outputs(Suite::Two).pop().expect("a seal");
    let answer = Answer::Executed {
        results: vec![Ok(vec![seal; MAX_OPERATIONS])],
        usage: Usage::default(),
    };
    write(&mut Vec::new(), &answer).expect("fits");
}

#[test]
fn only_outputs_of_the_operations_kind_and_the_suites_length_answer_a_batch() {
    for suite in Suite::ALL {
        let batch = batch(suite, operations(suite));
        let right = outputs(suite);
        assert!(super::answers(&batch, &right));
        let mut refused = right.clone();
        refused[1] = Output::BadPublicKey;
        assert!(super::answers(&batch, &refused));
        assert!(!super::answers(&batch, &right[..2]));
        let other = Suite::ALL.into_iter().find(|other| *other != suite);
        let other = outputs(other.expect("there are two"));
        for at in 0..right.len() {
            let mut wrong = right.clone();
            wrong.swap(at, (at + 1) % right.len());
            assert!(!super::answers(&batch, &wrong), "{suite:?}: {wrong:?}");
            let mut foreign = right.clone();
            foreign[at] = other[at].clone();
            // A wrapped key, a push key and an escrowed one are as long in every suite.
            let alike = [0, 3, 4].contains(&at);
            assert_eq!(super::answers(&batch, &foreign), alike, "{suite:?}");
        }
    }
}

fn flipped(messages: &[Bytes]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let messages = messages.to_vec();
    (
        0..messages.len(),
        any::<prop::sample::Index>(),
        any::<u8>(),
        any::<bool>(),
    )
        .prop_map(move |(which, at, byte, cut)| {
            let mut bytes = messages[which].to_vec();
            let at = at.index(bytes.len());
            match cut {
                true => bytes.truncate(at),
                false => bytes[at] = byte,
            }
            bytes
        })
}

/// What is read after damage is a message that encodes to nothing longer, or an error that points into the bytes.
fn holds<M: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    match M::from_bytes(bytes) {
        Ok(message) => {
            let again = message.to_bytes();
            assert!(again.len() <= bytes.len());
            assert_eq!(M::from_bytes(&again).as_ref(), Ok(&message));
        }
        Err(error) => assert!(error.offset <= bytes.len(), "{error}"),
    }
}

proptest! {
    #[test]
    fn damaged_requests_do_no_harm(
        bytes in flipped(&requests().iter().map(Message::to_bytes).collect::<Vec<_>>()),
    ) {
        holds::<Request>(&bytes);
    }

    #[test]
    fn damaged_answers_do_no_harm(
        bytes in flipped(&answers().iter().map(Message::to_bytes).collect::<Vec<_>>()),
    ) {
        holds::<Answer>(&bytes);
    }
}
