//! The charts, drawn by plotters as SVG whose colours are the page's CSS variables.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::summary::{Interval, Stage};

const SIZE: (u32, u32) = (480, 300);
const FONT: (&str, i32) = ("sans-serif", 16);

/// Colours that stand for CSS variables: plotters knows only RGB, the page light and dark.
const VARIABLES: [(RGBColor, &str); 7] = [
    (INK, "var(--ink)"),
    (GRID, "var(--grid)"),
    (BLIND, "var(--blind)"),
    (LINES[0], "var(--line-0)"),
    (LINES[1], "var(--line-1)"),
    (LINES[2], "var(--line-2)"),
    (LINES[3], "var(--line-3)"),
];
const INK: RGBColor = RGBColor(1, 0, 0);
const GRID: RGBColor = RGBColor(2, 0, 0);
const BLIND: RGBColor = RGBColor(3, 0, 0);
const LINES: [RGBColor; 4] =
    [RGBColor(4, 0, 0), RGBColor(5, 0, 0), RGBColor(6, 0, 0), RGBColor(7, 0, 0)];

/// Lines with more points than this are drawn thin, with their running mean on top.
const CALM: usize = 40;

type Plane = Cartesian2d<RangedCoordf64, RangedCoordf64>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Plane>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The points of one line: (step, value).
pub(crate) type Points = Vec<(f64, f64)>;

/// Accuracy of the stages as bars with their intervals, the blind baseline beside each.
pub(crate) fn accuracies(stages: &[Stage]) -> Result<String, String> {
    let bars: Vec<_> = stages.iter().filter(|s| s.accuracy.or(s.blind).is_some()).collect();
    svg(|root| {
        let mut chart = axes(root, (0.0..bars.len().max(1) as f64, 0.0..1.08), 0, &percent)?;
        for (i, stage) in bars.iter().enumerate() {
            let left = i as f64;
            if let Some(accuracy) = stage.accuracy {
                bar(&mut chart, left + 0.12..left + 0.5, accuracy, LINES[0])?;
            }
            if let Some(blind) = stage.blind {
                bar(&mut chart, left + 0.54..left + 0.88, blind, BLIND)?;
            }
            label(&chart, &shortened(&stage.name), (left + 0.5, 0.0), (0, 10), VPos::Top)?;
        }
        Ok(())
    })
}

/// Lines over training steps. `as_shares` fixes the vertical axis to 0..1.
pub(crate) fn lines(lines: &[Points], as_shares: bool) -> Result<String, String> {
    let (steps, values) = bounds(lines);
    let plain = |v: &f64| number(*v);
    let (values, vertical): (_, &dyn Fn(&f64) -> String) =
        if as_shares { (0.0..1.0, &percent) } else { (values, &plain) };
    svg(|root| {
        let mut chart = axes(root, (steps.clone(), values.clone()), 6, vertical)?;
        for (points, color) in lines.iter().zip(LINES.iter().cycle()) {
            let noisy = points.len() > CALM;
            if noisy {
                let thin = color.mix(0.3).stroke_width(1);
                chart.draw_series(LineSeries::new(points.iter().copied(), thin))?;
            }
            let window = if noisy { points.len() / 20 } else { 1 };
            let bold = crate::metrics::running_mean(points, window);
            chart.draw_series(LineSeries::new(bold, color.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// Bars in a histogram.
const NUM_BINS: usize = 24;

/// How often values fall between two others, as shares of all of them.
pub(crate) fn histogram(values: &[f64]) -> Result<String, String> {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let range = range_of(&finite);
    let width = (range.end - range.start) / NUM_BINS as f64;
    let mut shares = [0.0; NUM_BINS];
    for value in &finite {
        let bin = (((value - range.start) / width) as usize).min(NUM_BINS - 1);
        shares[bin] += 1.0 / finite.len() as f64;
    }
    let most = shares.iter().copied().fold(0.0, f64::max).max(1e-9);
    svg(|root| {
        let mut chart = axes(root, (range.clone(), 0.0..most * 1.05), 6, &percent)?;
        for (bin, &share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            let left = range.start + bin as f64 * width;
            let corners = [(left + 0.06 * width, 0.0), (left + 0.94 * width, share)];
            chart.draw_series([Rectangle::new(corners, LINES[0].filled())])?;
        }
        Ok(())
    })
}

/// The range that holds all values, never empty.
fn range_of(values: &[f64]) -> Range<f64> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match low < high {
        true => low..high,
        false if low.is_finite() => low - 0.5..low + 0.5,
        false => 0.0..1.0,
    }
}

/// Draws into a string and puts the page's colours in.
fn svg(draw: impl Fn(&DrawingArea<SVGBackend<'_>, Shift>) -> Drawn) -> Result<String, String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(&root).and_then(|()| Ok(root.present()?)).map_err(|e| e.to_string())?;
    }
    for (RGBColor(r, g, b), variable) in VARIABLES {
        let color = format!("\"#{r:02X}{g:02X}{b:02X}\"");
        text = text.replace(&color, &format!("\"{variable}\""));
    }
    Ok(text)
}

/// Axes and grid; `num_steps` labels below, none where names take their place.
fn axes<'a, 'b>(
    root: &'a DrawingArea<SVGBackend<'b>, Shift>,
    (x, y): (Range<f64>, Range<f64>),
    num_steps: usize,
    vertical: &dyn Fn(&f64) -> String,
) -> Result<Chart<'a, 'b>, Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(root)
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(58)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(FONT.into_font().color(&INK))
        .x_labels(num_steps)
        .x_label_formatter(&|v| number(*v))
        .y_labels(6)
        .y_label_formatter(vertical)
        .draw()?;
    Ok(chart)
}

/// A bar with its interval as a whisker and its value above.
fn bar(chart: &mut Chart<'_, '_>, x: Range<f64>, share: Interval, color: RGBColor) -> Drawn {
    let middle = f64::midpoint(x.start, x.end);
    let corners = [(x.start, 0.0), (x.end, share.value)];
    chart.draw_series([Rectangle::new(corners, color.filled())])?;
    let cap = |y: f64| vec![(middle - 0.05, y), (middle + 0.05, y)];
    let whisker =
        [cap(share.low), vec![(middle, share.low), (middle, share.high)], cap(share.high)];
    chart.draw_series(whisker.map(|path| PathElement::new(path, INK.stroke_width(1))))?;
    label(chart, &percent(&share.value), (middle, share.high), (0, -4), VPos::Bottom)
}

fn label(
    chart: &Chart<'_, '_>,
    text: &str,
    at: (f64, f64),
    offset: (i32, i32),
    vertical: VPos,
) -> Drawn {
    let style = FONT.into_text_style(&SIZE).color(&INK).pos(Pos::new(HPos::Center, vertical));
    let element = EmptyElement::at(at) + Text::new(text.to_owned(), offset, style);
    Ok(chart.plotting_area().draw(&element)?)
}

/// A stage's name that fits below its bars.
fn shortened(name: &str) -> String {
    if name.chars().count() <= 14 {
        return name.to_owned();
    }
    name.chars().take(13).chain(['…']).collect()
}

/// The ranges that hold all points, never empty, with 0 as the floor of small positive values.
fn bounds(lines: &[Points]) -> (Range<f64>, Range<f64>) {
    let range = |pick: fn(&(f64, f64)) -> f64| {
        let all = || lines.iter().flatten().map(pick);
        let low = all().fold(f64::INFINITY, f64::min);
        let high = all().fold(f64::NEG_INFINITY, f64::max);
        if low.is_finite() { (low, high) } else { (0.0, 1.0) }
    };
    let (first, last) = range(|p| p.0);
    let (low, high) = range(|p| p.1);
    let room = ((high - low) * 0.05).max(f64::EPSILON * high.abs()).max(1e-9);
    let floor = if low >= 0.0 && low < 0.5 * high { 0.0 } else { low - room };
    (first..last.max(first + 1.0), floor..high + room)
}

fn percent(share: &f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A tick's number with as many digits as it needs.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        v if v >= 10.0 => 0,
        v if v >= 1.0 => 1,
        v if v >= 0.01 => 2,
        _ => return format!("{value:.0e}"),
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str) -> Stage {
        let share = Interval { value: 0.5, low: 0.4, high: 0.6 };
        Stage { accuracy: Some(share), blind: Some(share), ..Stage::named(name) }
    }

    #[test]
    fn bars_wear_the_pages_colours_and_names_are_escaped() {
        let svg = accuracies(&[stage("SFT"), stage("<script>x")]).unwrap();
        for expected in ["var(--line-0)", "var(--blind)", "var(--ink)", "50 %", "SFT"] {
            assert!(svg.contains(expected), "{expected} is not in {svg}");
        }
        assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;"));
        assert!(!svg.contains("\"#0"), "a colour was not replaced: {svg}");
    }

    #[test]
    fn a_chart_without_points_or_with_one_or_flat_is_still_a_chart() {
        for points in [vec![], vec![(1.0, 2.0)], vec![(0.0, 0.0), (1.0, 0.0)]] {
            for percent in [false, true] {
                assert!(lines(std::slice::from_ref(&points), percent).unwrap().starts_with("<svg"));
            }
        }
        assert!(accuracies(&[]).unwrap().starts_with("<svg"));
    }

    #[test]
    fn every_value_is_in_one_bar() {
        let bars = |values: &[f64]| histogram(values).unwrap().matches("var(--line-0)").count();
        assert_eq!(bars(&[-1.0, -1.0, 1.0, f64::NAN]), 2);
        assert_eq!(bars(&[0.25; 5]), 1);
        assert_eq!(bars(&[]), 0);
        assert!(bars(&(0..240).map(f64::from).collect::<Vec<_>>()) == NUM_BINS);
    }

    #[test]
    fn noisy_lines_are_drawn_twice() {
        let points: Points = (0..100).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let is_thin = |svg: String| svg.contains("opacity=\"0.3\"");
        assert!(!is_thin(lines(&[points[..30].to_vec()], false).unwrap()));
        assert!(is_thin(lines(&[points], false).unwrap()));
    }

    #[test]
    fn ticks_are_short() {
        let ticks = [(0.0, "0"), (120.0, "120"), (2.5, "2.5"), (0.25, "0.25"), (0.0002, "2e-4")];
        for (value, expected) in ticks {
            assert_eq!(number(value), expected);
        }
    }
}
