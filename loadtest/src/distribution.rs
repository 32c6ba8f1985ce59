//! Samples and what is said of them: quantiles by nearest rank, without interpolating values that nobody measured.

use std::time::Duration;

use serde::Serialize;

/// Quantiles of a set of durations, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    /// How many samples there were.
    pub(crate) samples: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Quantiles {
    /// Of `samples`; none of none.
    pub(crate) fn of(samples: &[Duration]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        Some(Quantiles {
            samples: sorted.len(),
            p50_ms: milliseconds(nearest_rank(&sorted, 50)?),
            p99_ms: milliseconds(nearest_rank(&sorted, 99)?),
            max_ms: milliseconds(*sorted.last()?),
        })
    }
}

/// The smallest sample that at least `percent` of all do not exceed.
fn nearest_rank(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// With a microsecond's resolution, which is more than any of these measurements has.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantiles(milliseconds: impl Iterator<Item = u64>) -> Option<Quantiles> {
        let samples: Vec<Duration> = milliseconds.map(Duration::from_millis).collect();
        Quantiles::of(&samples)
    }

    #[test]
    fn nothing_has_no_quantiles() {
        assert_eq!(quantiles(std::iter::empty()), None);
    }

    #[test]
    fn quantiles_are_samples() {
        let hundred = quantiles((1..=100).rev()).expect("there are samples");
        assert_eq!(
            (hundred.p50_ms, hundred.p99_ms, hundred.max_ms),
            (50.0, 99.0, 100.0)
        );
        let three = quantiles([7, 5, 6].into_iter()).expect("there are samples");
        assert_eq!((three.p50_ms, three.p99_ms, three.samples), (6.0, 7.0, 3));
        let one = quantiles(std::iter::once(4)).expect("there is a sample");
        assert_eq!((one.p50_ms, one.p99_ms, one.max_ms), (4.0, 4.0, 4.0));
    }
}
