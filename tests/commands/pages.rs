//! Manual pages and completions, made of the commands themselves: each command has a page that readers of manuals take, and shells
//! take the completions.

use std::fs;
use std::process::Command;

use crate::place::Place;

/// The names of the commands that a help text lists.
fn subcommands(place: &Place, line: &str) -> Vec<String> {
    let help = place.run(&format!("{line} --help")).exits(0).out;
    let listed = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"));
    let rows = listed.skip(1).take_while(|line| line.starts_with("  "));
    let names = rows.filter(|row| !row.starts_with("   "));
    let names = names.filter_map(|row| row.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn pages_of(place: &Place, words: &[String], pages: &mut Vec<String>) {
    pages.push([&["wardcast".to_owned()], words].concat().join("-") + ".1");
    let line = words.join(" ");
    for name in subcommands(place, &line) {
        pages_of(place, &[words, &[name]].concat(), pages);
    }
}

#[test]
fn each_command_has_a_page_that_a_linter_takes() {
    let place = Place::empty();
    fs::create_dir(place.path("man1")).expect("a folder");
    place.run("man --dir man1").exits(0);
    let mut expected = Vec::new();
    pages_of(&place, &[], &mut expected);
    expected.sort();
    let found = fs::read_dir(place.path("man1")).expect("a folder");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("text");
    let mut found: Vec<String> = found.map(|entry| name(entry.expect("an entry"))).collect();
    found.sort();
    assert_eq!(found, expected);
    for page in [
        "wardcast-admin-drain.1",
        "wardcast-serve.1",
        "wardcast-token-provision.1",
    ] {
        assert!(found.iter().any(|name| name == page), "{page}");
    }
    let mut linter = Command::new("mandoc");
    linter.args(["-T", "lint", "-W", "error"]).args(&found);
    let linted = linter.current_dir(place.path("man1")).output();
    let linted = linted.expect("mandoc is installed: tests/install.sh");
    let said = String::from_utf8_lossy(&linted.stdout);
    assert!(linted.status.success() && said.is_empty(), "{said}");
    let text = Command::new("mandoc")
        .arg(place.path("man1/wardcast-admin-drain.1"))
        .output();
    let text = text.expect("mandoc is installed").stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains("HOST:PORT") && text.contains("wardcast-admin-drain"),
        "{text}"
    );
}

#[test]
fn the_programs_own_page_is_printed_and_a_folder_must_be_there() {
    let place = Place::empty();
    let page = place.run("man").exits(0);
    assert!(
        page.out.starts_with(".ie") && page.out.contains(".TH WARDCAST"),
        "{}",
        page.out
    );
    place.run("man --dir none").fails(1, &["none"]);
}

#[test]
fn shells_take_the_completions() {
    let place = Place::empty();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let text = place.run(&format!("completions {shell}")).exits(0).out;
        assert!(text.contains("rotate-master"), "{shell}");
        place.write("completions", &text);
        let read = Command::new(shell)
            .arg(check)
            .arg(place.path("completions"))
            .output();
        let read = read.unwrap_or_else(|error| panic!("{shell}: {error}: tests/install.sh"));
        let said = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success() && said.is_empty(), "{shell}: {said}");
    }
    // What bash would offer after `wardcast admin dr`.
    let offered = "source completions; COMP_WORDS=(wardcast admin dr); COMP_CWORD=2; \
                   _wardcast wardcast dr admin; echo \"${COMPREPLY[@]}\"";
    place.write("completions", &place.run("completions bash").exits(0).out);
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", offered])
        .current_dir(place.path(""));
    let offered = bash.output().expect("bash runs").stdout;
    assert_eq!(String::from_utf8_lossy(&offered).trim(), "drain");
    place.run("completions csh").fails(2, &["csh"]);
}
