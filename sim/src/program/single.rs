//! One run: replayed, drawn, or reduced.

use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;

use indicatif::{ProgressBar, ProgressStyle};
use quorate_sim::chart::{Chart, Window};
use quorate_sim::lincheck::file::write_json;
use quorate_sim::registry::Visitor;
use quorate_sim::regression::Regression;
use quorate_sim::shrink::{Shrunk, shrink};
use quorate_sim::trace::TraceEvent;
use quorate_sim::{Inspect, Options, Outcome, simulate, simulate_told};

use super::arguments::{Arguments, Case, InputError, TraceForm, command_of};
use super::say;

/// Replays, draws or reduces a run; whether it was clean.
pub(super) fn run(arguments: &Arguments, case: Case) -> Result<bool, InputError> {
    let protocol = case.group.protocol;
    protocol.visit(Job { arguments, case })
}

struct Job<'a> {
    arguments: &'a Arguments,
    case: Case,
}

impl Visitor for Job<'_> {
    type Output = Result<bool, InputError>;

    fn visit<P: Inspect>(self) -> Self::Output {
        let Self { arguments, case } = self;
        let options = match &case.regression {
            Some((_, regression)) => regression.options::<P>(),
            None => Options::<P>::new(case.group.replicas),
        };
        if arguments.shrink {
            return reduce(arguments, &case, &options);
        }
        let window = arguments.window(case.group.replicas)?;
        let outcome = match arguments.trace {
            None => simulate(&options, case.seed),
            Some(form) => draw(&options, case.seed, form, window),
        };
        tell(&case, &outcome);
        if let Some(file) = &arguments.history {
            let refused = |error| InputError::History { path: file.display().to_string(), error };
            let mut out =
                std::fs::File::create(file).map(std::io::BufWriter::new).map_err(refused)?;
            write_json(&outcome.history, &mut out).and_then(|()| out.flush()).map_err(refused)?;
            say(&format!("history written: {}", file.display()));
        }
        Ok(outcome.violation.is_none())
    }
}

/// Runs the seed and draws what happens on standard output.
fn draw<P: Inspect>(options: &Options<P>, seed: u64, form: TraceForm, window: Window) -> Outcome {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    // A reader that closed the pipe has seen enough.
    let mut print = move |line: &str| drop(writeln!(out, "{line}"));
    if form == TraceForm::Full {
        return simulate_told(options, seed, move |event| {
            if window.covers(event.at_ns) {
                print(&event.to_string());
            }
        });
    }
    let chart = Rc::new(std::cell::RefCell::new(Chart::new(window)));
    let (drawing, print) = (chart.clone(), Rc::new(std::cell::RefCell::new(print)));
    let printer = print.clone();
    let outcome = simulate_told(options, seed, move |event: &TraceEvent| {
        for line in drawing.borrow_mut().draw(event) {
            (printer.borrow_mut())(&line);
        }
    });
    for line in chart.borrow_mut().finish() {
        (print.borrow_mut())(&line);
    }
    outcome
}

/// Says what came of a run.
fn tell(case: &Case, outcome: &Outcome) {
    let (protocol, replicas) = (case.group.protocol, case.group.replicas);
    say(&format!(
        "{protocol}, {replicas} replicas, seed {}: {:.3} s of virtual time, {} steps, {} slots, {} \
         faults",
        outcome.seed,
        outcome.virtual_ns as f64 / 1e9,
        outcome.steps,
        outcome.slots,
        outcome.faults.total()
    ));
    say(&format!("trace hash {:016x}", outcome.trace_hash));
    match &outcome.violation {
        None => say("no violation"),
        Some(violation) => say(&format!("violation: {violation}")),
    }
    let Some((_, regression)) = &case.regression else {
        if outcome.violation.is_some() {
            print_commands(case);
        }
        return;
    };
    let same = format!("{:016x}", outcome.trace_hash) == regression.trace_hash;
    say(&format!(
        "the file's violation was \"{}\"; the trace is {} as then",
        regression.invariant,
        if same { "the same" } else { "not the same" }
    ));
}

fn print_commands(case: &Case) {
    let command = command_of(case.group, case.seed);
    say(&format!("  replay: {command} --trace\n  shrink: {command} --shrink"));
}

/// Reduces a failing run and writes what is left into a file.
fn reduce<P: Inspect>(
    arguments: &Arguments,
    case: &Case,
    options: &Options<P>,
) -> Result<bool, InputError>
where
    Options<P>: Sync,
{
    let bar = ProgressBar::new(arguments.budget);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    let shrunk = shrink(options, case.seed, arguments.budget, |progress| {
        bar.set_position(progress.runs);
        let (faults, knobs) = (progress.faults, progress.knobs);
        bar.set_message(format!("trying {faults} faults, {knobs} settings"));
    });
    bar.finish_and_clear();
    let Some(shrunk) = shrunk else {
        say(&format!("seed {} breaks no invariant: nothing to reduce", case.seed));
        return Ok(true);
    };
    let usual = || PathBuf::from(format!("{}-{}.json", case.group.protocol, case.seed));
    let file = arguments.save.clone().unwrap_or_else(usual);
    Regression::new(options, &shrunk).write(&file)?;
    tell_reduced(&shrunk);
    let file = file.display();
    say(&format!("written: {file}"));
    say(&format!("  replay: cargo run --release -p quorate-sim -- --replay {file} --trace"));
    Ok(false)
}

fn tell_reduced(shrunk: &Shrunk) {
    let Shrunk { before, outcome, .. } = shrunk;
    let seconds = |outcome: &Outcome| outcome.virtual_ns as f64 / 1e9;
    say(&format!(
        "reduced with {} runs: {} faults to {}, {} settings that are not quiet to {}, {} steps to {}, \
         {:.3} s of virtual time to {:.3} s",
        shrunk.runs,
        shrunk.faults_before,
        shrunk.kept.len(),
        shrunk.knobs.0,
        shrunk.knobs.1,
        before.steps,
        outcome.steps,
        seconds(before),
        seconds(outcome)
    ));
    let kept: Vec<_> = shrunk.kept.iter().map(|id| format!("{} #{}", id.kind, id.number)).collect();
    say(&format!(
        "faults that it takes: {}",
        if kept.is_empty() { "none".into() } else { kept.join(", ") }
    ));
    if let Some(violation) = &outcome.violation {
        say(&format!("violation: {violation}"));
    }
    say(&format!("trace hash {:016x}", outcome.trace_hash));
}
