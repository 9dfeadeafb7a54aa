//! Bars as SVG.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape;
use super::layout::{Bar, Place, place};

/// The height of a lane, in pixels.
const LANE_PX: f64 = 44.0;
/// The height of a bar.
const BAR_PX: f64 = 22.0;
/// Room above the first lane and below the last.
const EDGE_PX: f64 = 8.0;

/// Writes a picture of `bars` that can be scrolled. Only lanes with a bar are drawn.
pub(super) fn write(page: &mut String, bars: &[Bar], lanes: &[String], note: Option<&str>) {
    let mut used: Vec<usize> = bars.iter().map(|bar| bar.lane).collect();
    used.sort_unstable();
    used.dedup();
    let rows: BTreeMap<usize, usize> =
        used.iter().enumerate().map(|(row, lane)| (*lane, row)).collect();
    let mut bars: Vec<Bar> = bars.to_vec();
    for bar in &mut bars {
        bar.lane = rows[&bar.lane];
    }
    let names: Vec<&str> = used.iter().map(|lane| lanes[*lane].as_str()).collect();
    let layout = place(&bars);
    let (width, height) = (layout.width.ceil(), names.len() as f64 * LANE_PX + 2.0 * EDGE_PX);
    page.push_str("<div class=\"scroll\" tabindex=\"0\">");
    write_lanes(page, &names, height);
    open(page, "bars", width, height, "operations over time, one lane for each process");
    for (row, name) in names.iter().enumerate() {
        let top = EDGE_PX + row as f64 * LANE_PX;
        if row % 2 == 0 {
            let _ = write!(
                page,
                "<rect class=\"stripe\" x=\"0\" y=\"{top}\" width=\"{width}\" height=\"{LANE_PX}\"/>"
            );
        }
        let _ = write!(
            page,
            "<text class=\"inlane number\" x=\"2\" y=\"{}\">{}</text>",
            top + LANE_PX - 4.0,
            escape(name)
        );
    }
    write_path(page, &bars, &layout.places);
    for (bar, place) in bars.iter().zip(&layout.places) {
        write_bar(page, bar, *place, width, height);
    }
    page.push_str("</svg></div>\n");
    if let Some(note) = note {
        let _ = writeln!(page, "<p class=\"facts\">{}</p>", escape(note));
    }
}

fn open(page: &mut String, class: &str, width: f64, height: f64, label: &str) {
    let _ = write!(
        page,
        "<svg class=\"{class}\" role=\"img\" aria-label=\"{label}\" \
         style=\"--w:{width}px;--h:{height}px\" viewBox=\"0 0 {width} {height}\">"
    );
}

fn write_lanes(page: &mut String, names: &[&str], height: f64) {
    let characters = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    open(page, "lanes", characters as f64 * 7.4 + 14.0, height, "processes");
    for (row, name) in names.iter().enumerate() {
        let y = EDGE_PX + row as f64 * LANE_PX + BAR_PX;
        let _ = write!(page, "<text class=\"lane\" x=\"6\" y=\"{y}\">{}</text>", escape(name));
    }
    page.push_str("</svg>");
}

fn top_of(bar: &Bar) -> f64 {
    EDGE_PX + bar.lane as f64 * LANE_PX + 5.0
}

/// The order, from point to point.
fn write_path(page: &mut String, bars: &[Bar], places: &[Place]) {
    let mut points: Vec<(usize, f64, f64)> = Vec::new();
    for (bar, place) in bars.iter().zip(places) {
        if let (Some(number), Some(x)) = (bar.place, place.point) {
            points.push((number, x, top_of(bar) + BAR_PX));
        }
    }
    points.sort_unstable_by_key(|(number, _, _)| *number);
    page.push_str("<polyline class=\"path\" points=\"");
    for (_, x, y) in points {
        let _ = write!(page, "{x:.0},{y:.0} ");
    }
    page.push_str("\"/>");
}

fn write_bar(page: &mut String, bar: &Bar, place: Place, width: f64, height: f64) {
    let (top, left) = (top_of(bar), place.left);
    let class = bar.class;
    let _ = write!(page, "<g class=\"{class}\"><title>{}</title>", escape(&bar.title));
    match place.right {
        Some(right) => {
            if class == "dead" {
                let _ = write!(
                    page,
                    "<line class=\"death\" x1=\"{right:.1}\" x2=\"{right:.1}\" y1=\"0\" y2=\"{height}\"/>"
                );
            }
            let _ = write!(
                page,
                "<rect x=\"{left:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{BAR_PX}\" rx=\"3\"/>",
                right - left
            );
        }
        // No end: the right side is open.
        None => {
            let _ = write!(page, "<path d=\"M{width} {top}H{left:.1}v{BAR_PX}H{width}\"/>");
        }
    }
    let (x, y) = (left + 6.0, top + 15.0);
    let _ = write!(page, "<text x=\"{x:.1}\" y=\"{y}\">{}</text>", escape(&bar.label));
    if let (Some(number), Some(x)) = (bar.place, place.point) {
        let (y, number) = (top + BAR_PX, number + 1);
        let _ = write!(
            page,
            "<circle class=\"point\" cx=\"{x:.1}\" cy=\"{y}\" r=\"3.5\"/>\
             <text class=\"number\" x=\"{:.1}\" y=\"{}\">{number}</text>",
            x + 5.0,
            y + 11.0
        );
    }
    page.push_str("</g>\n");
}
