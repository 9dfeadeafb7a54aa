//! Checks whether a history is linearizable.
//!
//! Exit codes: 0 linearizable, 1 not, 2 bad input, 3 gave up.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use quorate_sim::lincheck::Verdict;
use quorate_sim::lincheck::file::{
    self, FILE_BYTES_MAX, History, InputError, Judgement, KeyReport, ModelName, Options, Value,
};
use serde_json::json;

/// Checks whether a history is linearizable: JSON lines, or Jepsen's EDN.
///
/// Exit code 0: linearizable; 1: not; 2: bad input; 3: gave up.
#[derive(Parser, Debug)]
#[command(name = "lincheck", version)]
struct Arguments {
    /// The file; - is standard input.
    file: PathBuf,
    /// What the objects are; auto: the smallest model that has all operations.
    #[arg(long, value_enum, default_value_t = ModelChoice::Auto)]
    model: ModelChoice,
    /// What every object holds at first, as JSON; by default nothing.
    #[arg(long, value_name = "VALUE")]
    initial: Option<String>,
    /// When to give up, as in 500ms, 60s or 5m.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    timeout: Duration,
    /// How the file is written; by default as its name or its first signs say.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Values are pairs [key value], as in Jepsen's independent tests.
    #[arg(long)]
    independent: bool,
    /// Draws the history as a page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Prints the verdict as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModelChoice {
    Auto,
    Register,
    CasRegister,
    Kv,
    Mutex,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Edn,
}

/// Why nothing was checked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}: {1}")]
    Read(String, io::Error),
    #[error("{0}: {1}")]
    Input(String, InputError),
    #[error("--initial {0} is not JSON: {1}")]
    Initial(String, serde_json::Error),
    #[error("cannot write {0}: {1}")]
    Write(String, io::Error),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(Verdict::Linearizable) => ExitCode::SUCCESS,
        Ok(Verdict::Violation { .. }) => ExitCode::from(1),
        Ok(Verdict::GaveUp) => ExitCode::from(3),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let started = Instant::now();
    let name = name_of(&arguments.file);
    let content = read(&arguments.file).map_err(|error| Failure::Read(name.clone(), error))?;
    let wrong = |error| Failure::Input(name.clone(), error);
    let format = format_of(arguments, &content);
    let history = file::read_history(&content, format, arguments.independent).map_err(wrong)?;
    let options = Options {
        model: model_of(arguments.model),
        initial: initial_of(arguments.initial.as_deref())?,
        ..Options::default()
    };
    let mut go_on = || started.elapsed() < arguments.timeout;
    let judgement = file::judge(&history, &options, &mut go_on).map_err(wrong)?;
    let elapsed = started.elapsed();
    if let Some(path) = &arguments.html {
        let page = file::draw(&history, &judgement, &name);
        std::fs::write(path, page).map_err(|error| Failure::Write(name_of(path), error))?;
    }
    let report = Report { history: &history, judgement: &judgement, elapsed };
    let text = match arguments.json {
        true => format!("{}\n", report.json()),
        false => report.text(arguments.timeout, &options.initial),
    };
    // A reader that closed the pipe has seen enough.
    drop(io::stdout().write_all(text.as_bytes()));
    Ok(judgement.verdict)
}

fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "standard input".into() } else { path.display().to_string() }
}

/// Reads a file; one byte more than is allowed is enough to refuse it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut content)?;
    } else {
        File::open(path)?.take(limit).read_to_end(&mut content)?;
    }
    Ok(content)
}

fn format_of(arguments: &Arguments, content: &[u8]) -> file::Format {
    match (arguments.format, arguments.file.extension().and_then(|name| name.to_str())) {
        (Some(Format::Json), _) | (None, Some("json" | "jsonl" | "ndjson")) => file::Format::Json,
        (Some(Format::Edn), _) | (None, Some("edn")) => file::Format::Edn,
        _ => file::guess_format(content),
    }
}

const fn model_of(choice: ModelChoice) -> Option<ModelName> {
    match choice {
        ModelChoice::Auto => None,
        ModelChoice::Register => Some(ModelName::Register),
        ModelChoice::CasRegister => Some(ModelName::CasRegister),
        ModelChoice::Kv => Some(ModelName::Kv),
        ModelChoice::Mutex => Some(ModelName::Mutex),
    }
}

fn initial_of(given: Option<&str>) -> Result<Value, Failure> {
    let Some(given) = given else { return Ok(Value::Nil) };
    let json = serde_json::from_str(given);
    json.map(Value::from_json).map_err(|error| Failure::Initial(given.to_string(), error))
}

fn parse_time(given: &str) -> Result<Duration, String> {
    let digits = given.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(given.len());
    let (number, unit) = given.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err("write a whole number and ms, s or m, as in 60s".into()),
    };
    let number: u64 = number.parse().map_err(|_| "the number is missing or too large")?;
    let total = number.checked_mul(milliseconds).ok_or("the number is too large")?;
    Ok(Duration::from_millis(total))
}

/// What was found, in words.
struct Report<'a> {
    history: &'a History,
    judgement: &'a Judgement,
    elapsed: Duration,
}

/// Counts of operations.
struct Counts {
    unknown: usize,
    failed: usize,
    configurations: usize,
}

impl Report<'_> {
    fn counts(&self) -> Counts {
        let entries = &self.history.entries;
        let unknown = entries.iter().filter(|entry| entry.completed.is_none()).count();
        let failed = entries.iter().filter(|entry| {
            matches!(entry.completed, Some((_, _, file::Completion::Failed { .. })))
        });
        let reports = self.judgement.reports.iter();
        Counts {
            unknown,
            failed: failed.count(),
            configurations: reports.map(|report| report.configurations).sum(),
        }
    }

    /// The key that decided the verdict, if one did.
    fn decisive(&self) -> Option<&KeyReport> {
        let decided = |report: &&KeyReport| match self.judgement.verdict {
            Verdict::Linearizable => false,
            Verdict::GaveUp => report.verdict == Verdict::GaveUp,
            Verdict::Violation { .. } => matches!(report.verdict, Verdict::Violation { .. }),
        };
        self.judgement.reports.iter().find(decided)
    }

    fn text(&self, timeout: Duration, initial: &Value) -> String {
        let counts = self.counts();
        let verdict = match self.judgement.verdict {
            Verdict::Linearizable => "linearizable".to_string(),
            Verdict::Violation { .. } => "NOT linearizable".to_string(),
            Verdict::GaveUp if self.elapsed >= timeout => {
                format!("gave up after {timeout:?}; a longer --timeout may decide it")
            }
            Verdict::GaveUp => "gave up: the search needs more memory than it may use".to_string(),
        };
        let mut text = format!(
            "{verdict}\n  model       {}, at first {}\n  operations  {} ({} of unknown outcome, {} \
             that did not take place)\n  objects     {}\n  time        {:.1?}, {} configurations\n",
            self.judgement.model,
            match self.judgement.model {
                ModelName::Mutex => "free".to_string(),
                _ => initial.to_string(),
            },
            self.history.entries.len(),
            counts.unknown,
            counts.failed,
            self.judgement.keys,
            self.elapsed,
            counts.configurations,
        );
        if self.history.skipped > 0 {
            text += &format!("  skipped     {} events of the nemesis\n", self.history.skipped);
        }
        if let Some(report) = self.decisive() {
            text += &self.reason(report);
        }
        text
    }

    fn reason(&self, report: &KeyReport) -> String {
        let mut text = match &report.key {
            Some(key) => format!("\nobject {key}\n"),
            None => "\n".to_string(),
        };
        let Verdict::Violation { operation } = report.verdict else { return text };
        let entry = &self.history.entries[operation];
        let line = entry.completed.as_ref().map_or(entry.called.line, |(at, _, _)| at.line);
        text += &format!(
            "  dies at line {line}: process {} {} (called in line {})\n",
            entry.process,
            file::described(entry),
            entry.called.line
        );
        text += &format!(
            "  before it, {} operations explain all answers; possible states: {}\n",
            report.order.len(),
            report.states.join(", ")
        );
        let last: Vec<String> = report
            .order
            .iter()
            .rev()
            .take(5)
            .rev()
            .map(|index| {
                let entry = &self.history.entries[*index];
                format!("{} (line {})", file::described(entry), entry.called.line)
            })
            .collect();
        if !last.is_empty() {
            text += &format!("  the last of them: {}\n", last.join(", "));
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let counts = self.counts();
        let verdict = match self.judgement.verdict {
            Verdict::Linearizable => "linearizable",
            Verdict::Violation { .. } => "violation",
            Verdict::GaveUp => "gave-up",
        };
        json!({
            "verdict": verdict,
            "model": self.judgement.model.to_string(),
            "operations": self.history.entries.len(),
            "unknown": counts.unknown,
            "failed": counts.failed,
            "skipped": self.history.skipped,
            "keys": self.judgement.keys,
            "configurations": counts.configurations,
            "elapsed_ms": self.elapsed.as_secs_f64() * 1e3,
            "key": self.decisive().and_then(|report| report.key.as_ref()).map(Value::to_string),
            "violation": self.decisive().and_then(|report| self.violation(report)),
        })
    }

    fn violation(&self, report: &KeyReport) -> Option<serde_json::Value> {
        let Verdict::Violation { operation } = report.verdict else { return None };
        let entry = &self.history.entries[operation];
        let lines = report.order.iter().map(|index| self.history.entries[*index].called.line);
        Some(json!({
            "line": entry.completed.as_ref().map(|(at, _, _)| at.line),
            "called_line": entry.called.line,
            "process": entry.process.to_string(),
            "f": entry.function.to_string(),
            "operation": file::described(entry),
            "states": report.states,
            "explained_lines": lines.collect::<Vec<_>>(),
        }))
    }
}
