//! The ways in which bytes get into a log, and the search for them.

use std::collections::HashMap;
use std::fmt::Write;

/// A search looks at this many bytes first; every form has more.
const HEAD: usize = 12;
/// Whoever logs a half of a key has logged a key.
const HALF: usize = 16;

/// Something that may be written nowhere, except in the file that it belongs into.
pub(crate) struct Secret {
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
    /// The name of that file.
    pub(crate) home: Option<&'static str>,
}

/// All forms of all secrets, found in one pass.
pub(crate) struct Scanner<'a> {
    secrets: &'a [Secret],
    patterns: Vec<Pattern>,
    by_head: HashMap<[u8; HEAD], Vec<usize>>,
}

struct Pattern {
    secret: usize,
    form: &'static str,
    bytes: Vec<u8>,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(secrets: &'a [Secret]) -> Self {
        let mut scanner = Self {
            secrets,
            patterns: Vec::new(),
            by_head: HashMap::new(),
        };
        for (number, secret) in secrets.iter().enumerate() {
            for part in parts(&secret.bytes) {
                for (form, bytes) in forms(part) {
                    scanner.add(number, form, bytes);
                }
            }
        }
        scanner
    }

    fn add(&mut self, secret: usize, form: &'static str, bytes: Vec<u8>) {
        let head = bytes.first_chunk::<HEAD>();
        let head = *head.unwrap_or_else(|| panic!("{}: too short", self.secrets[secret].what));
        let number = self.patterns.len();
        self.by_head.entry(head).or_default().push(number);
        self.patterns.push(Pattern {
            secret,
            form,
            bytes,
        });
    }

    /// What of it stands in a file of this name, with its form and where.
    pub(crate) fn find(&self, file: &str, text: &[u8]) -> Vec<String> {
        let mut found = self.find_in(file, text);
        // A list that is printed one number a line, and bytes that are printed in columns.
        let dense: Vec<u8> = text
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        found.extend(self.find_in(file, &dense));
        found.sort();
        found.dedup();
        found
    }

    fn find_in(&self, file: &str, text: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (at, head) in text.windows(HEAD).enumerate() {
            let head: &[u8; HEAD] = head.try_into().expect("windows of that size");
            for number in self.by_head.get(head).into_iter().flatten() {
                let pattern = &self.patterns[*number];
                let secret = &self.secrets[pattern.secret];
                if text[at..].starts_with(&pattern.bytes) && secret.home != Some(file) {
                    found.push(format!("{}, {}, in {file}", secret.what, pattern.form));
                }
            }
        }
        found
    }
}

/// The halves of a key; what is shorter is looked for as a whole.
fn parts(secret: &[u8]) -> Vec<&[u8]> {
    match secret.len() {
        length if length < 2 * HALF => vec![secret],
        length => vec![&secret[..HALF], &secret[length - HALF..]],
    }
}

fn forms(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let list = |separator: &str, show: fn(u8) -> String| {
        let shown: Vec<String> = bytes.iter().copied().map(show).collect();
        shown.join(separator)
    };
    let lower: fn(u8) -> String = |byte| format!("{byte:02x}");
    let upper: fn(u8) -> String = |byte| format!("{byte:02X}");
    let bare: fn(u8) -> String = |byte| format!("{byte:x}");
    let decimal: fn(u8) -> String = |byte| byte.to_string();
    let mut forms = vec![
        ("hexadecimal", list("", lower)),
        ("upper-case hexadecimal", list("", upper)),
        ("a list of numbers", list(", ", decimal)),
        ("a dense list of numbers", list(",", decimal)),
        ("a hexadecimal list", list(", ", lower)),
        ("a dense hexadecimal list", list(",", lower)),
        ("a bare hexadecimal list", list(", ", bare)),
        ("a hexadecimal list with prefixes", list(", 0x", lower)),
        ("hexadecimal in columns", list(" ", lower)),
        ("hexadecimal with colons", list(":", lower)),
        ("upper-case hexadecimal with colons", list(":", upper)),
        ("percent-encoded", list("%", upper)),
        ("escaped", bytes.escape_ascii().to_string()),
        ("escaped as bytes::Bytes", escaped_bytes(bytes)),
        ("escaped as JSON", escaped_json(bytes)),
    ];
    for shown in [bytes.escape_ascii().to_string(), escaped_bytes(bytes)] {
        // In a string of a string, as in a log that is JSON.
        let twice = shown.replace('\\', "\\\\").replace('"', "\\\"");
        forms.push(("escaped twice", twice));
    }
    for skip in 0..3 {
        // The digits that do not depend on what stands before and after it.
        let whole = (bytes.len() - skip) / 3 * 3;
        let digits = base64(&bytes[skip..skip + whole]);
        forms.push(("URL base64", digits.replace('+', "-").replace('/', "_")));
        forms.push(("base64", digits));
    }
    let texts = forms
        .into_iter()
        .map(|(form, text)| (form, text.into_bytes()));
    texts.chain([("as it is", bytes.to_vec())]).collect()
}

fn escaped_bytes(bytes: &[u8]) -> String {
    let shown = format!("{:?}", bytes::Bytes::copy_from_slice(bytes));
    shown[2..shown.len() - 1].to_owned()
}

/// As a program writes them that takes bytes for Latin-1 text.
fn escaped_json(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match byte {
            0x20..0x7f if !b"\"\\".contains(byte) => text.push(char::from(*byte)),
            _ => write!(text, "\\u{byte:04x}").expect("a String takes it"),
        }
        text
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| char::from(DIGITS[bits as usize & 63]);
    let group = |three: &[u8]| {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        [18, 12, 6, 0].map(|shift| digit(bits >> shift))
    };
    bytes.chunks_exact(3).flat_map(group).collect()
}

#[test]
fn planted_secrets_are_found_in_every_form() {
    let secret = |bytes: &[u8]| {
        [Secret {
            what: "it".to_owned(),
            bytes: bytes.to_vec(),
            home: Some("pin"),
        }]
    };
    let key: Vec<u8> = (0..32)
        .map(|index: u8| index.wrapping_mul(37) ^ 0x5c)
        .collect();
    let secrets = secret(&key);
    let scanner = Scanner::new(&secrets);
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let before: Vec<u8> = [b"x", &key[..]].concat();
    for planted in [
        format!("{key:?}"),
        format!("{key:#?}"),
        format!("{key:x?}"),
        format!("{key:02x?}"),
        format!("{:?}", bytes::Bytes::from(key.clone())),
        format!("{:?}", key.escape_ascii().to_string()),
        serde_json::json!({ "key": key }).to_string(),
        serde_json::to_string_pretty(&key).expect("JSON"),
        hex(&key),
        hex(&key).to_uppercase(),
        // A half is enough.
        hex(&key[..16]),
        hex(&key[16..]),
        base64(&key[..30]),
        base64(&before),
        base64(&[b"xy", &key[..]].concat()[..33]),
        base64(&key[..30]).replace('+', "-").replace('/', "_"),
        serde_json::json!(format!("{:?}", bytes::Bytes::from(key.clone()))).to_string(),
    ] {
        let line = format!("TRACE key={planted} more");
        assert!(!scanner.find("log", line.as_bytes()).is_empty(), "{line}");
    }
    let raw = [b"abc".as_slice(), &key, b"def"].concat();
    assert!(!scanner.find("state.db", &raw).is_empty());
    assert!(scanner.find("pin", &raw).is_empty(), "where it belongs");
    let shown = format!(
        "{:?}",
        wardcast::crypto::Key::from_bytes(key.try_into().expect("32"))
    );
    assert!(scanner.find("log", shown.as_bytes()).is_empty(), "{shown}");

    let secrets = secret(b"k9-Zebra-Quartz-Plum");
    let scanner = Scanner::new(&secrets);
    for planted in ["pin=k9-Zebra-Quartz-Plum", "Pin(\"k9-Zebra-Quartz-Plum\")"] {
        assert!(
            !scanner.find("log", planted.as_bytes()).is_empty(),
            "{planted}"
        );
    }
}
