//! The file of commands: read again whenever it has changed, and obeyed before each call.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cryptoki_sys::CK_RV;

use crate::functions::number;
use crate::shim::CONTROL;

/// How often a call that hangs looks whether it is released.
const HANGING: Duration = Duration::from_millis(2);

/// What a rule does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Delay(Duration),
    Answer(CK_RV),
    Hang,
    Abort,
}

/// One line of the file.
#[derive(Debug)]
struct Rule {
    /// None is every function.
    function: Option<usize>,
    effect: Effect,
    /// Calls that are spared before the first that is not.
    after: u64,
    /// Calls that it is applied to.
    times: u64,
    met: AtomicU64,
}

impl Rule {
    fn is_for(&self, function: usize) -> bool {
        self.function.is_none_or(|own| own == function)
    }

    /// Counts a call, and says whether it is one of those that the rule is applied to.
    fn meets(&self, function: usize) -> bool {
        if !self.is_for(function) {
            return false;
        }
        let met = self.met.fetch_add(1, Ordering::Relaxed);
        (self.after..self.after.saturating_add(self.times)).contains(&met)
    }
}

/// A line that is no rule.
#[derive(Debug)]
pub(crate) struct BadRule {
    line: String,
    why: &'static str,
}

impl fmt::Display for BadRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the rule {:?} {}", self.line, self.why)
    }
}

fn rule(line: &str) -> Result<Rule, BadRule> {
    let bad = |why| BadRule {
        line: line.to_owned(),
        why,
    };
    let mut words = line.split_whitespace();
    let function = match words.next() {
        Some("*") => None,
        Some(name) => Some(number(name).ok_or_else(|| bad("names no function of PKCS#11"))?),
        None => return Err(bad("is empty")),
    };
    let mut effect = None;
    let (mut after, mut times) = (0, u64::MAX);
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let value = || integer(value).ok_or_else(|| bad("lacks a number"));
        let seen = match key {
            "delay_us" => Effect::Delay(Duration::from_micros(value()?)),
            "rv" => Effect::Answer(value()?),
            "hang" => Effect::Hang,
            "abort" => Effect::Abort,
            "after" => {
                after = value()?;
                continue;
            }
            "times" => {
                times = value()?;
                continue;
            }
            _ => return Err(bad("holds an unknown word")),
        };
        if effect.replace(seen).is_some() {
            return Err(bad("says two things at once"));
        }
    }
    Ok(Rule {
        function,
        effect: effect.ok_or_else(|| bad("does nothing"))?,
        after,
        times,
        met: AtomicU64::new(0),
    })
}

fn integer(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn parse(text: &str) -> Result<Vec<Rule>, BadRule> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).map(rule).collect()
}

/// Whether the commands can be obeyed.
pub(crate) fn check(text: &str) -> Result<(), BadRule> {
    parse(text).map(|_| ())
}

/// By what a version of the file is told from another: inode, length, time of change.
type Version = (u64, u64, i64, i64);

fn version(file: fs::Metadata) -> Version {
    (file.ino(), file.len(), file.mtime(), file.mtime_nsec())
}

#[derive(Default)]
struct Rules {
    version: Option<Version>,
    list: Vec<Rule>,
}

/// The rules as they stand in the file now.
fn current() -> Arc<Rules> {
    static PATH: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os(CONTROL).map(Into::into));
    static READ: LazyLock<Mutex<Arc<Rules>>> = LazyLock::new(Mutex::default);
    // Looked at under the lock: who looked before another read a newer version would read that again, and count afresh.
    let mut known = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let found = PATH.as_ref().and_then(|path| fs::metadata(path).ok());
    if known.version != found.map(version) {
        let rules = PATH
            .as_ref()
            .map_or_else(|| Ok(Rules::default()), |path| read(path));
        *known = Arc::new(rules.unwrap_or_else(|error| {
            eprintln!("wardcast shim: {error}");
            std::process::abort()
        }));
    }
    known.clone()
}

/// Reads the file; the version is that of what was read, whatever has taken its place meanwhile.
fn read(path: &Path) -> Result<Rules, String> {
    let Ok(mut file) = File::open(path) else {
        return Ok(Rules::default());
    };
    let mut text = String::new();
    let read = file.read_to_string(&mut text).and(file.metadata());
    let version = version(read.map_err(|error| error.to_string())?);
    Ok(Rules {
        version: Some(version),
        list: parse(&text).map_err(|error| error.to_string())?,
    })
}

/// Does to a call of this function what the rules say, in their order. An answer stands for the call.
pub(crate) fn obey(function: usize) -> Option<CK_RV> {
    for rule in &current().list {
        if !rule.meets(function) {
            continue;
        }
        match rule.effect {
            Effect::Delay(pause) => thread::sleep(pause),
            Effect::Answer(value) => return Some(value),
            Effect::Hang => hang(function),
            Effect::Abort => std::process::abort(),
        }
    }
    None
}

/// Returns when no rule hangs this function any more.
fn hang(function: usize) {
    let hangs = |rule: &Rule| rule.effect == Effect::Hang && rule.is_for(function);
    while current().list.iter().any(hangs) {
        thread::sleep(HANGING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(line: &str, calls: usize) -> Vec<bool> {
        let rule = rule(line).expect("a rule");
        let sign = number("C_Sign").expect("a function");
        (0..calls).map(|_| rule.meets(sign)).collect()
    }

    #[test]
    fn rules_count_the_calls_that_they_are_for() {
        assert_eq!(applied("C_Sign hang", 3), [true; 3]);
        assert_eq!(applied("* abort after=2", 4), [false, false, true, true]);
        assert_eq!(
            applied("C_Sign rv=0x30 times=2", 4),
            [true, true, false, false]
        );
        assert_eq!(
            applied("C_Sign delay_us=7 after=1 times=1", 3),
            [false, true, false]
        );
        assert_eq!(applied("C_WrapKey hang", 2), [false; 2]);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let why = |text| parse(text).expect_err("is no rule").why;
        assert_eq!(why("C_Sing hang"), "names no function of PKCS#11");
        assert_eq!(why("C_Sign\n"), "does nothing");
        assert_eq!(why("C_Sign after=1"), "does nothing");
        assert_eq!(why("C_Sign rv=CKR_OK"), "lacks a number");
        assert_eq!(why("C_Sign delay_us"), "lacks a number");
        assert_eq!(why("C_Sign sleep=1"), "holds an unknown word");
        assert_eq!(why("C_Sign hang rv=5"), "says two things at once");
        let rules = parse("C_Sign rv=0x30\n\n  * delay_us=1000\n").expect("two rules");
        let effects: Vec<_> = rules.iter().map(|rule| rule.effect).collect();
        let delay = Effect::Delay(Duration::from_millis(1));
        assert_eq!(effects, [Effect::Answer(0x30), delay]);
    }
}
