//! What the demo shows: a table that updates on a terminal, plain lines otherwise, a line of JSON an event for programs.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

/// How often a row on a terminal is drawn again.
const REDRAW: Duration = Duration::from_millis(80);

/// What came of one phase: a sentence on what was seen and checked, or on what went wrong.
pub(super) type Outcome = Result<String, String>;

/// A phase that ended.
#[derive(Serialize)]
struct Ended {
    phase: &'static str,
    ok: bool,
    seconds: f64,
    /// What was checked, or what failed.
    result: String,
}

enum Output {
    Json,
    Lines,
    Terminal(MultiProgress),
}

/// Everything that the demo says goes through here.
pub(super) struct Show {
    output: Output,
    ended: Vec<Ended>,
    began: Instant,
}

/// A phase that runs.
pub(super) struct Row {
    phase: &'static str,
    began: Instant,
    bar: ProgressBar,
}

impl Row {
    /// How far the phase is: `done` of its steps.
    pub(super) fn at(&self, done: usize) {
        self.bar.set_position(done as u64);
    }

    /// What the phase does now.
    pub(super) fn note(&self, note: impl Into<String>) {
        self.bar.set_message(note.into());
    }
}

impl Show {
    /// Chooses the form: JSON when asked for, a live table where there is a terminal.
    pub(super) fn new(json: bool) -> Self {
        let output = match (json, std::io::stdout().is_terminal()) {
            (true, _) => Output::Json,
            (false, true) => Output::Terminal(MultiProgress::new()),
            (false, false) => Output::Lines,
        };
        Self {
            output,
            ended: Vec::new(),
            began: Instant::now(),
        }
    }

    /// A phase of `steps` steps begins.
    pub(super) fn begin(&self, phase: &'static str, steps: usize) -> Row {
        let bar = match &self.output {
            Output::Terminal(rows) => rows.add(ProgressBar::new(steps as u64).with_style(style(
                "  {spinner:.cyan} {prefix:<16} {pos:>5} of {len:<5} {elapsed:>4}  {msg}",
            ))),
            Output::Json => {
                print(
                    &json!({ "event": "phase-begun", "phase": phase, "steps": steps }).to_string(),
                );
                ProgressBar::hidden()
            }
            Output::Lines => ProgressBar::hidden(),
        };
        bar.set_prefix(phase);
        if !bar.is_hidden() {
            bar.enable_steady_tick(REDRAW);
        }
        Row {
            phase,
            began: Instant::now(),
            bar,
        }
    }

    /// The phase ended.
    pub(super) fn end(&mut self, row: Row, outcome: &Outcome) {
        let seconds = row.began.elapsed().as_secs_f64();
        let (ok, result) = match outcome {
            Ok(result) => (true, result),
            Err(failure) => (false, failure),
        };
        let ended = Ended {
            phase: row.phase,
            ok,
            seconds: round(seconds),
            result: result.clone(),
        };
        let mark = if ok { "ok    " } else { "FAILED" };
        match &self.output {
            Output::Json => {
                let mut event = json!({ "event": "phase-ended" });
                merge(&mut event, &ended);
                print(&event.to_string());
            }
            Output::Lines => print(&format!(
                "{mark} {:<16} {seconds:>6.2} s  {result}",
                row.phase
            )),
            Output::Terminal(_) => {
                row.bar.set_style(style(if ok {
                    "  {prefix:<16.green} {msg}"
                } else {
                    "  {prefix:<16.red} {msg}"
                }));
                row.bar
                    .finish_with_message(format!("{mark} {seconds:>6.2} s  {result}"));
            }
        }
        self.ended.push(ended);
    }

    /// The last word. `facts` are the run's figures; returns whether all phases went well and there were any.
    pub(super) fn summary(&self, facts: &[(&'static str, Value)]) -> bool {
        let failed: Vec<&str> = self
            .ended
            .iter()
            .filter(|phase| !phase.ok)
            .map(|phase| phase.phase)
            .collect();
        let ok = failed.is_empty() && !self.ended.is_empty();
        let seconds = round(self.began.elapsed().as_secs_f64());
        if let Output::Json = self.output {
            let mut event =
                json!({ "event": "summary", "ok": ok, "seconds": seconds, "failed": failed });
            for (name, value) in facts {
                event[*name] = value.clone();
            }
            event["phases"] = json!(self.ended);
            print(&event.to_string());
            return ok;
        }
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(["phase", "", "seconds", "what was seen"]);
        for phase in &self.ended {
            let mark = if phase.ok { "ok" } else { "FAILED" };
            table.add_row([
                phase.phase,
                mark,
                &format!("{:.2}", phase.seconds),
                &phase.result,
            ]);
        }
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        print(&format!("\n{table}"));
        let facts: Vec<String> = facts
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        print(&facts.join(", "));
        if ok {
            print(&format!("ok: all phases passed in {seconds:.1} s"));
        } else {
            print(&format!(
                "FAILED: {}",
                if failed.is_empty() {
                    "no phase ran".to_owned()
                } else {
                    failed.join(", ")
                }
            ));
        }
        ok
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is ours and valid")
}

fn merge(event: &mut Value, ended: &Ended) {
    for (name, value) in [
        ("phase", json!(ended.phase)),
        ("ok", json!(ended.ok)),
        ("seconds", json!(ended.seconds)),
        ("result", json!(ended.result)),
    ] {
        event[name] = value;
    }
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// A reader that went away ends the showing, not the demo: its checks decide the exit code.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(outcomes: &[Outcome]) -> bool {
        let mut show = Show {
            output: Output::Lines,
            ended: Vec::new(),
            began: Instant::now(),
        };
        for outcome in outcomes {
            let row = show.begin("phase", 3);
            row.at(2);
            show.end(row, outcome);
        }
        show.summary(&[("members", json!(3))])
    }

    #[test]
    fn all_phases_must_pass_and_there_must_be_some() {
        assert!(shown(&[Ok("seen".to_owned()), Ok("seen".to_owned())]));
        assert!(!shown(&[Ok("seen".to_owned()), Err("not seen".to_owned())]));
        assert!(!shown(&[]));
    }
}
