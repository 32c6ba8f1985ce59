//! Moves full segments of a gateway's trail elsewhere, once they were relayed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::pins::{self, Pin};
use crate::audit::{Archived, archive};
use crate::config::Config;
use crate::relay::{Hindmost, hindmost};

#[derive(Args, Debug)]
pub(super) struct ArchiveArgs {
    /// The gateway's configuration: it says where the trail is, and who has to have it before it goes.
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
    /// The folder that they are moved to, the same each time: a trail as well, for `verify` and `export`. It may be on another disk.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// A key whose signatures are to be trusted, as for `verify`: nothing moves that another has signed.
    #[arg(long, value_name = "FILE|FINGERPRINT")]
    issuer: Vec<Pin>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Moves what may be moved, and says what that was.
pub(super) fn run(args: &ArchiveArgs, config: &Config) -> Result<(), String> {
    let issuers = pins::all(&args.issuer)?;
    let directory = config.audit_directory();
    let behind = hindmost(&directory, &sinks(config))
        .map_err(|error| format!("cannot tell what was relayed: {error}"))?;
    let relayed = behind.as_ref().map_or(u64::MAX, |sink| sink.sequence);
    let done = archive(&directory, &args.to, relayed, &issuers);
    let done = done.map_err(|error| error.to_string())?;
    let mut output = io::stdout();
    // A reader that went away has seen what it wanted.
    let _ = match args.json {
        true => writeln!(output, "{}", as_json(&done, behind.as_ref())),
        false => writeln!(output, "{}", as_text(&done, &args.to, behind.as_ref())),
    };
    Ok(())
}

/// Who follows the trail as it is configured, whether or not he has begun.
fn sinks(config: &Config) -> Vec<&'static str> {
    let siem = &config.siem;
    let all = [
        ("audit", config.upstream.addresses.is_empty()),
        ("lifecycle", config.upstream.addresses.is_empty()),
        ("syslog", siem.syslog.address.is_empty()),
        ("ocsf", siem.ocsf.url.is_empty()),
        ("splunk", siem.splunk.url.is_empty()),
    ];
    let configured = all.into_iter().filter(|(_, is_off)| !is_off);
    configured.map(|(name, _)| name).collect()
}

fn as_json(done: &Archived, behind: Option<&Hindmost>) -> serde_json::Value {
    json!({
        "segments": done.segments,
        "bytes": done.bytes,
        "last": done.last,
        "held_segments": done.held,
        "relayed_up_to": behind.map(|sink| sink.sequence),
        "hindmost": behind.map(|sink| &sink.sink),
    })
}

fn as_text(done: &Archived, to: &Path, behind: Option<&Hindmost>) -> String {
    let segments = |count: usize| match count {
        1 => "1 segment".to_owned(),
        many => format!("{many} segments"),
    };
    let mut text = match done.last {
        None => "No segment was moved.".to_owned(),
        Some(last) => format!(
            "Moved {} ({} bytes) to {}: all records up to {last} are there.",
            segments(done.segments),
            done.bytes,
            to.display()
        ),
    };
    if let (1.., Some(Hindmost { sink, sequence })) = (done.held, behind) {
        text += &format!(
            "\n{} stay, although full: {sink} has come to record {sequence}. Where it is not to have them any more, remove relay-{sink}.json beside the trail.",
            segments(done.held)
        );
    }
    text
}
