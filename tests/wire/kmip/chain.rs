//! Every message of a folder from XML to TTLV to JSON to TTLV to XML, equal at each step.
//!
//! Always those of `tests/vectors/kmip/messages`. Where the variable `WARDCAST_KMIP_TESTCASES` names a folder with XML
//! files, such as the standard's test cases (they are published with the KMIP Profiles and are no part of this
//! repository), those besides. Their placeholders for dates and bytes of a run are replaced before; those for text stay.

use std::path::{Path, PathBuf};

use wardcast::kmip::codec::{Item, Layout, View, ttlv};

const OURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/kmip/messages");
const FOLDER: &str = "WARDCAST_KMIP_TESTCASES";

fn xml_files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(xml_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "xml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Replaces the placeholders that stand where a date or bytes are expected.
fn of_a_run(text: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let place = match line {
            _ if line.contains(r#"type="DateTime""#) => "2026-11-30T12:00:00+00:00",
            _ if line.contains(r#"type="ByteString""#) => "00112233",
            _ => "",
        };
        match (line.split_once(r#"value="$"#), place) {
            (Some((before, after)), place) if !place.is_empty() => {
                let after = after.split_once('"').expect("the value ends").1;
                replaced.extend([before, r#"value=""#, place, "\"", after]);
            }
            _ => replaced.push_str(line),
        }
    }
    replaced
}

/// Takes a message through all encodings; tells how many bytes it has as TTLV.
fn chain(item: &Item, what: &str) -> usize {
    let step = |view: View, item: &Item, layout| {
        let written = view
            .encode(item, layout)
            .unwrap_or_else(|error| panic!("{what}: {view}: {error}"));
        let read = view
            .decode(&written)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(&read, item, "{what}: {view}");
        (written, read)
    };
    let (first, read) = step(View::Ttlv, item, Layout::OneLine);
    assert_eq!(ttlv::announced(&first), Some(first.len()), "{what}");
    let (_, read) = step(View::Json, &read, Layout::Indented);
    let (_, read) = step(View::Json, &read, Layout::OneLine);
    let (second, read) = step(View::Ttlv, &read, Layout::OneLine);
    assert_eq!(first, second, "{what}");
    let (_, read) = step(View::Xml, &read, Layout::OneLine);
    let (_, read) = step(View::Xml, &read, Layout::Indented);
    assert_eq!(&read, item, "{what}");
    first.len()
}

fn all_of(folder: &Path) -> (usize, usize) {
    let (mut messages, mut bytes) = (0, 0);
    let files = xml_files(folder);
    for file in &files {
        let text = std::fs::read_to_string(file).expect("text");
        let items = View::Xml.decode_all(of_a_run(&text).as_bytes());
        let items = items.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for (place, item) in items.iter().enumerate() {
            bytes += chain(item, &format!("{}, message {place}", file.display()));
        }
        messages += items.len();
    }
    println!(
        "{} files, {messages} messages, {bytes} bytes as TTLV",
        files.len()
    );
    (files.len(), messages)
}

#[test]
fn messages_pass_through_every_encoding_unchanged() {
    assert_eq!(all_of(Path::new(OURS)), (3, 6));
    if let Some(folder) = std::env::var_os(FOLDER) {
        let (files, messages) = all_of(Path::new(&folder));
        assert!(
            files > 0 && messages >= files,
            "{FOLDER} names a folder with messages"
        );
    }
}
