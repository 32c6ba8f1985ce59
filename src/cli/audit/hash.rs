//! `wardcast audit hash`: the hash under which a SIEM knows an identifier.

use std::path::PathBuf;

use clap::Args;

use crate::siem::identifiers::IdentifierKey;

/// Prints the hash under which a SIEM knows an identifier.
#[derive(Args, Debug)]
pub(super) struct HashArgs {
    /// The key that the gateway hashes with: the file that siem.identifier_key_file names.
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// An identity such as "cn:alice", or a group's name, exactly as the audit trail has it.
    #[arg(required = true)]
    identifiers: Vec<String>,
    /// Print JSON: an object with the hash of each identifier.
    #[arg(long)]
    json: bool,
}

/// Prints hashes, one a line in the order of the identifiers.
pub(super) fn run(args: &HashArgs) -> Result<(), String> {
    let key = IdentifierKey::read(&args.key_file).map_err(|error| error.to_string())?;
    let hashes = args.identifiers.iter().map(|name| (name, key.hash(name)));
    if args.json {
        let hashes: serde_json::Map<_, _> = hashes
            .map(|(name, hash)| (name.clone(), hash.into()))
            .collect();
        println!("{}", serde_json::Value::Object(hashes));
        return Ok(());
    }
    for (_, hash) in hashes {
        println!("{hash}");
    }
    Ok(())
}
