//! `[trace]`: what cannot work, in this gateway or in any.

use crate::config::Trace;

/// Whether this gateway can tell a collector anything.
const BUILT: bool = cfg!(feature = "otlp");

/// All that is wrong with the section by itself.
pub(super) fn check(trace: &Trace, report: &mut dyn FnMut(&str, String)) {
    check_built(trace, BUILT, report);
    if !(0.0..=1.0).contains(&trace.ratio) {
        let why = format!("{}; must be from 0 to 1", trace.ratio);
        report("trace.ratio", why);
    }
}

fn check_built(trace: &Trace, built: bool, report: &mut dyn FnMut(&str, String)) {
    let endpoint = &trace.endpoint;
    if endpoint.is_empty() {
        return;
    }
    if !built {
        let why = "set, but this gateway was built without traces (cargo build --features otlp has them); leave it empty";
        report("trace.endpoint", why.to_owned());
    }
    let schemes = ["http://", "https://"];
    let named = |scheme: &&str| {
        endpoint
            .strip_prefix(*scheme)
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    };
    if !schemes.iter().any(named) {
        let why = format!(
            "{endpoint:?} is no URL of a collector, such as \"http://localhost:4318/v1/traces\""
        );
        report("trace.endpoint", why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_without_traces_says_so_and_takes_no_endpoint() {
        let said = |endpoint: &str, built| {
            let mut said = Vec::new();
            let trace = Trace {
                endpoint: endpoint.to_owned(),
                ..Trace::default()
            };
            check_built(&trace, built, &mut |key, why| {
                said.push(format!("{key}: {why}"));
            });
            said.join("\n")
        };
        let collector = "http://localhost:4318/v1/traces";
        assert_eq!(said(collector, true), "");
        assert_eq!(said("", false), "");
        assert!(said(collector, false).contains("built without traces"));
        for bad in [
            "localhost:4318",
            "grpc://localhost:4317",
            "http://",
            "https:///v1",
        ] {
            assert!(said(bad, true).starts_with("trace.endpoint: "), "{bad}");
        }
    }
}
