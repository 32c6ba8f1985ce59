//! `wardcast audit`: reads an audit trail: whether it is whole, what came last, all of it.

mod line;
mod tail;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::audit::{Broken, Digest, Record, Verified, verify};

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
    /// Says whether a trail is whole: no byte changed, no record missing, none in another's place.
    Verify {
        /// The folder of the trail.
        directory: PathBuf,
        /// A head that was noted earlier: fails if no record of the trail has it, as it would be when records were cut off at the
        /// end, or all were written anew.
        #[arg(long, value_name = "SHA256")]
        head: Option<String>,
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
        AuditCommand::Verify {
            directory,
            head,
            json,
        } => verified(directory, head.as_deref(), *json),
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

fn verified(directory: &Path, head: Option<&str>, json: bool) -> Result<(), String> {
    let mut found = head.is_none();
    let whole = verify(directory, |_, line| {
        found |= head.is_some_and(|head| head.eq_ignore_ascii_case(&Digest::of(line).to_string()));
    });
    let whole = whole.map_err(|broken| broken.to_string())?;
    let mut output = io::stdout();
    // A reader that went away has seen what it wanted.
    let _ = match json {
        true => writeln!(output, "{}", as_json(&whole, found)),
        false => writeln!(output, "{}", as_text(&whole)),
    };
    match found {
        true => Ok(()),
        false => Err(format!(
            "no record of the trail has the head {}: it is another trail, or ends before that record",
            head.unwrap_or_default()
        )),
    }
}

fn as_json(whole: &Verified, found: bool) -> serde_json::Value {
    json!({
        "whole": true,
        "records": whole.records,
        "first": whole.first,
        "last": whole.last,
        "segments": whole.segments,
        "head": whole.head,
        "unfinished_bytes": whole.unfinished,
        "noted_head_found": found,
    })
}

fn as_text(whole: &Verified) -> String {
    let Verified {
        segments,
        records,
        first,
        last,
        head,
        unfinished,
    } = whole;
    let files = match segments {
        1 => "segment",
        _ => "segments",
    };
    let mut text = format!(
        "The trail is whole: {records} records, {first} to {last}, in {segments} {files}.\nHead: {head}"
    );
    if *first > 1 {
        text += &format!("\nRecords 1 to {} are elsewhere.", first - 1);
    }
    if *unfinished > 0 {
        text += &format!(
            "\n{unfinished} bytes follow, of a record that is being written, or that a crash cut short."
        );
    }
    text
}

fn export(directory: &Path, wanted: impl Fn(&Record) -> bool) -> Result<(), Broken> {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    verify(directory, |record, line| {
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
