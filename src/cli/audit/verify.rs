//! Whether a trail is whole, and up to where it is signed.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::audit::{Digest, Signatures, Verified, verify_pinned};
use crate::crypto::Fingerprint;

/// Verifies a trail; the error says what is wrong with it.
pub(super) fn run(
    directory: &Path,
    head: Option<&str>,
    issuers: &[Fingerprint],
    json: bool,
) -> Result<(), String> {
    let mut found = head.is_none();
    let whole = verify_pinned(directory, issuers, |_, line| {
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

pub(super) fn as_json(whole: &Verified, found: bool) -> serde_json::Value {
    let Signatures {
        count,
        up_to,
        issuers,
        pinned,
    } = &whole.signatures;
    let issuers: Vec<String> = issuers.iter().map(Fingerprint::to_string).collect();
    json!({
        "whole": true,
        "records": whole.records,
        "first": whole.first,
        "last": whole.last,
        "segments": whole.segments,
        "head": whole.head,
        "unfinished_bytes": whole.unfinished,
        "noted_head_found": found,
        "signatures": count,
        "signed_up_to": up_to,
        "issuers": issuers,
        "issuers_pinned": pinned,
    })
}

pub(super) fn as_text(whole: &Verified) -> String {
    let Verified {
        segments,
        records,
        first,
        last,
        head,
        unfinished,
        signatures,
    } = whole;
    let files = match segments {
        1 => "segment",
        _ => "segments",
    };
    let mut text = format!(
        "The trail is whole: {records} records, {first} to {last}, in {segments} {files}.\nHead: {head}\n{}",
        signed(signatures, *last)
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

/// Up to where, by whom, and what that is worth.
fn signed(signatures: &Signatures, last: u64) -> String {
    let Signatures {
        count,
        up_to,
        issuers,
        pinned,
    } = signatures;
    let Some(up_to) = up_to else {
        return "No record is signed: whoever could write the folder could have written all of it."
            .to_owned();
    };
    let issuers: Vec<String> = issuers.iter().map(Fingerprint::to_string).collect();
    let mut text = format!(
        "Signed up to record {up_to}, by {count} signatures of {}",
        issuers.join(", ")
    );
    text += match (pinned, issuers.len()) {
        (true, _) => " (pinned with --issuer).",
        (false, 1) => {
            ". That key was not pinned: the trail itself names it. Give --issuer what `wardcast token provision` prints."
        }
        (false, _) => {
            ". These keys were not pinned: the trail itself names them. Give --issuer what `wardcast token provision` prints."
        }
    };
    // Nothing but the signature itself, at the end, is as it should be.
    if last > up_to + 1 {
        text += &format!("\nRecords {} to {last} are not signed yet.", up_to + 1);
    }
    text
}
