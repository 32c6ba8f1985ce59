//! What a PKCS#11 module exports: lists of functions, here the real module's with every function hooked.
//!
//! `unsafe` is needed to load the real module, to ask it for its lists and interfaces, to copy those, and to write through
//! the pointers that the caller gives. All of that is as PKCS#11 says: a caller passes valid pointers, which this file
//! checks for null alone; a list or interface that a module gave out stays valid as long as the module is loaded, and
//! the real one is never unloaded; a list begins with its version, which says what follows.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};
use std::ptr::null_mut;
use std::sync::LazyLock;

use cryptoki_sys::*;

use crate::functions::{hook_2, hook_3_0, hook_3_2};
use crate::shim::MODULE;

const STANDARD: &CStr = c"PKCS 11";

static REAL: LazyLock<Pkcs11> = LazyLock::new(|| {
    let path = std::env::var_os(MODULE);
    let path = path.unwrap_or_else(|| die(&format!("{MODULE} names no module")));
    // Safety: loading runs the module's initialisers; it is the module that the test wants to use.
    unsafe { Pkcs11::new(&path) }.unwrap_or_else(|error| die(&error.to_string()))
});

/// There is no way to tell a caller more than a number, and none of the numbers says this.
fn die(why: &str) -> ! {
    eprintln!("wardcast shim: {why}");
    std::process::abort()
}

/// What is made once and given out: pointers, and what they point at is never written and never freed.
struct Fixed<T>(T);

// Safety: any thread may read what no thread writes.
unsafe impl<T> Send for Fixed<T> {}
unsafe impl<T> Sync for Fixed<T> {}

static LIST: LazyLock<Fixed<*mut c_void>> =
    LazyLock::new(|| Fixed(hooked(real_list() as *mut c_void)));

/// The interfaces as the real module gives them, with the functions hooked where the interface is the standard's.
static INTERFACES: LazyLock<Fixed<Vec<CK_INTERFACE>>> = LazyLock::new(|| {
    let own = |interface: &CK_INTERFACE| CK_INTERFACE {
        pFunctionList: match is_standard(interface) {
            true => hooked(interface.pFunctionList),
            false => interface.pFunctionList,
        },
        ..*interface
    };
    Fixed(real_interfaces().iter().map(own).collect())
});

fn is_standard(interface: &CK_INTERFACE) -> bool {
    // Safety: an interface has a name that ends with a null.
    unsafe { CStr::from_ptr(interface.pInterfaceName as *const c_char) == STANDARD }
}

/// What the real module offers; a module of before 3.0 offers its list of functions, and that alone.
fn real_interfaces() -> Vec<CK_INTERFACE> {
    let Ok(ask) = REAL.C_GetInterfaceList.as_ref() else {
        return vec![CK_INTERFACE {
            pInterfaceName: STANDARD.as_ptr() as *mut CK_UTF8CHAR,
            pFunctionList: real_list() as *mut c_void,
            flags: 0,
        }];
    };
    let mut count = 0;
    let mut found = Vec::new();
    // Safety: a null asks for the count; then there is room for that many.
    let answers = unsafe {
        let first = ask(null_mut(), &mut count);
        found.resize(count as usize, CK_INTERFACE::default());
        [first, ask(found.as_mut_ptr(), &mut count)]
    };
    if answers != [CKR_OK; 2] {
        die("the real module does not list its interfaces");
    }
    found.truncate(count as usize);
    found
}

fn real_list() -> *mut CK_FUNCTION_LIST {
    let ask = REAL.C_GetFunctionList.as_ref();
    let ask = ask.unwrap_or_else(|_| die("the real module lacks C_GetFunctionList"));
    let mut list = null_mut();
    // Safety: there is room for the pointer that is asked for.
    if unsafe { ask(&mut list) } != CKR_OK || list.is_null() {
        die("the real module gives no list of functions");
    }
    list
}

/// A copy of a list with every function hooked. Made once for each list, and never freed.
fn hooked(list: *mut c_void) -> *mut c_void {
    // Safety: a list begins with its version, and has the functions of that version.
    let version = unsafe { *(list as *const CK_VERSION) };
    match (version.major, version.minor) {
        (2, _) => {
            let mut list = unsafe { *(list as *const CK_FUNCTION_LIST) };
            hook_2(&mut list);
            list.C_GetFunctionList = Some(C_GetFunctionList);
            Box::into_raw(Box::new(list)) as *mut c_void
        }
        (3, 0 | 1) => {
            let mut list = unsafe { *(list as *const CK_FUNCTION_LIST_3_0) };
            hook_3_0(&mut list);
            list.C_GetFunctionList = Some(C_GetFunctionList);
            list.C_GetInterfaceList = Some(C_GetInterfaceList);
            list.C_GetInterface = Some(C_GetInterface);
            Box::into_raw(Box::new(list)) as *mut c_void
        }
        (3, 2) => {
            let mut list = unsafe { *(list as *const CK_FUNCTION_LIST_3_2) };
            hook_3_2(&mut list);
            list.C_GetFunctionList = Some(C_GetFunctionList);
            list.C_GetInterfaceList = Some(C_GetInterfaceList);
            list.C_GetInterface = Some(C_GetInterface);
            Box::into_raw(Box::new(list)) as *mut c_void
        }
        (major, minor) => die(&format!("knows no version {major}.{minor} of PKCS#11")),
    }
}

/// The functions of PKCS#11 2.40.
///
/// # Safety
/// `list` is null or may be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    unsafe { *list = LIST.0 as *mut CK_FUNCTION_LIST };
    CKR_OK
}

/// The interfaces that there are.
///
/// # Safety
/// `count` is null or may be written to; `interfaces` is null or has room for so many.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetInterfaceList(
    interfaces: *mut CK_INTERFACE,
    count: *mut CK_ULONG,
) -> CK_RV {
    if count.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    let own = &INTERFACES.0;
    unsafe {
        let room = std::mem::replace(&mut *count, own.len() as CK_ULONG);
        if interfaces.is_null() {
            return CKR_OK;
        }
        if room < own.len() as CK_ULONG {
            return CKR_BUFFER_TOO_SMALL;
        }
        own.as_ptr().copy_to(interfaces, own.len());
    }
    CKR_OK
}

/// One interface by name and version: of the standard's where no name is given, the newest where no version is.
///
/// # Safety
/// `name` is null or ends with a null, `version` is null or valid, `interface` is null or may be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetInterface(
    name: *mut CK_UTF8CHAR,
    version: *mut CK_VERSION,
    interface: *mut *mut CK_INTERFACE,
    flags: CK_FLAGS,
) -> CK_RV {
    if interface.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    let number = |version: &CK_VERSION| (version.major, version.minor);
    let found = unsafe {
        let name = match name.is_null() {
            true => STANDARD,
            false => CStr::from_ptr(name as *const c_char),
        };
        let wanted = version.as_ref().map(number);
        let own = INTERFACES.0.iter().filter(|own| {
            CStr::from_ptr(own.pInterfaceName as *const c_char) == name
                && own.flags & flags == flags
        });
        own.map(|own| (number(&*(own.pFunctionList as *const CK_VERSION)), own))
            .filter(|(has, _)| wanted.is_none_or(|wanted| wanted == *has))
            .max_by_key(|(has, _)| *has)
    };
    let Some((_, own)) = found else {
        return CKR_ARGUMENTS_BAD;
    };
    unsafe { *interface = std::ptr::from_ref(own).cast_mut() };
    CKR_OK
}
