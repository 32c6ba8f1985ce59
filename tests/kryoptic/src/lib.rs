//! The three entry points of a PKCS#11 module, for kryoptic: its library has all functions but exports none.
//!
//! Each hands its arguments on as they are. `unsafe` is in the attribute alone: these names must not be mangled, and they
//! are the names that PKCS#11 reserves for these functions.

use kryoptic_lib::fns::general::{fn_get_function_list, fn_get_interface, fn_get_interface_list};
use kryoptic_lib::pkcs11::{
    CK_FLAGS, CK_FUNCTION_LIST_PTR_PTR, CK_INTERFACE_PTR, CK_INTERFACE_PTR_PTR, CK_RV,
    CK_ULONG_PTR, CK_UTF8CHAR_PTR, CK_VERSION_PTR,
};

/// The functions of PKCS#11 2.40.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the standard's name")]
pub extern "C" fn C_GetFunctionList(list: CK_FUNCTION_LIST_PTR_PTR) -> CK_RV {
    fn_get_function_list(list)
}

/// The interfaces that there are.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the standard's name")]
pub extern "C" fn C_GetInterfaceList(interfaces: CK_INTERFACE_PTR, count: CK_ULONG_PTR) -> CK_RV {
    fn_get_interface_list(interfaces, count)
}

/// One interface by name and version; version 3.2 when none is named.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the standard's name")]
pub extern "C" fn C_GetInterface(
    name: CK_UTF8CHAR_PTR,
    version: CK_VERSION_PTR,
    interface: CK_INTERFACE_PTR_PTR,
    flags: CK_FLAGS,
) -> CK_RV {
    fn_get_interface(name, version, interface, flags)
}
