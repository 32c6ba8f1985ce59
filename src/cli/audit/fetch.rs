//! Reads an audit trail back from the key store upstream, and verifies it.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::pins::{self, Pin};
use super::verify;
use crate::app;
use crate::config::Config;
use crate::relay::audit::{Fetched, Source, fetch};

#[derive(Args, Debug)]
pub(super) struct FetchArgs {
    /// The gateway's configuration: its [upstream] says where the key store is, and whose trail is read.
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
    /// Keep the trail in this folder, which must have none yet.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// A key whose signatures are to be trusted, as for `verify`.
    #[arg(long, value_name = "FILE|FINGERPRINT")]
    issuer: Vec<Pin>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command, and says what is wrong.
pub(super) async fn report(args: &FetchArgs, config: &Config) -> ExitCode {
    match run(args, config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("wardcast: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &FetchArgs, config: &Config) -> Result<(), String> {
    let issuers = pins::all(&args.issuer)?;
    let client = app::upstream_client(config).map_err(|error| error.to_string())?;
    let Some(client) = client else {
        return Err("no key store is upstream: upstream.addresses names none".into());
    };
    let nowhere;
    let folder: &Path = match &args.to {
        Some(folder) => folder,
        None => {
            nowhere = tempfile::tempdir().map_err(|error| error.to_string())?;
            nowhere.path()
        }
    };
    let bar = match !args.json && io::stderr().is_terminal() {
        true => ProgressBar::new(0).with_style(style()),
        false => ProgressBar::hidden(),
    };
    let from = Source {
        client,
        gateway: config.upstream.name.clone(),
        issuers,
    };
    let fetched = fetch(&from, folder, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    let fetched = fetched.await;
    bar.finish_and_clear();
    let fetched = fetched.map_err(|error| error.to_string())?;
    // A reader that went away has seen what it wanted.
    let _ = match args.json {
        true => writeln!(io::stdout(), "{}", as_json(&fetched, args.to.as_deref())),
        false => writeln!(io::stdout(), "{}", as_text(&fetched, args.to.as_deref())),
    };
    Ok(())
}

fn as_json(fetched: &Fetched, folder: Option<&Path>) -> serde_json::Value {
    let mut trail = verify::as_json(&fetched.trail, true);
    if let Some(fields) = trail.as_object_mut() {
        fields.remove("segments");
        fields.remove("noted_head_found");
        fields.remove("unfinished_bytes");
        fields.insert("batches".into(), json!(fetched.batches));
        // A path that is no text is no JSON either.
        let folder = folder.map(|folder| folder.display().to_string());
        fields.insert("folder".into(), json!(folder));
    }
    trail
}

fn as_text(fetched: &Fetched, folder: Option<&Path>) -> String {
    let batches = match fetched.batches {
        1 => "1 batch".to_owned(),
        many => format!("{many} batches"),
    };
    let mut text = format!(
        "Read back from the key store in {batches}.\n{}",
        verify::as_text(&fetched.trail)
    );
    if let Some(folder) = folder {
        text += &format!("\nIt is in {}.", folder.display());
    }
    text
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_bar} {pos}/{len} batches, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
