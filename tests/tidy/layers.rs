//! Who may name whom: a module of the crate names only what lies below it, never a sibling and never what stands on it.

use crate::tokens::{Token, tokens};

/// Each module of `src/` with the modules that it may name besides itself, in lists that several share. `cli` and `main` may name all.
const LAYERS: [(&str, &[&[&str]]); 24] = [
    ("causes", &[]),
    ("meter", &[]),
    ("group", &[]),
    ("crypto", &[&["group"]]),
    ("config", &[&["group"]]),
    ("tls", &[&["group"]]),
    ("pki", &[]),
    ("trace", &[&["group"]]),
    ("kmip", &[&["tls", "causes"]]),
    ("udp", &[&["group"]]),
    ("hsm", &[&["crypto", "group"]]),
    ("store", &[&["crypto", "group"]]),
    ("attributes", &[&["tls", "group", "causes"]]),
    ("policy", &[&["attributes", "crypto", "group", "causes"]]),
    ("audit", &[&["crypto", "group"]]),
    ("member", &[&["tls", "udp", "crypto", "group"]]),
    ("engine", &[&CORE]),
    ("https", &[&["tls", "trace", "group"]]),
    ("quic", &[&CORE, &SERVING, &["udp"]]),
    ("admin", &[&CORE, &SERVING, &["udp"]]),
    ("relay", &[&CORE, &SERVING, &["udp"]]),
    ("front", &[&CORE, &SERVING, &["udp"]]),
    ("siem", &[&["relay", "audit", "crypto", "causes"]]),
    ("app", &[&CORE, &SERVING, &FRONTS, &["config"]]),
];
/// What the engine stands on.
const CORE: [&str; 8] = [
    "hsm",
    "store",
    "audit",
    "policy",
    "attributes",
    "crypto",
    "trace",
    "group",
];
/// What fronts stand on besides.
const SERVING: [&str; 4] = ["engine", "https", "tls", "kmip"];
const FRONTS: [&str; 5] = ["quic", "admin", "relay", "front", "siem"];
/// What every part may name: only what a metric is.
const BELOW_ALL: [&str; 1] = ["meter"];
const ABOVE_ALL: [&str; 2] = ["cli", "main"];
/// The one file, or folder, that may name the PKCS#11 crate.
const PKCS11: &str = "src/hsm/pkcs11";

/// Complaints about all files of `src/`, given as path and text.
pub(crate) fn check(sources: &[(String, String)]) -> Vec<String> {
    let for_tests: Vec<String> = sources
        .iter()
        .flat_map(|(name, text)| test_modules(name, text))
        .collect();
    let mut complaints = Vec::new();
    for (name, text) in sources {
        let found = tokens(text);
        complaints.extend(pkcs11(name, &found));
        let path = module_path(name);
        let in_tests = path.iter().any(|part| part == "tests")
            || for_tests
                .iter()
                .any(|module| name.starts_with(module.as_str()));
        if !in_tests {
            complaints.extend(layer(name, &path, &without_tests(&found)));
        }
    }
    complaints
}

/// `src/quic/tls.rs` is `["quic", "tls"]`; `src/quic/mod.rs` is `["quic"]`; `src/lib.rs` is the root.
fn module_path(name: &str) -> Vec<String> {
    let path = name.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    parts.pop_if(|last| last == "mod" || last == "lib");
    parts
}

/// The path prefixes of modules that `text` declares for tests alone: `#[cfg(test)] mod name;`.
fn test_modules(name: &str, text: &str) -> Vec<String> {
    let folder = format!("src/{}", module_path(name).join("/"));
    let found = tokens(text);
    let words: Vec<&str> = found.iter().map(|token| token.text.as_str()).collect();
    let declared = (0..words.len()).filter_map(|at| match words[at..] {
        [
            "#",
            "[",
            "cfg",
            "(",
            "test",
            ")",
            "]",
            "mod",
            module,
            ";",
            ..,
        ] => Some(module),
        [
            "#",
            "[",
            "cfg",
            "(",
            "test",
            ")",
            "]",
            "pub",
            "(",
            _,
            ")",
            "mod",
            module,
            ";",
            ..,
        ] => Some(module),
        _ => None,
    });
    declared
        .flat_map(|module| ["/", ".rs"].map(|end| format!("{folder}/{module}{end}")))
        .collect()
}

/// The tokens outside `#[cfg(test)] mod … { … }`: tests may look wherever they need to.
fn without_tests(found: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < found.len() {
        let words: Vec<&str> = found[at..]
            .iter()
            .take(10)
            .map(|token| token.text.as_str())
            .collect();
        if let ["#", "[", "cfg", "(", "test", ")", "]", "mod", _, "{"] = words[..] {
            at += 9 + block(&found[at + 9..]);
        } else {
            kept.push(found[at].clone());
            at += 1;
        }
    }
    kept
}

/// How many tokens the block takes that `found` begins with, its braces included.
fn block(found: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in found.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    found.len()
}

fn pkcs11(name: &str, found: &[Token]) -> Vec<String> {
    let allowed = name == format!("{PKCS11}.rs") || name.starts_with(&format!("{PKCS11}/"));
    let named = found
        .iter()
        .filter(|token| !allowed && token.text == "cryptoki");
    named
        .map(|token| format!("{name}:{}: only {PKCS11} names cryptoki", token.line))
        .collect()
}

fn layer(name: &str, path: &[String], found: &[Token]) -> Vec<String> {
    let Some(own) = path.first() else {
        return Vec::new();
    };
    if ABOVE_ALL.contains(&own.as_str()) {
        return Vec::new();
    }
    let Some((_, below)) = LAYERS.iter().find(|(module, _)| module == own) else {
        return vec![format!(
            "{name}: module {own} has no place among the layers: give it one in tests/tidy/layers.rs"
        )];
    };
    let strangers = crate_names(path.len(), found).into_iter();
    let may =
        |name: &str| BELOW_ALL.contains(&name) || below.iter().any(|some| some.contains(&name));
    let strangers = strangers.filter(|token| token.text != *own && !may(&token.text));
    strangers
        .map(|token| format!("{name}:{}: {own} may not name {}", token.line, token.text))
        .collect()
}

/// Every module of the crate that the tokens name, by `crate::` or by climbing with `super::`.
fn crate_names(depth: usize, found: &[Token]) -> Vec<Token> {
    let mut names = Vec::new();
    let mut inline = Vec::new(); // the brace depth of each inline module that is open
    let mut braces = 0;
    let text = |at: usize| found.get(at).map_or("", |token| token.text.as_str());
    let mut at = 0;
    while at < found.len() {
        match text(at) {
            "mod" if text(at + 2) == "{" => inline.push(braces),
            "{" => braces += 1,
            "}" => {
                braces -= 1;
                inline.pop_if(|open| *open == braces);
            }
            "crate" if text(at + 1) == "::" => names.extend(heads(&found[at + 2..])),
            "super" => {
                let first = at;
                while text(at) == "super" && text(at + 1) == "::" {
                    at += 2;
                }
                if (at - first) / 2 == depth + inline.len() {
                    names.extend(heads(&found[at..]));
                }
                at = at.max(first + 1);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    names
}

/// The first words of what follows `crate::`: one, or one for each branch of a group.
fn heads(found: &[Token]) -> Vec<Token> {
    let Some(first) = found.first() else {
        return Vec::new();
    };
    if first.text != "{" {
        return vec![first.clone()];
    }
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut fresh = true;
    for token in &found[..block(found)] {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => fresh = true,
            _ if depth == 1 && fresh => {
                heads.push(token.clone());
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::check;

    fn complaints(name: &str, text: &str) -> Vec<String> {
        check(&[(name.to_owned(), text.to_owned())])
    }

    #[test]
    fn whoever_names_what_stands_above_or_beside_is_seen() {
        let bad = [
            ("src/group/tree.rs", "use crate::crypto::Key;"),
            ("src/group/wire/mod.rs", "fn a() { crate::engine::run() }"),
            ("src/crypto/mod.rs", "use super::hsm::Token;"),
            ("src/hsm/soft.rs", "use super::super::store::Store;"),
            (
                "src/store/mod.rs",
                "mod inner { use super::super::hsm::Pool; }",
            ),
            (
                "src/quic/tls.rs",
                "use crate::{\n    engine::{Handle, Event},\n    admin,\n};",
            ),
            ("src/member/mod.rs", "use crate::quic::Identity;"),
            ("src/config/mod.rs", "use crate::hsm::TokenKind;"),
            ("src/app.rs", "use crate::cli::Command;"),
            ("src/engine/mod.rs", "use cryptoki::context::Pkcs11;"),
            ("src/novel/mod.rs", ""),
        ];
        for (name, text) in bad {
            assert_eq!(complaints(name, text).len(), 1, "{name}: {text}");
        }
    }

    #[test]
    fn whoever_names_what_lies_below_is_fine() {
        let good = [
            (
                "src/quic/tls.rs",
                "use crate::{engine::Handle, group::ids::GroupId}; use super::listener::admin;",
            ),
            (
                "src/hsm/pkcs11/session.rs",
                "use cryptoki::session::Session; use super::super::pool::Pool;",
            ),
            ("src/hsm/pkcs11.rs", "use cryptoki::session::Session;"),
            (
                "src/group/tree.rs",
                "// crate::engine\nuse super::ids::NodeId; const A: &str = \"crate::engine\";",
            ),
            (
                "src/group/tree.rs",
                "use super::ids; #[cfg(test)] mod tests { use crate::crypto::Key; }",
            ),
            ("src/group/tree/tests.rs", "use crate::crypto::Key;"),
            ("src/cli/demo/mod.rs", "use crate::member::Member;"),
            ("src/main.rs", "use wardcast::app;"),
        ];
        for (name, text) in good {
            assert_eq!(
                complaints(name, text),
                Vec::<String>::new(),
                "{name}: {text}"
            );
        }
    }

    #[test]
    fn code_after_a_test_module_is_seen_and_modules_for_tests_are_not() {
        let text = "#[cfg(test)] mod tests { use crate::crypto::Key; fn a() {} } use crate::engine::Shard;";
        assert_eq!(complaints("src/group/tree.rs", text).len(), 1);
        let declares = (
            "src/group/mod.rs".to_owned(),
            "#[cfg(test)] mod adversary;".to_owned(),
        );
        let module = (
            "src/group/adversary.rs".to_owned(),
            "use crate::crypto::Key;".to_owned(),
        );
        assert_eq!(check(&[declares, module.clone()]), Vec::<String>::new());
        assert_eq!(check(&[module]).len(), 1);
    }
}
