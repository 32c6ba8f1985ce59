//! The keys that an auditor trusts, as the command line names them.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::crypto::Fingerprint;

/// The longest file with fingerprints, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A fingerprint, or a file with some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pin {
    Key(Fingerprint),
    File(PathBuf),
}

impl FromStr for Pin {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        // A file of such a name is `./` and the name.
        let file = |_| Pin::File(text.into());
        Ok(text.parse().map_or_else(file, Pin::Key))
    }
}

/// All fingerprints of these, those of files read.
pub(super) fn all(pins: &[Pin]) -> Result<Vec<Fingerprint>, String> {
    let mut all = Vec::new();
    for pin in pins {
        match pin {
            Pin::Key(key) => all.push(*key),
            Pin::File(path) => all.extend(read(path)?),
        }
    }
    Ok(all)
}

/// The fingerprints of a file: one a line, as `wardcast token provision` prints it; a line may begin with `#`.
fn read(path: &Path) -> Result<Vec<Fingerprint>, String> {
    let at = |why: String| {
        let hint =
            "--issuer takes a fingerprint (64 hexadecimal digits), or a file with such, one a line";
        format!("{}: {why}; {hint}", path.display())
    };
    let size = std::fs::metadata(path).map_err(|error| at(error.to_string()))?;
    if size.len() > MAX_FILE {
        return Err(at(format!("is longer than {MAX_FILE} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| at(error.to_string()))?;
    let lines = text.lines().map(str::trim).zip(1..);
    let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(|(line, number)| {
        let digits = line.strip_prefix("issuer ").unwrap_or(line);
        let key = digits.trim().parse();
        key.map_err(|error| at(format!("line {number}: {error}")))
    });
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    match keys.is_empty() {
        // Without any, every key would be trusted.
        true => Err(at("names no key".to_owned())),
        false => Ok(keys),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_directly_or_by_a_file() {
        let (first, second) = (Fingerprint([1; 32]), Fingerprint([0xab; 32]));
        assert_eq!(first.to_string().parse(), Ok(Pin::Key(first)));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("issuers");
        std::fs::write(&file, format!("# ours\n\nissuer {first}\n {second}\n")).expect("writes");
        let named: Pin = file.to_str().expect("text").parse().expect("never fails");
        assert_eq!(named, Pin::File(file.clone()));
        let pins = [Pin::Key(second), named.clone()];
        assert_eq!(all(&pins), Ok(vec![second, first, second]));
        for (text, why) in [
            ("", "names no key"),
            ("# nothing\n", "names no key"),
            ("abc\n", "line 1: a fingerprint is"),
        ] {
            std::fs::write(&file, text).expect("writes");
            let error = all(std::slice::from_ref(&named)).expect_err("is refused");
            assert!(error.contains(why), "{error}");
        }
        std::fs::remove_file(&file).expect("is there");
        assert!(all(&[named]).is_err());
    }
}
