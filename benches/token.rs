//! Token operations, on the software token and on a PKCS#11 token:
//!
//! ```text
//! cargo bench --bench token
//! WARDCAST_BENCH_MODULE=/usr/lib/softhsm/libsofthsm2.so SOFTHSM2_CONF=... \
//!     WARDCAST_BENCH_LABEL=bench WARDCAST_BENCH_PIN=1234 cargo bench --bench token
//! ```
//!
//! The PKCS#11 benchmarks measure whatever token the environment names, which must have been initialised; missing keys are
//! created in it. Without a module they are left out, and without the mechanisms of suite 2 so is that.

use std::fmt;
use std::path::PathBuf;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use wardcast::crypto::MemberKey;
use wardcast::group::ids::{Epoch, GroupId, GroupNonce, KeyRef, MasterId, NodeId, Suite};
use wardcast::group::operations::{Batch, Operation};
use wardcast::group::request::Requests;
use wardcast::group::wire::EpochHeader;
use wardcast::hsm::{self, PinSource, Token, TokenConfig, TokenKind};

fn main() {
    divan::main();
}

/// A kind of token and a suite that it has.
#[derive(Clone, Copy)]
struct Case {
    kind: &'static str,
    suite: Suite,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} suite {}", self.kind, self.suite.number())
    }
}

/// What this run measures.
fn cases() -> Vec<Case> {
    let kinds = match std::env::var_os("WARDCAST_BENCH_MODULE") {
        Some(_) => vec!["soft", "pkcs11"],
        None => vec!["soft"],
    };
    let cases = kinds.into_iter().flat_map(|kind| {
        let (token, _directory) = token(kind);
        let suites = Suite::ALL.into_iter();
        let had: Vec<_> = suites.filter(|suite| token.profile().has(*suite)).collect();
        had.into_iter().map(move |suite| Case { kind, suite })
    });
    cases.collect()
}

/// A provisioned token of that kind; the directory has to outlive it.
fn token(kind: &str) -> (Box<dyn Token>, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let pin = directory.path().join("pin");
    std::fs::write(&pin, "123456").expect("writes the PIN");
    let mut config = TokenConfig {
        kind: TokenKind::Soft {
            path: directory.path().join("token"),
        },
        pin: PinSource::File(pin),
        master: MasterId(1),
        escrow: None,
    };
    if kind == "pkcs11" {
        let module = std::env::var_os("WARDCAST_BENCH_MODULE").expect("cases() looked");
        config.kind = TokenKind::Pkcs11 {
            module: PathBuf::from(module),
            token_label: std::env::var("WARDCAST_BENCH_LABEL").expect("WARDCAST_BENCH_LABEL"),
        };
        config.pin = PinSource::Env("WARDCAST_BENCH_PIN".to_owned());
    }
    hsm::provision(&config).expect("provisions");
    let token = hsm::open(&config).and_then(|opener| opener());
    (token.expect("opens"), directory)
}

fn key(level: u8, index: u32) -> KeyRef {
    KeyRef {
        node: NodeId { level, index },
        generation: 1,
        step: 0,
    }
}

fn batch(suite: Suite, operations: Vec<Operation>) -> Batch {
    Batch {
        suite,
        group: GroupId([1; 16]),
        master: MasterId(1),
        nonce: GroupNonce([2; 32]),
        requests: Requests::default(),
        operations,
    }
}

/// Confirms and signs the header of an epoch with the root at this level.
fn sealing(suite: Suite, level: u8) -> Operation {
    let root = key(level, 0);
    let header = EpochHeader {
        suite,
        group: GroupId([1; 16]),
        epoch: Epoch(1),
        root,
        activation_delay_ms: 1_000,
        retirement_delay_ms: 5_000,
        sender_space: 0,
        members: 4_096,
        rollover: 0,
    };
    Operation::Seal {
        root,
        prefix: header.prefix([3; 8]),
    }
}

fn measure(bencher: Bencher<'_, '_>, case: Case, batch: &Batch) {
    let (mut token, _directory) = token(case.kind);
    bencher
        .counter(ItemsCount::new(batch.operations.len()))
        .bench_local(|| token.execute_one(black_box(batch)).expect("executes"));
}

/// What one leave costs in a full tree of 4096 members: 4 * 6 - 1 wraps and a seal.
#[divan::bench(args = cases())]
fn leave_among_4096(bencher: Bencher<'_, '_>, case: Case) {
    let mut operations: Vec<_> = (0..6u8)
        .flat_map(|level| (0..4).map(move |child| (level, child)))
        .skip(1)
        .map(|(level, child)| Operation::Wrap {
            child: key(level, child),
            parent: key(level + 1, 0),
        })
        .collect();
    operations.push(sealing(case.suite, 6));
    measure(bencher, case, &batch(case.suite, operations));
}

/// Up-edges of 256 leaves: 64 keys that four wraps share, and 256 that one uses.
#[divan::bench(args = cases())]
fn wraps_256(bencher: Bencher<'_, '_>, case: Case) {
    let edge = |leaf| Operation::Wrap {
        child: key(0, leaf),
        parent: key(1, leaf / 4),
    };
    measure(
        bencher,
        case,
        &batch(case.suite, (0..256).map(edge).collect()),
    );
}

/// Grants to 64 joiners, the most that one batch carries.
#[divan::bench(args = cases())]
fn grants_64(bencher: Bencher<'_, '_>, case: Case) {
    let grant = |leaf| Operation::Grant {
        leaf: key(0, leaf),
        member: MemberKey::generate(case.suite).public(),
        transcript: vec![4; 250],
    };
    measure(
        bencher,
        case,
        &batch(case.suite, (0..64).map(grant).collect()),
    );
}

/// One epoch header: a tag and a signature.
#[divan::bench(args = cases())]
fn seal(bencher: Bencher<'_, '_>, case: Case) {
    let seal = sealing(case.suite, 6);
    measure(bencher, case, &batch(case.suite, vec![seal]));
}

/// One wrap of a key at the last ratchet step: the dearest that there is.
#[divan::bench(args = cases())]
fn wrap_after_128_ratchets(bencher: Bencher<'_, '_>, case: Case) {
    let mut parent = key(1, 0);
    parent.step = 128;
    let child = key(0, 0);
    measure(
        bencher,
        case,
        &batch(case.suite, vec![Operation::Wrap { child, parent }]),
    );
}
