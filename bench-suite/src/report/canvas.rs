//! A drawing surface for one panel: plotters' SVG backend, with colours that follow the page.
//!
//! Panels are drawn about as wide as a phone, so that their text is legible there and on paper
//! alike; wider screens show several side by side. Colours are those of Okabe and Ito, which stay
//! apart for colour-blind readers, and are written as CSS variables, so that one drawing serves
//! light, dark and print. A [`Svg`] can also stand alone, with its own style for both.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, IntoFont, RGBAColor, RGBColor, ShapeStyle, TextStyle};

use crate::error::BenchError;

/// The width of a panel in CSS pixels.
pub(crate) const WIDTH: i32 = 400;

/// What plotters divides a font size by when it writes it.
const FONT_SCALE: f64 = 1.24;

/// The inks, each with its CSS variable and its values on a light and a dark page.
const INKS: [(Ink, &str, &str, &str); 8] = [
    (Ink::Text, "--ink", "#1b1f24", "#e8eaed"),
    (Ink::Faint, "--faint", "#59636e", "#a4adb8"),
    (Ink::Grid, "--grid", "#d9dee3", "#363d45"),
    (Ink::Blue, "--blue", "#0072b2", "#4ba6e0"),
    (Ink::Red, "--red", "#d55e00", "#f0813a"),
    (Ink::Green, "--green", "#009e73", "#2fc79b"),
    (Ink::Purple, "--purple", "#b0568d", "#dd92c0"),
    (Ink::Grey, "--grey", "#8a939c", "#8a939c"),
];

/// A colour by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Text and marks that matter.
    Text,
    /// Secondary text.
    Faint,
    /// Grid lines.
    Grid,
    /// A series; a gain.
    Blue,
    /// A series; a loss.
    Red,
    /// A series.
    Green,
    /// A series.
    Purple,
    /// What does not differ, or serves as reference.
    Grey,
}

impl Ink {
    /// A colour that stands for this ink until the CSS variable replaces it.
    fn placeholder(self) -> RGBColor {
        RGBColor(1, 2, self as u8)
    }

    fn solid(self) -> RGBAColor {
        self.placeholder().to_rgba()
    }
}

/// Where text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A finished drawing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Svg {
    /// `<svg>…</svg>`, coloured by the page's CSS variables.
    pub(crate) inline: String,
    width: i32,
    height: i32,
}

impl Svg {
    /// The drawing as a file of its own, for light and dark surroundings.
    pub(crate) fn standalone(&self) -> String {
        let size = format!(" width=\"{}\" height=\"{}\" viewBox", self.width, self.height);
        let style = format!(
            "<style>{}svg{{background:var(--page)}}text{{font-family:{FONTS}}}</style>",
            variables(":root")
        );
        let (head, rest) = self.inline.split_once('>').unwrap_or((&self.inline, ""));
        let head = head.replacen(" viewBox", &size, 1);
        format!("{head}>\n{style}{rest}\n")
    }
}

/// The fonts of page and pictures: what the reader's system has.
pub(crate) const FONTS: &str = "system-ui,-apple-system,'Segoe UI',Roboto,sans-serif";

/// CSS that defines the inks on `selector`, for light and dark.
pub(crate) fn variables(selector: &str) -> String {
    let list = |pick: fn(&(Ink, &str, &'static str, &'static str)) -> &'static str| {
        INKS.iter().map(|ink| format!("{}:{};", ink.1, pick(ink))).collect::<String>()
    };
    format!(
        "{selector}{{--page:#ffffff;{}}}@media (prefers-color-scheme:dark){{{selector}{{--page:#14171a;{}}}}}",
        list(|ink| ink.2),
        list(|ink| ink.3),
    )
}

/// A panel being drawn.
pub(crate) struct Canvas<'a> {
    backend: SVGBackend<'a>,
}

/// A point in pixels from the upper left corner.
pub(crate) type Point = (i32, i32);
/// Whether the backend took a drawing operation.
pub(crate) type Drawn = Result<(), BenchError>;

fn drawn<E: std::fmt::Display>(result: Result<(), E>) -> Drawn {
    result.map_err(|error| BenchError::Render(error.to_string()))
}

impl Canvas<'_> {
    /// Draws a panel. `alt` is read aloud in place of the picture.
    ///
    /// # Errors
    /// When the backend refuses a drawing operation.
    pub(crate) fn draw(
        (width, height): (i32, i32),
        alt: &str,
        paint: impl FnOnce(&mut Canvas<'_>) -> Drawn,
    ) -> Result<Svg, BenchError> {
        let mut markup = String::new();
        let size = (width.unsigned_abs(), height.unsigned_abs());
        let mut canvas = Canvas { backend: SVGBackend::with_string(&mut markup, size) };
        paint(&mut canvas)?;
        drawn(canvas.backend.present())?;
        drop(canvas);
        Ok(Svg { inline: finish(&markup, width, height, alt), width, height })
    }

    pub(crate) fn line(&mut self, from: Point, to: Point, ink: Ink, width: u32) -> Drawn {
        self.path(&[from, to], ink, width)
    }

    pub(crate) fn path(&mut self, points: &[Point], ink: Ink, width: u32) -> Drawn {
        let style = ShapeStyle { color: ink.solid(), filled: false, stroke_width: width };
        drawn(self.backend.draw_path(points.iter().copied(), &style))
    }

    /// A dashed straight line.
    pub(crate) fn dashed(&mut self, from: Point, to: Point, ink: Ink) -> Drawn {
        let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
        let length = dx.hypot(dy).max(1.0);
        let at = |distance: f64| {
            let share = (distance / length).min(1.0);
            (from.0 + (dx * share).round() as i32, from.1 + (dy * share).round() as i32)
        };
        let mut start = 0.0;
        while start < length {
            self.line(at(start), at(start + 4.0), ink, 1)?;
            start += 7.0;
        }
        Ok(())
    }

    pub(crate) fn rect(&mut self, a: Point, b: Point, ink: Ink) -> Drawn {
        let (left, right) = (a.0.min(b.0), a.0.max(b.0));
        let (top, bottom) = (a.1.min(b.1), a.1.max(b.1));
        drawn(self.backend.draw_rect((left, top), (right, bottom), &ink.solid(), true))
    }

    /// A filled area, see-through.
    pub(crate) fn band(&mut self, outline: &[Point], ink: Ink) -> Drawn {
        drawn(self.backend.fill_polygon(outline.iter().copied(), &ink.placeholder().mix(0.18)))
    }

    /// A data point; each series has its own shape, so that colour is not needed to tell them.
    pub(crate) fn mark(&mut self, (x, y): Point, shape: usize, ink: Ink) -> Drawn {
        match shape % 4 {
            0 => drawn(self.backend.draw_circle((x, y), 4, &ink.solid(), true)),
            1 => self.rect((x - 4, y - 4), (x + 4, y + 4), ink),
            2 => {
                let points = [(x - 5, y + 4), (x + 5, y + 4), (x, y - 5)];
                drawn(self.backend.fill_polygon(points, &ink.solid()))
            }
            _ => {
                let points = [(x - 5, y), (x, y - 5), (x + 5, y), (x, y + 5)];
                drawn(self.backend.fill_polygon(points, &ink.solid()))
            }
        }
    }

    /// A small dot, one of many.
    pub(crate) fn dot(&mut self, at: Point, ink: Ink) -> Drawn {
        drawn(self.backend.draw_circle(at, 2, &ink.placeholder().mix(0.6), true))
    }

    /// A horizontal interval: a line with caps.
    pub(crate) fn whisker(&mut self, (low, high): (i32, i32), y: i32, ink: Ink) -> Drawn {
        self.line((low, y), (high, y), ink, 2)?;
        self.line((low, y - 3), (low, y + 3), ink, 2)?;
        self.line((high, y - 3), (high, y + 3), ink, 2)
    }

    pub(crate) fn text(
        &mut self,
        text: &str,
        at: Point,
        size: f64,
        (anchor, ink): (Anchor, Ink),
    ) -> Drawn {
        self.styled_text(text, at, size, (anchor, ink), false)
    }

    pub(crate) fn bold(&mut self, text: &str, at: Point, size: f64) -> Drawn {
        self.styled_text(text, at, size, (Anchor::Start, Ink::Text), true)
    }

    /// Text along the vertical axis, read from below.
    pub(crate) fn vertical_text(&mut self, text: &str, at: Point, size: f64) -> Drawn {
        let font =
            ("sans-serif", size * FONT_SCALE).into_font().transform(FontTransform::Rotate270);
        let color = Ink::Faint.placeholder();
        let style = TextStyle::from(font).color(&color).pos(Pos::new(HPos::Center, VPos::Center));
        drawn(self.backend.draw_text(text, &style, at))
    }

    fn styled_text(
        &mut self,
        text: &str,
        at: Point,
        size: f64,
        (anchor, ink): (Anchor, Ink),
        bold: bool,
    ) -> Drawn {
        let horizontal = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let weight = if bold { "bold" } else { "normal" };
        let font = ("sans-serif", size * FONT_SCALE, weight).into_font();
        let color = ink.placeholder();
        let style = TextStyle::from(font).color(&color).pos(Pos::new(horizontal, VPos::Center));
        drawn(self.backend.draw_text(text, &style, at))
    }
}

/// Replaces placeholders by CSS variables, and the frame by one that scales and can be read aloud.
fn finish(markup: &str, width: i32, height: i32, alt: &str) -> String {
    let body = markup.split_once('>').map_or("", |(_, body)| body);
    let mut body = body.replace("font-family=\"sans-serif\" ", "");
    for (ink, variable, _, _) in INKS {
        let RGBColor(red, green, blue) = ink.placeholder();
        let placeholder = format!("#{red:02X}{green:02X}{blue:02X}");
        body = body.replace(&placeholder, &format!("var({variable})"));
    }
    let body = body.replace(" opacity=\"1\"", "").replace(" stroke=\"none\"", "");
    let alt = alt.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{alt}\">{}",
        body.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel() -> Svg {
        Canvas::draw((100, 50), "one & two", |canvas| {
            canvas.line((0, 0), (10, 10), Ink::Blue, 1)?;
            canvas.text("a < b", (5, 5), 12.0, (Anchor::Start, Ink::Text))
        })
        .unwrap()
    }

    #[test]
    fn a_drawing_has_an_alternative_text_and_no_fixed_colours() {
        let svg = panel().inline;
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"), "{svg}");
        assert!(svg.contains("aria-label=\"one &amp; two\"") && svg.contains("a &lt; b"), "{svg}");
        assert!(svg.contains("var(--blue)") && svg.contains("var(--ink)"), "{svg}");
        assert!(!svg.contains("#0102"), "{svg}");
    }

    #[test]
    fn a_standalone_drawing_brings_its_own_light_and_dark_style() {
        let svg = panel().standalone();
        assert!(svg.contains("width=\"100\" height=\"50\" viewBox"), "{svg}");
        assert!(svg.contains("prefers-color-scheme:dark"), "{svg}");
        assert_eq!(svg.matches("<svg").count(), 1);
    }
}
