//! What a metric is. Each part of the gateway has a catalogue of its own metrics; what is counted is in one, and described by it.
//!
//! Names begin with `wardcast_` and end in their unit, seconds or bytes, if they have one; a counter's ends in `_total`. No label
//! names a group, a member or a key, of which there may be very many: it has one of a few values, which the catalogue knows.

use metrics::Unit;

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Under which a scrape shows it.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it tells, in a sentence without quotation marks.
    pub help: &'static str,
    /// Its labels, each with the values that it may have.
    pub labels: &'static [(&'static str, Values)],
}

/// What a metric is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// It only grows, until the gateway is started anew.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How many there were up to each of these bounds, ascending, in the metric's unit.
    Histogram(&'static [f64]),
}

/// The values that a label may have.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// These. A counter or a histogram is shown with each of them from the start.
    Of(&'static [&'static str]),
    /// Those that this is true of: a fixed vocabulary, too long for a list here.
    When(fn(&str) -> bool),
    /// What the configuration calls it. Who writes that decides how many there are.
    Configured,
}

impl Values {
    /// Whether a value is one of them.
    pub fn have(&self, value: &str) -> bool {
        match self {
            Values::Of(all) => all.contains(&value),
            Values::When(is_one) => is_one(value),
            Values::Configured => true,
        }
    }
}

impl Metric {
    /// A counter without labels.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Counter, help)
    }

    /// A gauge without labels.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Gauge, help)
    }

    /// A histogram without labels.
    pub const fn histogram(name: &'static str, bounds: &'static [f64], help: &'static str) -> Self {
        Self::new(name, Kind::Histogram(bounds), help)
    }

    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            kind,
            help,
            labels: &[],
        }
    }

    /// The same with these labels.
    pub const fn by(self, labels: &'static [(&'static str, Values)]) -> Self {
        Self { labels, ..self }
    }

    /// The unit that its name ends in.
    pub fn unit(&self) -> Unit {
        let stem = self.name.strip_suffix("_total").unwrap_or(self.name);
        match stem.rsplit('_').next() {
            Some("seconds") => Unit::Seconds,
            Some("bytes") => Unit::Bytes,
            _ => Unit::Count,
        }
    }

    /// Tells the recorder what it is. A counter or histogram whose labels have listed values begins at nothing: what is
    /// seen to grow for the first time is seen.
    pub fn describe(&self) {
        let (name, unit, help) = (self.name, self.unit(), self.help);
        match self.kind {
            Kind::Counter => metrics::describe_counter!(name, unit, help),
            Kind::Gauge => metrics::describe_gauge!(name, unit, help),
            Kind::Histogram(_) => metrics::describe_histogram!(name, unit, help),
        }
        for labels in self.combinations() {
            match self.kind {
                Kind::Counter => metrics::counter!(name, labels).increment(0),
                Kind::Histogram(_) => drop(metrics::histogram!(name, labels)),
                Kind::Gauge => {}
            }
        }
    }

    /// All that its labels may be together; none if they are not listed.
    fn combinations(&self) -> Vec<Vec<metrics::Label>> {
        let mut all = vec![Vec::new()];
        for (name, values) in self.labels {
            let Values::Of(values) = values else {
                return Vec::new();
            };
            let more = all.iter().flat_map(|before: &Vec<metrics::Label>| {
                values.iter().map(move |value| {
                    let own = metrics::Label::from_static_parts(name, value);
                    before.iter().cloned().chain([own]).collect()
                })
            });
            all = more.collect();
        }
        all
    }
}

/// Bounds for one call into a token, a store or a file, in seconds. Measured with the software token on a busy machine: push keys
/// 0.2 to 5 ms, wraps and signatures of a rekey 0.5 to 15 ms, syncs of the audit trail 0.3 to 35 ms, commits 0.5 to 100 ms. A bare wrap takes
/// some 20 us; a call to a network HSM that is in trouble takes seconds.
pub const CALL: &[f64] = &[
    0.000_025, 0.000_05, 0.000_1, 0.000_2, 0.000_35, 0.000_5, 0.000_75, 0.001, 0.001_5, 0.002,
    0.003, 0.005, 0.007_5, 0.01, 0.015, 0.02, 0.035, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// Bounds for what becomes of a change, in seconds; it is timed in whole milliseconds. Measured on the same machine: an urgent eviction is
/// delivered after 10 to 75 ms and active after 20 to 100, what waits for a batch interval of 100 ms after 110 to 400; on a quiet one an
/// eviction takes a few milliseconds. An activation without a quorum waits for its delay, and trouble may last for minutes.
pub const CHANGE: &[f64] = &[
    0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
    0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 20.0, 30.0, 60.0, 120.0,
];
