//! The report: `README.md`, the page and its picture, all from run folders and nothing else.
//!
//! What always holds: the same runs give the same bytes. Failed rows appear in tables with their
//! reason and never in plots or sentences. What was not measured is said to be missing.

use std::fs;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, context};
use serde::Serialize;

use crate::error::BenchError;
use crate::experiment::peers::EXPERIMENT as PEERS;
use crate::experiment::{EXPERIMENTS, Experiment, NOT_YET, by_name};
use crate::rows::Table;
use crate::run::Run;

mod canvas;
mod chart;
mod figures;
mod peers;
mod queue;
mod queue_figures;
mod queue_first;
mod tables;
mod words;

const PAGE: &str = include_str!("../templates/index.html");
const README: &str = include_str!("../templates/README.md");

/// The report's files in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Path below `results/` and content.
    pub files: Vec<(&'static str, String)>,
}

/// An experiment as the page shows it.
#[derive(Debug, Serialize)]
struct Section {
    name: String,
    title: String,
    question: String,
    method: String,
    settings: Vec<(String, String)>,
    repetitions: u32,
    measured_ms: u64,
    figures: Vec<figures::Figure>,
    tables: Vec<tables::TableView>,
}

impl Report {
    /// The report on `run`; `history` are all runs kept, oldest first.
    ///
    /// # Errors
    /// When a template or plot cannot be rendered.
    pub fn render(run: &Run, history: &[Run]) -> Result<Self, BenchError> {
        let table = Table::new(&run.samples);
        let sections = sections(run, &table)?;
        let picture = figures::picture(&table)?;
        let headlines = words::headlines(&table);
        let measured: Vec<&str> =
            run.manifest.experiments.iter().map(|e| e.name.as_str()).collect();
        // Whether a build asks for `peers` by itself must not change what a run's report says.
        let is_peers = |experiment: &Experiment| experiment.name == PEERS.name;
        let mut missing: Vec<(&str, &str)> = EXPERIMENTS
            .iter()
            .filter(|experiment| !experiment.on_request && !is_peers(experiment))
            .filter(|experiment| !measured.contains(&experiment.name))
            .map(|experiment| (experiment.name, "not part of this run"))
            .collect();
        if !measured.contains(&PEERS.name) {
            missing.push((PEERS.name, "other libraries, not in this run: `cargo compare-peers`"));
        }
        missing.extend(NOT_YET);
        let failed: Vec<String> = table.failed().iter().map(|row| row.to_json()).collect();
        let context = context! {
            run => Serde(&run.manifest),
            commit => &run.manifest.commit[..run.manifest.commit.len().min(12)],
            memory_gib => run.manifest.machine.memory_bytes >> 30,
            sections => Serde(&sections),
            headlines => Serde(&headlines),
            missing,
            failed_rows => failed.len(),
            rows => table.rows().len(),
            samples => run.samples.len(),
            repeats => run.samples.iter().map(|sample| sample.repeats).sum::<u32>(),
            disturbed => words::disturbed(run),
            history => Serde(&tables::history(history)),
            colours => canvas::variables(":root"),
            fonts => canvas::FONTS,
        };
        Ok(Self {
            files: vec![
                ("README.md", render(README, false, &context)?),
                ("report/index.html", render(PAGE, true, &context)?),
                ("report/data.json", data(run, &table)?),
                ("report/ablation.svg", picture.standalone()),
            ],
        })
    }

    /// Writes the report below `results`. Each file is replaced as a whole.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, results: &Path) -> Result<(), BenchError> {
        let mut ready = Vec::new();
        for (name, content) in &self.files {
            let target = results.join(name);
            let partial = target.with_extension("partial");
            let folder = target.parent().unwrap_or(results);
            fs::create_dir_all(folder)
                .map_err(|error| BenchError::file("create", folder, error))?;
            fs::write(&partial, content)
                .map_err(|error| BenchError::file("write", &partial, error))?;
            ready.push((partial, target));
        }
        for (partial, target) in ready {
            fs::rename(&partial, &target)
                .map_err(|error| BenchError::file("write", &target, error))?;
        }
        Ok(())
    }
}

/// A short table for the terminal.
#[must_use]
pub fn summary(table: &Table) -> String {
    let mut text = String::new();
    for view in tables::summary(table) {
        let mut grid = comfy_table::Table::new();
        grid.load_style(comfy_table::presets::ASCII_MARKDOWN);
        grid.set_header(view.header);
        for row in view.rows {
            grid.add_row(row);
        }
        text += &format!("{}\n{grid}\n\n", view.caption);
    }
    text
}

/// All runs kept below `results`, in the order of their names, which start with the date.
///
/// # Errors
/// When a folder cannot be read or a run is damaged.
pub fn history(results: &Path) -> Result<Vec<Run>, BenchError> {
    let runs = results.join("runs");
    if !runs.exists() {
        return Ok(Vec::new());
    }
    let listing = fs::read_dir(&runs).map_err(|error| BenchError::file("read", &runs, error))?;
    let mut folders = Vec::new();
    for entry in listing {
        let path = entry.map_err(|error| BenchError::file("read", &runs, error))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden {
            folders.push(path);
        }
    }
    folders.sort();
    folders.iter().map(|folder| Run::read(folder)).collect()
}

/// Reads the run at `folder` again and renders its report beside the other runs of that place.
///
/// # Errors
/// When a run is damaged or the report cannot be rendered.
pub fn again(folder: &Path) -> Result<Report, BenchError> {
    let run = Run::read(folder)?;
    let results = folder.parent().and_then(Path::parent);
    let runs = results.map_or_else(|| Ok(Vec::new()), history)?;
    Report::render(&run, &runs)
}

fn sections(run: &Run, table: &Table) -> Result<Vec<Section>, BenchError> {
    let section = |done: &crate::run::Done| {
        let known = by_name(&done.name);
        let (mut question, mut method) =
            known.map_or(("", ""), |experiment| (experiment.question, experiment.method));
        if done.name == "queue" && queue_first::is_first_layout(table) {
            (question, method) = (queue_first::QUESTION, queue_first::METHOD);
        }
        let mut figures = figures::of(&done.name, table)?;
        if done.name.starts_with("queue") && run.manifest.machine.cores <= 2 {
            figures.iter_mut().for_each(|figure| figure.reading += queue::TWO_CORES);
        }
        Ok(Section {
            name: done.name.clone(),
            title: known.map_or(done.name.clone(), |experiment| experiment.title.into()),
            question: question.into(),
            method: method.into(),
            settings: done.settings.clone().into_iter().collect(),
            repetitions: done.repetitions,
            measured_ms: done.measured_ms,
            figures,
            tables: tables::of(&done.name, table),
        })
    };
    run.manifest.experiments.iter().map(section).collect()
}

fn data(run: &Run, table: &Table) -> Result<String, BenchError> {
    let rows: Vec<serde_json::Value> = table
        .rows()
        .iter()
        .map(|row| serde_json::from_str(&row.to_json()))
        .collect::<Result<_, _>>()
        .map_err(|error| BenchError::Render(error.to_string()))?;
    let data = serde_json::json!({ "run": run.manifest.id, "rows": rows });
    serde_json::to_string(&data)
        .map(|text| text.replace("{\"case\"", "\n{\"case\"") + "\n")
        .map_err(|error| BenchError::Render(error.to_string()))
}

fn render(template: &str, html: bool, context: &minijinja::Value) -> Result<String, BenchError> {
    let failed = |error: minijinja::Error| BenchError::Render(error.to_string());
    let mut environment = Environment::new();
    environment
        .set_auto_escape_callback(move |_| if html { AutoEscape::Html } else { AutoEscape::None });
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    environment.set_syntax(syntax.build().map_err(failed)?);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let template = environment.template_from_str(template).map_err(failed)?;
    template.render(context).map_err(failed)
}

#[cfg(test)]
mod tests;
