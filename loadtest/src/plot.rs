//! Plots, as SVG that a page can hold.

use plotters::prelude::*;

use crate::Failure;

const SIZE: (u32, u32) = (760, 420);
const FONT: &str = "sans-serif";

/// One plot.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    /// Values of x are shown by their logarithm.
    pub(crate) logarithmic: bool,
    pub(crate) lines: Vec<Line>,
}

/// One line of a plot.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Room for the legend beside the lines, as a part of what they take.
const LEGEND: f64 = 0.35;
/// The smallest value that a logarithm is taken of.
const LEAST: f64 = 1e-3;

impl Plot {
    /// As SVG; an error if there is nothing to be shown.
    pub(crate) fn svg(&self) -> Result<String, Failure> {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right, top) = self.bounds()?;
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, (FONT, 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(left..right, 0.0..top)?;
        let shown = |place: &f64| number(self.value(*place));
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&shown)
            .y_label_formatter(&|value| number(*value))
            .light_line_style(WHITE)
            .draw()?;
        for (index, line) in self.lines.iter().enumerate() {
            let style = Palette99::pick(index).stroke_width(2);
            let points = line.points.iter().map(|(x, y)| (self.place(*x), *y));
            let series = chart.draw_series(LineSeries::new(points.clone(), style))?;
            series
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            // Few points are measurements, which a line between them is not.
            if line.points.len() <= 10 {
                chart.draw_series(points.map(|point| Circle::new(point, 3, style.filled())))?;
            }
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .position(SeriesLabelPosition::MiddleRight)
            .draw()?;
        area.present()?;
        drop(chart);
        drop(area);
        Ok(svg)
    }

    /// Where a value of x stands.
    fn place(&self, x: f64) -> f64 {
        match self.logarithmic {
            true => x.max(LEAST).log10(),
            false => x,
        }
    }

    /// Which value of x stands there.
    fn value(&self, place: f64) -> f64 {
        match self.logarithmic {
            true => 10_f64.powf(place),
            false => place,
        }
    }

    /// What is shown: from left to right, and up to the top.
    fn bounds(&self) -> Result<(f64, f64, f64), Failure> {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        if points().next().is_none() {
            return Err(format!("there is nothing to plot as {:?}", self.title).into());
        }
        let places = || points().map(|(x, _)| self.place(*x));
        let right = places().fold(f64::NEG_INFINITY, f64::max);
        let left = places().fold(f64::INFINITY, f64::min);
        // A single point needs some room as well.
        let (left, right) = match right - left > 1e-9 {
            true => (left, right),
            false => (left - 0.5, right + 0.5),
        };
        let top = points().map(|(_, y)| *y).fold(f64::EPSILON, f64::max);
        Ok((left, right + (right - left) * LEGEND, top * 1.05))
    }
}

/// As short as its size allows.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value == 0.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(logarithmic: bool, points: Vec<(f64, f64)>) -> Plot {
        Plot {
            title: "a <title>".to_owned(),
            x: "members",
            y: "us",
            logarithmic,
            lines: vec![Line {
                name: "a & b".to_owned(),
                points,
            }],
        }
    }

    #[test]
    fn a_plot_is_svg_with_its_names() {
        for logarithmic in [false, true] {
            let plot = plot(logarithmic, vec![(100.0, 12.0), (10_000.0, 9.0)]);
            let svg = plot.svg().expect("there is something");
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
            assert!(svg.contains("members") && svg.contains("a &amp; b"));
            assert!(svg.contains("polyline") && !svg.contains("<title>"));
        }
    }

    #[test]
    fn bounds_hold_every_point() {
        let (left, right, top) = plot(true, vec![(100.0, 12.0), (10_000.0, 9.0)])
            .bounds()
            .expect("there is something");
        assert!((left - 2.0).abs() < 1e-9 && right > 4.0 && top > 12.0);
        let (left, right, _) = plot(true, vec![(100.0, 1.0)])
            .bounds()
            .expect("there is something");
        assert!(left < 2.0 && right > 2.0);
        assert!(plot(false, Vec::new()).svg().is_err());
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.25, 3.12, 1234.5].map(number);
        assert_eq!(shown, ["0", "0.25", "3.1", "1234"]);
    }
}
