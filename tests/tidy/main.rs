//! Keeps the shape of the code: layers, sizes, the first line of a file, and what may lie at the top level.
//!
//! Each rule is a function from text to complaints with a test that it does complain; `the_tree_is_tidy` runs all on this crate.

mod layers;
mod rules;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold what tools make, not what people write.
const MADE_BY_TOOLS: [&str; 6] = [
    "target",
    ".git",
    "corpus",
    "artifacts",
    "__pycache__",
    ".venv",
];

/// Folders whose `.rs` files the rules for Rust code hold for.
const RUST_FOLDERS: [&str; 4] = ["src", "tests", "benches", "loadtest"];

/// All files below `folder`, with paths relative to `root`, sorted.
fn files(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the repository can be listed") {
        let entry = entry.expect("the repository can be listed");
        let name = entry.file_name().to_string_lossy().into_owned();
        if MADE_BY_TOOLS.contains(&name.as_str()) {
            continue;
        }
        if entry.file_type().expect("a file has a type").is_dir() {
            found.extend(files(root, &entry.path()));
        } else {
            let path = entry.path();
            found.push(path.strip_prefix(root).expect("below root").to_owned());
        }
    }
    found.sort();
    found
}

fn complaints(root: &Path) -> Vec<String> {
    let mut complaints = Vec::new();
    let top = fs::read_dir(root).expect("the repository can be listed");
    let top = top.map(|entry| entry.expect("the repository can be listed").file_name());
    let mut names: Vec<String> = top
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    complaints.extend(names.iter().filter_map(|name| rules::top_level(name)));

    let mut sources = Vec::new();
    for path in files(root, root) {
        let Ok(text) = fs::read_to_string(root.join(&path)) else {
            continue;
        }; // not text
        let name = path.to_string_lossy().replace('\\', "/");
        complaints.extend(rules::machine_paths(&name, &text));
        complaints.extend(rules::length(&name, &text));
        let in_scope = RUST_FOLDERS.iter().any(|folder| path.starts_with(folder));
        if in_scope && name.ends_with(".rs") {
            complaints.extend(rules::first_line(&name, &text));
            complaints.extend(rules::leftovers(&name, &text));
            complaints.extend(rules::fields(&name, &text));
            sources.push((name, text));
        }
    }
    sources.retain(|(name, _)| name.starts_with("src/"));
    complaints.extend(layers::check(&sources));
    complaints
}

#[test]
fn the_tree_is_tidy() {
    let complaints = complaints(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}
