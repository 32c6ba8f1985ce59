//! `wardcast kmip query`: whether a key store can be reached, and what it can do.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde_json::json;

use super::Encoding;
use crate::kmip::client::{Batch, Client, Endpoint, Options, Query, ServerFacts, Version};
use crate::kmip::codec::{Tag, tag, value_text};
use crate::tls::{Credentials, Trust};

/// How wide a table is where the terminal does not say, in characters.
const WIDTH: u16 = 100;

#[derive(Args, Debug)]
pub(super) struct QueryArgs {
    /// Where the key store is: kmips://HOST:5696, or https://HOST/kmip.
    #[arg(long, value_name = "URL")]
    server: String,
    /// The certificate of the authority that the key store's certificate is from.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The certificate to show to the key store.
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// Its private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The encoding of messages; all but ttlv need https.
    #[arg(long, default_value = "ttlv")]
    encoding: Encoding,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) async fn run(args: &QueryArgs) -> ExitCode {
    match query(args).await {
        Ok((version, facts)) => {
            let said = match args.json {
                true => in_json(version, &facts),
                false => table(&args.server, version, &facts).to_string(),
            };
            // A reader that went away has seen what it wanted.
            let _ = writeln!(std::io::stdout(), "{said}");
            ExitCode::SUCCESS
        }
        Err(said) => {
            eprintln!("wardcast: {said}");
            ExitCode::FAILURE
        }
    }
}

async fn query(args: &QueryArgs) -> Result<(Version, ServerFacts), String> {
    let endpoint = Endpoint::new(&args.server, args.encoding.into());
    let endpoint = endpoint.map_err(|error| format!("--server {error}"))?;
    let credentials =
        Credentials::load(&args.cert, &args.key).map_err(|error| error.to_string())?;
    let trust = Trust::load(&args.ca, &[]).map_err(|error| error.to_string())?;
    // Whoever sets it up wants to see the first error.
    let options = Options {
        attempts: 1,
        ..Options::default()
    };
    let client = Client::new(&[endpoint], credentials, &trust, options);
    let client = client.map_err(|error| error.to_string())?;
    let answers = client.exchange(&[&Query], Batch::default()).await;
    let answers = answers.map_err(|error| error.to_string())?;
    let facts = answers.read(0, &Query).map_err(|error| error.to_string())?;
    Ok((answers.version, facts))
}

fn names(tag: Tag, values: &[u32]) -> Vec<String> {
    values.iter().map(|value| value_text(tag, *value)).collect()
}

fn in_json(version: Version, facts: &ServerFacts) -> String {
    json!({
        "version": version.to_string(),
        "vendor": facts.vendor,
        "operations": names(tag::Operation, &facts.operations),
        "object_types": names(tag::ObjectType, &facts.object_types),
        "application_namespaces": facts.application_namespaces,
    })
    .to_string()
}

fn table(server: &str, version: Version, facts: &ServerFacts) -> Table {
    let list = |tag, values: &[u32]| match values {
        [] => "none named".to_owned(),
        values => names(tag, values).join(", "),
    };
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(WIDTH);
    }
    table.set_header(["key store", server]);
    table.add_row(["version", &format!("KMIP {version}")]);
    table.add_row(["vendor", facts.vendor.as_deref().unwrap_or("not named")]);
    table.add_row(["operations", &list(tag::Operation, &facts.operations)]);
    table.add_row(["object types", &list(tag::ObjectType, &facts.object_types)]);
    table
}
