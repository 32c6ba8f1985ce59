//! Samples and what is said of them: HDR histograms, which keep a thousandth of every value, however far the tail.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Digits of a value that are kept.
const DIGITS: u8 = 3;

/// Durations, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

/// Quantiles of a set of durations, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    /// How many samples there were.
    pub(crate) samples: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new(DIGITS);
        Latencies(histogram.expect("three digits are among those that there are"))
    }
}

impl Extend<Duration> for Latencies {
    fn extend<T: IntoIterator<Item = Duration>>(&mut self, samples: T) {
        for sample in samples {
            self.record(sample);
        }
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<T: IntoIterator<Item = Duration>>(samples: T) -> Self {
        let mut latencies = Latencies::default();
        latencies.extend(samples);
        latencies
    }
}

impl Latencies {
    /// One more sample.
    pub(crate) fn record(&mut self, sample: Duration) {
        let microseconds = u64::try_from(sample.as_micros()).unwrap_or(u64::MAX);
        let recorded = self.0.record(microseconds);
        recorded.expect("a histogram that grows has room for every value");
    }

    /// All samples of another set besides.
    pub(crate) fn add(&mut self, other: &Latencies) {
        let added = self.0.add(&other.0);
        added.expect("a histogram that grows has room for another");
    }

    /// How many samples there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// None of no sample.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        let at = |quantile| milliseconds(Duration::from_micros(self.0.value_at_quantile(quantile)));
        (!self.0.is_empty()).then(|| Quantiles {
            samples: self.0.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
        })
    }

    /// The curve of shares (up to 1) by milliseconds: what a plot shows.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        let all = self.0.len().max(1) as f64;
        let mut counted = 0;
        let steps = self.0.iter_recorded().map(|step| {
            counted += step.count_since_last_iteration();
            let at = Duration::from_micros(step.value_iterated_to());
            (milliseconds(at), counted as f64 / all)
        });
        steps.collect()
    }
}

impl Quantiles {
    /// Of `samples`; none of none.
    pub(crate) fn of(samples: &[Duration]) -> Option<Self> {
        let latencies: Latencies = samples.iter().copied().collect();
        latencies.quantiles()
    }
}

/// With a microsecond's resolution, which is more than any of these measurements has.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values.get(low)? + values.get(high)?) / 2.0)
}

/// To thousandths, which is more than is measured.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(milliseconds: impl Iterator<Item = u64>) -> Latencies {
        milliseconds.map(Duration::from_millis).collect()
    }

    /// Within a thousandth.
    fn about(value: f64, expected: f64) {
        assert!((value / expected - 1.0).abs() <= 1e-3, "{value}");
    }

    #[test]
    fn nothing_has_no_quantiles() {
        assert_eq!(Quantiles::of(&[]), None);
        assert!(Latencies::default().curve().is_empty());
    }

    #[test]
    fn quantiles_are_those_of_all_samples() {
        let mut all = latencies((1..=600).rev());
        all.add(&latencies(601..=1000));
        let thousand = all.quantiles().expect("there are samples");
        assert_eq!(thousand.samples, 1000);
        about(thousand.p50_ms, 500.0);
        about(thousand.p99_ms, 990.0);
        about(thousand.p999_ms, 999.0);
        about(thousand.max_ms, 1000.0);
        let hour = Quantiles::of(&[Duration::from_secs(3600)]).expect("there is a sample");
        about(hour.p50_ms, 3_600_000.0);
    }

    #[test]
    fn a_curve_ends_with_all() {
        let curve = latencies([5, 10, 10, 20].into_iter()).curve();
        let shares: Vec<f64> = curve.iter().map(|(_, share)| *share).collect();
        assert_eq!(shares, [0.25, 0.75, 1.0]);
        about(curve[1].0, 10.0);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
