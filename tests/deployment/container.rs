//! The container's recipe. No engine runs here: it is linted, what it copies is there, and what it builds is all there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::place::{Place, ended};
use crate::venv;

fn recipe() -> PathBuf {
    root().join("config/container/Containerfile")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn lint(file: &Path) -> Command {
    let mut command = Command::new(venv::python().with_file_name("hadolint"));
    // All that it has to say counts.
    command.args(["--no-color", "--failure-threshold", "style"]);
    command.arg(file);
    command
}

/// What is copied from the sources: words between COPY and the last one, of lines that do not name another stage.
fn sources(recipe: &str) -> Vec<&str> {
    let copies = recipe.lines().filter_map(|line| line.strip_prefix("COPY "));
    let own = copies.filter(|words| !words.starts_with("--"));
    own.flat_map(|words| {
        let (sources, _) = words.rsplit_once(' ').expect("from and to");
        sources.split(' ')
    })
    .collect()
}

#[test]
fn the_linter_has_nothing_to_say() {
    let ran = ended("lint", lint(&recipe())).exits(0);
    assert_eq!(ran.out, "");
    let place = Place::empty();
    let text = fs::read_to_string(recipe()).expect("is there");
    place.write("Containerfile", &text.replace(":nonroot", ""));
    let ran = ended("lint", lint(&place.path("Containerfile"))).exits(1);
    assert!(
        ran.out.contains("DL3006"),
        "an image without a tag: {ran:#?}"
    );
}

/// Cargo finds all members and targets among what is copied, and the code all that it includes; the commands are README's.
#[test]
fn what_it_builds_is_there() {
    let text = fs::read_to_string(recipe()).expect("is there");
    let sources = sources(&text);
    assert!(sources.contains(&"src"), "{sources:?}");
    let place = Place::empty();
    for source in &sources {
        let to = place.path(source);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(root().join(source)).arg(&to);
        ended("cp", copy).exits(0);
    }
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args([
        "metadata",
        "--offline",
        "--locked",
        "--format-version=1",
        "--no-deps",
    ]);
    metadata.current_dir(place.path(""));
    let described = ended("metadata", metadata).exits(0).json();
    let packages = described["packages"].as_array().expect("packages");
    let targets = packages
        .iter()
        .find(|package| package["name"] == "wardcast")
        .and_then(|own| own["targets"].as_array())
        .expect("targets");
    let files: Vec<&str> = targets
        .iter()
        .filter_map(|target| target["src_path"].as_str())
        .collect();
    assert!(files.iter().any(|file| file.ends_with("src/main.rs")));
    for file in files {
        assert!(Path::new(file).exists(), "{file}");
    }
    let included = included(&root().join("src"));
    assert!(included.len() > 2, "{included:?}");
    let missing: BTreeSet<String> = included
        .into_iter()
        .filter(|file| {
            let own = file.strip_prefix(root()).expect("one of ours");
            !sources.iter().any(|source| own.starts_with(source))
        })
        .map(|file| file.display().to_string())
        .collect();
    assert_eq!(missing, BTreeSet::new());
    assert!(text.contains("cargo build --release --locked --bin wardcast"));
    assert!(text.contains("USER 65532:65532"));
    assert_eq!(command(&text, "ENTRYPOINT "), ["/usr/bin/wardcast"]);
    let serve = ["serve", "--config", "/etc/wardcast/wardcast.toml"];
    assert_eq!(command(&text, "CMD "), serve);
}

/// All files of Rust below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

/// The files that code in a folder includes as they are, outside of modules for tests.
fn included(folder: &Path) -> Vec<PathBuf> {
    let texts: Vec<(PathBuf, String)> = files(folder)
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).expect("text")))
        .collect();
    let for_tests: BTreeSet<&str> = texts
        .iter()
        .flat_map(|(_, text)| text.split("#[cfg(test)]\nmod ").skip(1))
        .filter_map(|rest| rest.split([';', ' ']).next())
        .collect();
    let mut found = Vec::new();
    for (path, text) in &texts {
        let own = path.strip_prefix(root()).expect("one of ours");
        let stem = |part: std::path::Component<'_>| {
            let name = part.as_os_str().to_str().expect("text");
            for_tests.contains(name.trim_end_matches(".rs"))
        };
        if own.components().any(stem) {
            continue;
        }
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let names = ["include_str!(\"", "include_bytes!(\""]
            .into_iter()
            .flat_map(|begin| text.split(begin).skip(1))
            .filter_map(|rest| rest.split('"').next());
        let beside = path.parent().expect("its folder");
        found.extend(names.map(|name| beside.join(name).canonicalize().expect("is there")));
    }
    found
}

/// The words of an instruction that is a list.
fn command(recipe: &str, instruction: &str) -> Vec<String> {
    let line = recipe
        .lines()
        .find_map(|line| line.strip_prefix(instruction));
    let words: Value = serde_json::from_str(line.expect("the instruction")).expect("a list");
    let words = words.as_array().expect("a list").iter();
    let text = |word: &Value| word.as_str().expect("a word").to_owned();
    words.map(text).collect()
}
