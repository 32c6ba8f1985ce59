//! What a scrape is answered with: both formats as their own tools read them, every series described, no label beyond its catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use wardcast::app::metrics_catalogue;
use wardcast::meter::{Kind, Metric};

use crate::load::{Load, MEMBERS};
use crate::pykmip::python;
use crate::support::GROUP;
use crate::trouble::until;

/// A line of a scrape: the series' name, its labels, its value.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
}

/// Label values of a gateway have no quotation marks and no backslashes.
fn samples(text: &str) -> Vec<Sample<'_>> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let sample = |line| {
        let (series, value) = str::rsplit_once(line, ' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').expect("it ends").split("\",");
        let labels = labels.filter(|label| !label.is_empty()).map(|label| {
            let (name, value) = label.split_once("=\"").expect("a label");
            (name, value.trim_end_matches('"'))
        });
        Sample {
            name,
            labels: labels.collect(),
            value: value.parse().expect("a number"),
        }
    };
    lines.map(sample).collect()
}

/// The metric that a series is of, and whether its bounds are a label of it.
fn described(name: &str) -> Option<(&'static Metric, bool)> {
    metrics_catalogue().find_map(|metric| match metric.kind {
        Kind::Histogram(_) => match name.strip_prefix(metric.name)? {
            "_bucket" => Some((metric, true)),
            "_sum" | "_count" => Some((metric, false)),
            _ => None,
        },
        Kind::Counter | Kind::Gauge => (metric.name == name).then_some((metric, false)),
    })
}

fn check_series(sample: &Sample<'_>, text: &str) {
    let Sample { name, labels, .. } = sample;
    let (metric, bounded) = described(name).unwrap_or_else(|| panic!("{name} is in no catalogue"));
    for what in ["HELP", "TYPE"] {
        let header = format!("# {what} {} ", metric.name);
        assert!(text.contains(&header), "no {header}");
    }
    let own = labels
        .iter()
        .filter(|(label, _)| !bounded || *label != "le");
    let mut seen = BTreeSet::new();
    for (label, value) in own {
        let known = metric.labels.iter().find(|(known, _)| known == label);
        let (_, values) =
            known.unwrap_or_else(|| panic!("{name}: the catalogue has no label {label}"));
        assert!(
            values.have(value),
            "{name}: the catalogue has no {label} {value}"
        );
        seen.insert(*label);
    }
    assert_eq!(seen.len(), metric.labels.len(), "{name}: {labels:?}");
}

/// Whoever made these formats reads them.
fn read_by(mut reader: Command, text: &str) {
    let reader = reader
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = reader
        .spawn()
        .expect("it runs: tests/install.sh installs it");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(said.trim().is_empty(), "{said}");
}

fn value(samples: &[Sample<'_>], name: &str) -> f64 {
    let own = samples.iter().filter(|sample| sample.name == name);
    own.map(|sample| sample.value).sum()
}

/// What a gateway under load must have counted of each kind.
fn check_values(all: &[Sample<'_>], text: &str) {
    for (name, label) in [
        ("wardcast_rekeys_total", ("cause", "eviction")),
        ("wardcast_rekeys_total", ("cause", "departure")),
        ("wardcast_rekeys_total", ("cause", "rotation")),
        ("wardcast_rekeys_total", ("cause", "rollover")),
        ("wardcast_removals_total", ("reason", "Evicted")),
        ("wardcast_refusals_total", ("reason", "UnknownGroup")),
        (
            "wardcast_handshakes_failed_total",
            ("reason", "certificate"),
        ),
        (
            "wardcast_key_exchanges_total",
            ("key_exchange", "X25519MLKEM768"),
        ),
        ("wardcast_token_call_seconds_count", ("operation", "rekey")),
        ("wardcast_upstream_up", ("", "")),
        (
            "wardcast_certificate_expiry_timestamp_seconds",
            ("section", "tls"),
        ),
        ("wardcast_crl_next_update_timestamp_seconds", ("", "")),
        ("wardcast_store_commit_seconds_count", ("", "")),
        ("process_resident_memory_bytes", ("", "")),
    ] {
        let own = all.iter().filter(|sample| sample.name == name);
        let mut own = own.filter(|sample| label.0.is_empty() || sample.labels.contains(&label));
        assert!(
            own.any(|sample| sample.value > 0.0),
            "{name} {label:?}\n{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scraped_under_load_is_described_and_bounded_and_reads_in_both_formats() {
    let load = Load::start().await;
    for number in 0..3 {
        load.turn(number).await;
    }
    load.roll_over().await;
    // It is answered before it is delivered, and counted after that.
    let rolled_over = "wardcast_rekeys_total{cause=\"rollover\"}";
    until(&load.site, rolled_over, |times| times > 0.0).await;
    let (kind, text) = load.site.metrics("text/plain").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let all = samples(&text);
    all.iter().for_each(|sample| check_series(sample, &text));
    let mut series: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in &all {
        *series.entry(sample.name).or_default() += 1;
    }
    // However many members there are, this many series and no more.
    let most = series.iter().max_by_key(|(_, count)| **count);
    assert!(all.len() < 2_000, "{} series, most of {most:?}", all.len());
    for name in [GROUP, "stays-", "evicted-", "leaves-", "stranger"] {
        assert!(!text.contains(name), "{name} is in a label");
    }
    let is = |name: &str| value(&all, name);
    assert_eq!(is("wardcast_groups"), 1.0);
    // Whoever is refused tries again.
    assert!(is("wardcast_handshakes_failed_total") >= 3.0);
    assert!(is("wardcast_joins_total") >= (MEMBERS + 6) as f64);
    assert!(
        is("wardcast_rekey_delivered_seconds_count") >= 9.0,
        "{text}"
    );
    assert_eq!(
        is("wardcast_rekey_delivered_seconds_count"),
        is("wardcast_rekeys_total")
    );
    assert!(is("wardcast_rekey_acknowledged_seconds_count") >= 9.0);
    assert!(is("wardcast_rekey_activated_seconds_count") >= 3.0);
    check_values(&all, &text);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    read_by(promtool, &text);
    let (kind, text) = load
        .site
        .metrics("application/openmetrics-text;version=1.0.0")
        .await;
    assert_eq!(
        kind,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let mut parser = Command::new(python());
    parser.args(["-c", PARSE]);
    read_by(parser, &text);
}

/// Reads OpenMetrics as strictly as its reference parser does.
const PARSE: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
found = list(families(sys.stdin.read()))
assert len(found) > 100, len(found)
assert any(f.unit == 'seconds' and f.type == 'histogram' for f in found)
";
