//! The page of a run: its figures and plots, in one file without anything from elsewhere.

use std::path::Path;

use super::report::{Cause, Fanout, Sizes};
use crate::Failure;
use crate::distribution::Latencies;
use crate::plot::{Line, Plot};
use crate::report::Report;

const STYLE: &str = "body{font:15px sans-serif;max-width:800px;margin:2em auto;color:#222}\
    td{padding:2px 12px 2px 0;border-bottom:1px solid #ddd}td+td{text-align:right}svg{max-width:100%;height:auto}";

/// How deliveries went over time: of each round of each cause.
pub(super) type Curves = Vec<(Cause, Vec<Latencies>)>;

/// Writes it.
pub(super) fn write(file: &Path, sizes: &Sizes, curves: &[Curves]) -> Result<(), Failure> {
    let page = page(sizes, curves)?;
    std::fs::write(file, page).map_err(|error| {
        format!(
            "the report cannot be written to {}: {error}",
            file.display()
        )
    })?;
    Ok(())
}

fn page(Sizes(sizes): &Sizes, curves: &[Curves]) -> Result<String, Failure> {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Wardcast: fan-out</title>\
         <style>{STYLE}</style></head><body>\n<h1>Fan-out</h1>\n"
    );
    for plot in plots(sizes, curves) {
        page.push_str(&plot.svg()?);
    }
    for size in sizes {
        page.push_str(&format!(
            "<h2>{} members</h2>\n<table>\n",
            size.size.members
        ));
        for (name, value) in size.rows() {
            let (name, value) = (escaped(&name), escaped(&value));
            page.push_str(&format!("<tr><td>{name}</td><td>{value}</td></tr>\n"));
        }
        page.push_str("</table>\n");
    }
    page.push_str("</body></html>\n");
    Ok(page)
}

fn plots(sizes: &[Fanout], curves: &[Curves]) -> Vec<Plot> {
    let largest = sizes.iter().zip(curves);
    let largest = largest.max_by_key(|(size, _)| size.size.members);
    let mut plots: Vec<Plot> = largest.map(delivery).into_iter().collect();
    plots.push(latencies(sizes, curves));
    plots.push(by_members(
        sizes,
        "Server CPU per delivery, rotations",
        "microseconds",
        |size| size.summary.server_cpu_us_per_delivery,
        |size| size.bare.cpu_us_per_delivery,
    ));
    plots.push(by_members(
        sizes,
        "Server memory per member",
        "KiB",
        |size| size.summary.rss_kib_per_member,
        |size| size.bare.bytes_per_connection as f64 / 1024.0,
    ));
    plots
}

/// The share of members that hold a new epoch over time, for each rotation.
fn delivery((size, curves): (&Fanout, &Curves)) -> Plot {
    let rounds = curves.iter().filter(|(cause, _)| *cause == Cause::Rotate);
    let rounds = rounds.flat_map(|(_, rounds)| rounds).enumerate();
    let lines = rounds.map(|(round, latencies)| Line {
        name: format!("round {}", round + 1),
        points: percent(latencies),
    });
    Plot {
        title: format!("Delivery of rotations to {} members", size.size.members),
        x: "milliseconds since it was asked for",
        y: "% of members hold it",
        logarithmic: false,
        lines: lines.collect(),
    }
}

/// How long members waited, over all rounds.
fn latencies(sizes: &[Fanout], curves: &[Curves]) -> Plot {
    let lines = sizes.iter().zip(curves).flat_map(|(size, curves)| {
        curves.iter().map(|(cause, rounds)| {
            let mut all = Latencies::default();
            rounds.iter().for_each(|round| all.add(round));
            Line {
                name: format!("{}, {} members", cause.name(), size.size.members),
                points: percent(&all),
            }
        })
    });
    Plot {
        title: "Latency until a member holds the new epoch, all rounds".to_owned(),
        x: "milliseconds (logarithmic)",
        y: "% of deliveries",
        logarithmic: true,
        lines: lines.collect(),
    }
}

fn percent(latencies: &Latencies) -> Vec<(f64, f64)> {
    let curve = latencies.curve().into_iter();
    curve.map(|(at, share)| (at, share * 100.0)).collect()
}

/// A figure by the number of members, and the same of quinn alone.
fn by_members(
    sizes: &[Fanout],
    title: &str,
    y: &'static str,
    ours: fn(&Fanout) -> f64,
    bare: fn(&Fanout) -> f64,
) -> Plot {
    let line = |name: &str, value: fn(&Fanout) -> f64| {
        let mut points: Vec<(f64, f64)> = sizes
            .iter()
            .map(|size| (size.size.members as f64, value(size)))
            .collect();
        points.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        let name = name.to_owned();
        Line { name, points }
    };
    Plot {
        title: title.to_owned(),
        x: "members (logarithmic)",
        y,
        logarithmic: true,
        lines: vec![line("wardcast", ours), line("quinn alone", bare)],
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_no_markup() {
        assert_eq!(escaped("a < b & c > d"), "a &lt; b &amp; c &gt; d");
    }

    #[test]
    fn curves_are_shown_in_percent() {
        let two = [10, 20].map(std::time::Duration::from_millis);
        let points = percent(&two.into_iter().collect());
        let shares: Vec<f64> = points.iter().map(|(_, share)| *share).collect();
        assert_eq!(shares, [50.0, 100.0]);
    }
}
