//! What charts look like.

use super::*;

const MS: u64 = 1_000_000;

fn event(at_ms: u64, what: Happening) -> TraceEvent {
    TraceEvent { at_ns: at_ms * MS, what }
}

fn begin(count: u8) -> TraceEvent {
    event(0, Happening::Begin { nodes: (0..count).map(ReplicaId).collect() })
}

fn leaves(at_ms: u64, node: usize, to: u8, arrivals_ms: &[u64]) -> TraceEvent {
    let (to, label) = (ReplicaId(to), "Vote T1".to_owned());
    let arrivals_ns = arrivals_ms.iter().map(|ms| ms * MS).collect();
    event(at_ms, Happening::Leaves { node, to, label, arrivals_ns })
}

fn arrives(at_ms: u64, node: usize, from: u8, sent_ms: u64, label: &str) -> TraceEvent {
    let (from, label, text) = (ReplicaId(from), label.to_owned(), String::new());
    event(at_ms, Happening::Arrives { node, from, sent_ns: sent_ms * MS, label, text })
}

fn at(at_ms: u64, node: usize, mark: Mark, text: &str) -> TraceEvent {
    event(at_ms, Happening::Node { node, mark, text: text.to_owned() })
}

fn commits(at_ms: u64, node: usize, slot: u64) -> TraceEvent {
    at(at_ms, node, Mark::Committed(Slot(slot)), "")
}

/// The lines without the legend.
fn draw(window: Window, events: &[TraceEvent]) -> Vec<String> {
    let mut chart = Chart::new(window);
    let mut lines: Vec<_> = events.iter().flat_map(|event| chart.draw(event)).collect();
    lines.extend(chart.finish());
    for line in &lines {
        assert!(line.chars().count() <= 120, "too wide: {line}");
    }
    lines.split_off(LEGEND.len())
}

#[test]
fn a_message_shows_where_it_leaves_and_as_an_arrow_where_it_arrives() {
    let events = [
        begin(3),
        at(1, 1, Mark::Role(Role::Leader), "is Leader in epoch 1"),
        leaves(2, 1, 0, &[5]),
        leaves(2, 1, 2, &[]),
        arrives(5, 0, 1, 2, "Vote T1"),
        arrives(6, 2, 0, 3, "Vote T1"),
        arrives(7, 0, 2, 4, "Vote T1"),
        event(8, Happening::Client { client: 2, label: "put a=B7".into(), text: String::new() }),
    ];
    let lines = draw(Window::default(), &events);
    let expected = [
        "   time ms  r0                            r1                            r2                             clients",
        "     1.000  │                             ┃ ★ is Leader in epoch 1      │",
        "     2.000  │                             ┃ ○ Vote T1 → r0 r2✗          │",
        "     5.000  │◀────── Vote T1 @2.0 ────────┤                             │",
        "     6.000  ├────────────────────── Vote T1 @3.0 ──────────────────────▶│",
        "     7.000  │◀───────────────────── Vote T1 @4.0 ───────────────────────┤",
        "     8.000  │                             ┃                             │                              c2 put a=B7",
    ];
    assert_eq!(lines, expected, "\n{}", lines.join("\n"));
}

#[test]
fn lifelines_show_who_leads_stands_still_and_is_down() {
    let events = [
        begin(3),
        at(1, 0, Mark::Role(Role::Leader), "is Leader in epoch 1"),
        at(2, 1, Mark::Paused, "stands still"),
        at(3, 2, Mark::Crashed, "crashes (torn tail): of its pending steps some were lost"),
        event(4, Happening::World { text: "partition, symmetric: r0 | r1 r2".into() }),
        commits(5, 0, 4),
        commits(5, 0, 5),
        commits(5, 0, 6),
        commits(5, 1, 6),
    ];
    let lines = draw(Window { width: 90, ..Window::default() }, &events);
    let expected = [
        "   time ms  r0                  r1                  r2                   clients",
        "     1.000  ┃ ★ is Leader in    │                   │",
        "            ┃ epoch 1           │                   │",
        "     2.000  ┃                   ┊ ‖ stands still    │",
        "     3.000  ┃                   ┊                     ✖ crashes (torn",
        "            ┃                   ┊                     tail): of its",
        "            ┃                   ┊                     pending steps so…",
        "     4.000  ══ partition, symmetric: r0 | r1 r2 ══════════════════════════════════════════",
        "     5.000  ┃ ■ commits s4..6   ┊",
        "            ┃                   ┊ ■ commits s6",
    ];
    assert_eq!(lines, expected, "\n{}", lines.join("\n"));
}

#[test]
fn a_window_shows_only_its_time_and_its_replicas_but_knows_what_came_before() {
    let events = [
        begin(3),
        at(1, 2, Mark::Role(Role::Leader), "is Leader in epoch 1"),
        leaves(10, 1, 2, &[11]),
        leaves(10, 0, 2, &[12, 13]),
        arrives(11, 2, 1, 10, "Vote T1"),
        arrives(12, 2, 0, 10, "Vote T1"),
        at(30, 0, Mark::Noted, "too late"),
    ];
    let only = [ReplicaId(0), ReplicaId(2)].into();
    let window = Window { from_ns: 10 * MS, to_ns: 20 * MS, only, width: 90 };
    let lines = draw(window, &events);
    let expected = [
        "   time ms  r0                            r2                             clients",
        "    10.000  │ ○ Vote T1 → r2×2            ┃",
        "    11.000  │                             ┃ ◀ r1: Vote T1 @10.0",
        "    12.000  ├─────── Vote T1 @10.0 ──────▶┃",
    ];
    assert_eq!(lines, expected, "\n{}", lines.join("\n"));
}

#[test]
fn thirteen_replicas_still_fit_and_a_label_that_does_not_is_cut() {
    let events = [begin(13), arrives(2, 3, 4, 1, "ViewChange v3"), arrives(3, 0, 12, 1, "Vote T1")];
    let lines = draw(Window { width: 110, ..Window::default() }, &events);
    assert!(lines[1].contains('◀') && lines[1].contains('…'), "{}", lines[1]);
    assert!(lines[2].contains(" Vote T1 @1.0 "), "{}", lines[2]);
}

#[test]
fn the_heading_comes_again_on_a_long_chart() {
    let mut events = vec![begin(3)];
    events.extend((0..200).map(|ms| at(ms, 0, Mark::Noted, "and so on")));
    let lines = draw(Window::default(), &events);
    assert_eq!(lines.iter().filter(|line| line.contains("time ms")).count(), 4);
}
