//! Who is let in and who is not, by a gateway with rules, an identity provider, a directory and a key store upstream; and that the
//! audit trail says why.

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../support/issuer.rs"]
mod issuer;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../support/pykmip.rs"]
mod pykmip;
#[path = "../support/slapd.rs"]
mod slapd;
#[path = "../support/mod.rs"]
mod support;

mod documents;
mod refusals;
