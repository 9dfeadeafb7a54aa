//! Bars of shares that add up to a whole: how many of something are in which class.
//!
//! The axis is linear, from nothing to all. Classes run from far too little (solid blue) over about
//! right (grey) to far too much (solid red); neighbours differ in lightness as well, so that colour
//! is not needed to tell them.

use crate::error::BenchError;
use crate::report::canvas::{Anchor, Canvas, Drawn, Ink, Svg, WIDTH};

const TITLE_SIZE: f64 = 15.0;
const LABEL_SIZE: f64 = 13.0;
const TICK_SIZE: f64 = 12.0;
/// Height of a bar with its gap, in pixels.
const LINE: i32 = 23;

/// How the classes are filled, from far too little to far too much.
const FILLS: [(Ink, bool); 5] =
    [(Ink::Blue, true), (Ink::Blue, false), (Ink::Grid, true), (Ink::Red, false), (Ink::Red, true)];

/// A chart of stacked shares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stacks {
    /// What the panel shows.
    pub(crate) title: String,
    /// The axis with its unit.
    pub(crate) axis: String,
    /// The classes in words.
    pub(crate) classes: [&'static str; 5],
    /// The bars: name, percent in each class, words at the right.
    pub(crate) bars: Vec<(String, [f64; 5], String)>,
}

impl Stacks {
    /// Draws the chart.
    ///
    /// # Errors
    /// When the backend refuses.
    pub(crate) fn draw(&self, alt: &str) -> Result<Svg, BenchError> {
        let width = |text: &String| (text.chars().count() as f64 * LABEL_SIZE * 0.56).ceil() as i32;
        let label = self.bars.iter().map(|(name, _, _)| width(name)).max().unwrap_or(0);
        let value = self.bars.iter().map(|(_, _, words)| width(words)).max().unwrap_or(0);
        let (left, right) = (label + 14, WIDTH - value - 20);
        let (top, bottom) = (54, 54 + LINE * self.bars.len() as i32);
        let at = |percent: f64| left + (percent / 100.0 * f64::from(right - left)).round() as i32;
        Canvas::draw((WIDTH, bottom + 42), alt, |canvas| {
            canvas.bold(&self.title, (4, 14), TITLE_SIZE)?;
            self.draw_legend(canvas)?;
            for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
                let x = at(percent);
                canvas.line((x, top - 2), (x, bottom + 2), Ink::Grid, 1)?;
                let style = (Anchor::Middle, Ink::Faint);
                canvas.text(&format!("{percent}"), (x, bottom + 11), TICK_SIZE, style)?;
            }
            let middle = i32::midpoint(left, right);
            canvas.text(
                &self.axis,
                (middle, bottom + 29),
                TICK_SIZE,
                (Anchor::Middle, Ink::Faint),
            )?;
            for (place, (name, shares, words)) in self.bars.iter().enumerate() {
                let y = top + LINE * place as i32 + LINE / 2;
                canvas.text(name, (label + 6, y), LABEL_SIZE, (Anchor::End, Ink::Text))?;
                canvas.text(words, (WIDTH - 4, y), LABEL_SIZE, (Anchor::End, Ink::Text))?;
                let mut below = 0.0;
                for (share, fill) in shares.iter().zip(FILLS) {
                    let ends = (at(below), at(below + share));
                    below += share;
                    if ends.1 > ends.0 {
                        block(canvas, ends, y, fill)?;
                    }
                }
            }
            Ok(())
        })
    }

    fn draw_legend(&self, canvas: &mut Canvas<'_>) -> Drawn {
        let step = (WIDTH - 8) / self.classes.len() as i32;
        for (place, (words, fill)) in self.classes.iter().zip(FILLS).enumerate() {
            let x = 4 + step * place as i32;
            block(canvas, (x, x + 12), 36, fill)?;
            canvas.text(words, (x + 16, 36), TICK_SIZE, (Anchor::Start, Ink::Text))?;
        }
        Ok(())
    }
}

fn block(
    canvas: &mut Canvas<'_>,
    (left, right): (i32, i32),
    y: i32,
    (ink, is_solid): (Ink, bool),
) -> Drawn {
    let (top, bottom) = (y - 8, y + 8);
    if is_solid {
        return canvas.rect((left, top), (right, bottom), ink);
    }
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
    canvas.band(&corners, ink)?;
    canvas.path(&[corners[0], corners[1], corners[2], corners[3], corners[0]], ink, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fill_the_axis_and_empty_classes_draw_nothing() {
        let chart = |shares| Stacks {
            title: "t".into(),
            axis: "percent".into(),
            classes: ["a", "b", "c", "d", "e"],
            bars: vec![("bar".into(), shares, "words".into())],
        };
        let all_near = chart([0.0, 0.0, 100.0, 0.0, 0.0]).draw("x").unwrap().inline;
        let both_ends = chart([50.0, 0.0, 0.0, 0.0, 50.0]).draw("x").unwrap().inline;
        // One block for each class in the legend: three of them filled, as is the page's own bar.
        assert_eq!(all_near.matches("<rect").count() + 1, both_ends.matches("<rect").count());
    }
}
