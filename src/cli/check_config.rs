//! `wardcast check-config`: says what is wrong with a configuration, or what it sets and who set it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde_json::{Value, json};

use crate::config::{Loaded, Origin, Problem, Setting};

/// Checks a configuration with the environment's WARDCAST_… variables over it, and the files that it names.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes:\n  0  the gateway can use it\n  1  something is wrong with it\n  2  wrong usage"
)]
pub struct CheckConfigArgs {
    /// The file.
    file: PathBuf,
    /// Do not look at the certificates, keys and folders that it names.
    #[arg(long)]
    no_files: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command: a table or JSON on standard output, problems for people on standard error.
pub fn run(args: &CheckConfigArgs) -> ExitCode {
    let report = Report::new(args, variables());
    // A reader that went away has seen what it wanted.
    let mut output = std::io::stdout();
    if args.json {
        let _ = writeln!(output, "{}", report.json());
    } else if report.problems.is_empty() {
        let _ = writeln!(output, "{}", report.table());
    } else {
        for problem in &report.problems {
            eprintln!("wardcast: {problem}");
        }
    }
    match report.problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The environment as text; a variable that is not Unicode can set nothing here.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

struct Report {
    file: PathBuf,
    settings: Vec<Setting>,
    problems: Vec<Problem>,
}

impl Report {
    fn new(args: &CheckConfigArgs, environment: impl Iterator<Item = (String, String)>) -> Self {
        let (settings, problems) = match Loaded::new(Some(&args.file), environment) {
            Ok(loaded) if args.no_files => (loaded.settings, Vec::new()),
            Ok(loaded) => {
                let problems = loaded.check_files();
                (loaded.settings, problems)
            }
            Err(error) => (Vec::new(), error.problems),
        };
        Report {
            file: args.file.clone(),
            settings,
            problems,
        }
    }

    fn json(&self) -> Value {
        let settings = self.settings.iter().map(|setting| {
            json!({
                "key": setting.key,
                "value": setting.value,
                "default": setting.default,
                "origin": origin(&setting.origin),
            })
        });
        let problems = self.problems.iter().map(|problem| {
            json!({ "origin": origin(&problem.origin), "key": problem.key, "why": problem.why })
        });
        json!({
            "ok": self.problems.is_empty(),
            "file": self.file.to_string_lossy(),
            "settings": settings.collect::<Vec<Value>>(),
            "problems": problems.collect::<Vec<Value>>(),
        })
    }

    fn table(&self) -> String {
        let file = self.file.display();
        if self.settings.is_empty() {
            return format!("{file}: good; every key has its default");
        }
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header(["key", "value", "default", "set by"]);
        for setting in &self.settings {
            let set_by = match &setting.origin {
                Origin::Environment(variable) => variable.clone(),
                Origin::File(_) | Origin::Default => "file".to_owned(),
            };
            let (value, default) = (setting.value.to_string(), setting.default.to_string());
            table.add_row([&setting.key, &value, &default, &set_by]);
        }
        format!("{file}: good; all other keys have their defaults\n{table}")
    }
}

/// For programs: `{"file": …}`, `{"environment": …}` or `"default"`.
fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::Default => json!("default"),
        Origin::File(path) => json!({ "file": path.to_string_lossy() }),
        Origin::Environment(variable) => json!({ "environment": variable }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str, no_files: bool) -> Report {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, text).expect("writes");
        let args = CheckConfigArgs {
            file,
            no_files,
            json: false,
        };
        let variable = ("WARDCAST_TOKEN__POOL__WORKERS".to_owned(), "3".to_owned());
        Report::new(&args, [variable].into_iter())
    }

    #[test]
    fn what_is_set_is_listed_with_who_set_it() {
        let report = report("[log]\nlevel = \"warn\"", true);
        let table = report.table();
        for part in [
            "log.level",
            "\"warn\"",
            "\"info\"",
            "file",
            "WARDCAST_TOKEN__POOL__WORKERS",
        ] {
            assert!(table.contains(part), "{part} in {table}");
        }
        let json = report.json();
        assert_eq!(json["ok"], true);
        assert_eq!(json["settings"][1]["key"], "token.pool.workers");
        assert_eq!(json["settings"][1]["value"], 3);
        assert_eq!(
            json["settings"][1]["origin"]["environment"],
            "WARDCAST_TOKEN__POOL__WORKERS"
        );
    }

    #[test]
    fn problems_say_where_and_why() {
        let report = report("[log]\nlevl = \"warn\"", false);
        let json = report.json();
        assert_eq!(json["ok"], false);
        assert_eq!(json["problems"][0]["key"], "log.levl");
        assert_eq!(
            json["problems"][0]["why"],
            "no such key; did you mean log.level?"
        );
    }

    #[test]
    fn files_that_are_named_must_be_there() {
        let report = report("[tls]\ncertificate = \"none.pem\"", false);
        let certificate = report
            .problems
            .iter()
            .find(|problem| problem.key == "tls.certificate");
        let problem = certificate.expect("is reported").to_string();
        assert!(problem.contains("none.pem: No such file"), "{problem}");
    }
}
