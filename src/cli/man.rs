//! `wardcast man`: a manual page for each command.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::Cli;

/// Prints the manual page of the program, or writes those of all its commands into a folder.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  wardcast man --dir /usr/local/share/man/man1")]
pub struct ManArgs {
    /// The folder, which must exist; a page is called after its command, such as wardcast-admin-drain.1.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &ManArgs) -> ExitCode {
    let mut program = Cli::command();
    program.build();
    let written = match &args.dir {
        Some(folder) => write(&program, folder),
        None => page(&program).and_then(|page| io::stdout().write_all(&page)),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that went away has seen what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let place = args.dir.as_deref().unwrap_or(Path::new("standard output"));
            eprintln!("wardcast: cannot write to {}: {error}", place.display());
            ExitCode::FAILURE
        }
    }
}

/// The page of a command, and those of all below it.
fn write(command: &Command, folder: &Path) -> io::Result<()> {
    fs::write(folder.join(format!("{}.1", name(command))), page(command)?)?;
    let below = command.get_subcommands();
    // Everybody knows what `help` does, and it would have a page for each command again.
    for one in below.filter(|one| !one.is_hide_set() && one.get_name() != "help") {
        write(one, folder)?;
    }
    Ok(())
}

/// With those of the commands above it: `wardcast-admin-drain`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let version = format!("wardcast {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone())
        .title(name(command).to_uppercase())
        .source(version)
        .manual("Wardcast");
    let mut page = Vec::new();
    man.render(&mut page)?;
    Ok(page)
}
