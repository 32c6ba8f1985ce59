//! The same metrics in OpenMetrics' text format 1.0, which the exporter does not write: it differs in how counters are headed, in
//! lines for units, and in how it ends.

/// Units that names end in.
const UNITS: [&str; 2] = ["seconds", "bytes"];

/// Prometheus' text format as OpenMetrics'.
pub(super) fn of(text: &str) -> String {
    let mut converted = String::with_capacity(text.len() + text.len() / 8);
    let mut line = |parts: &[&str]| {
        parts.iter().for_each(|part| converted.push_str(part));
        converted.push('\n');
    };
    for own in text.lines().filter(|own| !own.is_empty()) {
        let Some(described) = own.strip_prefix("# ") else {
            line(&[own]);
            continue;
        };
        let mut words = described.splitn(3, ' ');
        let (Some(what), Some(name), Some(rest)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        // A counter's family is called without the end that its samples have.
        let family = name.strip_suffix("_total").unwrap_or(name);
        line(&["# ", what, " ", family, " ", rest]);
        let unit = UNITS.into_iter().find(|unit| {
            let stem = family.strip_suffix(unit);
            what == "TYPE" && stem.is_some_and(|stem| stem.ends_with('_'))
        });
        if let Some(unit) = unit {
            line(&["# UNIT ", family, " ", unit]);
        }
    }
    line(&["# EOF"]);
    converted
}

#[cfg(test)]
mod tests {
    #[test]
    fn counters_units_and_the_end_are_written_as_openmetrics_wants_them() {
        let text = "# HELP a_seconds_total How long.\n# TYPE a_seconds_total counter\na_seconds_total{b=\"c\"} 1\n\n\
            # TYPE d gauge\nd 2\n\n";
        let expected = "# HELP a_seconds How long.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
            a_seconds_total{b=\"c\"} 1\n# TYPE d gauge\nd 2\n# EOF\n";
        assert_eq!(super::of(text), expected);
        assert_eq!(super::of(""), "# EOF\n");
    }
}
