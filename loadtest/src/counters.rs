//! The gateway's own counters, read from the text that it offers to Prometheus.

use std::collections::BTreeMap;

/// All samples of one reading, by name; samples that differ only in labels are added up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(BTreeMap<String, f64>);

impl Counters {
    /// Reads the text format (version 0.0.4). Lines that are no samples are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let mut counters = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // `name value`, or `name{label="any text"} value`; we never write timestamps.
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let name = series.split('{').next().unwrap_or(series);
            if let Ok(value) = value.parse::<f64>() {
                *counters.entry(name.to_owned()).or_insert(0.0) += value;
            }
        }
        Counters(counters)
    }

    /// How much a counter grew since an earlier reading. A counter that never counted is not in the text: it is 0.
    pub(crate) fn since(&self, earlier: &Counters, name: &str) -> u64 {
        self.grown(earlier, name) as u64
    }

    /// Whether a gauge is at this.
    pub(crate) fn is(&self, name: &str, value: f64) -> bool {
        self.0.get(name) == Some(&value)
    }

    /// The mean of what a summary took note of since an earlier reading; none if that was nothing.
    pub(crate) fn mean_since(&self, earlier: &Counters, name: &str) -> Option<f64> {
        let count = self.grown(earlier, &format!("{name}_count"));
        let sum = self.grown(earlier, &format!("{name}_sum"));
        (count > 0.0).then(|| sum / count)
    }

    fn grown(&self, earlier: &Counters, name: &str) -> f64 {
        let at = |counters: &Counters| counters.0.get(name).copied().unwrap_or(0.0);
        (at(self) - at(earlier)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_added_up_and_compared() {
        let before = Counters::parse("# TYPE a counter\na 3\n\nnot a sample line\n");
        let after = Counters::parse("a 5\nb{code=\"x y\"} 2\nb{code=\"z\"} 4\n");
        assert_eq!(after.since(&before, "a"), 2);
        assert_eq!(after.since(&before, "b"), 6);
        assert_eq!(after.since(&before, "c"), 0);
        assert_eq!(before.since(&after, "a"), 0);
        assert!(before.is("a", 3.0) && !before.is("a", 1.0) && !before.is("c", 0.0));
        let more = Counters::parse("s_sum 0.75\ns_count 3\n");
        assert_eq!(more.mean_since(&before, "s"), Some(0.25));
        assert_eq!(more.mean_since(&more, "s"), None);
    }
}
