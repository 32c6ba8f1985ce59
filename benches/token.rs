//! Token operations, on the software token and on a PKCS#11 token:
//!
//! ```text
//! cargo bench --bench token
//! WARDCAST_BENCH_MODULE=/usr/lib/softhsm/libsofthsm2.so SOFTHSM2_CONF=... \
//!     WARDCAST_BENCH_LABEL=bench WARDCAST_BENCH_PIN=1234 cargo bench --bench token
//! ```
//!
//! The PKCS#11 benchmarks measure whatever token the environment names, which must have been initialised; missing keys are
//! created in it. Without a module they are left out.

use std::path::PathBuf;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use wardcast::crypto::EphemeralKey;
use wardcast::group::ids::{GroupId, GroupNonce, KeyRef, MasterId, NodeId};
use wardcast::group::operations::{Batch, Operation};
use wardcast::hsm::{self, PinSource, Token, TokenConfig, TokenKind};

fn main() {
    divan::main();
}

/// The kinds of token that this run measures.
fn kinds() -> Vec<&'static str> {
    match std::env::var_os("WARDCAST_BENCH_MODULE") {
        Some(_) => vec!["soft", "pkcs11"],
        None => vec!["soft"],
    }
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
    };
    if kind == "pkcs11" {
        let module = std::env::var_os("WARDCAST_BENCH_MODULE").expect("kinds() looked");
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

fn batch(operations: Vec<Operation>) -> Batch {
    Batch {
        group: GroupId([1; 16]),
        master: MasterId(1),
        nonce: GroupNonce([2; 32]),
        operations,
    }
}

fn measure(bencher: Bencher<'_, '_>, kind: &str, batch: &Batch) {
    let (mut token, _directory) = token(kind);
    bencher
        .counter(ItemsCount::new(batch.operations.len()))
        .bench_local(|| token.execute(black_box(batch)).expect("executes"));
}

/// What one leave costs in a full tree of 4096 members: 4 * 6 - 1 wraps and a seal.
#[divan::bench(args = kinds())]
fn leave_among_4096(bencher: Bencher<'_, '_>, kind: &str) {
    let mut operations: Vec<_> = (0..6u8)
        .flat_map(|level| (0..4).map(move |child| (level, child)))
        .skip(1)
        .map(|(level, child)| Operation::Wrap {
            child: key(level, child),
            parent: key(level + 1, 0),
        })
        .collect();
    operations.push(Operation::Seal {
        root: key(6, 0),
        prefix: vec![3; 200],
    });
    measure(bencher, kind, &batch(operations));
}

/// Up-edges of 256 leaves: 64 keys that four wraps share, and 256 that one uses.
#[divan::bench(args = kinds())]
fn wraps_256(bencher: Bencher<'_, '_>, kind: &str) {
    let edge = |leaf| Operation::Wrap {
        child: key(0, leaf),
        parent: key(1, leaf / 4),
    };
    measure(bencher, kind, &batch((0..256).map(edge).collect()));
}

/// Grants to 64 joiners, the most that one batch carries.
#[divan::bench(args = kinds())]
fn grants_64(bencher: Bencher<'_, '_>, kind: &str) {
    let grant = |leaf| Operation::Grant {
        leaf: key(0, leaf),
        member: EphemeralKey::generate().public(),
        transcript: vec![4; 250],
    };
    measure(bencher, kind, &batch((0..64).map(grant).collect()));
}

/// One epoch header: a tag and a signature.
#[divan::bench(args = kinds())]
fn seal(bencher: Bencher<'_, '_>, kind: &str) {
    let seal = Operation::Seal {
        root: key(6, 0),
        prefix: vec![3; 200],
    };
    measure(bencher, kind, &batch(vec![seal]));
}

/// One wrap of a key at the last ratchet step: the dearest that there is.
#[divan::bench(args = kinds())]
fn wrap_after_128_ratchets(bencher: Bencher<'_, '_>, kind: &str) {
    let mut parent = key(1, 0);
    parent.step = 128;
    let child = key(0, 0);
    measure(
        bencher,
        kind,
        &batch(vec![Operation::Wrap { child, parent }]),
    );
}
