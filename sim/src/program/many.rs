//! Many runs over all cores, with a bar while they last and a summary in the end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use comfy_table::Table;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use quorate_sim::campaign::{Campaign, Group, Report, Summary, Until};
use quorate_sim::record::{Record, read_defects};

use super::arguments::{Arguments, InputError, command_of};
use super::say;

/// Violations whose commands are printed; the others are counted.
const PRINTED_MAX: usize = 10;

/// Set by Ctrl-C: the campaign ends with its summary.
static STOP: AtomicBool = AtomicBool::new(false);

/// Makes the runs and says what came of them; whether all were clean.
pub(super) fn run(arguments: &Arguments, campaign: &Campaign) -> Result<bool, InputError> {
    // Before the work, so that a file that cannot be read does not cost a night.
    let defects = arguments.defects.as_deref().map(read_defects).transpose()?.unwrap_or_default();
    // The second one ends the program at once. Without a handler the first one does, too.
    let stoppable = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if let Until::Time { first, lasts } = &campaign.until {
        let stop = if stoppable.is_ok() { "; Ctrl-C ends it with the summary" } else { "" };
        eprintln!("seeds from {first} on, for {}{stop}", HumanDuration(*lasts));
    }
    let watch = Watch::new(&campaign.until);
    let report = campaign.run(&STOP, |outcome| watch.ran(outcome.violation.is_some()));
    watch.bar.finish_and_clear();
    print_report(&report);
    if let Some(folder) = &arguments.out {
        let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let command = format!("cargo run --release -p quorate-sim -- {command}");
        let written = Record::new(campaign, &report, command, defects).write(folder)?;
        say(&format!("written: {}", written.display()));
    }
    Ok(report.total().violated == 0)
}

/// The bar.
struct Watch {
    bar: ProgressBar,
    started: Instant,
    lasts: Option<Duration>,
    runs: AtomicU64,
    violated: AtomicU64,
}

impl Watch {
    fn new(until: &Until) -> Self {
        let (length, lasts) = match until {
            Until::Seeds(seeds) => (seeds.end - seeds.start, None),
            Until::Time { lasts, .. } => (lasts.as_millis() as u64, Some(*lasts)),
        };
        let bar = ProgressBar::new(length);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {msg}") {
            bar.set_style(style);
        }
        let (runs, violated) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { bar, started: Instant::now(), lasts, runs, violated }
    }

    fn ran(&self, broken: bool) {
        let runs = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        let violated = self.violated.fetch_add(u64::from(broken), Ordering::Relaxed);
        let violated = violated + u64::from(broken);
        let elapsed = self.started.elapsed();
        let left = match self.lasts {
            Some(lasts) => {
                self.bar.set_position(elapsed.as_millis() as u64);
                lasts.saturating_sub(elapsed)
            }
            None => {
                self.bar.set_position(runs);
                self.bar.eta()
            }
        };
        let left = HumanDuration(left);
        self.bar.set_message(format!("{runs} runs, {violated} violations, {left} left"));
    }
}

fn print_report(report: &Report) {
    let total = report.total();
    say(&table(report, &total).to_string());
    let seconds = report.wall.as_secs_f64();
    let hours = total.virtual_ns as f64 / 3.6e12;
    say(&format!(
        "{seconds:.1} s on {} threads: {:.0} seeds/s, {:.2} virtual hours per minute{}",
        report.threads,
        total.seeds as f64 / seconds,
        hours / (seconds / 60.0),
        if report.stopped { "; stopped by hand" } else { "" }
    ));
    for (group, seed, violation) in report.violations().take(PRINTED_MAX) {
        let Group { protocol, replicas } = group;
        let command = command_of(group, seed);
        say(&format!("\n{protocol}, {replicas} replicas, seed {seed}: {violation}"));
        say(&format!("  replay: {command} --trace\n  shrink: {command} --shrink"));
    }
    if total.violated > PRINTED_MAX as u64 {
        say(&format!("\n… and {} more violations", total.violated - PRINTED_MAX as u64));
    }
}

/// One column for each group, and one for all together when there are several.
fn table(report: &Report, total: &Summary) -> Table {
    let mut columns: Vec<(String, &Summary)> = report
        .groups
        .iter()
        .map(|(group, summary)| (format!("{}, {}", group.protocol, group.replicas), summary))
        .collect();
    if columns.len() != 1 {
        columns.push(("together".to_owned(), total));
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    let mut titles = vec!["protocol, replicas".to_owned()];
    titles.extend(columns.iter().map(|(title, _)| title.clone()));
    table.set_header(titles);
    let mut row = |name: &str, cell: &dyn Fn(&Summary) -> String| {
        let cells = columns.iter().map(|(_, summary)| cell(summary));
        table.add_row(std::iter::once(name.to_owned()).chain(cells));
    };
    row("seeds", &|it| it.seeds.to_string());
    row("virtual hours", &|it| format!("{:.3}", it.virtual_ns as f64 / 3.6e12));
    row("virtual s per s of a core", &|it| {
        format!("{:.0}", per_second(it, it.virtual_ns as f64 / 1e9))
    });
    row("steps per s of a core", &|it| format!("{:.0}", per_second(it, it.steps as f64)));
    row("steps", &|it| it.steps.to_string());
    row("messages", &|it| it.messages.to_string());
    row("slots decided", &|it| it.slots.to_string());
    row("client operations", &|it| it.operations.to_string());
    row("of known outcome", &|it| it.completed.to_string());
    row("beyond the fault bound: stopped safely", &|it| it.beyond_bound.to_string());
    row("histories too hard to check", &|it| it.checks_given_up.to_string());
    row("faults injected", &|it| it.faults.total().to_string());
    for (kind, _) in total.faults.injected() {
        row(&format!("  {kind}"), &|it| it.faults.of(kind).to_string());
    }
    row("trace hashes, added up", &|it| format!("{:016x}", it.trace_hash));
    row("violations", &|it| it.violated.to_string());
    table
}

fn per_second(summary: &Summary, amount: f64) -> f64 {
    amount / (summary.busy_ns as f64 / 1e9).max(1e-9)
}
