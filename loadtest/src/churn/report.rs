//! What a run of comings and goings reports.

use std::time::Duration;

use serde::Serialize;

use super::Changes;
use super::crossing::Changed;
use crate::Failure;
use crate::distribution::{Quantiles, rounded};
use crate::report::{self, Report};

/// The result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Churn {
    scenario: &'static str,
    pub(crate) ok: bool,
    /// At the beginning; one of them computes keys, the others only acknowledge.
    members: u32,
    rate: f64,
    seconds: u64,
    /// From the moment a member was to come until it was granted its keys.
    joins: Quantiles,
    /// From the moment a member was to go until the gateway said that it has left.
    leaves: Quantiles,
    /// Times that a member was told to come back.
    refusals: u64,
    counted: Counted,
    #[serde(flatten)]
    costs: Costs,
}

/// What the gateway counted.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Counted {
    pub(super) rekeys: u64,
    /// Paths of grants among them.
    pub(super) wraps: u64,
    pub(super) refusals: u64,
}

/// CPU time that was used.
pub(crate) struct Cpu {
    pub(super) server: Duration,
    pub(super) generator: Duration,
}

/// For each join or leave.
#[derive(Clone, Copy, Debug, Serialize)]
struct Costs {
    wraps_per_change: f64,
    changes_per_rekey: f64,
    server_cpu_us_per_change: f64,
    generator_cpu_us_per_change: f64,
}

impl Churn {
    pub(super) fn of(
        changes: &Changes,
        lasts: Duration,
        changed: Changed,
        counted: Counted,
        cpu: Cpu,
    ) -> Result<Self, Failure> {
        let few = "nobody came, or nobody went: take a longer time or a higher --rate";
        let (joins, leaves) = (changed.joins.quantiles(), changed.leaves.quantiles());
        let (joins, leaves) = (joins.ok_or(few)?, leaves.ok_or(few)?);
        let all = (joins.samples + leaves.samples) as f64;
        let each = |cpu: Duration| rounded(cpu.as_secs_f64() * 1e6 / all);
        Ok(Churn {
            scenario: "churn",
            ok: true,
            members: changes.members,
            rate: changes.rate,
            seconds: lasts.as_secs(),
            joins,
            leaves,
            refusals: changed.refusals,
            costs: Costs {
                wraps_per_change: rounded(counted.wraps as f64 / all),
                changes_per_rekey: rounded(all / counted.rekeys.max(1) as f64),
                server_cpu_us_per_change: each(cpu.server),
                generator_cpu_us_per_change: each(cpu.generator),
            },
            counted,
        })
    }
}

impl Report for Churn {
    fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: String| (name.to_owned(), value);
        let Costs {
            wraps_per_change,
            changes_per_rekey,
            server_cpu_us_per_change,
            generator_cpu_us_per_change,
        } = self.costs;
        vec![
            row(
                "members",
                format!(
                    "{} at the beginning, one of them computes keys",
                    self.members
                ),
            ),
            row(
                "changes",
                format!(
                    "{} joins, {} leaves in {} s",
                    self.joins.samples, self.leaves.samples, self.seconds
                ),
            ),
            row("join: until granted", report::quantiles(&self.joins)),
            row("leave: until it is told", report::quantiles(&self.leaves)),
            row("told to come back", self.refusals.to_string()),
            row(
                "rekeys",
                format!(
                    "{}, {changes_per_rekey:.2} changes each",
                    self.counted.rekeys
                ),
            ),
            row("wraps per change", format!("{wraps_per_change:.1}")),
            row(
                "server CPU per change",
                format!("{server_cpu_us_per_change:.0} us"),
            ),
            row(
                "generator CPU per change",
                format!("{generator_cpu_us_per_change:.0} us"),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        changes: Changes,
    }

    #[test]
    fn costs_are_for_each_change() {
        let changes = Line::parse_from(["churn"]).changes;
        let counted = Counted {
            rekeys: 2,
            wraps: 12,
            refusals: 0,
        };
        let took = |count| vec![Duration::from_millis(5); count].into_iter().collect();
        let changed = Changed {
            joins: took(3),
            leaves: took(1),
            refusals: 0,
        };
        let cpu = || Cpu {
            server: Duration::from_micros(400),
            generator: Duration::from_micros(800),
        };
        let second = Duration::from_secs(1);
        let churn = Churn::of(&changes, second, changed, counted, cpu()).expect("some changed");
        let costs = churn.costs;
        assert_eq!(
            (costs.wraps_per_change, costs.changes_per_rekey),
            (3.0, 2.0)
        );
        assert_eq!(costs.server_cpu_us_per_change, 100.0);
        assert_eq!(costs.generator_cpu_us_per_change, 200.0);
        let nobody = Changed::default();
        assert!(Churn::of(&changes, second, nobody, counted, cpu()).is_err());
    }
}
