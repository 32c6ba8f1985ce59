//! Every function of PKCS#11 by name, and a hook in front of each.
//!
//! `unsafe` is needed to call into the real module, in the one function `through`. What it calls was stored under the
//! number of a function by `hooked`, from the field of a function list that has the function's name and, by
//! `cryptoki-sys`, its type, and `through` is made for that number and that type alone: so the pointer is turned back
//! into the type that it had. The arguments are handed on as they came from the caller, who answers for them.
#![allow(unsafe_code)]

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use cryptoki_sys::{CK_FUNCTION_LIST, CK_FUNCTION_LIST_3_0, CK_FUNCTION_LIST_3_2, CK_RV};

use crate::{control, counts};

/// Hands the functions that PKCS#11 2.40 has to the macro `$then`, behind what else is given.
macro_rules! version_2 {
    ($then:ident $($given:tt)*) => { $then! { $($given)*
        C_Initialize C_Finalize C_GetInfo C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList
        C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession C_CloseAllSessions
        C_GetSessionInfo C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject
        C_DestroyObject C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects
        C_FindObjectsFinal C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt
        C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit
        C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify C_VerifyUpdate
        C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate
        C_SignEncryptUpdate C_DecryptVerifyUpdate C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey
        C_SeedRandom C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent
    } };
}

/// The same for 3.0 and 3.1.
macro_rules! version_3_0 {
    ($then:ident $($given:tt)*) => { version_2! { $then $($given)*
        C_LoginUser C_SessionCancel C_MessageEncryptInit C_EncryptMessage C_EncryptMessageBegin C_EncryptMessageNext
        C_MessageEncryptFinal C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext
        C_MessageDecryptFinal C_MessageSignInit C_SignMessage C_SignMessageBegin C_SignMessageNext
        C_MessageSignFinal C_MessageVerifyInit C_VerifyMessage C_VerifyMessageBegin C_VerifyMessageNext
        C_MessageVerifyFinal
    } };
}

/// The same for 3.2: all that there are, but for those that give out the lists themselves.
macro_rules! version_3_2 {
    ($then:ident $($given:tt)*) => { version_3_0! { $then $($given)*
        C_EncapsulateKey C_DecapsulateKey C_VerifySignatureInit C_VerifySignature C_VerifySignatureUpdate
        C_VerifySignatureFinal C_GetSessionValidationFlags C_AsyncComplete C_AsyncGetID C_AsyncJoin
        C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated
    } };
}

macro_rules! name {
    ($($name:ident)*) => {
        #[repr(usize)]
        #[allow(non_camel_case_types, clippy::enum_variant_names, reason = "the standard's names")]
        enum Function { $($name),* }

        /// The functions' names: a function's number is its place here.
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}
version_3_2! { name }

/// The number of the function of that name.
pub(crate) fn number(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

macro_rules! hook {
    ($list:ident $($name:ident)*) => { $(
        $list.$name = $list.$name.map(|real| real.hooked::<{ Function::$name as usize }>());
    )* };
}

/// Hooks the functions of a real list.
pub(crate) fn hook_2(list: &mut CK_FUNCTION_LIST) {
    version_2! { hook list }
}

/// Hooks the functions of a real list.
pub(crate) fn hook_3_0(list: &mut CK_FUNCTION_LIST_3_0) {
    version_3_0! { hook list }
}

/// Hooks the functions of a real list.
pub(crate) fn hook_3_2(list: &mut CK_FUNCTION_LIST_3_2) {
    version_3_2! { hook list }
}

/// The real functions by number.
static REAL: [AtomicPtr<()>; NAMES.len()] = [const { AtomicPtr::new(null_mut()) }; NAMES.len()];

/// What happens before a call goes through. An answer is given instead of calling.
fn before(function: usize) -> Option<CK_RV> {
    counts::called(function);
    control::obey(function)
}

trait Hooked: Sized {
    /// Remembers the real function under that number and gives the one to call in its place.
    fn hooked<const FUNCTION: usize>(self) -> Self;
}

macro_rules! arity {
    ($($argument:ident)*) => {
        impl<$($argument),*> Hooked for unsafe extern "C" fn($($argument),*) -> CK_RV {
            fn hooked<const FUNCTION: usize>(self) -> Self {
                #[allow(non_snake_case, reason = "an argument bears the name of its type")]
                unsafe extern "C" fn through<const FUNCTION: usize, $($argument),*>(
                    $($argument: $argument),*
                ) -> CK_RV {
                    if let Some(answer) = before(FUNCTION) {
                        return answer;
                    }
                    let real = REAL[FUNCTION].load(Ordering::Acquire);
                    // Safety: see the head of this file.
                    unsafe {
                        let real: unsafe extern "C" fn($($argument),*) -> CK_RV = std::mem::transmute(real);
                        real($($argument),*)
                    }
                }
                REAL[FUNCTION].store(self as *mut (), Ordering::Release);
                through::<FUNCTION, $($argument),*>
            }
        }
    };
}
arity! { A }
arity! { A B }
arity! { A B C }
arity! { A B C D }
arity! { A B C D E }
arity! { A B C D E F }
arity! { A B C D E F G }
arity! { A B C D E F G H }
arity! { A B C D E F G H I }
arity! { A B C D E F G H I J }
arity! { A B C D E F G H I J K }
