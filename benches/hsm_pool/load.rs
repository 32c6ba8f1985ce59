//! The pool under a steady load, and how fast it works that off.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use std::vec::IntoIter;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use wardcast::crypto;
use wardcast::group::ids::{GroupId, GroupNonce, KeyRef, MasterId, NodeId, Suite};
use wardcast::group::operations::{Batch, Operation, Priority};
use wardcast::group::request::Requests;
use wardcast::hsm::{self, Lane, Opener, PinSource, Pool, PoolOptions, TokenConfig, TokenKind};

use crate::{CHILDREN, LEVELS, WRAPS};

/// Batches for each session that wait or run at any time: so many that no worker ever finds the queue empty.
const UNDER_WAY: usize = 128;
/// Nothing here takes longer to start.
const START: Duration = Duration::from_secs(30);

/// Provisions the token and says how to open sessions with it.
pub(crate) fn opener(module: &Path, label: &str, pin_file: &Path) -> Opener {
    let config = TokenConfig {
        kind: TokenKind::Pkcs11 {
            module: module.to_owned(),
            token_label: label.to_owned(),
        },
        pin: PinSource::File(pin_file.to_owned()),
        master: MasterId(1),
        escrow: None,
    };
    hsm::provision(&config).expect("provisions");
    hsm::open(&config).expect("opens")
}

/// A pool with so many sessions open.
fn start(opener: &Opener, sessions: usize) -> Pool {
    let options = PoolOptions {
        workers: sessions,
        queue: 2 * sessions * UNDER_WAY * WRAPS,
        ..PoolOptions::default()
    };
    let lane = Lane {
        name: "bench".to_owned(),
        opener: opener.clone(),
    };
    let pool = Pool::start(vec![lane], options).expect("starts");
    let begun = Instant::now();
    while pool.counts().sessions < sessions as u64 {
        assert!(begun.elapsed() < START, "not all sessions could be opened");
        thread::sleep(Duration::from_millis(1));
    }
    pool
}

/// What one leave costs, in a group that nothing is known of yet: no key can be held from an earlier batch.
fn batch() -> Batch {
    let key = |level: usize, index: usize| KeyRef {
        node: NodeId {
            level: level as u8,
            index: index as u32,
        },
        generation: 1,
        step: 0,
    };
    let children = (0..LEVELS).flat_map(|level| (0..CHILDREN).map(move |child| (level, child)));
    let wraps = children.skip(1).map(|(level, child)| Operation::Wrap {
        child: key(level, child),
        parent: key(level + 1, 0),
    });
    Batch {
        suite: Suite::One,
        group: GroupId(crypto::random()),
        master: MasterId(1),
        nonce: GroupNonce(crypto::random()),
        requests: Requests::default(),
        operations: wraps.collect(),
    }
}

/// A pool and whoever asks it.
pub(crate) struct Load {
    pool: Arc<Pool>,
    under_way: usize,
    runtime: Runtime,
}

impl Load {
    pub(crate) fn start(opener: &Opener, sessions: usize) -> Self {
        Load {
            pool: Arc::new(start(opener, sessions)),
            under_way: sessions * UNDER_WAY,
            runtime: Builder::new_current_thread().build().expect("a runtime"),
        }
    }

    /// Batches a second, over so many of them, from the first to the last. They are made before, by nobody whom the pool could
    /// be slowed by.
    pub(crate) fn throughput(&self, batches: usize) -> f64 {
        let prepared: Vec<Batch> = (0..batches).map(|_| batch()).collect();
        let prepared = Arc::new(Mutex::new(prepared.into_iter()));
        let next = |prepared: &Mutex<IntoIter<Batch>>| {
            let mut prepared = prepared.lock().expect("nobody panics with it");
            prepared.next()
        };
        let begun = Instant::now();
        self.runtime.block_on(async {
            let mut askers = JoinSet::new();
            for _ in 0..self.under_way {
                let (pool, prepared) = (self.pool.clone(), prepared.clone());
                askers.spawn(async move {
                    while let Some(batch) = next(&prepared) {
                        let answer = pool.execute(Priority::Scheduled, batch).await;
                        assert_eq!(answer.expect("executes").len(), WRAPS);
                    }
                });
            }
            askers.join_all().await;
        });
        batches as f64 / begun.elapsed().as_secs_f64()
    }

    /// Executes so many batches and nothing besides.
    pub(crate) fn run(&self, batches: usize) {
        self.runtime.block_on(async {
            for _ in 0..batches {
                let answer = self.pool.execute(Priority::Scheduled, batch()).await;
                answer.expect("executes");
            }
        });
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.pool.shutdown();
    }
}
