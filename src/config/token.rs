//! `[token]`: where the master key is, who may talk to it, and how hard it is driven.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::optional;

/// The PIN's credential when no source of it is configured.
pub const DEFAULT_PIN_CREDENTIAL: &str = "wardcast-pin";

/// The two kinds of token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// A sealed file: not an HSM.
    #[default]
    Soft,
    /// A PKCS#11 token.
    Pkcs11,
}

/// `[token]`: the token that holds the master key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// Which kind.
    pub kind: TokenKind,
    /// The software token's file.
    pub path: PathBuf,
    /// The vendor's PKCS#11 library.
    #[serde(with = "optional")]
    pub module: Option<PathBuf>,
    /// The label of the PKCS#11 token.
    #[serde(with = "optional")]
    pub token_label: Option<String>,
    /// The PIN is the content of this file.
    #[serde(with = "optional")]
    pub pin_file: Option<PathBuf>,
    /// The PIN is in the environment variable of this name.
    #[serde(with = "optional")]
    pub pin_env: Option<String>,
    /// The PIN is the service manager's credential of this name.
    #[serde(with = "optional")]
    pub pin_credential: Option<String>,
    /// The first master of the ring: what `token provision` creates. New groups are created under the newest there is.
    pub master: u32,
    /// The label of the key that roots are escrowed under, in each token.
    #[serde(with = "optional")]
    pub escrow_label: Option<String>,
    /// Further tokens that hold the same keys.
    pub replicas: Vec<Replica>,
    /// How the tokens are driven.
    pub pool: TokenPool,
    /// The process that talks to each of them.
    pub host: TokenHost,
}

/// An entry of `token.replicas`: a further token that holds the same keys, by ceremony or by the vendor's cloning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Replica {
    /// Which kind.
    pub kind: TokenKind,
    /// The software token's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The vendor's PKCS#11 library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<PathBuf>,
    /// The label of the PKCS#11 token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_label: Option<String>,
    /// The PIN is the content of this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
    /// The PIN is in the environment variable of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_env: Option<String>,
    /// The PIN is the service manager's credential of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_credential: Option<String>,
    /// Where its token host listens; only for `token.host.mode = "socket"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
}

/// `[token.pool]`: how each token is driven.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenPool {
    /// Sessions with each token, each with a thread.
    pub workers: usize,
    /// Operations that may wait; what is less urgent never takes the room of what is more.
    pub queue: usize,
    /// How long one call into a token may take, in milliseconds.
    pub deadline_ms: u32,
    /// Workers of a token that may be lost in calls that do not return before the token counts as unusable.
    pub lost_workers: usize,
}

/// Who talks to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostMode {
    /// A process that the gateway starts and supervises.
    Process,
    /// A process that somebody else runs, such as systemd under another user.
    Socket,
    /// The gateway itself: for development.
    Inside,
}

/// Whether the token host gives up what it does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Where the kernel can; what it cannot is logged.
    Auto,
    /// All of it, or the host does not start.
    Required,
    /// Not at all: for libraries that do not bear it.
    Off,
}

/// `[token.host]`: the process that talks to a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenHost {
    /// Who runs it.
    pub mode: HostMode,
    /// Where it listens; only for `mode = "socket"`.
    #[serde(with = "optional")]
    pub socket: Option<PathBuf>,
    /// Users that it serves besides its own, by number.
    pub clients: Vec<u32>,
    /// Whether it is confined.
    pub sandbox: Sandbox,
    /// Whether the library may use the network: one that reaches its HSM that way must.
    pub network: bool,
    /// Folders, besides the token's own, in which the library may write.
    pub writable: Vec<PathBuf>,
}

/// Where a token's PIN comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinSource<'a> {
    /// A file's content.
    File(&'a PathBuf),
    /// An environment variable, by name.
    Env(&'a str),
    /// A credential of the service manager, by name.
    Credential(&'a str),
}

/// The PIN's source; the credential [`DEFAULT_PIN_CREDENTIAL`] if none is configured. Two are refused on loading.
fn pin<'a>(
    file: &'a Option<PathBuf>,
    variable: &'a Option<String>,
    credential: &'a Option<String>,
) -> PinSource<'a> {
    match (file, variable, credential) {
        (Some(path), _, _) => PinSource::File(path),
        (None, Some(name), _) => PinSource::Env(name),
        (None, None, Some(name)) => PinSource::Credential(name),
        (None, None, None) => PinSource::Credential(DEFAULT_PIN_CREDENTIAL),
    }
}

impl Token {
    /// The PIN's source; the credential [`DEFAULT_PIN_CREDENTIAL`] if none is configured.
    pub fn pin(&self) -> PinSource<'_> {
        pin(&self.pin_file, &self.pin_env, &self.pin_credential)
    }

    /// All paths that are resolved against the file's folder.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let own = [&mut self.module, &mut self.pin_file, &mut self.host.socket];
        let replicas = self.replicas.iter_mut().flat_map(|replica| {
            [
                &mut replica.path,
                &mut replica.module,
                &mut replica.pin_file,
                &mut replica.socket,
            ]
        });
        let optional = own.into_iter().chain(replicas).flatten();
        std::iter::once(&mut self.path)
            .chain(optional)
            .chain(&mut self.host.writable)
    }
}

impl Replica {
    /// The PIN's source; the credential [`DEFAULT_PIN_CREDENTIAL`] if none is configured.
    pub fn pin(&self) -> PinSource<'_> {
        pin(&self.pin_file, &self.pin_env, &self.pin_credential)
    }
}

impl Default for Token {
    fn default() -> Self {
        Token {
            kind: TokenKind::Soft,
            path: Path::new("/var/lib/wardcast/token").into(),
            module: None,
            token_label: None,
            pin_file: None,
            pin_env: None,
            pin_credential: None,
            master: 1,
            escrow_label: None,
            replicas: Vec::new(),
            pool: TokenPool::default(),
            host: TokenHost::default(),
        }
    }
}

impl Default for TokenPool {
    fn default() -> Self {
        TokenPool {
            workers: 2,
            queue: 100_000,
            deadline_ms: 5_000,
            lost_workers: 4,
        }
    }
}

impl Default for TokenHost {
    fn default() -> Self {
        TokenHost {
            mode: HostMode::Process,
            socket: None,
            clients: Vec::new(),
            sandbox: Sandbox::Auto,
            network: false,
            writable: Vec::new(),
        }
    }
}
