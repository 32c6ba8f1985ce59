//! `[token]`: combinations of a token's keys that cannot work, for the first one and for its replicas alike.

use std::path::{Path, PathBuf};

use crate::config::error::Origin;
use crate::config::load::Origins;
use crate::config::{HostMode, Sandbox, Token, TokenKind};
use crate::group::limits::MAX_ESCROW_LABEL;

/// The most tokens that hold the same keys.
const MAX_REPLICAS: usize = 15;

/// One token, wherever it is configured.
struct Place<'a> {
    /// `token.` or `token.replicas[0].`.
    prefix: String,
    kind: TokenKind,
    path: Option<&'a Path>,
    module: Option<&'a Path>,
    token_label: Option<&'a str>,
    pin_file: Option<&'a Path>,
    pin_env: Option<&'a str>,
    pin_credential: Option<&'a str>,
    socket: Option<&'a Path>,
}

/// The first token, then the replicas.
fn places(token: &Token) -> impl Iterator<Item = Place<'_>> {
    let first = Place {
        prefix: "token.".to_owned(),
        kind: token.kind,
        path: Some(&token.path),
        module: token.module.as_deref(),
        token_label: token.token_label.as_deref(),
        pin_file: token.pin_file.as_deref(),
        pin_env: token.pin_env.as_deref(),
        pin_credential: token.pin_credential.as_deref(),
        socket: token.host.socket.as_deref(),
    };
    let replicas = token.replicas.iter().enumerate();
    std::iter::once(first).chain(replicas.map(|(index, replica)| Place {
        prefix: format!("token.replicas[{index}]."),
        kind: replica.kind,
        path: replica.path.as_deref(),
        module: replica.module.as_deref(),
        token_label: replica.token_label.as_deref(),
        pin_file: replica.pin_file.as_deref(),
        pin_env: replica.pin_env.as_deref(),
        pin_credential: replica.pin_credential.as_deref(),
        socket: replica.socket.as_deref(),
    }))
}

/// All that is wrong with the section by itself.
pub(super) fn check(token: &Token, origins: &Origins, report: &mut dyn FnMut(&str, String)) {
    if token.replicas.len() > MAX_REPLICAS {
        let count = token.replicas.len();
        report(
            "token.replicas",
            format!("{count} tokens; at most {MAX_REPLICAS}"),
        );
    }
    for place in places(token) {
        let first = place.prefix == "token.";
        let has_path = match first {
            // It has a default, which says nothing.
            true => origins.of("token.path") != Origin::Default,
            false => place.path.is_some(),
        };
        let mut report = |key: &str, why: &str| {
            let key = match key {
                "socket" if first => "token.host.socket".to_owned(),
                key => format!("{}{key}", place.prefix),
            };
            report(&key, why.to_owned());
        };
        check_kind(&place, has_path, &mut report);
        check_pin(&place, &mut report);
        check_socket(&place, token.host.mode, &mut report);
    }
    if let Some(label) = &token.escrow_label {
        check_escrow(label, report);
    }
    if token.host.mode == HostMode::Inside && token.host.sandbox == Sandbox::Required {
        let why = "required, but with token.host.mode = \"inside\" there is no process to confine; set the mode to \"process\"";
        report("token.host.sandbox", why.to_owned());
    }
}

/// A label of one of the keys that other things hang on would make that one wrap roots. One that nobody can see as it is would be
/// searched for in vain.
fn check_escrow(label: &str, report: &mut dyn FnMut(&str, String)) {
    const KEY: &str = "token.escrow_label";
    if label.len() > MAX_ESCROW_LABEL {
        let length = label.len();
        report(KEY, format!("{length} bytes; at most {MAX_ESCROW_LABEL}"));
    }
    if label.contains(char::is_control) || label.trim() != label {
        let why = format!(
            "{label:?} has control characters, or begins or ends with a space; \"\" is for no escrow"
        );
        report(KEY, why);
    }
    if label.starts_with("wardcast ") && !label.starts_with("wardcast escrow") {
        let why = format!(
            "{label:?} is a label of the gateway's own keys; one that begins with \"wardcast escrow\" is not, nor is any that does not begin with \"wardcast\""
        );
        report(KEY, why);
    }
}

fn check_kind(place: &Place<'_>, has_path: bool, report: &mut dyn FnMut(&str, &str)) {
    match place.kind {
        TokenKind::Soft => {
            let of_pkcs11 = [
                ("module", place.module.is_some()),
                ("token_label", place.token_label.is_some()),
            ];
            for (key, _) in of_pkcs11.into_iter().filter(|(_, set)| *set) {
                let why = "only a PKCS#11 token has one; set kind = \"pkcs11\" or remove it";
                report(key, why);
            }
            if place.path.is_none() {
                report("path", "a software token needs its file");
            }
        }
        TokenKind::Pkcs11 => {
            if place.module.is_none() {
                let why = "kind = \"pkcs11\" needs the path of the vendor's library, such as /usr/lib/softhsm/libsofthsm2.so";
                report("module", why);
            }
            if place.token_label.is_none() {
                let why = "kind = \"pkcs11\" needs the token's label; the vendor's tool or pkcs11-tool --list-slots shows it";
                report("token_label", why);
            }
            if has_path {
                let why = "only the software token has a file; set kind = \"soft\" or remove it";
                report("path", why);
            }
        }
    }
}

fn check_pin(place: &Place<'_>, report: &mut dyn FnMut(&str, &str)) {
    let sources = [
        ("pin_file", place.pin_file.is_some()),
        ("pin_env", place.pin_env.is_some()),
        ("pin_credential", place.pin_credential.is_some()),
    ];
    let mut set = sources.iter().filter(|(_, set)| *set).map(|(key, _)| *key);
    if let (Some(first), Some(second)) = (set.next(), set.next()) {
        let why = format!("{first} is set too; the PIN has one source, remove one of the two");
        report(second, &why);
    }
}

fn check_socket(place: &Place<'_>, mode: HostMode, report: &mut dyn FnMut(&str, &str)) {
    match (mode, place.socket) {
        (HostMode::Socket, None) => {
            let why = "token.host.mode = \"socket\" needs the socket that the token host listens on, such as /run/wardcast/token.sock";
            report("socket", why);
        }
        (HostMode::Process | HostMode::Inside, Some(_)) => {
            let why = "only token.host.mode = \"socket\" has one; set that or remove it";
            report("socket", why);
        }
        _ => {}
    }
}

/// Files that must be readable, with their keys.
pub(super) fn must_read(token: &Token) -> impl Iterator<Item = (String, &Path)> {
    // With a host that somebody else runs, library and PIN are that process's to read.
    let ours = token.host.mode != HostMode::Socket;
    places(token).filter(move |_| ours).flat_map(|place| {
        let named = [("module", place.module), ("pin_file", place.pin_file)];
        let prefix = place.prefix;
        let found = named.map(|(key, path)| path.map(|path| (format!("{prefix}{key}"), path)));
        found.into_iter().flatten()
    })
}

/// Files that the gateway makes, with their keys.
pub(super) fn files(token: &Token) -> impl Iterator<Item = (String, &Path)> {
    let soft = places(token).filter(|place| place.kind == TokenKind::Soft);
    soft.filter_map(|place| Some((format!("{}path", place.prefix), place.path?)))
}

/// Whether a path is one of the tokens' files.
pub(super) fn is_file(token: &Token, path: &PathBuf) -> bool {
    files(token).any(|(_, file)| file == path)
}
