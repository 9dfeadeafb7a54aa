//! Where things stand in a picture.

/// An operation to be drawn.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) lane: usize,
    /// The event of its call, and of its return.
    pub(super) called_at: u64,
    pub(super) returned_at: Option<u64>,
    pub(super) label: String,
    pub(super) title: String,
    pub(super) class: &'static str,
    /// Its place in the order, from 0.
    pub(super) place: Option<usize>,
}

/// Room for one character of a label, in pixels.
const CHARACTER_PX: f64 = 7.4;
/// Room around a label.
const MARGIN_PX: f64 = 12.0;
/// Room between an event and the next.
const STEP_PX: f64 = 12.0;

/// Where a bar stands, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) left: f64,
    /// `None`: it has no end.
    pub(super) right: Option<f64>,
    /// Where it takes effect, if the order says so.
    pub(super) point: Option<f64>,
}

/// Bars side by side, and how wide that is.
pub(super) struct Layout {
    pub(super) places: Vec<Place>,
    pub(super) width: f64,
}

fn width_of(bar: &Bar) -> f64 {
    bar.label.chars().count() as f64 * CHARACTER_PX + MARGIN_PX
}

/// Gives each event the first place that leaves room for the events before it and for the label of
/// the bar that it ends.
pub(super) fn place(bars: &[Bar]) -> Layout {
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(bars.len() * 2);
    for (index, bar) in bars.iter().enumerate() {
        events.push((bar.called_at, false, index));
        events.extend(bar.returned_at.map(|at| (at, true, index)));
    }
    events.sort_unstable();
    let start = Place { left: 0.0, right: None, point: None };
    let mut places = vec![start; bars.len()];
    let mut at = STEP_PX / 2.0;
    let mut width: f64 = 0.0;
    // The next call of a process waits until the label of an open bar ends.
    let lanes = bars.iter().map(|bar| bar.lane + 1).max().unwrap_or(0);
    let mut lane_free = vec![0.0f64; lanes];
    for (_, is_return, index) in events {
        let (bar, place) = (&bars[index], &mut places[index]);
        if is_return {
            at = at.max(place.left + width_of(bar));
            place.right = Some(at);
            lane_free[bar.lane] = at + STEP_PX / 2.0;
        } else {
            at = at.max(lane_free[bar.lane]);
            place.left = at;
            lane_free[bar.lane] = at + width_of(bar) + MARGIN_PX;
        }
        width = width.max(place.left + width_of(bar) + 2.0 * MARGIN_PX).max(at);
        at += STEP_PX;
    }
    width = width.max(at);
    set_points(bars, &mut places, width);
    Layout { places, width }
}

/// Operations take effect in their order, each within its bar.
fn set_points(bars: &[Bar], places: &mut [Place], width: f64) {
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (index, bar) in bars.iter().enumerate() {
        order.extend(bar.place.map(|place| (place, index)));
    }
    order.sort_unstable();
    let mut at: f64 = 0.0;
    for (_, index) in order {
        let place = &mut places[index];
        let last = place.right.unwrap_or(width) - 4.0;
        at = (at + 3.0).max(place.left + 8.0).min(last.max(place.left));
        place.point = Some(at);
    }
}

/// The bars around one.
pub(super) struct Window {
    pub(super) bars: Vec<Bar>,
    pub(super) note: Option<String>,
}

/// The bars that run between some events before the call of `dead` and some after its return.
/// Bars of unknown outcome that are older and explain nothing are left out.
pub(super) fn window(
    bars: &[Bar],
    dead: usize,
    before: usize,
    after: usize,
    events_max: usize,
) -> Window {
    let mut times: Vec<u64> = Vec::with_capacity(bars.len() * 2);
    for bar in bars {
        times.push(bar.called_at);
        times.extend(bar.returned_at);
    }
    times.sort_unstable();
    let place_of = |time: u64| times.partition_point(|other| *other < time);
    let returned = place_of(bars[dead].returned_at.unwrap_or(u64::MAX));
    let last = (returned + after).min(times.len() - 1);
    let first = place_of(bars[dead].called_at).saturating_sub(before);
    let first = first.max((last + 1).saturating_sub(events_max));
    let (from, to) = (times[first], times[last]);
    let mut window = Window { bars: Vec::new(), note: None };
    let mut left_out = 0;
    for bar in bars {
        let runs = bar.called_at <= to && bar.returned_at.is_none_or(|at| at >= from);
        if runs && bar.returned_at.is_none() && bar.called_at < from && bar.place.is_none() {
            left_out += 1;
        } else if runs {
            let mut bar = bar.clone();
            // What starts or ends outside is drawn to the edge.
            bar.called_at = bar.called_at.max(from);
            bar.returned_at = bar.returned_at.map(|at| at.min(to + 1));
            window.bars.push(bar);
        }
    }
    if left_out > 0 {
        window.note = Some(format!(
            "Older calls of unknown outcome that explain nothing are left out: {left_out}."
        ));
    }
    window
}
