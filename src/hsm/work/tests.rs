//! A back end that fails at any call: every key that it made is destroyed once, or held.

use std::collections::HashSet;

use bytes::Bytes;

use super::*;
use crate::hsm::check::PREFIX;
use crate::hsm::conformance::{batch, key};

/// Numbers its keys and knows which of them exist.
#[derive(Default)]
struct Ledger {
    made: u32,
    exist: HashSet<u32>,
    calls: usize,
    /// The call that fails, and how.
    fails: Option<(usize, ErrorClass)>,
    usage: Usage,
}

impl Ledger {
    fn call(&mut self, keys: &[&u32]) -> Result<(), TokenError> {
        for key in keys {
            assert!(self.exist.contains(key), "key {key} does not exist");
        }
        self.calls += 1;
        match self.fails {
            Some((call, class)) if call == self.calls => Err(TokenError::Call {
                class,
                operation: "follow the script".into(),
                code: "C_Test: CKR_TEST".to_owned(),
                value: None,
            }),
            _ => Ok(()),
        }
    }

    fn make(&mut self, from: &[&u32]) -> Result<u32, TokenError> {
        self.call(from)?;
        self.made += 1;
        self.exist.insert(self.made);
        Ok(self.made)
    }
}

impl Vault for Ledger {
    type Key = u32;

    fn seed(&mut self, _: &Scope) -> Result<u32, TokenError> {
        self.make(&[])
    }

    fn node(&mut self, _: &Scope, seed: &u32, _: &KeyRef) -> Result<u32, TokenError> {
        self.make(&[seed])
    }

    fn ratchet(&mut self, _: &Scope, key: &u32) -> Result<u32, TokenError> {
        self.make(&[key])
    }

    fn wrap(&mut self, _: &Scope, child: &u32, parent: &u32) -> Result<WrappedKey, TokenError> {
        self.call(&[child, parent])?;
        Ok([0; 40])
    }

    fn grant(&mut self, _: &Scope, leaf: &u32, _: &[u8], _: &[u8]) -> Result<Output, TokenError> {
        self.call(&[leaf])?;
        Ok(Output::BadPublicKey)
    }

    fn seal(&mut self, _: &Scope, root: &u32, _: &[u8]) -> Result<Output, TokenError> {
        self.call(&[root])?;
        Ok(Output::BadPublicKey)
    }

    fn push_key(&mut self, _: &Scope, root: &u32) -> Result<PushKey, TokenError> {
        self.call(&[root])?;
        Ok(PushKey([0; 32]))
    }

    fn escrow(&mut self, _: &Scope, root: &u32) -> Result<WrappedKey, TokenError> {
        self.call(&[root])?;
        Ok([0; 40])
    }

    fn sign_head(&mut self, _: &Scope, _: &TrailHead) -> Result<Output, TokenError> {
        self.call(&[])?;
        Ok(Output::HeadSigned(Bytes::new()))
    }

    fn destroy(&mut self, key: u32) {
        assert!(self.exist.remove(&key), "key {key} is destroyed twice");
    }

    fn usage(&mut self) -> &mut Usage {
        &mut self.usage
    }
}

/// Uses keys once and twice, steps forward and backward, and two generations of a node.
fn all_sorts() -> Batch {
    let edge = |leaf, generation, step| Operation::Wrap {
        child: key(0, leaf, 1, 2),
        parent: key(1, leaf / 4, generation, step),
    };
    batch(vec![
        edge(0, 2, 1),
        edge(1, 2, 3),
        edge(2, 2, 1),
        edge(3, 1, 1),
        edge(0, 3, 0),
        edge(5, 1, 2),
        Operation::Grant {
            leaf: key(0, 0, 1, 2),
            member: Bytes::new(),
            transcript: vec![],
        },
        Operation::Wrap {
            child: key(1, 0, 3, 0),
            parent: key(2, 0, 1, 1),
        },
        Operation::Seal {
            root: key(2, 0, 1, 1),
            prefix: PREFIX.to_vec(),
        },
        Operation::PushKey {
            root: key(2, 0, 1, 1),
        },
    ])
}

fn run(ledger: &mut Ledger, held: &mut Held<u32>, keys: &mut Keys<u32>) -> Result<(), TokenError> {
    execute(ledger, held, keys, &all_sorts(), &mut vec![])
}

#[test]
fn whatever_fails_no_key_is_lost_or_destroyed_twice() {
    let mut whole = Ledger::default();
    run(&mut whole, &mut Held::new(), &mut Keys::default()).expect("executes");
    assert!(whole.calls > 20, "{}", whole.calls);
    for warm in [false, true] {
        for class in [
            ErrorClass::Fatal,
            ErrorClass::LoginNeeded,
            ErrorClass::Retry,
        ] {
            for call in 1..=whole.calls {
                // The list of keys is a session's: what fails leaves nothing in it.
                let (mut held, mut keys) = (Held::new(), Keys::default());
                let mut ledger = Ledger::default();
                if warm {
                    // Its keys are held from the second time on.
                    for _ in 0..2 {
                        run(&mut ledger, &mut held, &mut keys).expect("executes");
                    }
                    ledger.calls = 0;
                }
                ledger.fails = Some((call, class));
                let failed = run(&mut ledger, &mut held, &mut keys).is_err();
                assert!(failed || warm, "call {call} of {}", whole.calls);
                assert_eq!(ledger.exist.len(), held.len(), "call {call}, {class:?}");
                if failed && class != ErrorClass::Fatal {
                    assert_eq!(held.len(), 0, "call {call}, {class:?}");
                }
                ledger.fails = None;
                run(&mut ledger, &mut held, &mut keys).expect("executes");
                for key in held.clear() {
                    ledger.destroy(key);
                }
                assert!(ledger.exist.is_empty());
            }
        }
    }
}
