//! Draws a run as a sequence chart in text: one column for each replica, time at the left, clients
//! at the right.
//!
//! ```text
//!   time ms  r0                  r1                  r2                  clients
//!    12.000  │                   ★ Leader, epoch 1   │                   │
//!    12.000  │                   ○ Append T1 s1 → r0 r2✗                 │
//!    12.500  │◀─ Append T1 s1 @12.0 ─┤               │                   │
//! ```
//!
//! A message shows twice: where it leaves (with its receivers, and which of them it will not reach),
//! and as an arrow when it arrives, with the time at which it left. What always holds: a line is
//! never wider than [`Window::width`]; what lies outside of the window changes the state of the
//! lifelines all the same.

mod row;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use quorate_smr::{ReplicaId, Role, Slot};

use crate::trace::{Happening, Mark, TraceEvent};
use row::{Layout, Life, wrap};

/// Lines between two repetitions of the heading.
const HEADING_LINES: usize = 60;
/// Lines that one text takes in a column, at most.
const COLUMN_LINES_MAX: usize = 3;
/// Lines that a text over the whole width takes, at most.
const WIDE_LINES_MAX: usize = 12;

/// What part of a run is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment, in nanoseconds.
    pub from_ns: u64,
    /// The last moment, in nanoseconds.
    pub to_ns: u64,
    /// The replicas that get a column; all when empty.
    pub only: BTreeSet<ReplicaId>,
    /// The widest line, in characters.
    pub width: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { from_ns: 0, to_ns: u64::MAX, only: BTreeSet::new(), width: 120 }
    }
}

impl Window {
    /// Whether the window covers this moment.
    #[must_use]
    pub const fn covers(&self, at_ns: u64) -> bool {
        self.from_ns <= at_ns && at_ns <= self.to_ns
    }
}

/// What waits for more of its kind, so that it takes one line together.
enum Pending {
    Sends { node: usize, label: String, receivers: String },
    Commits { node: usize, first: Slot, last: Slot },
}

/// A chart in the making.
pub struct Chart {
    window: Window,
    layout: Layout,
    lives: Vec<Life>,
    pending: Option<(u64, Pending)>,
    last_ns: Option<u64>,
    lines_since_heading: usize,
    lines: Vec<String>,
}

impl Chart {
    /// A chart of what happens within `window`.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self {
            layout: Layout::new(window.width, Vec::new()),
            window,
            lives: Vec::new(),
            pending: None,
            last_ns: None,
            lines_since_heading: 0,
            lines: Vec::new(),
        }
    }

    /// Takes the next event; the lines that are complete.
    pub fn draw(&mut self, event: &TraceEvent) -> Vec<String> {
        if !self.join(event) {
            self.flush();
            self.show(event);
        }
        std::mem::take(&mut self.lines)
    }

    /// The last lines.
    pub fn finish(&mut self) -> Vec<String> {
        self.flush();
        std::mem::take(&mut self.lines)
    }

    /// Whether the event joined, or began, what waits for more of its kind.
    fn join(&mut self, event: &TraceEvent) -> bool {
        let at_ns = event.at_ns;
        match &event.what {
            Happening::Leaves { node, to, label, arrivals_ns } => {
                let fate = match arrivals_ns.len() {
                    0 => format!(" {to}✗"),
                    1 => format!(" {to}"),
                    copies => format!(" {to}×{copies}"),
                };
                if let Some((at, Pending::Sends { node: sender, label: said, receivers })) =
                    &mut self.pending
                    && (*at, *sender, said.as_str()) == (at_ns, *node, label.as_str())
                {
                    receivers.push_str(&fate);
                    return true;
                }
                self.flush();
                let (node, label) = (*node, label.clone());
                self.pending = Some((at_ns, Pending::Sends { node, label, receivers: fate }));
            }
            Happening::Node { node, mark: Mark::Committed(slot), .. } => {
                if let Some((at, Pending::Commits { node: same, last, .. })) = &mut self.pending
                    && (*at, *same, last.0 + 1) == (at_ns, *node, slot.0)
                {
                    *last = *slot;
                    return true;
                }
                self.flush();
                let (node, first, last) = (*node, *slot, *slot);
                self.pending = Some((at_ns, Pending::Commits { node, first, last }));
            }
            // The long form's lines come between the others.
            Happening::Says { .. } | Happening::Node { mark: Mark::Detail, .. } => {}
            _ => return false,
        }
        true
    }

    fn flush(&mut self) {
        match self.pending.take() {
            Some((at_ns, Pending::Sends { node, label, receivers })) => {
                self.text(at_ns, node, &format!("○ {label} →{receivers}"));
            }
            Some((at_ns, Pending::Commits { node, first, last })) => {
                let slots =
                    if first == last { format!("{first}") } else { format!("{first}..{}", last.0) };
                self.text(at_ns, node, &format!("■ commits {slots}"));
            }
            None => {}
        }
    }

    fn show(&mut self, event: &TraceEvent) {
        let at_ns = event.at_ns;
        match &event.what {
            Happening::Begin { nodes } => self.begin(nodes),
            Happening::Says { .. } | Happening::Leaves { .. } => {}
            Happening::Arrives { node, from, sent_ns, label, .. } => {
                self.arrow(at_ns, *node, *from, *sent_ns, label);
            }
            Happening::Node { node, mark, text } => {
                self.live(*node, *mark);
                self.text(at_ns, *node, &format!("{} {text}", symbol(*mark)));
            }
            Happening::Client { client, label, .. } => {
                let mut cells = self.layout.line(&self.lives);
                self.layout.client(&mut cells, &format!("c{client} {label}"));
                self.push(at_ns, &cells);
            }
            Happening::World { text } => {
                let width = self.layout.width_of_world();
                for part in wrap(text, width, WIDE_LINES_MAX) {
                    let cells = self.layout.world(&part);
                    self.push(at_ns, &cells);
                }
            }
        }
    }

    fn begin(&mut self, nodes: &[ReplicaId]) {
        let only = &self.window.only;
        let shown = |(_, id): &(usize, &ReplicaId)| only.is_empty() || only.contains(*id);
        let mut names: Vec<(usize, String)> = Vec::new();
        for (index, id) in nodes.iter().enumerate().filter(shown) {
            let twin = if index == usize::from(id.0) { "" } else { "'" };
            names.push((index, format!("{id}{twin}")));
        }
        self.layout = Layout::new(self.window.width, names);
        self.lives = vec![Life::Running; nodes.len()];
        self.lines.extend(LEGEND.iter().map(|line| (*line).to_owned()));
        self.lines_since_heading = HEADING_LINES;
    }

    fn live(&mut self, node: usize, mark: Mark) {
        let Some(life) = self.lives.get_mut(node) else { return };
        *life = match mark {
            Mark::Started | Mark::Resumed => Life::Running,
            Mark::Crashed => Life::Down,
            Mark::Paused => Life::Paused,
            Mark::Role(Role::Leader) => Life::Leading,
            Mark::Role(_) => Life::Running,
            Mark::Committed(_) | Mark::Request | Mark::Noted | Mark::Detail => return,
        };
    }

    fn text(&mut self, at_ns: u64, node: usize, text: &str) {
        let Some(column) = self.layout.column(node) else { return };
        for part in wrap(text, self.layout.room(), COLUMN_LINES_MAX) {
            let mut cells = self.layout.line(&self.lives);
            self.layout.text(&mut cells, column, &part);
            self.push(at_ns, &cells);
        }
    }

    fn arrow(&mut self, at_ns: u64, node: usize, from: ReplicaId, sent_ns: u64, label: &str) {
        let sent = format!("@{:.1}", sent_ns as f64 / 1e6);
        let source = self.layout.column(usize::from(from.0));
        match (source, self.layout.column(node)) {
            (Some(source), Some(target)) if source != target => {
                let mut cells = self.layout.line(&self.lives);
                self.layout.arrow(&mut cells, source, target, label, &sent);
                self.push(at_ns, &cells);
            }
            // Of a replica without a column, or of its own twin.
            _ => self.text(at_ns, node, &format!("◀ {from}: {label} {sent}")),
        }
    }

    /// Puts the time in front and keeps the line, if the window covers it.
    fn push(&mut self, at_ns: u64, cells: &[char]) {
        if !self.window.covers(at_ns) {
            return;
        }
        if self.lines_since_heading >= HEADING_LINES {
            self.lines.push(self.layout.heading());
            self.lines_since_heading = 0;
        }
        let again = self.last_ns == Some(at_ns) && self.lines_since_heading > 0;
        self.last_ns = Some(at_ns);
        self.lines_since_heading += 1;
        let time = if again { String::new() } else { format!("{:.3}", at_ns as f64 / 1e6) };
        self.lines.push(self.layout.finish(&time, cells));
    }
}

/// How to read a chart.
const LEGEND: [&str; 3] = [
    "○ sends → receivers (✗ will not arrive, ×2 arrives twice)   ─▶ arrives, @ when it left (ms)",
    "★ role   ■ commits   ▲ starts   ✖ crashes   ‖ stands still   ▷ goes on   › client   · other",
    "lifelines: ┃ leads   │ runs   ┊ stands still   blank: down",
];

const fn symbol(mark: Mark) -> char {
    match mark {
        Mark::Started => '▲',
        Mark::Crashed => '✖',
        Mark::Paused => '‖',
        Mark::Resumed => '▷',
        Mark::Role(_) => '★',
        Mark::Committed(_) => '■',
        Mark::Request => '›',
        Mark::Noted | Mark::Detail => '·',
    }
}
