//! Looks for the processes that a gateway started, and signals them.

use std::fs;
use std::process::Command;

/// The token host that this gateway started, if one runs.
pub(crate) fn token_host(gateway: u32) -> Option<u32> {
    token_hosts(gateway).into_iter().next()
}

/// All token hosts that this gateway started.
pub(crate) fn token_hosts(gateway: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter(|&pid| parent(pid) == Some(gateway) && is_token_host(pid))
        .collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may contain anything: the state, then the parent.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn is_token_host(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0);
    words.any(|word| word == b"token-host")
}

/// Sends a signal.
pub(crate) fn signal(pid: u32, name: &str) {
    let told = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status();
    assert!(told.expect("kill runs").success(), "{pid} is there");
}
