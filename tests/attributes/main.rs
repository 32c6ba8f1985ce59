//! What is known about who asks, from those who know it: an identity provider's key server, and a real directory.

#[path = "../support/issuer.rs"]
mod issuer;
#[path = "../support/slapd.rs"]
mod slapd;

mod directory;
mod tokens;
