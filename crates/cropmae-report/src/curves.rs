//! Line charts, such as the loss over the updates of a run, as SVG text.
//!
//! SVG stays sharp at every zoom level and takes the text color of the page that contains it.

use crate::error::ReportError;
use crate::html::escape;

/// One line of a [`Chart`].
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The name shown in the legend.
    pub name: String,
    /// The points as (x, y), in any order. Points with a coordinate that is infinite or not a number are left out.
    pub points: Vec<(f64, f64)>,
}

/// A line chart of one or more series.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The title above the chart.
    pub title: String,
    /// The label of the x axis, for example `update`.
    pub x_label: String,
    /// The series, each drawn as one line.
    pub series: Vec<Series>,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 290.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 44.0;
/// Series with more points are averaged into at most this many bins. A band shows the range of values in each bin.
const BINS: usize = 320;
/// Colors of medium brightness, which are legible on white and on black.
const COLORS: [&str; 4] = ["#3b82f6", "#f0883e", "#2da44e", "#d2569b"];

/// The mean of neighboring points of a series, with their smallest and largest y.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bin {
    x: f64,
    mean: f64,
    low: f64,
    high: f64,
}

impl Chart {
    /// Returns the chart as one `<svg>` element, which can be part of a page or a file of its own.
    ///
    /// # Errors
    ///
    /// Returns an error if no series has a finite point.
    pub fn svg(&self) -> Result<String, ReportError> {
        let series: Vec<Vec<Bin>> = self.series.iter().map(|s| binned(&s.points)).collect();
        let bins = || series.iter().flatten();
        if bins().next().is_none() {
            let what = format!("chart {:?}", self.title);
            return Err(ReportError::Empty {
                what,
                item: "finite point",
            });
        }
        let x_axis = Axis::over(bins().map(|b| b.x), bins().map(|b| b.x), false);
        let y_axis = Axis::over(bins().map(|b| b.low), bins().map(|b| b.high), true);
        let x = |v: f64| LEFT + x_axis.share(v) * (WIDTH - LEFT - RIGHT);
        let y = |v: f64| HEIGHT - BOTTOM - y_axis.share(v) * (HEIGHT - TOP - BOTTOM);

        let title = escape(&self.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"currentColor\">\
             <title>{title}</title>\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"15\" font-weight=\"600\">{title}</text>\n"
        );
        for tick in y_axis.ticks() {
            let (at, label) = (y(tick), number(tick));
            svg += &format!(
                "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"currentColor\" \
                 stroke-opacity=\"0.15\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" \
                 fill-opacity=\"0.7\">{label}</text>\n",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.5,
            );
        }
        for tick in x_axis.ticks() {
            svg += &format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill-opacity=\"0.7\">{}</text>\n",
                x(tick),
                HEIGHT - BOTTOM + 18.0,
                number(tick),
            );
        }
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill-opacity=\"0.7\">{}</text>\n",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 8.0,
            escape(&self.x_label),
        );
        let mut legend = LEFT;
        for (i, (series, bins)) in self.series.iter().zip(&series).enumerate() {
            let color = COLORS[i % COLORS.len()];
            let path = |points: &mut dyn Iterator<Item = (f64, f64)>| {
                let points: Vec<String> = points
                    .map(|(a, b)| format!("{:.1},{:.1}", x(a), y(b)))
                    .collect();
                points.join(" ")
            };
            if bins.iter().any(|b| b.low < b.high) {
                let mut band = bins
                    .iter()
                    .map(|b| (b.x, b.high))
                    .chain(bins.iter().rev().map(|b| (b.x, b.low)));
                let points = path(&mut band);
                svg += &format!(
                    "<polygon points=\"{points}\" fill=\"{color}\" fill-opacity=\"0.2\"/>\n"
                );
            }
            let points = path(&mut bins.iter().map(|b| (b.x, b.mean)));
            svg += &format!(
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" \
                 stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n\
                 <circle cx=\"{:.1}\" cy=\"37\" r=\"4.5\" fill=\"{color}\"/>\
                 <text x=\"{:.1}\" y=\"41.5\">{}</text>\n",
                legend + 4.5,
                legend + 15.0,
                escape(&series.name),
            );
            // The width of the text depends on the reader's font; 8 units for each letter is slightly more than needed.
            legend += 15.0 + 8.0 * series.name.chars().count() as f64 + 16.0;
        }
        svg += "</svg>\n";
        Ok(svg)
    }
}

/// Sorts the finite points by x and averages them into at most [`BINS`] bins.
fn binned(points: &[(f64, f64)]) -> Vec<Bin> {
    let mut points: Vec<(f64, f64)> = points
        .iter()
        .copied()
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let size = points.len().div_ceil(BINS).max(1);
    let bin = |points: &[(f64, f64)]| {
        let n = points.len() as f64;
        let ys = || points.iter().map(|p| p.1);
        Bin {
            x: points.iter().map(|p| p.0).sum::<f64>() / n,
            mean: ys().sum::<f64>() / n,
            low: ys().fold(f64::INFINITY, f64::min),
            high: ys().fold(f64::NEG_INFINITY, f64::max),
        }
    };
    points.chunks(size).map(bin).collect()
}

/// A linear axis with ticks at multiples of a round step.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// Returns an axis that contains all values; with `whole` its ends are multiples of the step.
    fn over(
        lows: impl Iterator<Item = f64>,
        highs: impl Iterator<Item = f64>,
        whole: bool,
    ) -> Self {
        let low = lows.fold(f64::INFINITY, f64::min);
        let mut high = highs.fold(f64::NEG_INFINITY, f64::max);
        if high - low <= low.abs() * 1e-9 {
            high = low + if low == 0.0 { 1.0 } else { low.abs() };
        }
        let rough = (high - low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let round = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|r| r * power >= rough);
        let step = round.unwrap_or(10.0) * power;
        if whole {
            Self {
                low: (low / step).floor() * step,
                high: (high / step).ceil() * step,
                step,
            }
        } else {
            Self { low, high, step }
        }
    }

    /// Returns the position of `value` on the axis, from 0 at the low end to 1 at the high end.
    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Returns the multiples of the step between the two ends.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (first, last) = (
            (self.low / self.step).ceil(),
            (self.high / self.step + 1e-9).floor(),
        );
        (0..=(last - first) as usize).map(move |i| (first + i as f64) * self.step)
    }
}

/// Returns the label of a tick, with `k` for thousands, `M` for millions and an exponent for tiny numbers.
fn number(value: f64) -> String {
    let trim = |text: String| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    };
    match value.abs() {
        0.0 => "0".into(),
        a if a < 1e-3 => {
            let text = format!("{value:.3e}");
            match text.split_once('e') {
                Some((digits, exponent)) => format!("{}e{exponent}", trim(digits.to_string())),
                None => text,
            }
        }
        a if a >= 1e6 => format!("{}M", trim(format!("{:.4}", value / 1e6))),
        a if a >= 1e3 => format!("{}k", trim(format!("{:.4}", value / 1e3))),
        _ => trim(format!("{value:.6}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let series = vec![Series {
            name: "a<b".into(),
            points,
        }];
        Chart {
            title: "Loss".into(),
            x_label: "step".into(),
            series,
        }
    }

    /// Returns the points of the first polyline.
    fn line(svg: &str) -> Vec<(f64, f64)> {
        let points = svg
            .split("<polyline points=\"")
            .nth(1)
            .and_then(|s| s.split('"').next());
        let points = points.unwrap_or_default().split(' ');
        points
            .filter_map(|p| p.split_once(','))
            .filter_map(|(x, y)| Some((x.parse().ok()?, y.parse().ok()?)))
            .collect()
    }

    #[test]
    fn a_line_spans_the_plot_and_holds_its_values() -> Result<(), ReportError> {
        let svg = chart(vec![
            (100.0, 0.0),
            (0.0, 1.0),
            (50.0, f64::NAN),
            (50.0, 0.5),
        ])
        .svg()?;
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let middle = ((LEFT + right) / 2.0, (TOP + bottom) / 2.0);
        assert_eq!(line(&svg), [(LEFT, TOP), middle, (right, bottom)]);
        assert!(svg.contains("a&lt;b") && !svg.contains("NaN"));
        assert!(!svg.contains("<polygon"), "no band around plain points");
        Ok(())
    }

    #[test]
    fn long_series_are_averaged_with_a_band() -> Result<(), ReportError> {
        let points: Vec<_> = (0..100_000)
            .map(|i| (f64::from(i), f64::from(i % 2)))
            .collect();
        let svg = chart(points).svg()?;
        let drawn = line(&svg);
        assert!(
            (BINS / 2..=BINS).contains(&drawn.len()),
            "{} points",
            drawn.len()
        );
        let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
        assert!(
            drawn.iter().all(|p| (p.1 - middle).abs() < 1.0),
            "means lie halfway"
        );
        assert!(svg.contains("<polygon"));
        Ok(())
    }

    #[test]
    fn constants_and_single_points_have_axes_and_nothing_is_an_error() -> Result<(), ReportError> {
        for value in [0.0, 1e-9, -3.0, 1e12] {
            let svg = chart(vec![(5.0, value)]).svg()?;
            assert!(
                !svg.contains("NaN") && !svg.contains("inf"),
                "{value}: {svg}"
            );
            assert_eq!(line(&svg).len(), 1, "{value}");
        }
        assert!(chart(vec![(f64::NAN, 1.0)]).svg().is_err());
        Ok(())
    }

    #[test]
    fn ticks_are_round_and_labels_short() {
        let ticks = |low, high| -> Vec<String> {
            Axis::over([low].into_iter(), [high].into_iter(), true)
                .ticks()
                .map(number)
                .collect()
        };
        assert_eq!(ticks(0.31, 0.98), ["0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(ticks(0.0, 8e-4), ["0", "2e-4", "4e-4", "6e-4", "8e-4"]);
        assert_eq!(
            ticks(0.0, 250_000.0),
            ["0", "50k", "100k", "150k", "200k", "250k"]
        );
        assert_eq!(number(2_500_000.0), "2.5M");
    }
}
