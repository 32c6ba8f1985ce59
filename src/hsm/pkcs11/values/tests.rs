//! What each return value is called and means.

use cryptoki::context::Function;
use cryptoki::error::{Error, Rv};

use super::*;
use crate::hsm::pkcs11::error::call;

/// The values that pools, operators and runbooks rely on, one by one.
const CLASSES: [(CK_RV, &str, ErrorClass); 38] = [
    (0x002, "CKR_HOST_MEMORY", ErrorClass::Retry),
    (0x003, "CKR_SLOT_ID_INVALID", ErrorClass::Elsewhere),
    (0x005, "CKR_GENERAL_ERROR", ErrorClass::Elsewhere),
    (0x006, "CKR_FUNCTION_FAILED", ErrorClass::Retry),
    (0x007, "CKR_ARGUMENTS_BAD", ErrorClass::OurBug),
    (0x020, "CKR_DATA_INVALID", ErrorClass::OurBug),
    (0x030, "CKR_DEVICE_ERROR", ErrorClass::Elsewhere),
    (0x031, "CKR_DEVICE_MEMORY", ErrorClass::Retry),
    (0x032, "CKR_DEVICE_REMOVED", ErrorClass::Elsewhere),
    (0x050, "CKR_FUNCTION_CANCELED", ErrorClass::Retry),
    (0x054, "CKR_FUNCTION_NOT_SUPPORTED", ErrorClass::Fatal),
    (0x060, "CKR_KEY_HANDLE_INVALID", ErrorClass::LoginNeeded),
    (0x068, "CKR_KEY_FUNCTION_NOT_PERMITTED", ErrorClass::Fatal),
    (0x069, "CKR_KEY_NOT_WRAPPABLE", ErrorClass::Fatal),
    (0x06A, "CKR_KEY_UNEXTRACTABLE", ErrorClass::Fatal),
    (0x070, "CKR_MECHANISM_INVALID", ErrorClass::Fatal),
    (0x082, "CKR_OBJECT_HANDLE_INVALID", ErrorClass::LoginNeeded),
    (0x090, "CKR_OPERATION_ACTIVE", ErrorClass::LoginNeeded),
    (
        0x091,
        "CKR_OPERATION_NOT_INITIALIZED",
        ErrorClass::LoginNeeded,
    ),
    (0x0A0, "CKR_PIN_INCORRECT", ErrorClass::Fatal),
    (0x0A3, "CKR_PIN_EXPIRED", ErrorClass::Fatal),
    (0x0A4, "CKR_PIN_LOCKED", ErrorClass::Fatal),
    (0x0B0, "CKR_SESSION_CLOSED", ErrorClass::LoginNeeded),
    (0x0B1, "CKR_SESSION_COUNT", ErrorClass::Retry),
    (0x0B3, "CKR_SESSION_HANDLE_INVALID", ErrorClass::LoginNeeded),
    (0x0B5, "CKR_SESSION_READ_ONLY", ErrorClass::Fatal),
    (0x0D1, "CKR_TEMPLATE_INCONSISTENT", ErrorClass::OurBug),
    (0x0E0, "CKR_TOKEN_NOT_PRESENT", ErrorClass::Elsewhere),
    (0x0E1, "CKR_TOKEN_NOT_RECOGNIZED", ErrorClass::Elsewhere),
    (0x0E2, "CKR_TOKEN_WRITE_PROTECTED", ErrorClass::Fatal),
    (0x101, "CKR_USER_NOT_LOGGED_IN", ErrorClass::LoginNeeded),
    (0x102, "CKR_USER_PIN_NOT_INITIALIZED", ErrorClass::Fatal),
    (
        0x113,
        "CKR_WRAPPING_KEY_HANDLE_INVALID",
        ErrorClass::LoginNeeded,
    ),
    (0x150, "CKR_BUFFER_TOO_SMALL", ErrorClass::OurBug),
    (
        0x190,
        "CKR_CRYPTOKI_NOT_INITIALIZED",
        ErrorClass::LoginNeeded,
    ),
    (
        0x8000_0000,
        "CKR_VENDOR_DEFINED (0x80000000)",
        ErrorClass::Elsewhere,
    ),
    (
        0x8000_0383,
        "CKR_VENDOR_DEFINED (0x80000383)",
        ErrorClass::Elsewhere,
    ),
    (0x300, "CKR 0x300", ErrorClass::Elsewhere),
];

#[test]
fn each_return_value_has_its_name_and_class() {
    for (number, known, meant) in CLASSES {
        assert_eq!(name(number), known);
        assert_eq!(class(number), meant, "{known}");
        let Rv::Error(error) = Rv::from(number) else {
            panic!("{known} is an error");
        };
        assert_eq!(super::number(&error), number, "{known}");
    }
}

#[test]
fn an_error_keeps_the_number_and_the_function() {
    let error = call("wrap a key")(Error::Pkcs11(RvError::DeviceError, Function::WrapKey));
    assert_eq!(error.class(), ErrorClass::Elsewhere);
    assert_eq!(error.return_value(), Some(0x30));
    let text = error.to_string();
    assert_eq!(
        text,
        "the token failed to wrap a key: C_WrapKey: CKR_DEVICE_ERROR"
    );
}
