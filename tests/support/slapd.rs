//! A real OpenLDAP server in a process of its own, with TLS of the test's authority and a directory of people.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wardcast::pki::{Authority, Request};

/// No server takes longer to start.
const SOON: Duration = Duration::from_secs(30);
pub(crate) const BASE: &str = "ou=people,dc=test";
pub(crate) const READER: &str = "cn=reader,dc=test";
pub(crate) const PASSWORD: &str = "violet-Harbor-17";
const PROGRAM: &str = "/usr/sbin/slapd";

/// A server. It ends when this is dropped.
pub(crate) struct Slapd {
    folder: tempfile::TempDir,
    secure: u16,
    plain: u16,
    child: Option<Child>,
}

fn free_port() -> u16 {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    port.expect("a free port").port()
}

impl Slapd {
    /// Starts a server whose certificate is of the authority, with these entries (LDIF) below `ou=people,dc=test`.
    pub(crate) fn start(authority: &Authority, people: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let request = Request::server("directory")
            .host("localhost")
            .host("127.0.0.1");
        let issued = authority.issue(&request).expect("a certificate");
        issued.write(&path("server")).expect("written");
        fs::write(path("ca.pem"), authority.certificate_pem()).expect("written");
        fs::create_dir(path("data")).expect("made");
        let root = folder.path().display();
        let configuration = format!(
            "include /etc/ldap/schema/core.schema\n\
             include /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\n\
             pidfile {root}/pid\n\
             argsfile {root}/args\n\
             TLSCACertificateFile {root}/ca.pem\n\
             TLSCertificateFile {root}/server.pem\n\
             TLSCertificateKeyFile {root}/server.key\n\
             TLSVerifyClient try\n\
             authz-regexp \"cn=gateway\" \"{READER}\"\n\
             security tls=1\n\
             modulepath /usr/lib/ldap\n\
             moduleload back_mdb\n\
             database mdb\n\
             maxsize 16777216\n\
             suffix \"dc=test\"\n\
             rootdn \"cn=admin,dc=test\"\n\
             directory {root}/data\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by dn.exact=\"{READER}\" read by * none\n"
        );
        fs::write(path("slapd.conf"), configuration).expect("written");
        let server = Self {
            folder,
            secure: free_port(),
            plain: free_port(),
            child: None,
        };
        server.load(people);
        let mut server = server;
        server.restart();
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self, people: &str) {
        let all = format!(
            "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\no: Test\ndc: test\n\n\
             dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\nuserPassword: {PASSWORD}\n\n\
             dn: {BASE}\nobjectClass: organizationalUnit\nou: people\n\n{people}"
        );
        fs::write(self.path("people.ldif"), all).expect("written");
        let mut command = Command::new(PROGRAM);
        command
            .args(["-T", "add", "-q", "-f"])
            .arg(self.path("slapd.conf"));
        command.arg("-l").arg(self.path("people.ldif"));
        let loaded = command.output().expect("slapd is installed");
        let said = String::from_utf8_lossy(&loaded.stderr);
        assert!(loaded.status.success(), "{said}");
    }

    /// Starts it again on its ports, and waits until it listens.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = fs::File::create(self.path("log")).expect("a file");
        let mut command = Command::new(PROGRAM);
        // With a level of debugging it does not leave the terminal.
        command
            .args(["-d", "0", "-f"])
            .arg(self.path("slapd.conf"))
            .arg("-h")
            .arg(format!("{} {}", self.ldaps(), self.ldap()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().expect("it starts"));
        let began = Instant::now();
        for port in [self.secure, self.plain] {
            while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err() {
                assert!(began.elapsed() < SOON, "it does not listen");
                let child = self.child.as_mut().expect("it was started");
                let ended = child.try_wait().expect("its state");
                let said = fs::read_to_string(self.path("log")).unwrap_or_default();
                assert!(ended.is_none(), "it ended: {ended:?} {said}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it is over");
    }

    /// TLS from the start.
    pub(crate) fn ldaps(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.secure)
    }

    /// For StartTLS.
    pub(crate) fn ldap(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.plain)
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// An entry of a person.
pub(crate) fn person(uid: &str, more: &str) -> String {
    format!(
        "dn: uid={uid},{BASE}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: {uid}\n{more}\n"
    )
}
