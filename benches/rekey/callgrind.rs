//! Runs this program again under callgrind and reads what that counted.

use std::collections::HashMap;
use std::process::{Command, Stdio};

/// What was counted while the named functions ran.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) instructions: u64,
    pub(crate) allocations: u64,
}

/// Functions of the C library that allocate.
const ALLOCATE: [&str; 5] = [
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
];

/// Counts what these functions do, and all that they call, between the beginning and the end of `within`; and what the
/// process printed. It knows by `variable` that it is the one that is counted.
pub(crate) fn run(functions: &[&str], within: &str, variable: &str) -> (Counted, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!(
            "--callgrind-out-file={}/out",
            folder.path().display()
        ))
        .arg(format!("--zero-before={within}"))
        .arg(format!("--dump-after={within}"))
        // Threads take turns: none waits long for one that only looks whether something has come.
        .arg("--fair-sched=try");
    for function in functions {
        command.arg(format!("--toggle-collect={function}"));
    }
    let this = std::env::current_exe().expect("a benchmark has an executable");
    let output = command.arg(this).env(variable, "1");
    let output = output.stderr(Stdio::piped()).output();
    let output = output.expect("valgrind runs; tests/install.sh installs it");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{error}", output.status);
    // The first file is what was dumped; what the end of the process adds is in one without a number.
    let dumped = std::fs::read_to_string(folder.path().join("out.1"));
    let counted = read(&dumped.unwrap_or_else(|error| panic!("no counts: {error}")));
    assert!(counted.instructions > 0, "nothing was counted:\n{error}");
    (counted, output.stdout)
}

/// Reads callgrind's format: the sum, and how often functions that allocate were called.
fn read(profile: &str) -> Counted {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut counted = Counted::default();
    let mut called = "";
    for line in profile.lines() {
        if let Some(sum) = line.strip_prefix("totals: ") {
            counted.instructions = sum.trim().parse().expect("is a number");
        } else if let Some(function) = line
            .strip_prefix("cfn=")
            .or_else(|| line.strip_prefix("fn="))
        {
            // A name is told once, and named by its number from then on.
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            let known = names.entry(number).or_insert(name);
            called = known;
        } else if let Some(calls) = line.strip_prefix("calls=")
            && ALLOCATE.contains(&called)
        {
            let times = calls.split(' ').next().expect("a line has a beginning");
            counted.allocations += times.parse::<u64>().expect("is a number");
        }
    }
    counted
}
