//! `loadtest soak`: members come and go for a long time, and the gateway must not grow.
//!
//! Memory and open files are sampled every second. The first third of the time is for caches and pools to fill; what is
//! compared is the middle of the second third and of the last.

use std::time::Duration;

use serde::Serialize;

use crate::Failure;
use crate::churn::report::Churn;
use crate::churn::{Changes, Observe, churn};
use crate::live::Live;
use crate::report::{self, Report};

const EVERY: Duration = Duration::from_secs(1);
/// Samples without which nothing can be said.
const FEWEST: usize = 9;
/// What may come on top of the share, because it comes in steps: an arena of the allocator, a page of the store.
const SLACK_BYTES: u64 = 4 << 20;
const SLACK_FILES: u64 = 16;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    changes: Changes,
    /// How long, in seconds.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(12..=604_800))]
    seconds: u32,
    /// By how much memory and open files may grow from the second third of the time to the last, in percent.
    #[arg(long, default_value_t = 10, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    growth: u32,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The result of a run in which nothing grew.
#[derive(Debug, Serialize)]
pub(crate) struct Soak {
    scenario: &'static str,
    ok: bool,
    samples: usize,
    resident: Course,
    open_files: Course,
    churn: Churn,
}

/// How something went, of the gateway and its token host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Course {
    first: u64,
    second_third: u64,
    last_third: u64,
    most: u64,
}

/// What was sampled.
#[derive(Default)]
struct Samples {
    resident: Vec<u64>,
    open_files: Vec<u64>,
}

impl Observe for Samples {
    fn look(&mut self, live: &mut Live, since: Duration) -> Result<(), Failure> {
        if since >= EVERY * self.resident.len() as u32 {
            let usage = live.gateway.family_usage()?;
            self.resident.push(usage.resident);
            self.open_files.push(live.gateway.open_files()?);
        }
        Ok(())
    }
}

/// Runs all of it.
pub(crate) async fn run(arguments: &Arguments) -> Result<Soak, Failure> {
    let lasts = Duration::from_secs(arguments.seconds.into());
    let mut samples = Samples::default();
    let churn = churn(&arguments.changes, lasts, &mut samples).await?;
    let too_few = "there were too few samples: the machine is too busy, or --seconds too few";
    let resident = Course::of(&samples.resident).ok_or(too_few)?;
    let open_files = Course::of(&samples.open_files).ok_or(too_few)?;
    let share = arguments.growth;
    for (what, course, slack) in [
        ("resident memory in bytes", resident, SLACK_BYTES),
        ("number of open files", open_files, SLACK_FILES),
    ] {
        if course.grows(share, slack) {
            return Err(format!(
                "the gateway's {what} grows: {} in the second third of the time, {} in the last; more than {share} % and {slack} were not to be. If a longer run (--seconds) grows as well, something is never given back",
                course.second_third, course.last_third
            )
            .into());
        }
    }
    Ok(Soak {
        scenario: "soak",
        ok: churn.ok,
        samples: samples.resident.len(),
        resident,
        open_files,
        churn,
    })
}

impl Course {
    fn of(samples: &[u64]) -> Option<Self> {
        if samples.len() < FEWEST {
            return None;
        }
        let third = samples.len() / 3;
        Some(Course {
            first: samples[0],
            second_third: middle(&samples[third..2 * third]),
            last_third: middle(&samples[2 * third..]),
            most: samples.iter().copied().max()?,
        })
    }

    fn grows(self, share: u32, slack: u64) -> bool {
        let allowed = self.second_third * u64::from(share) / 100 + slack;
        self.last_third > self.second_third + allowed
    }
}

fn middle(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

impl Report for Soak {
    fn rows(&self) -> Vec<(String, String)> {
        let course = |of: Course, shown: fn(u64) -> String| {
            let Course {
                first,
                second_third,
                last_third,
                most,
            } = of;
            let [first, second, last, most] = [first, second_third, last_third, most].map(shown);
            format!("{first} at first, then {second}, then {last}; at most {most}")
        };
        let mut rows = self.churn.rows();
        rows.push((
            "gateway memory".to_owned(),
            course(self.resident, report::mib),
        ));
        let files = course(self.open_files, |files| files.to_string());
        rows.push(("gateway open files".to_owned(), files));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_up_and_stays_does_not_grow() {
        let filled: Vec<u64> = (0..30).map(|second| 1000.min(100 * second)).collect();
        let course = Course::of(&filled).expect("enough");
        assert_eq!((course.first, course.most), (0, 1000));
        assert!(!course.grows(0, 0));
    }

    #[test]
    fn what_goes_on_growing_is_noticed() {
        let leaks: Vec<u64> = (0..30).map(|second| 1000 + 100 * second).collect();
        let course = Course::of(&leaks).expect("enough");
        assert!(course.grows(10, 16));
        assert!(!course.grows(100, 16));
        assert!(!course.grows(0, 2000));
        assert_eq!(Course::of(&leaks[..FEWEST - 1]), None);
    }
}
