//! What a PKCS#11 return value means for whoever waits.

use cryptoki::error::{Error, RvError};

use crate::hsm::{ErrorClass, TokenError};

/// Turns the error of a call into ours; the return value stays in it.
pub(super) fn call(operation: &'static str) -> impl FnOnce(Error) -> TokenError {
    move |error| TokenError::Call {
        class: class(&error),
        operation,
        code: code(&error),
    }
}

/// Turns an answer of a fixed length into an array.
pub(super) fn length<const N: usize>(
    operation: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], TokenError> {
    bytes.try_into().map_err(|_| TokenError::Call {
        class: ErrorClass::Fatal,
        operation,
        code: format!("it answered {} bytes instead of {N}", bytes.len()),
    })
}

/// The function and the return value by the name that the standard and every vendor's manual use.
pub(super) fn code(error: &Error) -> String {
    match error {
        Error::Pkcs11(rv, function) => format!("C_{function:?}: {}", name(rv)),
        other => other.to_string(),
    }
}

/// `PinIncorrect` is `CKR_PIN_INCORRECT`.
pub(super) fn name(rv: &RvError) -> String {
    let mut name = "CKR".to_owned();
    for letter in format!("{rv:?}").chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn class(error: &Error) -> ErrorClass {
    use RvError::*;
    let Error::Pkcs11(rv, _) = error else {
        return ErrorClass::Fatal;
    };
    match rv {
        FunctionFailed | FunctionCanceled | HostMemory | DeviceMemory | OperationActive
        | SessionCount => ErrorClass::Retry,
        // A handle that is no longer known: objects are looked up afresh with the next session.
        UserNotLoggedIn
        | SessionHandleInvalid
        | SessionClosed
        | CryptokiNotInitialized
        | KeyHandleInvalid
        | ObjectHandleInvalid
        | OperationNotInitialized => ErrorClass::LoginNeeded,
        MechanismInvalid
        | FunctionNotSupported
        | KeyFunctionNotPermitted
        | KeyUnextractable
        | KeyNotWrappable
        | WrappingKeyHandleInvalid
        | CurveNotSupported
        | TokenWriteProtected
        | SessionReadOnly => ErrorClass::Fatal,
        ArgumentsBad
        | MechanismParamInvalid
        | TemplateInconsistent
        | TemplateIncomplete
        | AttributeTypeInvalid
        | AttributeValueInvalid
        | AttributeReadOnly
        | DataInvalid
        | DataLenRange
        | BufferTooSmall => ErrorClass::OurBug,
        _ => ErrorClass::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptoki::context::Function;

    #[test]
    fn return_values_keep_their_standard_names() {
        assert_eq!(name(&RvError::PinIncorrect), "CKR_PIN_INCORRECT");
        assert_eq!(
            name(&RvError::SessionHandleInvalid),
            "CKR_SESSION_HANDLE_INVALID"
        );
        assert_eq!(name(&RvError::SlotIdInvalid), "CKR_SLOT_ID_INVALID");
        let error = call("wrap a key")(Error::Pkcs11(RvError::DeviceError, Function::WrapKey));
        assert_eq!(error.class(), ErrorClass::Elsewhere);
        let text = error.to_string();
        assert_eq!(
            text,
            "the token failed to wrap a key: C_WrapKey: CKR_DEVICE_ERROR"
        );
    }
}
