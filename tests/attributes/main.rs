//! What is known about who asks, from those who know it: an identity provider's key server.

#[path = "../support/issuer.rs"]
mod issuer;

mod tokens;
