//! Errors of a PKCS#11 call as ours, with the return value in them.

use std::borrow::Cow;

use cryptoki::error::{Error, RvError};
use cryptoki_sys::CK_RV;

use super::values;
use crate::hsm::{ErrorClass, TokenError};

/// Turns the error of a call into ours.
pub(super) fn call(operation: &'static str) -> impl FnOnce(Error) -> TokenError {
    move |error| match &error {
        Error::Pkcs11(rv, _) => returned(operation, code(&error), values::number(rv)),
        _ => TokenError::Call {
            class: ErrorClass::Fatal,
            operation: operation.into(),
            code: error.to_string(),
            value: None,
        },
    }
}

/// The error that this return value is; `code` names the function and the value.
pub(super) fn returned(
    operation: impl Into<Cow<'static, str>>,
    code: String,
    value: CK_RV,
) -> TokenError {
    TokenError::Call {
        class: values::class(value),
        operation: operation.into(),
        code,
        value: Some(value),
    }
}

/// Turns an answer of a fixed length into an array.
pub(super) fn length<const N: usize>(
    operation: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], TokenError> {
    bytes.try_into().map_err(|_| TokenError::Call {
        class: ErrorClass::Fatal,
        operation: operation.into(),
        code: format!("it answered {} bytes instead of {N}", bytes.len()),
        value: None,
    })
}

/// The function and the return value by the name that the standard and every vendor's manual use.
pub(super) fn code(error: &Error) -> String {
    match error {
        Error::Pkcs11(rv, function) => format!("C_{function:?}: {}", name(rv)),
        other => other.to_string(),
    }
}

fn name(rv: &RvError) -> String {
    values::name(values::number(rv))
}
