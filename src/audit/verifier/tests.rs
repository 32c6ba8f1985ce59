//! Signatures that are right, and every way in which one may be none.

use std::time::UNIX_EPOCH;

use super::*;
use crate::audit::{Entry, Octets};
use crate::crypto::{IssuerKeys, IssuerSecrets};
use crate::group::ids::Suite;
use crate::group::wire::TrailHead;

type Lines = Vec<Vec<u8>>;

fn key() -> IssuerKeys {
    let secrets = IssuerSecrets::generate(Suite::One);
    IssuerKeys::new(Suite::One, &secrets).expect("was generated")
}

fn fingerprint(key: &IssuerKeys) -> Fingerprint {
    Fingerprint::of(&key.public().signing)
}

/// What is to be written: something that happened, or a signature over a record.
#[derive(Clone)]
enum Write {
    Happened(u64),
    Signed(Event),
}

fn signed(key: &IssuerKeys, up_to: u64, head: Digest) -> Event {
    let signed = TrailHead {
        sequence: up_to,
        digest: head.0,
    };
    Event::Signed(Signature {
        up_to,
        head,
        suite: Suite::One,
        issuer: Octets(key.public().signing.to_vec()),
        signature: Octets(key.sign(&signed.signed(Suite::One)).to_vec()),
    })
}

/// A trail of lines that follow each other, whatever they say.
fn written(all: &[Write]) -> Lines {
    let mut chain = Chain::begin();
    let mut lines = Vec::new();
    for one in all {
        let event = match one {
            Write::Happened(lost) => Event::Interrupted {
                since: String::new(),
                lost: *lost,
            },
            Write::Signed(event) => event.clone(),
        };
        let mut line = Vec::new();
        chain.write(UNIX_EPOCH, &Entry::of_gateway(event), &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        lines.push(line);
    }
    lines
}

fn signature_over(key: &IssuerKeys, lines: &Lines, up_to: u64) -> Write {
    let head = Digest::of(&lines[up_to as usize - 1]);
    Write::Signed(signed(key, up_to, head))
}

/// Records 1 to 10: 5 is a signature over 4, 9 one over 7.
fn trail(key: &IssuerKeys) -> (Vec<Write>, Lines) {
    let mut all: Vec<Write> = (0..4).map(Write::Happened).collect();
    all.push(signature_over(key, &written(&all), 4));
    all.extend((0..3).map(Write::Happened));
    all.push(signature_over(key, &written(&all), 7));
    all.push(Write::Happened(0));
    let lines = written(&all);
    (all, lines)
}

/// What these lines hold that follow the line with the digest `previous`; none if there are none.
fn verify_lines<'l>(
    previous: Digest,
    lines: impl IntoIterator<Item = &'l [u8]>,
    issuers: &[Fingerprint],
) -> Result<Option<VerifiedLines>, Fault> {
    let mut verifier = Verifier::new(Some(previous), issuers);
    for line in lines {
        verifier.follow(line)?;
    }
    Ok(verifier.verified())
}

fn check(lines: &Lines, issuers: &[Fingerprint]) -> Result<VerifiedLines, Fault> {
    let lines = lines.iter().map(Vec::as_slice);
    let verified = verify_lines(Digest::default(), lines, issuers)?;
    Ok(verified.expect("there are lines"))
}

#[test]
fn signatures_say_up_to_where_and_by_whom() {
    let (key, other) = (key(), key());
    let (_, lines) = trail(&key);
    let unpinned = check(&lines, &[]).expect("is whole");
    assert_eq!((unpinned.first, unpinned.last), (1, 10));
    assert_eq!(unpinned.head, Digest::of(&lines[9]));
    let expected = Signatures {
        count: 2,
        up_to: Some(7),
        issuers: vec![fingerprint(&key)],
        pinned: false,
    };
    assert_eq!(unpinned.signatures, expected);
    let pins = [fingerprint(&other), fingerprint(&key)];
    let pinned = check(&lines, &pins).expect("is whole").signatures;
    assert_eq!((pinned.pinned, pinned.up_to), (true, Some(7)));
    // Before the first signature there is none.
    let begun = check(&lines[..4].to_vec(), &pins).expect("is whole");
    assert_eq!((begun.signatures.count, begun.signatures.up_to), (0, None));
    let none: [&[u8]; 0] = [];
    assert_eq!(verify_lines(Digest::default(), none, &[]), Ok(None));
}

#[test]
fn another_key_is_named_where_keys_are_pinned() {
    let (own, other) = (key(), key());
    let (mut all, lines) = trail(&own);
    let fault = check(&lines, &[fingerprint(&other)]).expect_err("is another's");
    let issuer = fingerprint(&own);
    assert_eq!(
        fault,
        Fault::Stranger {
            sequence: 5,
            issuer
        }
    );
    assert!(fault.to_string().contains(&issuer.to_string()), "{fault}");
    // From the eighth record on another token signs: fine if both are trusted, or nobody was named.
    all[8] = signature_over(&other, &lines, 7);
    let lines = written(&all);
    let both = [issuer, fingerprint(&other)];
    for pins in [&both[..], &[]] {
        let signatures = check(&lines, pins).expect("is whole").signatures;
        assert_eq!(signatures.issuers, both);
    }
    let issuer = fingerprint(&other);
    let fault = check(&lines, &both[..1]).expect_err("one is another's");
    assert_eq!(
        fault,
        Fault::Stranger {
            sequence: 9,
            issuer
        }
    );
}

/// However the trail is chained afresh, a signature fits what was signed alone.
#[test]
fn a_signature_fits_its_own_record_alone() {
    let key = key();
    let (all, lines) = trail(&key);
    let Write::Signed(Event::Signed(right)) = all[8].clone() else {
        panic!("it is a signature");
    };
    let with = |place: usize, signature: Signature| {
        let mut all = all.clone();
        all[place] = Write::Signed(Event::Signed(signature));
        check(&written(&all), &[]).expect_err("is found")
    };
    let forged = Fault::Forged {
        sequence: 9,
        up_to: 7,
    };
    for at in 0..64 {
        let mut wrong = right.clone();
        wrong.signature.0[at] ^= 1;
        assert_eq!(with(8, wrong), forged);
    }
    let mut wrong = right.clone();
    wrong.issuer.0[1] ^= 1;
    assert_eq!(with(8, wrong), forged);
    let mut wrong = right.clone();
    wrong.signature.0.pop();
    assert_eq!(with(8, wrong), forged);
    let mut wrong = right.clone();
    wrong.suite = Suite::Two;
    assert_eq!(with(8, wrong), forged);
    let mut wrong = right.clone();
    (wrong.up_to, wrong.head) = (6, Digest::of(&lines[5]));
    let fault = with(8, wrong);
    let says = fault.to_string();
    assert!(
        says.starts_with("record 9 holds a wrong signature"),
        "{says}"
    );
    // A record before it was written anew, and all after it chained to that.
    let mut changed = all.clone();
    changed[2] = Write::Happened(99);
    let fault = check(&written(&changed), &[]).expect_err("is found");
    let Fault::OtherHead {
        sequence: 5,
        up_to: 4,
        signed,
        found,
    } = fault
    else {
        panic!("{fault}");
    };
    assert_eq!(signed, Digest::of(&lines[3]));
    assert_eq!(found, Digest::of(&written(&changed)[3]));
}

#[test]
fn a_signature_copied_to_another_place_is_named() {
    let key = key();
    let (all, lines) = trail(&key);
    // In the place of the later one, so that it covers less than was covered, or nothing new.
    let mut copied = all.clone();
    copied[8] = all[4].clone();
    let fault = check(&written(&copied), &[]).expect_err("is found");
    assert!(
        matches!(
            fault,
            Fault::OutOfPlace {
                sequence: 9,
                up_to: 4,
                ..
            }
        ),
        "{fault}"
    );
    // Before what it covers.
    let mut copied = all.clone();
    copied[4] = all[8].clone();
    let fault = check(&written(&copied), &[]).expect_err("is found");
    assert!(
        matches!(
            fault,
            Fault::OutOfPlace {
                sequence: 5,
                up_to: 7,
                ..
            }
        ),
        "{fault}"
    );
    // Into another trail.
    let mut other: Vec<Write> = (10..18).map(Write::Happened).collect();
    other.push(all[8].clone());
    let fault = check(&written(&other), &[]).expect_err("is found");
    assert!(
        matches!(
            fault,
            Fault::OtherHead {
                sequence: 9,
                up_to: 7,
                ..
            }
        ),
        "{fault}"
    );
    // The line as it is, without what follows it being changed: the chain tells.
    let mut moved = lines.clone();
    moved[8] = lines[4].clone();
    assert!(matches!(check(&moved, &[]), Err(Fault::Misplaced { .. })));
}

/// Whoever can write the folder can take away signatures, and what comes after the last one: that shows in how far it is signed.
#[test]
fn what_is_not_covered_is_not_vouched_for() {
    let key = key();
    let pins = [fingerprint(&key)];
    let (all, _) = trail(&key);
    let up_to = |all: &[Write]| {
        let verified = check(&written(all), &pins).expect("follows");
        (verified.signatures.up_to, verified.last)
    };
    let mut without = all.clone();
    without.remove(8);
    assert_eq!(up_to(&without), (Some(4), 9));
    let mut rewritten = all.clone();
    rewritten[9] = Write::Happened(77);
    assert_eq!(up_to(&rewritten), (Some(7), 10));
    // The record between what a signature covers and the signature is not covered by it either.
    let mut rewritten = all.clone();
    rewritten[7] = Write::Happened(77);
    assert_eq!(up_to(&rewritten), (Some(7), 10));
    assert_eq!(up_to(&all[..4]), (None, 4));
}

#[test]
fn batches_are_checked_alone_and_one_after_the_other() {
    let key = key();
    let pins = [fingerprint(&key)];
    let (_, lines) = trail(&key);
    let batch = |from: usize, to: usize| {
        let previous = from
            .checked_sub(1)
            .map_or_else(Digest::default, |at| Digest::of(&lines[at]));
        let lines = lines[from..to].iter().map(Vec::as_slice);
        verify_lines(previous, lines, &pins)
            .expect("follows")
            .expect("has lines")
    };
    let verified = batch(4, 10);
    assert_eq!((verified.first, verified.last), (5, 10));
    // The first is a signature over the record before the batch, which is whoever's who gave its digest.
    assert_eq!(
        (verified.signatures.count, verified.signatures.up_to),
        (2, Some(7))
    );
    assert_eq!(batch(8, 10).signatures.count, 1);
    assert_eq!(
        batch(8, 10).signatures.up_to,
        None,
        "that is in an earlier batch"
    );
    assert_eq!(batch(6, 9).signatures.up_to, Some(7));
    // Not after another line.
    let wrong = verify_lines(Digest([1; 32]), lines[4..].iter().map(Vec::as_slice), &pins);
    assert!(
        matches!(wrong, Err(Fault::Changed { sequence: 5, .. })),
        "{wrong:?}"
    );
    // One verifier for all of them sees what each covers.
    let mut verifier = Verifier::new(Some(Digest::default()), &pins);
    assert_eq!((verifier.next(), verifier.verified()), (None, None));
    for batch in lines.chunks(2) {
        for line in batch {
            verifier.follow(line).expect("follows");
        }
    }
    assert_eq!(verifier.next(), Some(11));
    assert_eq!(
        verifier.verified().expect("has lines").signatures.up_to,
        Some(7)
    );
    // A head that is not that of the line before is found even where that line is not there.
    let mut wrong = Digest::of(&lines[3]);
    wrong.0[0] ^= 1;
    let mut alone = Chain {
        next: 5,
        head: Digest::of(&lines[3]),
    };
    let mut line = Vec::new();
    alone.write(
        UNIX_EPOCH,
        &Entry::of_gateway(signed(&key, 4, wrong)),
        &mut line,
    );
    line.pop();
    let fault = verify_lines(Digest::of(&lines[3]), [&line[..]], &pins);
    assert!(
        matches!(
            fault,
            Err(Fault::OtherHead {
                sequence: 5,
                up_to: 4,
                ..
            })
        ),
        "{fault:?}"
    );
}

#[test]
fn a_signature_that_comes_too_late_is_refused() {
    let key = key();
    let mut chain = Chain::begin();
    let mut verifier = Verifier::new(None, &[]);
    let mut take = |event: Event| {
        let mut line = Vec::new();
        chain.write(UNIX_EPOCH, &Entry::of_gateway(event), &mut line);
        line.pop();
        let taken = verifier.follow(&line).map(drop);
        (taken, chain.head)
    };
    let mut nothing = || {
        let (taken, head) = take(Event::Stopped);
        taken.expect("follows");
        head
    };
    let (first, second) = (nothing(), nothing());
    for _ in 2..=MAX_UNSIGNED {
        nothing();
    }
    take(signed(&key, 1, first)).0.expect("is just in time");
    for _ in 0..2 {
        take(Event::Stopped).0.expect("follows");
    }
    let fault = take(signed(&key, 2, second)).0.expect_err("comes too late");
    let why = "no gateway signs so late";
    let sequence = MAX_UNSIGNED as u64 + 5;
    let up_to = 2;
    assert_eq!(
        fault,
        Fault::OutOfPlace {
            sequence,
            up_to,
            why
        }
    );
}
