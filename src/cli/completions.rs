//! `wardcast completions`: what a shell completes commands with.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::aot::{Shell as Known, generate};

use super::Cli;

/// Prints what a shell completes commands and options with.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  wardcast completions bash > /etc/bash_completion.d/wardcast\n  wardcast completions zsh > /usr/share/zsh/site-functions/_wardcast\n  wardcast completions fish > /etc/fish/completions/wardcast.fish"
)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// A shell that there are completions for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// Runs the command.
pub fn run(args: &CompletionsArgs) -> ExitCode {
    let shell = match args.shell {
        Shell::Bash => Known::Bash,
        Shell::Zsh => Known::Zsh,
        Shell::Fish => Known::Fish,
    };
    let mut text = Vec::new();
    generate(shell, &mut Cli::command(), "wardcast", &mut text);
    // A reader that went away has seen what it wanted.
    let _ = io::stdout().write_all(&text);
    ExitCode::SUCCESS
}
