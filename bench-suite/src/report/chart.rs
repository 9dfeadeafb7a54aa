//! The two kinds of chart of the report: horizontal marks over one axis, and lines over two.
//!
//! Both show the 95 % interval of every figure, write the figure beside its mark or name each line
//! at its end, and name their axis with its unit. Scales are logarithmic wherever factors are
//! compared, so that equal factors are equally long.

use crate::error::BenchError;
use crate::report::canvas::{Anchor, Canvas, Drawn, Ink, Point, Svg, WIDTH};
use crate::stats::{Interval, short};

const TITLE_SIZE: f64 = 15.0;
const LABEL_SIZE: f64 = 13.0;
const TICK_SIZE: f64 = 12.0;
/// Height of a line of a horizontal chart with up to three points, in pixels.
const LINE: i32 = 25;
/// Where the dots of a spread stand around the middle of their line, in pixels.
const DOT_ROWS: [i32; 3] = [0, -5, 5];
/// What stands between two points of one line, in pixels.
const POINT_GAP: i32 = 6;
/// Ticks of an axis at most.
const TICKS_MAX: usize = 6;
/// Room for a tick's text along the width, in pixels.
const TICK_WIDTH: i32 = 36;

/// What stands on one line of a horizontal chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mark {
    /// A bar from the reference to the figure.
    Bar(Interval),
    /// A point at each figure: shape number and figure.
    Points(Vec<(usize, Ink, Interval)>),
    /// A dot at each value, ascending, and a mark at the median.
    Spread(Vec<f64>),
    /// Words instead: a heading, or why there is no figure.
    Note(String),
}

/// One line of a horizontal chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Its name, at the left.
    pub(crate) label: String,
    /// What is drawn.
    pub(crate) mark: Mark,
    /// The figure in words, at the right.
    pub(crate) value: String,
    /// The colour of a bar.
    pub(crate) ink: Ink,
    /// Whether a thin rule separates it from the line above.
    pub(crate) starts_group: bool,
}

/// A horizontal chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Horizontal {
    /// What the panel shows.
    pub(crate) title: String,
    /// The axis with its unit.
    pub(crate) axis: String,
    /// Where bars start; charts of points have none.
    pub(crate) reference: Option<f64>,
    /// Whether ticks are factors (`×2`).
    pub(crate) factors: bool,
    /// The lines from top to bottom.
    pub(crate) lines: Vec<Line>,
    /// What the shapes mean: shape number, ink, words.
    pub(crate) legend: Vec<(usize, Ink, String)>,
}

/// A series of a line chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// Its name.
    pub(crate) name: String,
    /// Its colour.
    pub(crate) ink: Ink,
    /// The shape of its points.
    pub(crate) shape: usize,
    /// Its points, x ascending.
    pub(crate) points: Vec<(f64, Interval)>,
    /// A single figure drawn as a dashed level instead.
    pub(crate) is_level: bool,
}

/// A line chart, both axes logarithmic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lines {
    /// What the panel shows.
    pub(crate) title: String,
    /// The horizontal axis with its unit.
    pub(crate) x_axis: String,
    /// The vertical axis with its unit.
    pub(crate) y_axis: String,
    /// The lines.
    pub(crate) series: Vec<Series>,
}

/// A calculated line in a line chart, drawn dashed and without points.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Guide {
    /// Its colour.
    pub(crate) ink: Ink,
    /// Its points, x ascending.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A logarithmic scale from values to pixels.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low: f64,
    high: f64,
    from: i32,
    to: i32,
}

impl Scale {
    /// Covers `values` (those above zero), at least a factor of `span_min`.
    fn over(values: impl Iterator<Item = f64>, span_min: f64, (from, to): (i32, i32)) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            low = low.min(value);
            high = high.max(value);
        }
        if high == 0.0 {
            (low, high) = (1.0, 10.0);
        }
        let middle = (low * high).sqrt();
        if high / low < span_min {
            (low, high) = (middle / span_min.sqrt(), middle * span_min.sqrt());
        }
        let margin = (high / low).powf(0.04);
        Self { low: low / margin, high: high * margin, from, to }
    }

    fn at(self, value: f64) -> i32 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        let width = f64::from(self.to - self.from);
        self.from + (share.clamp(0.0, 1.0) * width).round() as i32
    }

    /// Round values inside the scale, at least two and at most about six.
    fn ticks(self) -> Vec<f64> {
        let inside = |steps: &[f64], stride: i32| -> Vec<f64> {
            let first = (self.low.log10().floor() as i32).div_euclid(stride) * stride;
            (0..=12)
                .map(|step| first + step * stride)
                .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
                .filter(|tick| (self.low..=self.high).contains(tick))
                .collect()
        };
        let finest_first: [(&[f64], i32); 5] = [
            (&[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 1),
            (&[1.0, 2.0, 5.0], 1),
            (&[1.0, 3.0], 1),
            (&[1.0], 1),
            (&[1.0], 2),
        ];
        let options = finest_first.map(|(steps, stride)| inside(steps, stride));
        // Along the width each tick needs room for its text.
        let room = usize::try_from((self.to - self.from) / TICK_WIDTH).unwrap_or(TICKS_MAX);
        let fits = |ticks: &&Vec<f64>| ticks.len() <= room.clamp(2, TICKS_MAX);
        options.iter().find(fits).unwrap_or(&options[4]).clone()
    }
}

impl Horizontal {
    /// Draws the chart.
    ///
    /// # Errors
    /// When the backend refuses.
    pub(crate) fn draw(&self, alt: &str) -> Result<Svg, BenchError> {
        let legend_rows = self.legend_places().last().map_or(0, |(_, row)| row + 1);
        let top = 34 + if legend_rows == 0 { 0 } else { 20 + 16 * (legend_rows - 1) };
        let line_height = self.line_height();
        let bottom = top + line_height * self.lines.len() as i32;
        let height = bottom + 46;
        let label_width = self.lines.iter().map(|line| text_width(&line.label)).max().unwrap_or(0);
        let value_width = self.lines.iter().map(|line| text_width(&line.value)).max().unwrap_or(0);
        let plot = (label_width + 18, WIDTH - value_width - 12);
        let ends = self.lines.iter().flat_map(|line| line.mark.ends()).chain(self.reference);
        let scale = Scale::over(ends, if self.factors { 1.5 } else { 3.0 }, plot);
        Canvas::draw((WIDTH, height), alt, |canvas| {
            canvas.bold(&self.title, (4, 14), TITLE_SIZE)?;
            self.draw_legend(canvas)?;
            for tick in scale.ticks() {
                let x = scale.at(tick);
                canvas.line((x, top), (x, bottom), Ink::Grid, 1)?;
                let text = if self.factors { "×" } else { "" }.to_owned() + &tick_text(tick);
                canvas.text(&text, (x, bottom + 12), TICK_SIZE, (Anchor::Middle, Ink::Faint))?;
            }
            if let Some(reference) = self.reference {
                let x = scale.at(reference);
                canvas.line((x, top - 3), (x, bottom + 3), Ink::Text, 1)?;
            }
            let middle = i32::midpoint(plot.0, plot.1).clamp(text_width(&self.axis) / 2, WIDTH);
            canvas.text(
                &self.axis,
                (middle, bottom + 32),
                TICK_SIZE,
                (Anchor::Middle, Ink::Faint),
            )?;
            for (place, line) in self.lines.iter().enumerate() {
                let y = top + line_height * place as i32 + line_height / 2;
                if line.starts_group {
                    let above = y - line_height / 2;
                    canvas.line((4, above), (WIDTH - 4, above), Ink::Grid, 1)?;
                }
                line.draw(canvas, y, scale, self.reference, label_width)?;
            }
            Ok(())
        })
    }

    /// The height of a line, so that its points keep apart from those of the next.
    fn line_height(&self) -> i32 {
        let points = |line: &Line| match &line.mark {
            Mark::Points(points) => points.len() as i32,
            _ => 1,
        };
        let most = self.lines.iter().map(points).max().unwrap_or(1);
        LINE + POINT_GAP * (most - 3).max(0)
    }

    /// Where the legend's entries stand: from the left, and in which row.
    fn legend_places(&self) -> Vec<(i32, i32)> {
        let (mut x, mut row) = (10, 0);
        let place = |(_, _, words): &(usize, Ink, String)| {
            let width = 24 + text_width(words);
            if x > 10 && x + width > WIDTH {
                (x, row) = (10, row + 1);
            }
            let place = (x, row);
            x += width;
            place
        };
        self.legend.iter().map(place).collect()
    }

    fn draw_legend(&self, canvas: &mut Canvas<'_>) -> Drawn {
        for ((shape, ink, words), (x, row)) in self.legend.iter().zip(self.legend_places()) {
            let y = 36 + 16 * row;
            canvas.mark((x, y), *shape, *ink)?;
            canvas.text(words, (x + 10, y), TICK_SIZE, (Anchor::Start, Ink::Text))?;
        }
        Ok(())
    }
}

impl Mark {
    fn ends(&self) -> Vec<f64> {
        match self {
            Self::Bar(interval) => vec![interval.low, interval.high],
            Self::Points(points) => {
                points.iter().flat_map(|(_, _, interval)| [interval.low, interval.high]).collect()
            }
            Self::Spread(values) => values.clone(),
            Self::Note(_) => Vec::new(),
        }
    }
}

impl Line {
    fn draw(
        &self,
        canvas: &mut Canvas<'_>,
        y: i32,
        scale: Scale,
        reference: Option<f64>,
        label_width: i32,
    ) -> Drawn {
        canvas.text(&self.label, (label_width + 6, y), LABEL_SIZE, (Anchor::End, Ink::Text))?;
        canvas.text(&self.value, (WIDTH - 4, y), LABEL_SIZE, (Anchor::End, Ink::Text))?;
        match &self.mark {
            Mark::Bar(interval) => {
                // Only ratios have bars: on a logarithmic scale a bar needs a place to start.
                let from = reference.map_or(scale.from, |reference| scale.at(reference));
                canvas.rect((from, y - 7), (scale.at(interval.median), y + 7), self.ink)?;
                canvas.whisker((scale.at(interval.low), scale.at(interval.high)), y, Ink::Text)
            }
            Mark::Points(points) => {
                // Several systems on one line stand a little apart, so that equal ones are seen.
                let spread = if points.len() > 2 { POINT_GAP } else { 0 };
                let top = y - spread * (points.len() as i32 - 1) / 2;
                for (place, (shape, ink, interval)) in points.iter().enumerate() {
                    let y = top + spread * place as i32;
                    let ends = (scale.at(interval.low), scale.at(interval.high));
                    if ends.1 - ends.0 > 6 {
                        canvas.line((ends.0, y), (ends.1, y), *ink, 2)?;
                    }
                    canvas.mark((scale.at(interval.median), y), *shape, *ink)?;
                }
                Ok(())
            }
            Mark::Spread(values) => self.draw_spread(canvas, y, scale, values),
            Mark::Note(words) => {
                let x = if self.label.is_empty() { 4 } else { scale.from + 4 };
                canvas.text(words, (x, y), TICK_SIZE, (Anchor::Start, Ink::Faint))
            }
        }
    }
}

impl Line {
    fn draw_spread(&self, canvas: &mut Canvas<'_>, y: i32, scale: Scale, values: &[f64]) -> Drawn {
        for (place, value) in values.iter().enumerate() {
            // In three rows, so that neighbours that are alike stay apart.
            let y = y + DOT_ROWS[place % DOT_ROWS.len()];
            canvas.dot((scale.at(*value), y), Ink::Faint)?;
        }
        let median = values.get((values.len().max(1) - 1) / 2);
        median.map_or(Ok(()), |median| canvas.mark((scale.at(*median), y), 3, self.ink))
    }
}

impl Lines {
    /// Draws the chart.
    ///
    /// # Errors
    /// When the backend refuses.
    pub(crate) fn draw(&self, alt: &str) -> Result<Svg, BenchError> {
        self.draw_with(&[], alt)
    }

    /// Draws the chart with calculated lines behind the measured ones. They do not widen the
    /// scales; what lies outside is left out.
    ///
    /// # Errors
    /// When the backend refuses.
    pub(crate) fn draw_with(&self, guides: &[Guide], alt: &str) -> Result<Svg, BenchError> {
        let name_width = self.series.iter().map(|series| text_width(&series.name)).max();
        let (left, right) = (58, WIDTH - name_width.unwrap_or(0) - 14);
        let (top, bottom) = (34, 268);
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Scale::over(
            self.series.iter().filter(|s| !s.is_level).flat_map(|s| &s.points).map(|(x, _)| *x),
            4.0,
            (left, right),
        );
        let y = Scale::over(points().flat_map(|(_, i)| [i.low, i.high]), 4.0, (bottom, top));
        Canvas::draw((WIDTH, bottom + 50), alt, |canvas| {
            canvas.bold(&self.title, (4, 14), TITLE_SIZE)?;
            for tick in x.ticks() {
                let at = x.at(tick);
                canvas.line((at, top), (at, bottom), Ink::Grid, 1)?;
                let style = (Anchor::Middle, Ink::Faint);
                canvas.text(&tick_text(tick), (at, bottom + 13), TICK_SIZE, style)?;
            }
            for tick in y.ticks() {
                let at = y.at(tick);
                canvas.line((left, at), (right, at), Ink::Grid, 1)?;
                let style = (Anchor::End, Ink::Faint);
                canvas.text(&tick_text(tick), (left - 5, at), TICK_SIZE, style)?;
            }
            let middle = i32::midpoint(left, right);
            let style = (Anchor::Middle, Ink::Faint);
            canvas.text(&self.x_axis, (middle, bottom + 35), TICK_SIZE, style)?;
            canvas.vertical_text(&self.y_axis, (9, i32::midpoint(top, bottom)), TICK_SIZE)?;
            for guide in guides {
                guide.draw(canvas, x, y)?;
            }
            for series in &self.series {
                series.draw(canvas, x, y)?;
            }
            self.draw_names(canvas, x, y)
        })
    }

    /// Names each line at its end, moved apart where ends are close together.
    fn draw_names(&self, canvas: &mut Canvas<'_>, x: Scale, y: Scale) -> Drawn {
        let end = |series: &'_ Series| series.points.last().map(|(_, i)| y.at(i.median));
        let mut names: Vec<(i32, &Series)> =
            self.series.iter().filter_map(|series| Some((end(series)?, series))).collect();
        names.sort_by_key(|(at, _)| *at);
        let mut lowest = i32::MIN;
        for (at, series) in names {
            let at = at.max(lowest.saturating_add(15));
            lowest = at;
            canvas.text(&series.name, (x.to + 9, at), LABEL_SIZE, (Anchor::Start, series.ink))?;
        }
        Ok(())
    }
}

impl Guide {
    fn draw(&self, canvas: &mut Canvas<'_>, x: Scale, y: Scale) -> Drawn {
        for pair in self.points.windows(2) {
            let inside = pair.iter().all(|(at, value)| {
                (x.low..=x.high).contains(at) && (y.low..=y.high).contains(value)
            });
            if inside {
                let [from, to] = [pair[0], pair[1]].map(|(at, value)| (x.at(at), y.at(value)));
                canvas.dashed(from, to, self.ink)?;
            }
        }
        Ok(())
    }
}

impl Series {
    fn draw(&self, canvas: &mut Canvas<'_>, x: Scale, y: Scale) -> Drawn {
        if self.is_level {
            let Some((_, interval)) = self.points.first() else { return Ok(()) };
            let at = y.at(interval.median);
            return canvas.dashed((x.from, at), (x.to, at), self.ink);
        }
        let place = |pick: fn(&Interval) -> f64| -> Vec<Point> {
            self.points.iter().map(|(at, i)| (x.at(*at), y.at(pick(i)))).collect()
        };
        let mut outline = place(|interval| interval.low);
        outline.extend(place(|interval| interval.high).into_iter().rev());
        if self.points.len() > 1 {
            canvas.band(&outline, self.ink)?;
            canvas.path(&place(|interval| interval.median), self.ink, 2)?;
        }
        for point in place(|interval| interval.median) {
            canvas.mark(point, self.shape, self.ink)?;
        }
        Ok(())
    }
}

/// About how wide `text` is in labels, in pixels. Narrow on the safe side for common system fonts.
fn text_width(text: &str) -> i32 {
    (text.chars().count() as f64 * LABEL_SIZE * 0.56).ceil() as i32
}

/// A tick's value without digits that say nothing: `50`, not `50.0`.
fn tick_text(value: f64) -> String {
    let text = short(value);
    let (digits, suffix) = text.split_once(' ').map_or((text.as_str(), ""), |(d, s)| (d, s));
    let digits = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    };
    if suffix.is_empty() { digits.to_owned() } else { format!("{digits} {suffix}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(median: f64) -> Interval {
        Interval { median, low: median * 0.9, high: median * 1.1, repetitions: 3 }
    }

    #[test]
    fn a_scale_keeps_order_and_equal_factors_equally_long() {
        let scale = Scale::over([1.0, 100.0].into_iter(), 2.0, (0, 1000));
        let (one, ten, hundred) = (scale.at(1.0), scale.at(10.0), scale.at(100.0));
        assert!(one < ten && ten < hundred);
        assert!(((ten - one) - (hundred - ten)).abs() <= 1);
        assert_eq!(scale.at(0.0), 0);
    }

    #[test]
    fn ticks_are_round_few_and_inside() {
        for (low, high) in [(0.9, 1.3), (0.05, 12.0), (1.0, 8192.0), (3e3, 5e7), (17.0, 19.0)] {
            let scale = Scale::over([low, high].into_iter(), 1.5, (0, 300));
            let ticks = scale.ticks();
            assert!((2..=6).contains(&ticks.len()), "{low}..{high}: {ticks:?}");
            assert!(ticks.iter().all(|tick| (scale.low..=scale.high).contains(tick)));
        }
    }

    #[test]
    fn a_chart_without_figures_is_still_drawn() {
        let chart =
            Lines { title: "t".into(), x_axis: "x".into(), y_axis: "y".into(), series: Vec::new() };
        assert!(chart.draw("nothing").unwrap().inline.contains("</svg>"));
    }

    #[test]
    fn ticks_show_no_digits_that_say_nothing() {
        for (value, text) in [(50.0, "50"), (0.2, "0.2"), (2e6, "2 M"), (1.5e5, "150 k")] {
            assert_eq!(tick_text(value), text);
        }
    }

    #[test]
    fn names_at_line_ends_do_not_overlap() {
        let series = |name: &str| Series {
            name: name.into(),
            ink: Ink::Blue,
            shape: 0,
            points: vec![(1.0, interval(5.0)), (2.0, interval(5.0))],
            is_level: false,
        };
        let chart = Lines {
            title: "t".into(),
            x_axis: "x".into(),
            y_axis: "y".into(),
            series: vec![series("first-name"), series("second-name")],
        };
        let svg = chart.draw("two").unwrap().inline;
        let height_of = |name: &str| -> i32 {
            let before = &svg[..svg.find(name).unwrap()];
            let tag = &before[before.rfind("<text").unwrap()..];
            tag.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
        };
        assert!((height_of("first-name") - height_of("second-name")).abs() >= 15);
    }
}
