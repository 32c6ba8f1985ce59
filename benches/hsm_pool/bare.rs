//! The least that a batch can cost: its PKCS#11 calls one after the other on one thread, and nothing else.
//!
//! `unsafe` is needed to make the calls as C does; through a safe wrapper they would cost more. Whatever a pointer names is a
//! local or lives as long as the session, and every length is that of what its pointer names.
#![allow(unsafe_code)]

use std::path::Path;
use std::ptr::{from_mut, from_ref, null_mut};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use cryptoki_sys::*;

use crate::{CHILDREN, LEVELS, WRAPS};

/// As long as the label that says whose a derived key is.
const LABEL: &[u8] = b"wardcast session 00000000.00000000.000000.00000000 master 1";

/// A session without anything around it.
pub(crate) struct Bare {
    calls: CK_FUNCTION_LIST,
    session: Session,
    master: CK_OBJECT_HANDLE,
    seed: Template,
    node: Template,
}

impl Bare {
    pub(crate) fn open(module: &Path, pin: &str) -> Self {
        let library = Pkcs11::new(module).expect("loads");
        // The pool may have initialised it already, and logged in.
        let _ = library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let slot = library.get_slots_with_initialized_token().expect("lists")[0];
        let session = library.open_ro_session(slot).expect("opens");
        let _ = session.login(UserType::User, Some(&AuthPin::new(pin.into())));
        let master = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Label(b"wardcast master 1".to_vec()),
        ];
        let found = session.find_objects(&master).expect("looks");
        let [master] = found[..] else {
            panic!("{} masters", found.len());
        };
        Bare {
            calls: functions(module),
            session,
            master: master.handle(),
            seed: Template::new(false),
            node: Template::new(true),
        }
    }

    /// The calls of one batch, in the order in which the back end makes them: a seed, each key below it when it is first
    /// needed, every wrap, and each key destroyed after its last.
    pub(crate) fn batch(&mut self, nonce: &[u8; 32]) -> Vec<[u8; 40]> {
        let mut wrapped = Vec::with_capacity(WRAPS);
        let seed = self.derive(self.master, nonce, false);
        let mut data = *nonce;
        let mut key = |bare: &mut Self| {
            data[0] = data[0].wrapping_add(1);
            bare.derive(seed, &data, true)
        };
        // The first child of each level is the parent of the level below; the very first child of all has left.
        let mut path = None;
        for level in 0..LEVELS {
            let mut parent = None;
            for child in 0..CHILDREN {
                let child = match (level, child) {
                    (0, 0) => continue,
                    (_, 0) => path.take().expect("the level below has a parent"),
                    _ => key(self),
                };
                let parent = *parent.get_or_insert_with(|| key(self));
                wrapped.push(self.wrap(child, parent));
                self.destroy(child);
            }
            path = parent;
        }
        for key in path.into_iter().chain([seed]) {
            self.destroy(key);
        }
        wrapped
    }

    fn destroy(&self, key: CK_OBJECT_HANDLE) {
        let destroy = self.calls.C_DestroyObject.expect("every token has it");
        let value = unsafe { destroy(self.session.handle(), key) };
        assert_eq!(value, CKR_OK, "C_DestroyObject");
    }

    fn derive(&mut self, from: CK_OBJECT_HANDLE, data: &[u8; 32], node: bool) -> CK_OBJECT_HANDLE {
        let mut parameter = CK_AES_CBC_ENCRYPT_DATA_PARAMS {
            iv: [0; 16],
            pData: from_ref(data).cast::<CK_BYTE>().cast_mut(),
            length: data.len() as CK_ULONG,
        };
        let mut mechanism = CK_MECHANISM {
            mechanism: CKM_AES_CBC_ENCRYPT_DATA,
            pParameter: from_mut(&mut parameter).cast(),
            ulParameterLen: size_of_val(&parameter) as CK_ULONG,
        };
        let template = if node { &mut self.node } else { &mut self.seed };
        let attributes = &mut template.attributes;
        let derive = self.calls.C_DeriveKey.expect("every token has it");
        let mut key = 0;
        let value = unsafe {
            derive(
                self.session.handle(),
                &mut mechanism,
                from,
                attributes.as_mut_ptr(),
                attributes.len() as CK_ULONG,
                &mut key,
            )
        };
        assert_eq!(value, CKR_OK, "C_DeriveKey");
        key
    }

    fn wrap(&self, child: CK_OBJECT_HANDLE, parent: CK_OBJECT_HANDLE) -> [u8; 40] {
        let mut mechanism = CK_MECHANISM {
            mechanism: CKM_AES_KEY_WRAP,
            pParameter: null_mut(),
            ulParameterLen: 0,
        };
        let mut wrapped = [0; 40];
        let mut length = wrapped.len() as CK_ULONG;
        let wrap = self.calls.C_WrapKey.expect("every token has it");
        let value = unsafe {
            wrap(
                self.session.handle(),
                &mut mechanism,
                child,
                parent,
                wrapped.as_mut_ptr(),
                &mut length,
            )
        };
        assert_eq!((value, length), (CKR_OK, 40), "C_WrapKey");
        wrapped
    }
}

/// A copy of the module's list of functions; it stays loaded to the end of the process.
fn functions(module: &Path) -> CK_FUNCTION_LIST {
    let mut list = null_mut();
    unsafe {
        let library = std::mem::ManuallyDrop::new(cryptoki_sys::Pkcs11::new(module));
        let library = library.as_ref().expect("loads");
        assert_eq!(library.C_GetFunctionList(&mut list), CKR_OK);
        *list
    }
}

/// What a derived key may do, as the back end asks for it; the attributes point at the values beside them.
struct Template {
    attributes: Vec<CK_ATTRIBUTE>,
    _values: Vec<Vec<u8>>,
}

impl Template {
    fn new(node: bool) -> Self {
        let number = |value: CK_ULONG| value.to_ne_bytes().to_vec();
        let flag = |is: bool| vec![if is { CK_TRUE } else { CK_FALSE }];
        let wanted = [
            (CKA_CLASS, number(CKO_SECRET_KEY)),
            (CKA_KEY_TYPE, number(CKK_AES)),
            (CKA_VALUE_LEN, number(32)),
            (CKA_PRIVATE, flag(true)),
            (CKA_SENSITIVE, flag(true)),
            (CKA_DERIVE, flag(true)),
            (CKA_WRAP, flag(node)),
            (CKA_SIGN, flag(false)),
            (CKA_UNWRAP, flag(false)),
            (CKA_VERIFY, flag(false)),
            (CKA_ENCRYPT, flag(false)),
            (CKA_DECRYPT, flag(false)),
            (CKA_TOKEN, flag(false)),
            (CKA_EXTRACTABLE, flag(node)),
            (CKA_LABEL, LABEL.to_vec()),
        ];
        let (types, mut values): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        let attributes = types
            .into_iter()
            .zip(&mut values)
            .map(|(type_, value)| CK_ATTRIBUTE {
                type_,
                pValue: value.as_mut_ptr().cast(),
                ulValueLen: value.len() as CK_ULONG,
            });
        Template {
            attributes: attributes.collect(),
            _values: values,
        }
    }
}
