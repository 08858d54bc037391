//! Plots on logarithmic axes, as SVG.

use plotters::coord::combinators::IntoLogRange as _;
use plotters::prelude::*;

use crate::Result;
use crate::bench::stats::Spread;

pub struct Plot {
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    pub series: Vec<Series>,
}

pub struct Series {
    pub name: &'static str,
    pub points: Vec<Point>,
}

/// Measurements at one place, round by round.
pub struct Point {
    pub x: f64,
    pub values: Vec<f64>,
}

const SIZE: (u32, u32) = (720, 420);

/// They can be told apart in print, and by those who see colours otherwise.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

const FONT: (&str, u32) = ("sans-serif", 14);

impl Plot {
    pub fn svg(&self) -> Result<String> {
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        // Errors borrow from the area.
        self.draw(&area).map_err(|error| format!("{}: {error}", self.title))?;
        area.present().map_err(|error| format!("{}: {error}", self.title))?;
        drop(area);
        Ok(text)
    }

    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    ) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (left, right) = decades(points().map(|point| point.x))?;
        let (low, high) = decades(points().flat_map(|point| point.values.iter().copied()))?;
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(72)
            .build_cartesian_2d((left..right).log_scale(), (low..high).log_scale())?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|value| short(*value))
            .y_label_formatter(&|value| short(*value))
            .label_style(FONT)
            .axis_desc_style(FONT)
            .light_line_style(WHITE)
            .draw()?;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let spreads: Vec<(f64, Spread)> =
                series.points.iter().map(|point| (point.x, Spread::of(&point.values))).collect();
            let medians = spreads.iter().map(|(x, spread)| (*x, spread.median));
            chart
                .draw_series(LineSeries::new(medians, colour.stroke_width(2)))?
                .label(series.name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
                });
            chart.draw_series(spreads.iter().map(|(x, Spread { median, low, high })| {
                ErrorBar::new_vertical(*x, *low, *median, *high, colour.filled(), 8)
            }))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font(FONT)
            .draw()?;
        Ok(())
    }
}

/// Whole powers of ten around all values.
fn decades(values: impl Iterator<Item = f64>) -> Result<(f64, f64)> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        if !(value.is_finite() && value > 0.0) {
            return Err(format!("{value} has no place on a logarithmic axis").into());
        }
        (low, high) = (low.min(value), high.max(value));
    }
    if low > high {
        return Err("there is nothing to plot".into());
    }
    let (low, high) = (low.log10().floor(), high.log10().ceil());
    Ok((10_f64.powf(low), 10_f64.powf(high.max(low + 1.0))))
}

/// `1`, `10k`, `5M`: numbers as short as labels want them.
pub fn short(value: f64) -> String {
    let scaled = |value: f64| format!("{}", (value * 100.0).round() / 100.0);
    match value {
        1e6.. => format!("{}M", scaled(value / 1e6)),
        1e3.. => format!("{}k", scaled(value / 1e3)),
        _ => scaled(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: &[(f64, &[f64])]) -> Plot {
        let points = points.iter().map(|(x, values)| Point { x: *x, values: values.to_vec() });
        let series = vec![Series { name: "mock", points: points.collect() }];
        Plot { title: "Routes", x: "routes", y: "requests a second", series }
    }

    #[test]
    fn a_plot_has_its_words_and_a_line() {
        let svg = plot(&[(10.0, &[900.0, 1000.0, 1100.0]), (1000.0, &[500.0])]).svg();
        let svg = svg.expect("a plot");
        for word in ["<svg", "Routes", "requests a second", "mock", "polyline", "10k"] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
    }

    #[test]
    fn what_no_logarithm_has_is_an_error() {
        assert!(plot(&[(10.0, &[0.0])]).svg().is_err());
        assert!(plot(&[(10.0, &[f64::NAN])]).svg().is_err());
        assert!(plot(&[]).svg().is_err());
    }

    #[test]
    fn axes_end_at_powers_of_ten() {
        assert_eq!(decades([3.0, 20.0].into_iter()).expect("values"), (1.0, 100.0));
        assert_eq!(decades([10.0].into_iter()).expect("values"), (10.0, 100.0));
        assert_eq!(short(10_000.0), "10k");
        assert_eq!(short(5_242_880.0), "5.24M");
        assert_eq!(short(0.5), "0.5");
    }
}
