//! Rules that look at one file, or one name, at a time.

use crate::tokens::tokens;

const MAX_LINES: usize = 500;
const MAX_MAIN_LINES: usize = 60;
const MAX_FIELDS: usize = 11;
/// What operators write or read key by key: nesting there would be for this rule's sake alone.
const FLAT_DOCUMENTS: [&str; 4] = ["GroupPolicy", "GroupView", "Config", "Token"];
const TOP_LEVEL: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "benches",
    "loadtest",
    "config",
    "tests",
    "README.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];

/// What lies at the top level is decided; tools' output and dotfiles apart.
pub(crate) fn top_level(name: &str) -> Option<String> {
    let allowed = TOP_LEVEL.contains(&name) || name.starts_with('.') || name == "target";
    (!allowed).then(|| {
        format!("{name}: does not belong at the top level; put it below one of {TOP_LEVEL:?}")
    })
}

/// A path of somebody's machine works for nobody else.
pub(crate) fn machine_paths(name: &str, text: &str) -> Vec<String> {
    // Written in two halves, so that this file passes its own rule.
    let roots = [
        ["/ho", "me/"],
        ["/ro", "ot/"],
        ["/Us", "ers/"],
        ["/wo", "rk/"],
        [":\\Us", "ers"],
    ]
    .map(|halves| halves.concat());
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| roots.iter().any(|root| holds_path(line, root)))
        .map(|(index, _)| format!("{name}:{}: names a path of one machine", index + 1))
        .collect()
}

/// Whether `line` holds a path that begins with `root`, rather than one that merely contains it further on.
fn holds_path(line: &str, root: &str) -> bool {
    line.match_indices(root).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        root.starts_with(':') || !before.is_some_and(|c| c.is_alphanumeric() || "./}_-".contains(c))
    })
}

/// A file that is longer than a sitting's reading is two files.
pub(crate) fn length(name: &str, text: &str) -> Option<String> {
    let limit = match name {
        "src/main.rs" => MAX_MAIN_LINES,
        _ if [".rs", ".py", ".sh"]
            .iter()
            .any(|ending| name.ends_with(ending)) =>
        {
            MAX_LINES
        }
        _ => return None,
    };
    let lines = text.lines().count();
    (lines > limit).then(|| format!("{name}: {lines} lines; at most {limit}"))
}

/// The first line says what the file is for.
pub(crate) fn first_line(name: &str, text: &str) -> Option<String> {
    let first = text.lines().next().unwrap_or_default();
    let says = first
        .strip_prefix("//! ")
        .is_some_and(|rest| !rest.trim().is_empty());
    (!says).then(|| format!("{name}:1: must be a `//! ` line that says what the file is for"))
}

/// Work left undone, and tests that do not run.
pub(crate) fn leftovers(name: &str, text: &str) -> Vec<String> {
    let found = tokens(text);
    let mut complaints = Vec::new();
    for window in found.windows(3) {
        let words = [0, 1, 2].map(|at| window[at].text.as_str());
        let what = match words {
            ["#", "[", "ignore"] => "a test that does not run",
            ["todo" | "unimplemented", "!", _] => "work left undone",
            _ => continue,
        };
        complaints.push(format!("{name}:{}: {what}", window[0].line));
    }
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|halves| halves.concat());
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric());
        if words.any(|word| marks.iter().any(|mark| word == mark)) {
            complaints.push(format!(
                "{name}:{}: a note to do something later",
                index + 1
            ));
        }
    }
    complaints
}

/// A struct with a dozen fields is several things at once.
pub(crate) fn fields(name: &str, text: &str) -> Vec<String> {
    let found = tokens(text);
    let mut complaints = Vec::new();
    for start in (0..found.len()).filter(|at| found[*at].text == "struct") {
        let Some(of) = found.get(start + 1) else {
            continue;
        };
        let body = found[start..]
            .iter()
            .position(|token| ["{", ";", "("].contains(&token.text.as_str()));
        let Some(body) = body.filter(|at| found[start + at].text == "{") else {
            continue;
        };
        let mut depth = 0;
        let mut fields = 0;
        for token in &found[start + body..] {
            match token.text.as_str() {
                "{" | "(" | "[" | "<" => depth += 1,
                "}" | ")" | "]" | ">" => depth -= 1,
                ":" if depth == 1 => fields += 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        if fields > MAX_FIELDS && !FLAT_DOCUMENTS.contains(&of.text.as_str()) {
            complaints.push(format!(
                "{name}:{}: {} has {fields} fields; at most {MAX_FIELDS}",
                of.line, of.text
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_at_the_top_level_are_seen() {
        for name in ["docs", "notes.txt", "build.rs", "deny.toml"] {
            assert!(top_level(name).is_some(), "{name}");
        }
        for name in ["src", ".deny.toml", "target", "Cargo.lock"] {
            assert_eq!(top_level(name), None);
        }
    }

    #[test]
    fn paths_of_a_machine_are_seen() {
        let home = ["/ho", "me/"].concat();
        assert_eq!(
            machine_paths("a", &format!("x\ncp {home}ada/key .")).len(),
            1
        );
        assert_eq!(machine_paths("a", &format!("\"{home}ada\"")).len(), 1);
        assert_eq!(
            machine_paths(
                "a",
                &format!("https://example.org{home}page and ${{X}}{home}")
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn long_files_are_seen() {
        let line = "//! x\n";
        assert_eq!(length("src/a.rs", &line.repeat(500)), None);
        assert!(length("src/a.rs", &line.repeat(501)).is_some());
        assert!(length("src/main.rs", &line.repeat(61)).is_some());
        assert_eq!(length("Cargo.lock", &line.repeat(5000)), None);
    }

    #[test]
    fn a_first_line_that_says_nothing_is_seen() {
        for text in [
            "use std::fs;",
            "//!",
            "//! ",
            "// A file.\n//! That is late.",
            "",
        ] {
            assert!(first_line("a.rs", text).is_some(), "{text:?}");
        }
        assert_eq!(first_line("a.rs", "//! Says it."), None);
    }

    #[test]
    fn leftovers_are_seen() {
        let mark = ["TO", "DO"].concat();
        assert_eq!(
            leftovers("a.rs", "#[ignore = \"slow\"]\nfn a() { todo!() }").len(),
            2
        );
        assert_eq!(
            leftovers("a.rs", &format!("fn a() {{}} // {mark}: more")).len(),
            1
        );
        assert_eq!(
            leftovers("a.rs", "// one may ignore it: todo!()\nlet ignore = [1];"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn wide_structs_are_seen() {
        let many: String = (0..12)
            .map(|n| format!("f{n}: Map<a::B, fn(c: D) -> E>, "))
            .collect();
        assert_eq!(
            fields("a.rs", &format!("pub struct Wide<T: X> {{ {many} }}")).len(),
            1
        );
        let fewer =
            many.trim_end_matches(|c| c != '>')
                .trim_end()
                .replacen("f0: ", "/* f0: */ x(", 0);
        let eleven = &fewer[fewer.find("f1").expect("it has f1")..];
        assert_eq!(
            fields(
                "a.rs",
                &format!("struct Fine {{ {eleven} }} struct T(u8); struct U;")
            ),
            Vec::<String>::new()
        );
    }
}
