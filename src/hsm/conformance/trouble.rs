//! What a real token's return values become, made to come by the shim.

use super::*;
use softhsm::in_child_behind_shim;

fn test(name: &str) -> String {
    format!("hsm::conformance::trouble::{name}")
}

/// A wrap and a seal: derivations, an AES key wrap, a tag and a signature.
fn everything() -> Batch {
    batch(vec![
        edge(key(0, 0, 1, 0), key(1, 0, 1, 0)),
        Operation::Seal {
            root: key(1, 0, 1, 0),
            prefix: PREFIX.to_vec(),
        },
    ])
}

#[test]
fn return_values_keep_their_name_and_get_a_class() {
    let test = test("return_values_keep_their_name_and_get_a_class");
    in_child_behind_shim(&test, |config, shim| {
        provision(config).expect("provisions");
        let opener = open(config).expect("opens");
        for (value, name, class) in [
            ("0x31", "CKR_DEVICE_MEMORY", ErrorClass::Retry),
            ("0x30", "CKR_DEVICE_ERROR", ErrorClass::Elsewhere),
            ("0x32", "CKR_DEVICE_REMOVED", ErrorClass::Elsewhere),
            ("0xe0", "CKR_TOKEN_NOT_PRESENT", ErrorClass::Elsewhere),
            (
                "0xb3",
                "CKR_SESSION_HANDLE_INVALID",
                ErrorClass::LoginNeeded,
            ),
            ("0x101", "CKR_USER_NOT_LOGGED_IN", ErrorClass::LoginNeeded),
            ("0x68", "CKR_KEY_FUNCTION_NOT_PERMITTED", ErrorClass::Fatal),
        ] {
            for function in ["C_DeriveKey", "C_WrapKey", "C_SignInit", "C_Sign"] {
                let mut token = opener().expect("opens");
                shim.set(&[&format!("{function} rv={value} times=1")]);
                let error = token.execute_one(&everything()).expect_err("fails");
                let text = error.to_string();
                assert!(text.contains(&format!("{function}: {name}")), "{text}");
                assert_eq!(error.class(), class, "{text}");
                // What failed once is not remembered, neither by this session nor by another.
                token = opener().expect("opens");
                assert!(token.execute_one(&everything()).is_ok(), "{text}");
            }
        }
    });
}

#[test]
fn a_refused_login_is_tried_once() {
    let test = test("a_refused_login_is_tried_once");
    in_child_behind_shim(&test, |config, shim| {
        provision(config).expect("provisions");
        for (value, refuses) in [("0xa0", true), ("0xa4", true), ("0x30", false)] {
            let before = shim.calls("C_Login");
            shim.set(&[&format!("C_Login rv={value}")]);
            let opener = open(config).expect("opens");
            for _ in 0..20 {
                let error = opener().err().expect("is refused");
                assert_eq!(error.refuses_pin(), refuses, "{error}");
            }
            let tries = shim.calls("C_Login") - before;
            assert_eq!(tries, if refuses { 1 } else { 20 }, "{value}");
            shim.set(&[]);
            assert_eq!(opener().is_ok(), !refuses, "{value}");
        }
    });
}
