//! `wardcast audit`: reads an audit trail: whether it is whole, what came last, all of it; here and in the key store upstream.

mod archive;
mod fetch;
mod hash;
mod line;
mod pins;
mod tail;
mod verify;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::audit::{self, Broken, Record};
use pins::Pin;

/// Reads the audit trail of a gateway, which may be running.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes:\n  0  done\n  1  the trail is broken, or cannot be read; what is wrong first, and where, is on standard error\n  2  wrong usage"
)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand, Debug)]
enum AuditCommand {
    /// Says whether a trail is whole: no byte changed, no record missing, none in another's place; and up to which record the
    /// token has signed it.
    Verify {
        /// The folder of the trail.
        directory: PathBuf,
        /// A head that was noted earlier: fails if no record of the trail has it, as it would be when records were cut off at the
        /// end, or all were written anew.
        #[arg(long, value_name = "SHA256")]
        head: Option<String>,
        /// A key whose signatures are to be trusted: its fingerprint, as `wardcast token provision` prints it, or a file with such,
        /// one a line. May be given several times, for a trail that several tokens signed; a rotation of masters leaves the key
        /// as it is. Without it the keys are those that the trail itself names, which shows no more than that one key signed it.
        #[arg(long, value_name = "FILE|FINGERPRINT")]
        issuer: Vec<Pin>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows the last records, for people.
    Tail {
        /// The folder of the trail.
        directory: PathBuf,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20)]
        lines: usize,
        /// Go on showing what comes, until interrupted.
        #[arg(long, short)]
        follow: bool,
        /// Print the records as they are stored, JSON, one a line.
        #[arg(long)]
        json: bool,
    },
    /// Reads the trail of a gateway back from the key store upstream, and says whether it is whole: no batch changed, missing or
    /// there twice, and within them as `verify` does.
    Fetch(fetch::FetchArgs),
    /// Prints the hash under which a SIEM knows an identity, or a group's name, where `hash_identifiers` is set for it.
    Hash(hash::HashArgs),
    /// Moves segments that are full to another folder, beside a gateway that runs: those that were relayed to whoever is to have them
    /// (all, where there is nobody), each verified on the way. Both folders are whole trails at any moment.
    Archive(archive::ArchiveArgs),
    /// Writes records to standard output as they are stored, JSON, one a line, once each is known to follow the one before.
    Export {
        /// The folder of the trail.
        directory: PathBuf,
        /// The number of the first record.
        #[arg(long, value_name = "SEQUENCE", default_value_t = 1)]
        from: u64,
        /// The number of the last record.
        #[arg(long, value_name = "SEQUENCE", default_value_t = u64::MAX)]
        to: u64,
        /// Only records of the group with this name.
        #[arg(long, value_name = "NAME")]
        group: Option<String>,
    },
}

/// Runs the command.
pub fn run(args: &AuditArgs) -> ExitCode {
    let done = match &args.command {
        AuditCommand::Fetch(args) => match super::load(&args.config) {
            Ok(config) => return super::on_runtime(fetch::report(args, &config)),
            Err(code) => return code,
        },
        AuditCommand::Hash(args) => hash::run(args),
        AuditCommand::Archive(args) => match super::load(&args.config) {
            Ok(config) => archive::run(args, &config),
            Err(code) => return code,
        },
        AuditCommand::Verify {
            directory,
            head,
            issuer,
            json,
        } => pins::all(issuer)
            .and_then(|issuers| verify::run(directory, head.as_deref(), &issuers, *json)),
        AuditCommand::Tail {
            directory,
            lines,
            follow,
            json,
        } => tail::run(directory, *lines, *follow, *json).map_err(|error| error.to_string()),
        AuditCommand::Export {
            directory,
            from,
            to,
            group,
        } => {
            let wanted = |record: &Record| {
                let own = record.entry.group.as_ref().map(|group| &group.name);
                (*from..=*to).contains(&record.sequence)
                    && (group.is_none() || own == group.as_ref())
            };
            export(directory, wanted).map_err(|error| error.to_string())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("wardcast: {why}");
            ExitCode::FAILURE
        }
    }
}

fn export(directory: &Path, wanted: impl Fn(&Record) -> bool) -> Result<(), Broken> {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    audit::verify(directory, |record, line| {
        if written.is_ok() && wanted(record) {
            written = output
                .write_all(line)
                .and_then(|()| output.write_all(b"\n"));
        }
    })?;
    // A reader that went away has seen what it wanted.
    let _ = written.and_then(|()| output.flush());
    Ok(())
}
