//! Dashboards and rules against a real Prometheus that scrapes a gateway: what they name is there, and what they ask has an answer.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::load::Load;
use crate::server::{Prometheus, shipped};

const DASHBOARDS: [&str; 4] = ["overview", "token", "upstream", "members"];

/// All expressions of the dashboards, as Grafana asks them when all gateways are chosen, each with where it is.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in DASHBOARDS {
        let text = fs::read_to_string(shipped("grafana").join(format!("{name}.json")));
        let board: Value = serde_json::from_str(&text.expect("is shipped")).expect("is JSON");
        assert_eq!(board["uid"], format!("wardcast-{name}"));
        let panels = board["panels"].as_array().expect("panels");
        assert!(!panels.is_empty());
        for panel in panels {
            let title = panel["title"].as_str().expect("a title");
            assert!(
                panel["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{title}"
            );
            for target in panel["targets"].as_array().expect("targets") {
                let expression = target["expr"].as_str().expect("an expression");
                let expression = expression.replace("$instance", ".*");
                assert!(!expression.contains('$'), "{title}: {expression}");
                found.push((format!("{name}: {title}"), expression));
            }
        }
    }
    found
}

/// The names of series in an expression: of this gateway's metrics, and of what is recorded of them.
fn names(expression: &str) -> BTreeSet<String> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let words = expression.split(|letter| !word(letter));
    let own = words
        .filter(|word| word.contains("wardcast_") || word.starts_with("process_") || *word == "up");
    own.map(str::to_owned).collect()
}

/// Whether an expression shows only what is out of order, or there at all.
fn is_filter(expression: &str) -> bool {
    [" > ", " >= ", " == ", " < "]
        .iter()
        .any(|comparison| expression.contains(comparison))
        && !expression.contains("vector(")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_that_a_panel_or_a_rule_names_exists_and_every_expression_has_an_answer() {
    let load = Load::start().await;
    load.turn(0).await;
    let prometheus = Prometheus::start(&load.site).await;
    for number in 1..4 {
        load.turn(number).await;
    }
    load.roll_over().await;
    // Rates need two scrapes, records their evaluation.
    let recorded = "instance:wardcast_rekeys:rate5m{cause=\"rollover\"}";
    prometheus
        .until("it has recorded", recorded, |value| value > 0.0)
        .await;
    for grows in [
        "wardcast_siem_batches_total{sink=\"ocsf\"}",
        "wardcast_trace_lost_total",
    ] {
        prometheus
            .until("it was counted", grows, |value| value > 0.0)
            .await;
    }
    let rules = prometheus.rules().await;
    assert!(rules.len() >= 45, "{} rules", rules.len());
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    let there: BTreeSet<String> = prometheus.names().await.into_iter().collect();
    let of_rules = rules.iter().map(|rule| {
        let query = rule["query"].as_str().expect("an expression");
        (format!("rule {}", rule["name"]), query.to_owned())
    });
    for (place, expression) in expressions().into_iter().chain(of_rules) {
        let own = names(&expression);
        assert!(!own.is_empty(), "{place}: {expression}");
        for name in own {
            assert!(there.contains(&name), "{place}: there is no series {name}");
        }
        let result = prometheus.query(&expression).await;
        assert!(
            is_filter(&expression) || !result.is_empty(),
            "{place}: {expression} has no answer"
        );
    }
    // Of the alerts none is critical while nothing is wrong.
    let firing = prometheus
        .query("ALERTS{alertstate=\"firing\", severity=\"critical\"}")
        .await;
    assert!(firing.is_empty(), "{firing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_is_noticed() {
    let mut load = Load::start().await;
    let prometheus = Prometheus::start(&load.site).await;
    load.site.kill();
    prometheus
        .until("it is noticed", "up{job=\"wardcast\"}", |value| {
            value == 0.0
        })
        .await;
    let pending = "ALERTS{alertname=\"WardcastNotScraped\", alertstate=\"pending\"}";
    prometheus
        .until("the alert waits for its time", pending, |value| {
            value == 1.0
        })
        .await;
}
