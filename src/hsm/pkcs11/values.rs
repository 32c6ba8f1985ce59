//! Every return value of the standard: its number, its name, and what it means for whoever waits.

use cryptoki::error::RvError;
use cryptoki_sys::*;

use crate::hsm::ErrorClass;

/// One table, so that number, name and class cannot drift apart.
macro_rules! values {
    ($($class:ident $error:ident $value:ident;)*) => {
        /// The number (`CK_RV`) that the binding's error stands for.
        pub(super) fn number(error: &RvError) -> CK_RV {
            match error {
                $(RvError::$error => $value,)*
                RvError::VendorDefined(value) | RvError::UnknownErrorCode(value) => *value,
            }
        }

        /// The name that the standard and every vendor's manual use; a number where there is none.
        pub(super) fn name(value: CK_RV) -> String {
            match value {
                $($value => stringify!($value).to_owned(),)*
                CKR_VENDOR_DEFINED..=CK_RV::MAX => format!("CKR_VENDOR_DEFINED ({value:#x})"),
                _ => format!("CKR {value:#x}"),
            }
        }

        /// What to do about it. What only the vendor knows is the device's trouble.
        pub(super) fn class(value: CK_RV) -> ErrorClass {
            match value {
                $($value => ErrorClass::$class,)*
                _ => ErrorClass::Elsewhere,
            }
        }
    };
}

values! {
    // Passing trouble: the token is busy, or has no memory or session to spare at the moment.
    Retry HostMemory CKR_HOST_MEMORY;
    Retry DeviceMemory CKR_DEVICE_MEMORY;
    Retry SessionCount CKR_SESSION_COUNT;
    Retry FunctionFailed CKR_FUNCTION_FAILED;
    Retry FunctionCanceled CKR_FUNCTION_CANCELED;
    Retry Cancel CKR_CANCEL;
    Retry NoEvent CKR_NO_EVENT;
    // The session, its login, its handles or its state are gone: a new session finds everything afresh.
    LoginNeeded SessionHandleInvalid CKR_SESSION_HANDLE_INVALID;
    LoginNeeded SessionClosed CKR_SESSION_CLOSED;
    LoginNeeded UserNotLoggedIn CKR_USER_NOT_LOGGED_IN;
    LoginNeeded ObjectHandleInvalid CKR_OBJECT_HANDLE_INVALID;
    LoginNeeded KeyHandleInvalid CKR_KEY_HANDLE_INVALID;
    LoginNeeded WrappingKeyHandleInvalid CKR_WRAPPING_KEY_HANDLE_INVALID;
    LoginNeeded UnwrappingKeyHandleInvalid CKR_UNWRAPPING_KEY_HANDLE_INVALID;
    LoginNeeded OperationActive CKR_OPERATION_ACTIVE;
    LoginNeeded OperationNotInitialized CKR_OPERATION_NOT_INITIALIZED;
    LoginNeeded CryptokiNotInitialized CKR_CRYPTOKI_NOT_INITIALIZED;
    LoginNeeded UserAlreadyLoggedIn CKR_USER_ALREADY_LOGGED_IN;
    LoginNeeded UserAnotherAlreadyLoggedIn CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
    LoginNeeded UserTooManyTypes CKR_USER_TOO_MANY_TYPES;
    LoginNeeded SessionReadOnlyExists CKR_SESSION_READ_ONLY_EXISTS;
    LoginNeeded SessionReadWriteSoExists CKR_SESSION_READ_WRITE_SO_EXISTS;
    LoginNeeded SessionExists CKR_SESSION_EXISTS;
    LoginNeeded CryptokiAlreadyInitialized CKR_CRYPTOKI_ALREADY_INITIALIZED;
    // The device or its library is in trouble: another token, or this one later.
    Elsewhere GeneralError CKR_GENERAL_ERROR;
    Elsewhere DeviceError CKR_DEVICE_ERROR;
    Elsewhere DeviceRemoved CKR_DEVICE_REMOVED;
    Elsewhere TokenNotPresent CKR_TOKEN_NOT_PRESENT;
    Elsewhere TokenNotRecognized CKR_TOKEN_NOT_RECOGNIZED;
    Elsewhere SlotIdInvalid CKR_SLOT_ID_INVALID;
    Elsewhere FipsSelfTestFailed CKR_FIPS_SELF_TEST_FAILED;
    Elsewhere MutexBad CKR_MUTEX_BAD;
    Elsewhere MutexNotLocked CKR_MUTEX_NOT_LOCKED;
    Elsewhere RandomNoRng CKR_RANDOM_NO_RNG;
    Elsewhere ExceededMaxIterations CKR_EXCEEDED_MAX_ITERATIONS;
    // Somebody has to act: the PIN, the token's set-up or its abilities are not what is needed.
    Fatal PinIncorrect CKR_PIN_INCORRECT;
    Fatal PinInvalid CKR_PIN_INVALID;
    Fatal PinLenRange CKR_PIN_LEN_RANGE;
    Fatal PinExpired CKR_PIN_EXPIRED;
    Fatal PinLocked CKR_PIN_LOCKED;
    Fatal PinTooWeak CKR_PIN_TOO_WEAK;
    Fatal UserPinNotInitialized CKR_USER_PIN_NOT_INITIALIZED;
    Fatal NewPinMode CKR_NEW_PIN_MODE;
    Fatal NextOtp CKR_NEXT_OTP;
    Fatal MechanismInvalid CKR_MECHANISM_INVALID;
    Fatal FunctionNotSupported CKR_FUNCTION_NOT_SUPPORTED;
    Fatal FunctionNotParallel CKR_FUNCTION_NOT_PARALLEL;
    Fatal FunctionRejected CKR_FUNCTION_REJECTED;
    Fatal ActionProhibited CKR_ACTION_PROHIBITED;
    Fatal CurveNotSupported CKR_CURVE_NOT_SUPPORTED;
    Fatal RandomSeedNotSupported CKR_RANDOM_SEED_NOT_SUPPORTED;
    Fatal SessionParallelNotSupported CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    Fatal TokenWriteProtected CKR_TOKEN_WRITE_PROTECTED;
    Fatal SessionReadOnly CKR_SESSION_READ_ONLY;
    Fatal KeyFunctionNotPermitted CKR_KEY_FUNCTION_NOT_PERMITTED;
    Fatal KeyNotWrappable CKR_KEY_NOT_WRAPPABLE;
    Fatal KeyUnextractable CKR_KEY_UNEXTRACTABLE;
    Fatal KeyIndigestible CKR_KEY_INDIGESTIBLE;
    Fatal KeyChanged CKR_KEY_CHANGED;
    Fatal AttributeSensitive CKR_ATTRIBUTE_SENSITIVE;
    Fatal InformationSensitive CKR_INFORMATION_SENSITIVE;
    Fatal StateUnsaveable CKR_STATE_UNSAVEABLE;
    Fatal LibraryLoadFailed CKR_LIBRARY_LOAD_FAILED;
    Fatal NeedToCreateThreads CKR_NEED_TO_CREATE_THREADS;
    Fatal CantLock CKR_CANT_LOCK;
    // The call made no sense.
    OurBug ArgumentsBad CKR_ARGUMENTS_BAD;
    OurBug MechanismParamInvalid CKR_MECHANISM_PARAM_INVALID;
    OurBug TemplateIncomplete CKR_TEMPLATE_INCOMPLETE;
    OurBug TemplateInconsistent CKR_TEMPLATE_INCONSISTENT;
    OurBug AttributeReadOnly CKR_ATTRIBUTE_READ_ONLY;
    OurBug AttributeTypeInvalid CKR_ATTRIBUTE_TYPE_INVALID;
    OurBug AttributeValueInvalid CKR_ATTRIBUTE_VALUE_INVALID;
    OurBug DataInvalid CKR_DATA_INVALID;
    OurBug DataLenRange CKR_DATA_LEN_RANGE;
    OurBug BufferTooSmall CKR_BUFFER_TOO_SMALL;
    OurBug KeySizeRange CKR_KEY_SIZE_RANGE;
    OurBug KeyTypeInconsistent CKR_KEY_TYPE_INCONSISTENT;
    OurBug KeyNeeded CKR_KEY_NEEDED;
    OurBug KeyNotNeeded CKR_KEY_NOT_NEEDED;
    OurBug DomainParamsInvalid CKR_DOMAIN_PARAMS_INVALID;
    OurBug PublicKeyInvalid CKR_PUBLIC_KEY_INVALID;
    OurBug UserTypeInvalid CKR_USER_TYPE_INVALID;
    OurBug EncryptedDataInvalid CKR_ENCRYPTED_DATA_INVALID;
    OurBug EncryptedDataLenRange CKR_ENCRYPTED_DATA_LEN_RANGE;
    OurBug SignatureInvalid CKR_SIGNATURE_INVALID;
    OurBug SignatureLenRange CKR_SIGNATURE_LEN_RANGE;
    OurBug WrappedKeyInvalid CKR_WRAPPED_KEY_INVALID;
    OurBug WrappedKeyLenRange CKR_WRAPPED_KEY_LEN_RANGE;
    OurBug WrappingKeySizeRange CKR_WRAPPING_KEY_SIZE_RANGE;
    OurBug WrappingKeyTypeInconsistent CKR_WRAPPING_KEY_TYPE_INCONSISTENT;
    OurBug UnwrappingKeySizeRange CKR_UNWRAPPING_KEY_SIZE_RANGE;
    OurBug UnwrappingKeyTypeInconsistent CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT;
    OurBug SavedStateInvalid CKR_SAVED_STATE_INVALID;
}

#[cfg(test)]
mod tests;
