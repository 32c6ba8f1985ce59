//! A trail and a token: what is signed when, and what trouble of the token does to it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::*;
use crate::audit::{Options, Verified, verify};
use crate::group::ids::MasterId;
use crate::hsm::{
    self, Lane, Opener, Pauses, PinSource, PoolOptions, TokenConfig, TokenError, TokenKind,
};

const SOON: Duration = Duration::from_secs(30);

/// A software token's sessions, as long as it is not out of order.
fn token(folder: &Path, broken: &Arc<AtomicBool>) -> Opener {
    let pin = folder.join("pin");
    std::fs::write(&pin, "123456").expect("writes");
    let config = TokenConfig {
        kind: TokenKind::Soft {
            path: folder.join("token"),
        },
        pin: PinSource::File(pin),
        master: MasterId(1),
        escrow: None,
    };
    hsm::provision(&config).expect("provisions");
    let (opener, broken) = (hsm::open(&config).expect("opens"), broken.clone());
    Arc::new(move || match broken.load(Ordering::Relaxed) {
        false => opener(),
        true => Err(TokenError::Call {
            class: hsm::ErrorClass::Elsewhere,
            operation: "open a session".into(),
            code: "C_OpenSession: CKR_DEVICE_REMOVED".to_owned(),
            value: None,
        }),
    })
}

struct Bench {
    folder: TempDir,
    broken: Arc<AtomicBool>,
    tokens: Arc<Pool>,
    audit: Audit,
}

impl Bench {
    fn new(broken: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let broken = Arc::new(AtomicBool::new(broken));
        let lane = Lane {
            name: "token".to_owned(),
            opener: token(folder.path(), &broken),
        };
        let options = PoolOptions {
            pauses: Pauses {
                longest: Duration::from_millis(100),
                ..Pauses::default()
            },
            ..PoolOptions::default()
        };
        let tokens = Arc::new(Pool::start(vec![lane], options).expect("starts"));
        let options = Options::new(folder.path().join("trail"), 1 << 20);
        let audit = Audit::open(&options).expect("opens");
        Bench {
            folder,
            broken,
            tokens,
            audit,
        }
    }

    async fn note(&self, records: usize) {
        let happened = Entry::of_gateway(Event::TokenBack);
        self.audit.note(vec![happened; records]).await;
    }

    fn signing(&self) -> Signing {
        Signing::new(self.tokens.clone(), self.audit.clone())
    }

    fn verified(&self) -> Verified {
        verify(&self.folder.path().join("trail"), |_, _| {}).expect("is whole")
    }

    async fn until_signed(&self) -> Verified {
        let began = Instant::now();
        loop {
            let verified = self.verified();
            if verified.signatures.up_to.is_some() {
                return verified;
            }
            assert!(began.elapsed() < SOON, "{verified:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_signature_alone_makes_no_other_necessary() {
    let bench = Bench::new(false);
    let mut signing = bench.signing();
    assert_eq!(signing.pending(), 0);
    bench.note(3).await;
    assert_eq!(signing.pending(), 3);
    signing.sign().await.expect("signs");
    assert_eq!(signing.pending(), 0);
    signing.sign_all().await.expect("has nothing to do");
    let verified = bench.verified();
    assert_eq!((verified.last, verified.signatures.up_to), (4, Some(3)));
    let issuers = bench.tokens.try_issuers().expect("are known");
    let key = crate::crypto::Fingerprint::of(&issuers.one.signing);
    assert_eq!(verified.signatures.issuers, [key]);
    bench.note(1).await;
    assert_eq!(signing.pending(), 1);
    signing.sign_all().await.expect("signs");
    let verified = bench.verified();
    assert_eq!((verified.last, verified.signatures.up_to), (6, Some(5)));
    // A new start does not know what is signed; it has something to say, so that one more signature is as it should be.
    assert_eq!(bench.signing().pending(), 6);
}

#[tokio::test]
async fn many_are_signed_at_once_and_few_after_a_while() {
    let bench = Bench::new(false);
    let mut signing = bench.signing();
    let now = Instant::now();
    assert!(!signing.is_due(now), "nothing happened");
    bench.note(1).await;
    assert!(signing.is_due(now), "nothing was signed yet");
    signing.last = Some(now);
    assert!(!signing.is_due(now + PERIOD / 2));
    assert!(signing.is_due(now + PERIOD));
    bench.note(MANY as usize - 2).await;
    assert!(!signing.is_due(now + PERIOD / 2));
    bench.note(1).await;
    assert!(signing.is_due(now + PERIOD / 2));
    signing.covered = MANY;
    assert!(!signing.is_due(now + PERIOD), "all is covered");
}

#[tokio::test]
async fn trouble_of_the_token_only_delays_it() {
    let bench = Bench::new(true);
    bench.note(2).await;
    let error = bench.signing().sign().await.expect_err("has no token");
    assert!(
        matches!(error, Unsigned::Token(PoolError::Unusable { .. })),
        "{error}"
    );
    let signer = Signer::start(bench.tokens.clone(), bench.audit.clone());
    bench.broken.store(false, Ordering::Relaxed);
    let verified = bench.until_signed().await;
    assert_eq!((verified.last, verified.signatures.up_to), (3, Some(2)));
    bench.note(1).await;
    signer.finish().await;
    let verified = bench.verified();
    assert_eq!((verified.last, verified.signatures.up_to), (5, Some(4)));
}

#[tokio::test]
async fn a_gateway_without_a_token_stops_all_the_same() {
    let bench = Bench::new(true);
    bench.note(2).await;
    let signer = Signer::start(bench.tokens.clone(), bench.audit.clone());
    let began = Instant::now();
    signer.finish().await;
    assert!(began.elapsed() < LAST + SOON);
    let verified = bench.verified();
    assert_eq!((verified.last, verified.signatures.count), (2, 0));
}
