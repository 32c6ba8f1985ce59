//! What came of it: which member lost what, and how long each was away.

use std::time::{Duration, Instant};

use serde::Serialize;
use wardcast::group::ids::Epoch;

use super::members::{Record, forks};
use crate::Failure;
use crate::distribution::{Latencies, Quantiles};
use crate::report::{self, Report};

/// Rekeys after something was done.
pub(super) struct Phase {
    pub(super) after: &'static str,
    pub(super) first: Epoch,
    pub(super) last: Epoch,
}

/// What was counted besides.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    /// Connections that were lost before the drain.
    pub(super) lost: usize,
    /// How long there was no gateway.
    pub(super) gone: Duration,
    /// How long a member may be away.
    pub(super) allowed: Duration,
}

/// The result of a run in which no member lost anything.
#[derive(Debug, Serialize)]
pub(crate) struct Operate {
    scenario: &'static str,
    ok: bool,
    members: usize,
    rekeys: usize,
    /// Of members and rekeys: those that were to be held, and were.
    deliveries: u64,
    /// Epochs that came while a member was on its way, and that it passed over.
    passed_over: u64,
    gateway_gone_ms: f64,
    away_allowed_ms: f64,
    /// From the loss of its connection until the gateway knew a member again.
    away: Quantiles,
    phases: Vec<Held>,
}

/// From the moment a rekey was to begin until a member held it.
#[derive(Debug, Serialize)]
struct Held {
    after: &'static str,
    rekeys: u64,
    member_holds: Quantiles,
}

impl Operate {
    /// Looks whether each member has all that it should; says of one what it lost otherwise.
    pub(super) fn of(
        records: &[Record],
        asked: &[(Epoch, Instant)],
        phases: &[Phase],
        counted: Counted,
    ) -> Result<Self, Failure> {
        if counted.lost > 0 {
            return Err(format!("{} connections were lost before the drain", counted.lost).into());
        }
        match forks(records) {
            0 => {}
            count => return Err(format!("members have different keys of {count} epochs").into()),
        }
        let (mut deliveries, mut passed_over) = (0, 0);
        let mut away = Latencies::default();
        for (number, record) in records.iter().enumerate() {
            if let Some(fault) = &record.fault {
                return Err(format!("member {number}: {fault}").into());
            }
            let [(gone, Some(back))] = record.away[..] else {
                let times = record.away.len();
                return Err(
                    format!("member {number} lost its connection {times} times, not once").into(),
                );
            };
            let time = back - gone;
            if time > counted.allowed {
                let allowed = counted.allowed;
                return Err(format!(
                    "member {number} was away for {time:?}; {allowed:?} were allowed"
                )
                .into());
            }
            away.record(time);
            for (epoch, at) in asked {
                match record.held.contains_key(epoch) {
                    true => deliveries += 1,
                    false if (gone..=back).contains(at) => passed_over += 1,
                    false => return Err(format!("member {number} lost epoch {epoch}").into()),
                }
            }
        }
        let phases = phases.iter().map(|phase| Held::of(phase, records, asked));
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        Ok(Self {
            scenario: "operate",
            ok: true,
            members: records.len(),
            rekeys: asked.len(),
            deliveries,
            passed_over,
            gateway_gone_ms: milliseconds(counted.gone),
            away_allowed_ms: milliseconds(counted.allowed),
            away: away.quantiles().ok_or("there were no members")?,
            phases: phases.collect::<Result<_, Failure>>()?,
        })
    }
}

impl Held {
    fn of(phase: &Phase, records: &[Record], asked: &[(Epoch, Instant)]) -> Result<Self, Failure> {
        let mut holds = Latencies::default();
        let own = |epoch: &Epoch| (phase.first..=phase.last).contains(epoch);
        for (epoch, at) in asked.iter().filter(|(epoch, _)| own(epoch)) {
            let times = records.iter().filter_map(|record| record.held.get(epoch));
            holds.extend(times.map(|(held, _)| held.saturating_duration_since(*at)));
        }
        Ok(Self {
            after: phase.after,
            rekeys: phase.last.0 + 1 - phase.first.0,
            member_holds: holds.quantiles().ok_or("no member held a rekey")?,
        })
    }
}

impl Report for Operate {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            ("members".to_owned(), self.members.to_string()),
            ("rekeys".to_owned(), self.rekeys.to_string()),
            (
                "held, of members and rekeys".to_owned(),
                format!(
                    "{}, and {} passed over on the way from gateway to gateway",
                    self.deliveries, self.passed_over
                ),
            ),
            ("lost".to_owned(), "0".to_owned()),
        ];
        for phase in &self.phases {
            let name = format!("after {}: until a member holds it", phase.after);
            rows.push((name, report::quantiles(&phase.member_holds)));
        }
        let gone = format!("{:.0} ms", self.gateway_gone_ms);
        rows.push(("no gateway for".to_owned(), gone));
        let name = format!(
            "members away (at most {:.0} ms allowed)",
            self.away_allowed_ms
        );
        rows.push((name, report::quantiles(&self.away)));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted() -> Counted {
        Counted {
            lost: 0,
            gone: Duration::from_secs(1),
            allowed: Duration::from_secs(9),
        }
    }

    /// A member that was away from the tenth second to the fifteenth, and held these.
    fn record(begin: Instant, held: &[u64]) -> Record {
        let at = |second: u64| begin + Duration::from_secs(second);
        Record {
            held: held
                .iter()
                .map(|epoch| (Epoch(*epoch), (at(*epoch), Vec::new())))
                .collect(),
            away: vec![(at(10), Some(at(15)))],
            fault: None,
        }
    }

    #[test]
    fn what_came_while_a_member_was_away_is_passed_over_and_nothing_else() {
        let begin = Instant::now();
        let asked = [5, 12, 16].map(|second| (Epoch(second), begin + Duration::from_secs(second)));
        let phases = [Phase {
            after: "nothing",
            first: Epoch(5),
            last: Epoch(5),
        }];
        let of = |record: Record, counted| Operate::of(&[record], &asked, &phases, counted);
        let good = of(record(begin, &[5, 16]), counted()).expect("it lost nothing");
        assert_eq!((good.deliveries, good.passed_over), (2, 1));
        for lost in [&[5, 12][..], &[12, 16]] {
            let lost = of(record(begin, lost), counted());
            let told = lost.expect_err("it lost one").to_string();
            assert!(told.contains("lost epoch"), "{told}");
        }
        let all = || record(begin, &[5, 12, 16]);
        let late = Counted {
            allowed: Duration::from_secs(4),
            ..counted()
        };
        assert!(of(all(), late).is_err());
        assert!(
            of(
                all(),
                Counted {
                    lost: 1,
                    ..counted()
                }
            )
            .is_err()
        );
        let mut stayed = all();
        stayed.away.clear();
        assert!(of(stayed, counted()).is_err());
        let mut other = all();
        assert_eq!(forks(&[all(), other.clone()]), 0);
        other.held.insert(Epoch(5), (begin, vec![8]));
        assert_eq!(forks(&[all(), other]), 1);
    }
}
