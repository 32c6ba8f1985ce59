//! A real PyKMIP server in a process of its own, with a fresh database, a certificate of the test's authority and a port.

#[path = "venv.rs"]
mod venv;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wardcast::pki::{Authority, Request};

pub(crate) use venv::python;

/// No server takes longer to start.
const SOON: Duration = Duration::from_secs(30);
/// What is shown of a server's log when a test fails, in lines.
const SHOWN: usize = 30;
const START: &str = "from kmip.services.server.server import main; main()";

/// A server. It ends when this is dropped.
pub(crate) struct PyKmip {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl PyKmip {
    /// Starts a server that trusts the authority, and waits until it listens.
    pub(crate) fn start(authority: &Authority) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        // The server cannot choose a port itself.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("a free port").port();
        let request = Request::server("store").host("localhost").host("127.0.0.1");
        let issued = authority.issue(&request).expect("a certificate");
        issued.write(&path("server")).expect("written");
        fs::write(path("ca.pem"), authority.certificate_pem()).expect("written");
        fs::create_dir(path("policy")).expect("made");
        let root = folder.path().display();
        let configuration = format!(
            "[server]\nhostname=127.0.0.1\nport={port}\nauth_suite=TLS1.2\nenable_tls_client_auth=True\n\
             certificate_path={root}/server.pem\nkey_path={root}/server.key\nca_path={root}/ca.pem\n\
             policy_path={root}/policy\ndatabase_path={root}/database\nlogging_level=INFO\n"
        );
        fs::write(path("server.conf"), configuration).expect("written");
        let child = None;
        let mut server = Self {
            folder,
            port,
            child,
        };
        server.restart();
        server
    }

    /// Starts it again, with its database, on its port, and waits until it listens.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let path = |name: &str| self.folder.path().join(name);
        let output = File::create(path("output")).expect("a file");
        let mut command = Command::new(python());
        command
            .args(["-W", "ignore", "-c", START, "-f"])
            .arg(path("server.conf"))
            .arg("-l")
            .arg(path("log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            // It has processes of its own, which outlive it unless they are killed with it.
            .process_group(0);
        self.child = Some(command.spawn().expect("it starts"));
        let began = Instant::now();
        while TcpStream::connect(self.address()).is_err() {
            assert!(began.elapsed() < SOON, "it does not listen");
            let child = self.child.as_mut().expect("it was started");
            let ended = child.try_wait().expect("its state");
            assert!(ended.is_none(), "it ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`, with all of its processes.
    pub(crate) fn kill(&mut self) {
        self.signal("-KILL");
        let mut child = self.child.take().expect("it runs");
        child.wait().expect("it is over");
    }

    /// Lets in whoever has a certificate of these authorities, and nobody else, once it is started again.
    pub(crate) fn trust(&self, authorities: &[&Authority]) {
        let texts = authorities.iter().map(|one| one.certificate_pem());
        let all: String = texts.collect();
        fs::write(self.folder.path().join("ca.pem"), all).expect("written");
    }

    /// Lets it stand still, with all that it was doing; or go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.signal(if frozen { "-STOP" } else { "-CONT" });
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        let group = format!("-{}", child.id());
        let told = Command::new("kill").args([signal, "--", &group]).status();
        assert!(told.expect("kill runs").success(), "it is told");
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The same, for a client.
    pub(crate) fn url(&self) -> String {
        format!("kmips://{}", self.address())
    }

    /// How often its log has these words.
    pub(crate) fn logged(&self, words: &str) -> usize {
        self.log_text().matches(words).count()
    }

    fn log_text(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("output") + &read("log")
    }
}

impl Drop for PyKmip {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            let log = self.log_text();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
            eprintln!("the end of PyKMIP's log:\n{end}");
        }
    }
}
