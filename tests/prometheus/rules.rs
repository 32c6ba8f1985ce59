//! The shipped rules, as promtool reads and tries them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::server::shipped;

/// The cases that each alert is tried with.
const CASES: &str = "tests/prometheus/alerts.yml";

fn promtool(arguments: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tool = Command::new("promtool");
    let output = tool.args(arguments).current_dir(root).output();
    let output = output.expect("promtool runs: tests/install.sh installs it");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

#[test]
fn rules_are_well_formed_and_each_alert_fires_and_stays_quiet_when_it_should() {
    promtool(&[
        "check",
        "rules",
        "config/prometheus/alerts.yml",
        "config/prometheus/recording.yml",
    ]);
    promtool(&["test", "rules", CASES]);
}

#[test]
fn each_alert_says_what_it_means_and_what_to_do_and_has_its_cases() {
    let alerts = fs::read_to_string(shipped("prometheus/alerts.yml")).expect("is shipped");
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join(CASES);
    let cases = fs::read_to_string(cases).expect("they are there");
    let mut all = alerts.split("- alert: ");
    let _before = all.next();
    let mut count = 0;
    for alert in all {
        let name = alert.lines().next().expect("a name");
        for part in ["severity:", "summary:", "meaning:", "look:", "action:"] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
        for case in ["fires", "stays quiet"] {
            assert!(
                cases.contains(&format!("name: {name} {case}\n")),
                "{name}: {case}"
            );
        }
        count += 1;
    }
    assert!(count >= 29, "{count} alerts");
}
