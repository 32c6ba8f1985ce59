//! The calls that a rekey makes by the dozen, straight through the module's function table, once each.
//!
//! `cryptoki` makes every call with an answer of variable length twice: for the length, then for the bytes. That is half the
//! cost of a wrap, and a whole round trip with a network HSM. Every length here is known beforehand, so `C_WrapKey` and
//! `C_Sign` are called with a buffer that fits. And it makes a template anew for every key; here `C_DeriveKey` is given one
//! that is made once.
//!
//! # Why this may be `unsafe`
//!
//! PKCS#11 is a C interface; these are the only calls that this crate makes into it by itself.
//!
//! - *The functions exist as long as they can be called.* They come from the table that the module returns, and [`Raw`] keeps
//!   the module loaded: the loader counts references, and `cryptoki` holds another one of the same file, so it
//!   is one module with one state, which `cryptoki` has initialised and whose handles are used here.
//! - *Pointers are valid for the call, and for what the module may do with them.* They point to locals and slices that outlive
//!   the call; the lengths passed are the lengths of what they point to. Inputs are `*mut` in the C
//!   declaration, but the standard makes them inputs: modules do not write to them, as they do not when `cryptoki` passes
//!   shared slices in the same way. A module that broke that rule, or wrote past the length it was given, could break any
//!   caller of it; that is why it can be given a process of its own.
//! - *No two threads use one session.* A `Session` is not `Sync`, and each method borrows the one it works on.
//! - *Handles need no proof.* A stale or foreign handle is a return value, not a fault.

#![allow(unsafe_code)]

use std::path::Path;
use std::ptr;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki::session::Session;
use cryptoki_sys::{
    CK_AES_CBC_ENCRYPT_DATA_PARAMS, CK_ATTRIBUTE, CK_C_DeriveKey, CK_C_DestroyObject, CK_C_Sign,
    CK_C_SignInit, CK_C_WrapKey, CK_FUNCTION_LIST, CK_MECHANISM, CK_MECHANISM_TYPE, CK_RV,
    CK_ULONG, CKM_AES_CBC_ENCRYPT_DATA, CKM_AES_KEY_WRAP, CKR_OK,
};

use super::error::{length, returned};
use super::values;
use crate::group::operations::WrappedKey;
use crate::hsm::TokenError;

/// What keys are created with, in the form that calls take: a rekey creates dozens.
pub(super) struct Template {
    attributes: Box<[Attribute]>,
    /// Points into the attributes.
    raw: Box<[CK_ATTRIBUTE]>,
}

// SAFETY: the pointers lead into memory that the template owns, which moves with it and is never written to.
unsafe impl Send for Template {}

impl Template {
    pub(super) fn new(attributes: Vec<Attribute>) -> Self {
        let attributes = attributes.into_boxed_slice();
        Template {
            raw: attributes.iter().map(CK_ATTRIBUTE::from).collect(),
            attributes,
        }
    }

    pub(super) fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
}

/// The module's functions. Shared by the sessions of a process.
pub(super) struct Raw {
    derive: CK_C_DeriveKey,
    destroy: CK_C_DestroyObject,
    wrap: CK_C_WrapKey,
    sign_init: CK_C_SignInit,
    sign: CK_C_Sign,
    /// Keeps the functions where they are.
    _module: cryptoki_sys::Pkcs11,
}

impl Raw {
    /// Looks the functions up in a module that `cryptoki` has loaded from the same path.
    pub(super) fn new(path: &Path) -> Result<Self, String> {
        // SAFETY: loading runs the module's initialisers, which ran already when `cryptoki` loaded it.
        let module = unsafe { cryptoki_sys::Pkcs11::new(path) }.map_err(|e| e.to_string())?;
        let get = module.C_GetFunctionList.as_ref();
        let get = get.map_err(ToString::to_string)?;
        let mut list: *mut CK_FUNCTION_LIST = ptr::null_mut();
        // SAFETY: the argument is where the module puts a pointer.
        let value = unsafe { get(&mut list) };
        if value != CKR_OK {
            return Err(failed("C_GetFunctionList", value));
        }
        // SAFETY: the standard makes it a table that lives as long as the module, or none.
        let list = unsafe { list.as_ref() }.ok_or("C_GetFunctionList gave no table")?;
        Ok(Raw {
            derive: list.C_DeriveKey,
            destroy: list.C_DestroyObject,
            wrap: list.C_WrapKey,
            sign_init: list.C_SignInit,
            sign: list.C_Sign,
            _module: module,
        })
    }

    /// Derives a key.
    pub(super) fn derive(
        &self,
        operation: &'static str,
        session: &Session,
        mechanism: &Mechanism<'_>,
        base: ObjectHandle,
        template: &Template,
    ) -> Result<ObjectHandle, TokenError> {
        self.derive_with(operation, session, mechanism.into(), base, template)
    }

    /// Derives a key by `CKM_AES_CBC_ENCRYPT_DATA`, as suite 1 does for every one.
    pub(super) fn derive_cbc(
        &self,
        operation: &'static str,
        session: &Session,
        data: &[u8; 32],
        base: ObjectHandle,
        template: &Template,
    ) -> Result<ObjectHandle, TokenError> {
        let mut parameter = CK_AES_CBC_ENCRYPT_DATA_PARAMS {
            iv: [0; 16],
            pData: data.as_ptr().cast_mut(),
            length: data.len() as CK_ULONG,
        };
        let mechanism = CK_MECHANISM {
            mechanism: CKM_AES_CBC_ENCRYPT_DATA,
            pParameter: ptr::from_mut(&mut parameter).cast(),
            ulParameterLen: size_of_val(&parameter) as CK_ULONG,
        };
        self.derive_with(operation, session, mechanism, base, template)
    }

    #[inline]
    fn derive_with(
        &self,
        operation: &'static str,
        session: &Session,
        mut mechanism: CK_MECHANISM,
        base: ObjectHandle,
        template: &Template,
    ) -> Result<ObjectHandle, TokenError> {
        let derive = self.derive;
        let derive = derive.ok_or_else(|| absent(operation, "C_DeriveKey"))?;
        let mut key = 0;
        // SAFETY: the mechanism points into its parameters, which the callers hold; the template is an input of that length.
        let value = unsafe {
            derive(
                session.handle(),
                &mut mechanism,
                base.handle(),
                template.raw.as_ptr().cast_mut(),
                template.raw.len() as CK_ULONG,
                &mut key,
            )
        };
        check(operation, "C_DeriveKey", value)?;
        // SAFETY: the module has just given it for an object of this session.
        Ok(unsafe { ObjectHandle::new_from_raw(key) })
    }

    /// Destroys an object.
    pub(super) fn destroy(&self, session: &Session, key: ObjectHandle) -> Result<(), TokenError> {
        const OPERATION: &str = "destroy a key";
        let destroy = self.destroy;
        let destroy = destroy.ok_or_else(|| absent(OPERATION, "C_DestroyObject"))?;
        // SAFETY: the arguments are numbers.
        let value = unsafe { destroy(session.handle(), key.handle()) };
        check(OPERATION, "C_DestroyObject", value)
    }

    /// Wraps a 32-byte key by AES key wrap.
    pub(super) fn wrap(
        &self,
        session: &Session,
        kek: ObjectHandle,
        key: ObjectHandle,
    ) -> Result<WrappedKey, TokenError> {
        const OPERATION: &str = "wrap a key";
        let wrap = self.wrap.ok_or_else(|| absent(OPERATION, "C_WrapKey"))?;
        let mut mechanism = plain(CKM_AES_KEY_WRAP);
        let mut wrapped: WrappedKey = [0; 40];
        let mut written = wrapped.len() as CK_ULONG;
        // SAFETY: mechanism, buffer and length are locals; the length is the buffer's.
        let value = unsafe {
            wrap(
                session.handle(),
                &mut mechanism,
                kek.handle(),
                key.handle(),
                wrapped.as_mut_ptr(),
                &mut written,
            )
        };
        check(OPERATION, "C_WrapKey", value)?;
        exactly(OPERATION, wrapped, written)
    }

    /// Computes a tag or a signature of N bytes with a mechanism that takes no parameter.
    pub(super) fn sign<const N: usize>(
        &self,
        operation: &'static str,
        session: &Session,
        mechanism: CK_MECHANISM_TYPE,
        key: ObjectHandle,
        data: &[u8],
    ) -> Result<[u8; N], TokenError> {
        let sign_init = self.sign_init;
        let sign_init = sign_init.ok_or_else(|| absent(operation, "C_SignInit"))?;
        let sign = self.sign.ok_or_else(|| absent(operation, "C_Sign"))?;
        let mut mechanism = plain(mechanism);
        // SAFETY: the mechanism is a local.
        let value = unsafe { sign_init(session.handle(), &mut mechanism, key.handle()) };
        check(operation, "C_SignInit", value)?;
        let mut signature = [0; N];
        let mut written = N as CK_ULONG;
        // SAFETY: data is an input of that length; buffer and length are locals, the length is the buffer's.
        let value = unsafe {
            sign(
                session.handle(),
                data.as_ptr().cast_mut(),
                data.len() as CK_ULONG,
                signature.as_mut_ptr(),
                &mut written,
            )
        };
        check(operation, "C_Sign", value)?;
        exactly(operation, signature, written)
    }
}

fn plain(mechanism: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism,
        pParameter: ptr::null_mut(),
        ulParameterLen: 0,
    }
}

#[inline]
fn check(operation: &'static str, function: &str, value: CK_RV) -> Result<(), TokenError> {
    match value {
        CKR_OK => Ok(()),
        value => Err(error(operation, function, value)),
    }
}

#[cold]
fn error(operation: &'static str, function: &str, value: CK_RV) -> TokenError {
    returned(operation, failed(function, value), value)
}

fn failed(function: &str, value: CK_RV) -> String {
    format!("{function}: {}", values::name(value))
}

/// The function table has a gap where every token that can be of use has a function.
#[cold]
fn absent(operation: &'static str, function: &str) -> TokenError {
    error(
        operation,
        function,
        cryptoki_sys::CKR_FUNCTION_NOT_SUPPORTED,
    )
}

/// An answer that is as long as it was expected to be.
fn exactly<const N: usize>(
    operation: &'static str,
    bytes: [u8; N],
    written: CK_ULONG,
) -> Result<[u8; N], TokenError> {
    let written = usize::try_from(written).unwrap_or(usize::MAX);
    length(operation, &bytes[..written.min(N)])
}
