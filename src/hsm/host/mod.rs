//! The token host: a process of its own that loads the vendor's library and holds PIN and sessions.
//!
//! ```text
//!   gateway                                     token host (`wardcast token-host`)
//!   pool worker -- remote::opener --> socket --> one connection = one thread = one session --> library
//!   supervisor --- starts, pings, replaces ---> process, sandboxed
//! ```
//!
//! A library that crashes, leaks or hangs takes nothing with it but this process, and the process that faces the
//! network neither has the PIN nor can read a key, even with a software token. The gateway starts the host and replaces
//! it ([`supervisor`]), or the service manager does under another user: then there is only a socket to connect to.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`protocol`] | messages and frames, with every bound |
//! | [`server`] | the host's side: seats, peer credentials, stuck calls |
//! | [`remote`] | the gateway's side: a [`Token`](super::Token) over the socket |
//! | [`supervisor`] | the child process: start, ping, replace, stop |
//! | [`sandbox`] | what the host gives up before it loads the library |
//!
//! # Under a service manager
//!
//! A host with a user of its own keeps PIN file, token directory and library from the gateway's user as well:
//!
//! ```text
//! [Service]
//! User=wardcast-token
//! Group=wardcast
//! RuntimeDirectory=wardcast-token
//! RuntimeDirectoryMode=0750
//! LoadCredential=wardcast-pin:/etc/wardcast/pin
//! ExecStart=wardcast token-host --config /etc/wardcast/wardcast.toml \
//!     --socket /run/wardcast-token/host --allow-uid UID-OF-THE-GATEWAY
//! Restart=always
//! ```
//!
//! The gateway's user is in the group `wardcast`, which may open the socket; the kernel then says which user it is. As a child of
//! the gateway the host has the gateway's user: nothing of its memory can be read by that user, but the PIN's file can.
//! A gateway's unit with such a child needs `KillMode=mixed`, so that the child outlives the draining of members.

pub mod protocol;
pub mod remote;
pub mod sandbox;
pub mod server;
mod session;
pub mod supervisor;

use std::sync::{Arc, Mutex, PoisonError};

use super::{Opener, TokenConfig, TokenError};

/// What is known about a token that is opened when it is first asked for.
enum Known {
    Nothing,
    Opener(Opener),
    /// The PIN was refused, and is not tried again.
    Refused(TokenError),
}

/// Opens the token with the first session, not before: a host listens at once and says in its answers what is wrong.
/// Once the token has refused the PIN it is not tried again.
pub fn lazy(config: TokenConfig) -> Opener {
    let known = Mutex::new(Known::Nothing);
    Arc::new(move || {
        let opener = {
            // One at a time: of several sessions with a wrong PIN, one tries it.
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            match &*known {
                Known::Opener(opener) => opener.clone(),
                Known::Refused(error) => return Err(error.clone()),
                Known::Nothing => match super::open(&config) {
                    Ok(opener) => {
                        *known = Known::Opener(opener.clone());
                        opener
                    }
                    Err(error) => {
                        if error.refuses_pin() {
                            *known = Known::Refused(error.clone());
                        }
                        return Err(error);
                    }
                },
            }
        };
        opener()
    })
}

#[cfg(test)]
mod tests;
