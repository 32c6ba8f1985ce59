//! A real rsyslogd in a process of its own, that takes messages over TLS from those who have a certificate of the test's authority.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wardcast::pki::{Authority, Request};

/// No server takes longer to start, or to end.
const SOON: Duration = Duration::from_secs(60);
const PROGRAM: &str = "/usr/sbin/rsyslogd";
/// Whom it lets in.
pub(crate) const CLIENT: &str = "gateway-logs";

/// A server. It ends when this is dropped.
pub(crate) struct Rsyslog {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

/// A message as the server understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) priority: String,
    pub(crate) application: String,
    pub(crate) kind: String,
    pub(crate) data: String,
    pub(crate) text: String,
}

impl Message {
    /// A parameter of its structured data, as it stands there.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let begin = format!(" {name}=\"");
        let (_, rest) = self.data.split_once(&begin)?;
        let mut before = ' ';
        let end = rest.find(|sign| {
            let ends = sign == '"' && before != '\\';
            before = sign;
            ends
        });
        Some(&rest[..end?])
    }
}

impl Rsyslog {
    /// Starts a server whose certificate is of the authority and for this host.
    pub(crate) fn start(authority: &Authority, host: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let request = Request::server("logs").host(host);
        let issued = authority.issue(&request).expect("a certificate");
        issued.write(&path("server")).expect("written");
        let issued = authority.issue(&Request::client(CLIENT));
        let issued = issued.expect("a certificate");
        issued.write(&path("client")).expect("written");
        fs::write(path("ca.pem"), authority.certificate_pem()).expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = listener.expect("a free port").port();
        let root = folder.path().display();
        let configuration = format!(
            r#"
            global(workDirectory="{root}" maxMessageSize="16k" defaultNetstreamDriver="ossl"
                   defaultNetstreamDriverCAFile="{root}/ca.pem"
                   defaultNetstreamDriverCertFile="{root}/server.pem"
                   defaultNetstreamDriverKeyFile="{root}/server.key")
            module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/name"
                   permittedPeer=["{CLIENT}"])
            input(type="imtcp" address="127.0.0.1" port="{port}")
            template(name="all" type="string" string="%pri%\t%app-name%\t%msgid%\t%structured-data%\t%msg%\n")
            if $app-name == "wardcast" then action(type="omfile" file="{root}/messages" template="all")
            else action(type="omfile" file="{root}/own" template="all")
            "#
        );
        fs::write(path("rsyslog.conf"), configuration).expect("written");
        let mut server = Rsyslog {
            folder,
            port,
            child: None,
        };
        server.restart();
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it again on its port, and waits until it listens.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"));
        let child = Command::new(PROGRAM)
            .args(["-n", "-iNONE", "-f"])
            .arg(self.path("rsyslog.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a file"))
            .spawn();
        self.child = Some(child.expect("rsyslog is installed"));
        let began = Instant::now();
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        while TcpStream::connect(address).is_err() {
            let child = self.child.as_mut().expect("it was started");
            let ended = child.try_wait().expect("its state");
            let said = fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(ended.is_none(), "it ended: {ended:?} {said}");
            assert!(began.elapsed() < SOON, "it does not listen: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets these in and nobody else, and starts again.
    pub(crate) fn permit(&mut self, names: &[&str]) {
        let file = self.path("rsyslog.conf");
        let text = fs::read_to_string(&file).expect("its configuration");
        let begin = text.find("permittedPeer=[").expect("whom it permits");
        let end = begin + text[begin..].find(']').expect("an end");
        let (before, after) = (&text[..begin], &text[end + 1..]);
        let text = format!("{before}permittedPeer={names:?}{after}");
        fs::write(file, text).expect("written");
        self.stop();
        self.restart();
    }

    /// Puts a certificate of that name in place of the one that it is shown, and its key.
    pub(crate) fn renew(&self, authority: &Authority, name: &str) {
        let issued = authority.issue(&Request::client(name));
        let issued = issued.expect("a certificate");
        issued.write(&self.path("next")).expect("written");
        for kind in ["key", "pem"] {
            let name = |stem: &str| self.path(&format!("{stem}.{kind}"));
            fs::rename(name("next"), name("client")).expect("renamed");
        }
    }

    /// The file of the certificate that it is shown.
    pub(crate) fn shown(&self) -> PathBuf {
        self.path("client.pem")
    }

    /// The ports of those who are connected, as their systems have it: of established connections (proc(5)).
    pub(crate) fn connected(&self) -> BTreeSet<String> {
        let table = fs::read_to_string("/proc/net/tcp").expect("the system's table");
        let port = format!(":{:04X}", self.port);
        let rows = table.lines().filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [_, own, peer, "01", ..] = words[..] else {
                return None;
            };
            peer.ends_with(&port).then(|| own.to_owned())
        });
        rows.collect()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it is over");
    }

    /// SIGTERM, and waits for its end.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let told = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status();
        assert!(told.expect("kill runs").success(), "it could be told");
        child.wait().expect("it is over");
    }

    /// The part of a gateway's configuration that names it.
    pub(crate) fn config(&self, more: &str) -> String {
        let port = self.port;
        let path = |name: &str| self.path(name);
        let (ca, certificate, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
        format!(
            "[siem.syslog]\naddress = \"localhost:{port}\"\nca = {ca:?}\ncertificate = {certificate:?}\nkey = {key:?}\n{more}\n"
        )
    }

    /// All that it wrote, in that order. What a kill cut is left out.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let bytes = fs::read(self.path("messages")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut messages = Vec::new();
        for line in text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            // A line that was cut is followed by the next one at once: what is whole are the last five parts.
            let parts: Vec<&str> = line.trim_end_matches('\n').split('\t').collect();
            let Some([priority, application, kind, data, text]) = parts.last_chunk::<5>() else {
                continue;
            };
            if data.ends_with("\"]") {
                let own = |text: &str| text.to_owned();
                messages.push(Message {
                    priority: own(priority),
                    application: own(application),
                    kind: own(kind),
                    data: own(data),
                    text: own(text),
                });
            }
        }
        messages
    }

    /// How many different records it wrote.
    pub(crate) fn records(&self) -> usize {
        let messages = self.messages();
        let all = messages.iter().filter_map(|one| one.parameter("sequence"));
        all.collect::<BTreeSet<_>>().len()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}
