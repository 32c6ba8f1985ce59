//! Where the demo happens: a private folder with a throw-away authority, token, store and configuration. Gone afterwards.

use std::fmt::Display;
use std::fs::{self, DirBuilder};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use std::net::SocketAddr;

use crate::crypto::random;
use crate::pki::{Authority, PkiError, Request};
use crate::tls::{Credentials, Trust};

/// The group that the demo is about.
pub(super) const GROUP: &str = "demo";
/// Who operates the demo's gateway.
const OPERATOR: &str = "spiffe://demo.wardcast/operator";
/// Opens the throw-away token; it protects nothing, as its file lies next to it.
const PIN: &str = "demo-pin";
const TOKEN_LABEL: &str = "wardcast-demo";
/// Where distributions put SoftHSM's library.
const SOFTHSM: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// The folder and what is in it.
pub(super) struct Place {
    folder: PathBuf,
    authority: Authority,
    /// The gateway's QUIC port.
    pub(super) port: u16,
    /// Its admin port.
    pub(super) admin_port: u16,
    /// How many members have certificates.
    members: AtomicU32,
    token: String,
}

fn not_issued(error: PkiError) -> String {
    format!("cannot issue a certificate: {error}")
}

/// Which token the gateway uses.
pub(super) enum TokenChoice {
    /// The software token.
    Soft,
    /// A PKCS#11 module; SoftHSM's, wherever it is, if none is named.
    Pkcs11(Option<PathBuf>),
}

impl Place {
    /// Makes the folder, readable by this user alone, and all that the gateway needs to start.
    pub(super) fn make(token: &TokenChoice) -> Result<Self, String> {
        let name: String = random::<8>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let folder = std::env::temp_dir().join(format!("wardcast-demo-{name}"));
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let authority = Authority::new("Wardcast demo")
            .map_err(|error| format!("cannot make an authority: {error}"))?;
        let port = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let admin_port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port
            .map_err(|error| format!("no free UDP port on 127.0.0.1: {error}"))?
            .port();
        let admin_port = admin_port
            .map_err(|error| format!("no free TCP port on 127.0.0.1: {error}"))?
            .port();
        // From here on the folder goes when the place does, whatever fails.
        let token_name = match token {
            TokenChoice::Soft => "a software token".to_owned(),
            TokenChoice::Pkcs11(module) => {
                format!("PKCS#11 token of {}", library(module.as_deref())?.display())
            }
        };
        let place = Self {
            folder,
            authority,
            port,
            admin_port,
            members: AtomicU32::new(0),
            token: token_name,
        };
        place.furnish(token)?;
        Ok(place)
    }

    /// What the gateway's token is.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Where all of it lies.
    pub(super) fn folder(&self) -> impl Display {
        self.folder.display()
    }

    /// A path in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What SoftHSM's library needs to find its tokens here; harmless for others.
    pub(super) fn softhsm_configuration(&self) -> PathBuf {
        self.path("softhsm2.conf")
    }

    /// The gateway's address.
    pub(super) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Credentials for one more member.
    pub(super) fn member(&self) -> Result<Credentials, String> {
        let number = self.members.fetch_add(1, Ordering::Relaxed);
        let name = format!("member {number}");
        let request =
            Request::client(name).spiffe(format!("spiffe://demo.wardcast/member/{number}"));
        let issued = self.authority.issue(&request).map_err(not_issued)?;
        Ok(Credentials::new(issued.chain(), issued.key()))
    }

    /// Trust in the gateway.
    pub(super) fn trust(&self) -> Result<Trust, String> {
        Trust::new([self.authority.certificate().clone()], Vec::new())
            .map_err(|error| error.to_string())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    fn furnish(&self, token: &TokenChoice) -> Result<(), String> {
        self.write("ca.pem", self.authority.certificate_pem())?;
        let gateway = Request::server("gateway").host("localhost");
        let operator = Request::client("operator").spiffe(OPERATOR);
        for (name, request) in [("gateway", gateway), ("operator", operator)] {
            let issued = self.authority.issue(&request).map_err(not_issued)?;
            issued.write(&self.path(name)).map_err(not_issued)?;
        }
        self.write("pin", PIN)?;
        let token = match token {
            TokenChoice::Soft => "kind = \"soft\"\npath = \"token\"\n".to_owned(),
            TokenChoice::Pkcs11(module) => self.pkcs11(module.as_deref())?,
        };
        self.write("wardcast.toml", &self.configuration(&token))
    }

    fn configuration(&self, token: &str) -> String {
        let Self {
            port, admin_port, ..
        } = self;
        format!(
            "[listen]\naddress = \"127.0.0.1:{port}\"\n\n\
             [tls]\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\nclient_ca = \"ca.pem\"\n\n\
             [token]\n{token}pin_file = \"pin\"\n\n\
             [token.host]\nwritable = [\".\"]\n\n\
             [store]\npath = \"groups.db\"\n\n\
             [admin]\naddress = \"127.0.0.1:{admin_port}\"\noperators = [\"{OPERATOR}\"]\n\n\
             [policy.default]\nactivation_delay_ms = 500\nretirement_delay_ms = 1000\n\
             admit = [{{ identity = \"spiffe://demo.wardcast/member/*\", roles = [\"receiver\", \"both\"] }}]\n"
        )
    }

    /// Initialises a token of a PKCS#11 module and returns the module's lines of the configuration.
    fn pkcs11(&self, module: Option<&Path>) -> Result<String, String> {
        let module = library(module)?;
        let tokens = self.path("tokens");
        fs::create_dir(&tokens)
            .map_err(|error| format!("cannot make {}: {error}", tokens.display()))?;
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        self.write("softhsm2.conf", &text)?;
        let mut tool = Command::new("softhsm2-util");
        tool.arg("--module")
            .arg(&module)
            .args(["--init-token", "--free", "--label", TOKEN_LABEL]);
        // Both PINs are throw-away; those of a real token never stand in arguments.
        tool.args(["--pin", PIN, "--so-pin", PIN])
            .env("SOFTHSM2_CONF", self.softhsm_configuration())
            .stdin(Stdio::null());
        let done = tool.output().map_err(|error| {
            format!("cannot run softhsm2-util (Debian package softhsm2): {error}")
        })?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            return Err(format!(
                "softhsm2-util cannot initialise a token of {}: {said}",
                module.display()
            ));
        }
        Ok(format!(
            "kind = \"pkcs11\"\nmodule = {module:?}\ntoken_label = {TOKEN_LABEL:?}\n"
        ))
    }
}

/// The module that was named, or SoftHSM's.
fn library(named: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(module) = named {
        return Ok(module.to_owned());
    }
    let found = SOFTHSM.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| {
        "SoftHSM's library is nowhere usual: install softhsm2, or name a module with --module"
            .to_owned()
    })
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's folder for temporary files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
