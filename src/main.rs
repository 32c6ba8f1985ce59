//! The `wardcast` binary.

use std::process::ExitCode;

use clap::Parser;
use wardcast::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(&Cli::parse())
}
