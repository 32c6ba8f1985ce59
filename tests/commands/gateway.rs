//! A gateway that runs, and the operator's commands against it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::place::{ANY_PORTS, Place, Ran, wait};

/// `wardcast serve` of a place. It is killed when the test is over.
pub(crate) struct Gateway {
    child: Child,
    /// Where members connect.
    pub(crate) quic: SocketAddr,
    /// Where operators connect.
    pub(crate) admin: SocketAddr,
    /// Where programs connect, if the configuration says so.
    pub(crate) front: Option<SocketAddr>,
}

impl Gateway {
    /// Starts it and waits until it listens.
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_with(place, &[])
    }

    /// The same with environment variables.
    pub(crate) fn start_with(place: &Place, variables: &[(&str, &str)]) -> Self {
        let log = File::create(place.path("log")).expect("a log file");
        let mut command = place.command(["serve", "--config", "wardcast.toml"]);
        command.envs(ANY_PORTS).envs(variables.iter().copied());
        command.stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("its output");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let log = String::from_utf8_lossy(&place.read("log")).into_owned();
            panic!("it does not start: {line:?}\n{log}")
        });
        let address = |name: &str| said["listening"][name].as_str().expect("text").parse();
        let front = said["listening"]["front"].as_str();
        Self {
            quic: address("quic").expect("an address"),
            admin: address("admin").expect("an address"),
            front: front.map(|front| front.parse().expect("an address")),
            child,
        }
    }

    /// `wardcast admin` as the operator.
    pub(crate) fn admin(&self, place: &Place, line: &str) -> Ran {
        self.admin_as(place, "operator", line)
    }

    /// `wardcast admin` with somebody's certificate.
    pub(crate) fn admin_as(&self, place: &Place, name: &str, line: &str) -> Ran {
        let server = format!("localhost:{}", self.admin.port());
        let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
        let variables = [
            ("WARDCAST_ADMIN_SERVER", server.as_str()),
            ("WARDCAST_ADMIN_CA", "pki/ca.pem"),
            ("WARDCAST_ADMIN_CERT", &cert),
            ("WARDCAST_ADMIN_KEY", &key),
        ];
        place.run_with(&format!("admin {line}"), &variables)
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn stop(self) -> Option<i32> {
        terminate(&self.child);
        self.ended()
    }

    /// Its exit code, once it ends.
    pub(crate) fn ended(mut self) -> Option<i32> {
        wait("serve", &mut self.child)
    }
}

/// SIGTERM.
pub(crate) fn terminate(child: &Child) {
    let told = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(told.expect("kill runs").success(), "it could be told");
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
