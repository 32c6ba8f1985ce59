//! How long rekeys took over the last minutes: a histogram for every few seconds, each of a fixed size.

use std::collections::VecDeque;

use crate::group::ids::Time;
use crate::group::machine::Held;

/// How many milliseconds one point stands for.
pub const POINT_MS: u64 = 5_000;
/// Points that are kept: ten minutes.
pub const POINTS: usize = 120;
/// Bins for each doubling: what is read from a histogram is too large by a tenth at most.
const PER_OCTAVE: f64 = 8.0;
/// From a millisecond to a minute; what takes longer is in the last.
const BINS: usize = 128;

/// How long members took to hold an epoch, from the change that it was made for to their acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Members that acknowledged in these seconds.
    pub acknowledged: u64,
    /// Half of them had it within so many milliseconds.
    pub p50_ms: u64,
    /// And all but one of a hundred within these.
    pub p99_ms: u64,
}

type Histogram = [u32; BINS];

/// The histograms of a shard, the oldest first; times in which nobody acknowledged anything have none.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct History(VecDeque<(u64, Histogram)>);

impl History {
    pub(super) fn record(&mut self, now: Time, held: Held) {
        let number = now.0 / POINT_MS;
        if self.0.back().is_none_or(|(newest, _)| *newest < number) {
            if self.0.len() == POINTS {
                self.0.pop_front();
            }
            self.0.push_back((number, [0; BINS]));
        }
        if let Some((_, histogram)) = self.0.back_mut() {
            let bin = &mut histogram[bin(held.after_ms)];
            *bin = bin.saturating_add(held.members);
        }
    }
}

fn bin(ms: u64) -> usize {
    // Milliseconds of a process's life are exact in it, and what is too large stays below the last bin.
    let bin = (ms.max(1) as f64).log2() * PER_OCTAVE;
    (bin as usize).min(BINS - 1)
}

/// The upper end of a bin, in milliseconds.
fn end(bin: usize) -> u64 {
    ((bin + 1) as f64 / PER_OCTAVE).exp2().floor() as u64
}

/// Those of several shards together.
#[derive(Debug, Default)]
pub(in crate::engine) struct Merged(std::collections::BTreeMap<u64, [u64; BINS]>);

impl Merged {
    pub(in crate::engine) fn add(&mut self, history: &History) {
        for (number, histogram) in &history.0 {
            let all = self.0.entry(*number).or_insert([0; BINS]);
            for (all, own) in all.iter_mut().zip(histogram) {
                *all += u64::from(*own);
            }
        }
    }

    /// A point for every few seconds up to now, the oldest first; none where nobody acknowledged anything.
    pub(in crate::engine) fn points(&self, now: Time) -> Vec<Option<Latency>> {
        let newest = now.0 / POINT_MS;
        let numbers = (0..POINTS as u64).rev().map(|ago| newest.checked_sub(ago));
        numbers.map(|number| point(self.0.get(&number?)?)).collect()
    }
}

fn point(histogram: &[u64; BINS]) -> Option<Latency> {
    let acknowledged: u64 = histogram.iter().sum();
    let within = |percent: u64| {
        let wanted = (acknowledged * percent).div_ceil(100).max(1);
        let mut sum = 0;
        let found = histogram.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        found.map(end)
    };
    Some(Latency {
        acknowledged,
        p50_ms: within(50)?,
        p99_ms: within(99)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(members: u32, after_ms: u64) -> Held {
        Held { members, after_ms }
    }

    #[test]
    fn halves_and_tails_are_within_a_tenth() {
        let mut history = History::default();
        for ms in 1..=1_000 {
            history.record(Time(ms), held(1, ms));
        }
        history.record(Time(POINT_MS), held(7, 3_600_000));
        let mut merged = Merged::default();
        merged.add(&history);
        let points = merged.points(Time(2 * POINT_MS));
        assert_eq!(points.len(), POINTS);
        let [Some(first), Some(last), None] = points[POINTS - 3..] else {
            panic!("{:?}", &points[POINTS - 3..]);
        };
        assert_eq!((first.acknowledged, last.acknowledged), (1_000, 7));
        assert!((500..=550).contains(&first.p50_ms), "{first:?}");
        assert!((990..=1_089).contains(&first.p99_ms), "{first:?}");
        assert!(last.p50_ms >= 60_000, "{last:?}");
    }

    #[test]
    fn shards_are_added_up_and_the_past_is_bounded() {
        let (mut one, mut other) = (History::default(), History::default());
        for point in 0..1_000 {
            one.record(Time(point * POINT_MS), held(1, 10));
        }
        assert_eq!(one.0.len(), POINTS);
        other.record(Time(999 * POINT_MS), held(1, 80));
        let mut merged = Merged::default();
        merged.add(&one);
        merged.add(&other);
        let points = merged.points(Time(999 * POINT_MS));
        let last = points.last().copied().flatten().expect("the newest");
        assert_eq!(last.acknowledged, 2);
        assert!(last.p50_ms < 12 && last.p99_ms >= 80, "{last:?}");
        assert!(points.iter().all(Option::is_some));
    }
}
