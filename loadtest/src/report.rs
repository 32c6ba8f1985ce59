//! How results are shown: a table for people, one JSON object for programs; progress goes to standard error.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::Failure;
use crate::distribution::Quantiles;

/// How often a long phase says how far it is.
const SAY: Duration = Duration::from_secs(1);

/// What can be shown in both forms.
pub(crate) trait Report: Serialize {
    /// What is measured with the result, in reading order.
    fn rows(&self) -> Vec<(String, String)>;
}

/// Prints a report on standard output.
pub(crate) fn print(report: &impl Report, json: bool) -> Result<(), Failure> {
    let text = if json {
        serde_json::to_string(report)?
    } else {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_header(["", "measured"]);
        table.add_rows(report.rows().into_iter().map(|(name, value)| [name, value]));
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// A distribution in one cell.
pub(crate) fn quantiles(of: &Quantiles) -> String {
    format!(
        "p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, max {:.1} ms",
        of.p50_ms, of.p99_ms, of.p999_ms, of.max_ms
    )
}

/// Microseconds of CPU time in one cell.
pub(crate) fn cpu(microseconds: f64, kernel_share: Option<f64>) -> String {
    match kernel_share {
        Some(share) => format!(
            "{microseconds:.1} us, {:.0} % of it in the kernel",
            share * 100.0
        ),
        None => format!("{microseconds:.1} us"),
    }
}

/// Memory in one cell.
pub(crate) fn kib(bytes: u64) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}

/// The memory of a process in one cell.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A phase of the run, told on standard error: when it begins, how far it is, how long it took.
pub(crate) struct Progress {
    phase: &'static str,
    began: Instant,
    said: Instant,
}

impl Progress {
    /// The phase begins.
    pub(crate) fn begin(phase: &'static str) -> Self {
        let now = Instant::now();
        Progress {
            phase,
            began: now,
            said: now,
        }
    }

    /// So many of all are done.
    pub(crate) fn at(&mut self, done: usize, all: usize) {
        if self.said.elapsed() >= SAY {
            self.said = Instant::now();
            self.say(&format!("{done} of {all}"));
        }
    }

    /// The phase is over.
    pub(crate) fn end(self, result: &str) {
        self.say(result);
    }

    fn say(&self, text: &str) {
        let mut stderr = std::io::stderr();
        let seconds = self.began.elapsed().as_secs_f64();
        let (dim, plain) = if stderr.is_terminal() {
            ("\x1b[2m", "\x1b[0m")
        } else {
            ("", "")
        };
        // A reader that went away takes nothing from the results.
        let _ = writeln!(
            stderr,
            "{dim}{:>10} {seconds:>6.1} s  {text}{plain}",
            self.phase
        );
    }
}
