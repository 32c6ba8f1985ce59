//! What is counted is what was called: the shim counts the calls that reach a real token.

use super::counts::{execute, leave, rekey, tree};
use super::softhsm::in_child_behind_shim;
use super::*;

const COUNTED: [&str; 6] = [
    "C_DeriveKey",
    "C_WrapKey",
    "C_SignInit",
    "C_Sign",
    "C_CreateObject",
    "C_Encrypt",
];

#[test]
fn a_rekey_calls_the_token_as_often_as_it_says_and_never_twice_for_one_answer() {
    let test = "hsm::conformance::calls::a_rekey_calls_the_token_as_often_as_it_says_and_never_twice_for_one_answer";
    in_child_behind_shim(test, |config, shim| {
        provision(config).expect("provisions");
        let mut token = session(config);
        assert_eq!(token.execute_one(&batch(vec![])), Ok(vec![]));
        let mut tree = tree(1_000);
        for leaf in [500, 501, 3, 999] {
            let mut batch = rekey(Suite::One, &leave(&mut tree, leaf));
            let member = MemberKey::generate(Suite::One);
            batch.operations.push(grant(key(0, 7, 1, 0), &member));
            let before = COUNTED.map(|function| shim.calls(function));
            let (_, usage) = execute(token.as_mut(), &batch);
            let after = COUNTED.map(|function| shim.calls(function));
            let calls: [_; 6] = std::array::from_fn(|at| after[at] - before[at]);
            let derived = usage.derivations + usage.ratchets + usage.agreements;
            let signed = usage.tags + usage.signatures;
            let expected = [derived, usage.wraps, signed, signed, 0, 0];
            assert_eq!(calls, expected, "{usage:?}");
        }
    });
}
