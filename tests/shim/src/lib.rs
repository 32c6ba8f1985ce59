//! A PKCS#11 module that stands in front of a real one and misbehaves on command; and the tokens to put behind it.
//!
//! Loaded as a module it reads three environment variables, once:
//!
//! | variable | names |
//! | --- | --- |
//! | `WARDCAST_SHIM_MODULE` | the real module; it is offered in the same versions of PKCS#11 as it offers itself |
//! | `WARDCAST_SHIM_CONTROL` | the file of commands (see [`Shim::set`] for what they are); a missing file commands nothing |
//! | `WARDCAST_SHIM_COUNTS` | a directory: a call of `C_Sign` makes the file `C_Sign` in it one byte longer |
//!
//! Linked into a test as a library it offers [`Shim`], which writes those commands and reads those counts; [`Peer`], a
//! fresh token of SoftHSM's or kryoptic's; and [`again`], which runs a test once more where its environment is right.

mod child;
mod control;
mod counts;
mod functions;
mod module;
mod peers;
mod shim;

pub use child::{again, run_again};
pub use peers::Peer;
pub use shim::Shim;
