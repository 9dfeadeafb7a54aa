//! The page: what it names, and that nothing from a history becomes markup.

use quorate_sim::lincheck::file::{Format, Options, draw, judge, read_history};

fn page(lines: &str) -> String {
    let history =
        read_history(lines.as_bytes(), Format::Json, false).expect("the history is sound");
    let judgement =
        judge(&history, &Options::default(), &mut || true).expect("the history is sound");
    draw(&history, &judgement, "a <title> & more")
}

const STALE: &str = r#"{"process":"<b>p","type":"invoke","f":"write","key":"</svg><script>","value":"\"'><script>alert(1)</script>"}
{"process":"<b>p","type":"ok","f":"write"}
{"process":4,"type":"invoke","f":"cas","key":"</svg><script>","value":["<em>","\u202e<u>"]}
{"process":2,"type":"invoke","f":"read","key":"</svg><script>"}
{"process":2,"type":"ok","f":"read","value":"</title><script>"}
"#;

#[test]
fn everything_from_a_history_is_escaped() {
    let page = page(STALE);
    for markup in ["<script", "<b>", "<em>", "<u>", "\u{202e}", "<title> "] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(page.contains("&lt;script&gt;"));
}

#[test]
fn a_page_needs_nothing_else_and_no_script() {
    let page = page(STALE);
    for word in ["http:", "https:", "src=", "@import", "url(", "<link", "onclick", "javascript"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn the_place_of_death_the_lanes_and_the_order_are_drawn() {
    let page = page(STALE);
    assert!(page.contains("It dies at line 5"));
    // In the first picture and in the whole.
    assert_eq!(page.matches("<g class=\"dead\">").count(), 2);
    assert_eq!(page.matches("<g class=\"open\">").count(), 2);
    assert_eq!(page.matches("<g class=\"done\">").count(), 2);
    assert_eq!(page.matches("class=\"lane\"").count(), 6);
    assert!(page.contains("<tr><td>1</td><td>1</td>"));
}
