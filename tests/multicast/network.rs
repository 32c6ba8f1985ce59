//! Network namespaces on one bridge, each a machine of its own, and what is lost on the way into them.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Tells the networks of one process apart.
static NETWORKS: AtomicU32 = AtomicU32::new(0);
/// The gateway is the first machine, the members follow.
pub(crate) const GATEWAY: usize = 0;
/// What each machine calls its interface.
pub(crate) const INTERFACE: &str = "eth0";

/// Machines that reach each other; gone with everything in them when dropped.
pub(crate) struct Network {
    machines: usize,
    /// The bridge's and all machines' names begin so.
    prefix: String,
}

impl Network {
    /// So many machines with an address each.
    pub(crate) fn new(machines: usize) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test makes network namespaces, which root alone may: run it as root, as tests/run.sh does"
        );
        let (process, own) = (std::process::id(), NETWORKS.fetch_add(1, Ordering::Relaxed));
        let prefix = format!("wardcast-{process}-{own}");
        let network = Network { machines, prefix };
        let bridge = network.bridge();
        ip(&format!("netns add {bridge}"));
        // Multicast goes to all ports: there is no router that would ask who listens.
        ip(&format!(
            "-n {bridge} link add bridge type bridge mcast_snooping 0"
        ));
        ip(&format!("-n {bridge} link set bridge up"));
        for machine in 0..machines {
            let name = network.name(machine);
            ip(&format!("netns add {name}"));
            ip(&format!(
                "-n {bridge} link add port{machine} type veth peer name {INTERFACE} netns {name}"
            ));
            ip(&format!(
                "-n {bridge} link set port{machine} master bridge up"
            ));
            let address = Self::address(machine);
            ip(&format!("-n {name} addr add {address}/24 dev {INTERFACE}"));
            ip(&format!("-n {name} link set {INTERFACE} up"));
            ip(&format!("-n {name} link set lo up"));
        }
        network
    }

    /// A machine's address.
    pub(crate) fn address(machine: usize) -> String {
        format!("10.77.77.{}", machine + 1)
    }

    /// From now on a machine does not get this share, in percent, of what is sent to an address; of its own in each machine.
    pub(crate) fn lose(&self, machine: usize, address: &str, percent: u32) {
        // In each machine a table of its own: namespaces share no rules.
        let rule = match percent {
            0 => "counter".to_owned(),
            100 => "counter drop".to_owned(),
            _ => format!("numgen random mod 100 < {percent} counter drop"),
        };
        let rules = format!(
            "flush ruleset
            table inet loss {{
                chain arriving {{
                    type filter hook input priority 0;
                    ip daddr {address} {rule}
                }}
            }}"
        );
        let mut nft = self
            .command(machine, "nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("nft starts: tests/install.sh installs nftables");
        let mut input = nft.stdin.take().expect("it is piped");
        input.write_all(rules.as_bytes()).expect("it reads");
        drop(input);
        assert!(nft.wait().expect("it ends").success(), "nft: {rules}");
    }

    /// How many datagrams a machine has lost so.
    pub(crate) fn lost(&self, machine: usize) -> u64 {
        let listed = self
            .command(machine, "nft")
            .args(["list", "ruleset"])
            .output()
            .expect("nft starts");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let after = text.split("counter packets ").nth(1);
        let count = after.and_then(|after| after.split(' ').next());
        count
            .and_then(|count| count.parse().ok())
            .unwrap_or_else(|| panic!("no counter in {text}"))
    }

    /// A program on a machine.
    pub(crate) fn command(&self, machine: usize, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name(machine)])
            .arg(program.as_ref());
        command
    }

    fn name(&self, machine: usize) -> String {
        format!("{}-{machine}", self.prefix)
    }

    fn bridge(&self) -> String {
        format!("{}-bridge", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let machines = (0..self.machines).map(|machine| self.name(machine));
        for name in machines.chain([self.bridge()]) {
            // One that was not made is not there. Nothing runs in it any more: what was started is ended first.
            let _ = Command::new("ip")
                .args(["netns", "del", &name])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// Ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ip(line: &str) {
    let ran = Command::new("ip").args(line.split(' ')).output();
    let ran = ran.expect("ip starts: tests/install.sh installs iproute2");
    let why = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "ip {line}: {why}");
}
