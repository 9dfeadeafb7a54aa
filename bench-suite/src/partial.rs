//! A run that is not complete yet: what it is, and its samples so far, on disk.
//!
//! ```text
//! runs/.<id>.running/header.json   who measures what: program, options, machine; what has begun
//!                    samples.csv   one line for each repetition, written as soon as it is measured
//!                    hist/*.hlog   its latencies, written just before that line
//! ```
//!
//! What always holds: the folder is hidden, so that no reader takes it for a run; a line counts once
//! its end is written, so that a process killed at any time loses at most the repetition that it was
//! in; one process at a time writes (a lock, which ends with the process); a run goes on only with
//! the program, options and machine that it began with. The complete folder is written by
//! [`Run::write`](crate::run::Run::write), and this one removed after that.

use std::fs::{self, File, TryLockError};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::latency;
use crate::machine;
use crate::run::{self, Cell, Done, Machine, Sample};
use crate::stats::fnv_1a;

/// The version of this folder's layout.
const PARTIAL_FORMAT: u32 = 1;
const SUFFIX: &str = ".running";
const HEADER: &str = "header.json";
const SAMPLES: &str = "samples.csv";

/// What must be equal for a run to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The commit measured.
    pub commit: String,
    /// Whether files outside `results/` differed from it.
    pub dirty: bool,
    /// A hash of the program's own file: it tells other sources, features and build settings.
    pub program: String,
    /// Whether it is a short run.
    pub quick: bool,
    /// The experiments, in order.
    pub experiments: Vec<String>,
    /// Repetitions asked for.
    pub repetitions: Option<u32>,
    /// The machine.
    pub machine: Machine,
    /// The compiler.
    pub toolchain: String,
}

impl Identity {
    /// This program on this machine, asked for `experiments`.
    #[must_use]
    pub fn here(quick: bool, experiments: Vec<String>, repetitions: Option<u32>) -> Self {
        let (commit, dirty) = machine::commit();
        let program = std::env::current_exe().and_then(fs::read);
        let program = program
            .map_or_else(|_| "unknown".to_owned(), |bytes| format!("{:016x}", fnv_1a(&bytes)));
        let (machine, toolchain) = (machine::describe(), machine::toolchain());
        Self { commit, dirty, program, quick, experiments, repetitions, machine, toolchain }
    }

    /// Why a run of `self` cannot go on as `now`; empty when it can.
    fn differences(&self, now: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        let mut check = |what: &str, then: String, now: String| {
            if then != now {
                reasons.push(format!("{what} was {then} and is {now}"));
            }
        };
        check("the commit", self.commit.clone(), now.commit.clone());
        check("--quick", self.quick.to_string(), now.quick.to_string());
        check("the list of experiments", self.experiments.join(" "), now.experiments.join(" "));
        let count =
            |count: Option<u32>| count.map_or_else(|| "not given".into(), |n| n.to_string());
        check("--repetitions", count(self.repetitions), count(now.repetitions));
        check("the machine", described(&self.machine), described(&now.machine));
        check("the compiler", self.toolchain.clone(), now.toolchain.clone());
        if reasons.is_empty() && (&self.program, self.dirty) != (&now.program, now.dirty) {
            reasons.push("the program was built from other sources or with other settings".into());
        }
        reasons
    }
}

fn described(machine: &Machine) -> String {
    let Machine { cpu, cores, memory_bytes, kernel } = machine;
    format!("{cpu} ({cores} cores, {memory_bytes} bytes, {kernel})")
}

/// An experiment that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// What the manifest will say of it.
    pub done: Done,
    /// Its cells.
    pub cells: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    format: u32,
    id: String,
    started: String,
    /// When it was taken up again, UTC.
    resumed: Vec<String>,
    /// What the sessions before this one took, in seconds.
    earlier_seconds: u64,
    /// When this session began, in seconds since 1970.
    session_unix_seconds: u64,
    identity: Identity,
    begun: Vec<Begun>,
}

/// A run that is being measured.
#[derive(Debug)]
pub struct Partial {
    folder: PathBuf,
    header: Header,
    samples: Vec<Sample>,
    /// Locked, and positioned at its end.
    file: File,
    stop_after: Option<usize>,
}

impl Partial {
    /// Begins the run `id` below `results`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create(
        results: &Path,
        id: String,
        identity: Identity,
        started: String,
    ) -> Result<Self, BenchError> {
        let folder = results.join("runs").join(format!(".{id}{SUFFIX}"));
        fs::create_dir_all(&folder).map_err(|error| BenchError::file("create", &folder, error))?;
        let path = folder.join(SAMPLES);
        let file = File::create(&path).map_err(|error| BenchError::file("create", &path, error))?;
        let header = Header {
            format: PARTIAL_FORMAT,
            id,
            started,
            resumed: Vec::new(),
            earlier_seconds: 0,
            session_unix_seconds: unix_seconds(),
            identity,
            begun: Vec::new(),
        };
        let mut this = Self { folder, header, samples: Vec::new(), file, stop_after: None };
        this.lock()?;
        this.write(&run::write_samples(&[]))?;
        this.write_header()?;
        Ok(this)
    }

    /// Goes on with the last interrupted run below `results` that fits `identity`.
    ///
    /// # Errors
    /// When there is none, with the reason for each that does not fit; when its files are damaged,
    /// or another process is still writing them.
    pub fn resume(results: &Path, identity: &Identity, now: String) -> Result<Self, BenchError> {
        let mut reasons = Vec::new();
        for folder in interrupted(results).into_iter().rev() {
            let header = match read_header(&folder) {
                Ok(header) => header,
                Err(error) => {
                    reasons.push(error.to_string());
                    continue;
                }
            };
            let differences = header.identity.differences(identity);
            if differences.is_empty() {
                return Self::open(folder, header, now);
            }
            reasons.push(format!("{}: {}", folder.display(), differences.join("; ")));
        }
        if reasons.is_empty() {
            reasons.push(format!("there is none below {}", results.join("runs").display()));
        }
        Err(BenchError::Resume { reasons: reasons.join("\n  ") })
    }

    fn open(folder: PathBuf, mut header: Header, now: String) -> Result<Self, BenchError> {
        let path = folder.join(SAMPLES);
        let failed = |error| BenchError::file("open", &path, error);
        let file = File::options().read(true).write(true).open(&path).map_err(failed)?;
        let last_write = file.metadata().and_then(|data| data.modified()).map_err(failed)?;
        let last_write = last_write.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        header.earlier_seconds += last_write.saturating_sub(header.session_unix_seconds);
        header.session_unix_seconds = unix_seconds();
        header.resumed.push(now);
        let mut this = Self { folder, header, samples: Vec::new(), file, stop_after: None };
        this.lock()?;
        let text = run::read_bounded(&path)?;
        // What stands behind the last end of a line was being written when the process ended.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let failed = |error| BenchError::file("write", &path, error);
        this.file.set_len(whole as u64).map_err(failed)?;
        this.file.seek(SeekFrom::End(0)).map_err(failed)?;
        if whole == 0 {
            this.write(&run::write_samples(&[]))?;
        } else {
            this.samples = run::parse_samples(&text[..whole])
                .map_err(|reason| BenchError::corrupt(&path, &reason))?;
        }
        latency::recover(&this.folder, &mut this.samples)?;
        this.write_header()?;
        Ok(this)
    }

    /// Notes that an experiment begins. Samples that it has already stay if it begins as it did
    /// before; otherwise (a calibration came out differently) they are thrown away.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn begin(&mut self, done: Done, cells: usize) -> Result<(), BenchError> {
        let begun = Begun { done, cells };
        let name = begun.done.name.clone();
        if self.header.begun.contains(&begun) {
            return Ok(());
        }
        self.header.begun.retain(|before| before.done.name != name);
        self.header.begun.push(begun);
        if self.samples.iter().any(|sample| sample.cell.experiment == name) {
            eprintln!("{name}: its settings came out differently; it is measured from the start");
            self.samples.retain(|sample| sample.cell.experiment != name);
            self.rewrite()?;
            latency::recover(&self.folder, &mut self.samples)?;
        }
        self.write_header()
    }

    /// What the manifest says of `experiment`, if all of its repetitions are there.
    #[must_use]
    pub fn finished(&self, experiment: &str) -> Option<&Done> {
        let Begun { done, cells } =
            self.header.begun.iter().find(|begun| begun.done.name == experiment)?;
        let there = self.samples.iter().filter(|one| one.cell.experiment == experiment).count();
        (there == cells * done.repetitions as usize).then_some(done)
    }

    /// Whether this repetition of `cell` is there.
    #[must_use]
    pub fn has(&self, cell: &Cell, repetition: u32) -> bool {
        self.samples.iter().any(|one| one.repetition == repetition && one.cell == *cell)
    }

    /// Keeps a sample, on disk before this returns (though not through a power failure).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, sample: Sample) -> Result<(), BenchError> {
        latency::append(&self.folder, &sample)?;
        self.write(&run::sample_line(&sample))?;
        self.samples.push(sample);
        if self.stop_after.is_some_and(|count| count <= self.samples.len()) {
            std::process::abort();
        }
        Ok(())
    }

    /// Ends the process, as a kill would, once so many samples are there. For tests.
    pub fn stop_after(&mut self, count: Option<usize>) {
        self.stop_after = count;
    }

    /// The samples so far, in the order in which they were measured.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The run's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.header.id
    }

    /// Opens the interrupted run at `folder` to end it, whatever commit and options are in force now.
    ///
    /// # Errors
    /// As for [`Partial::resume`].
    pub fn to_finish(folder: &Path, now: String) -> Result<Self, BenchError> {
        let header = read_header(folder)?;
        Self::open(folder.to_path_buf(), header, now)
    }

    /// What was measured of each experiment as a whole: with the repetitions that every cell has,
    /// without experiments that have not even one. Samples beyond that are left out.
    #[must_use]
    pub fn whole(&self) -> (Vec<Done>, Vec<Sample>) {
        let (mut experiments, mut samples) = (Vec::new(), Vec::new());
        for Begun { done, cells } in &self.header.begun {
            let of_experiment =
                || self.samples.iter().filter(|sample| sample.cell.experiment == done.name);
            let whole = |round: &u32| {
                of_experiment().filter(|sample| sample.repetition == *round).count() == *cells
            };
            let rounds = (1..=done.repetitions).take_while(whole).count() as u32;
            if rounds > 0 {
                experiments.push(Done { repetitions: rounds, ..done.clone() });
                let kept = of_experiment().filter(|sample| sample.repetition <= rounds);
                samples.extend(kept.cloned());
            }
        }
        (experiments, samples)
    }

    /// What it measures, and where.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.header.identity
    }

    /// When it began, UTC.
    #[must_use]
    pub fn started(&self) -> &str {
        &self.header.started
    }

    /// When it was taken up again, UTC.
    #[must_use]
    pub fn resumed(&self) -> &[String] {
        &self.header.resumed
    }

    /// How long all sessions took, without the time between them.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.header.earlier_seconds + unix_seconds() - self.header.session_unix_seconds
    }

    /// Removes the folder: the complete run has been written elsewhere.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> Result<(), BenchError> {
        fs::remove_dir_all(&self.folder)
            .map_err(|error| BenchError::file("remove", &self.folder, error))
    }

    fn lock(&self) -> Result<(), BenchError> {
        match self.file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let reasons = format!("{}: another process writes it", self.folder.display());
                Err(BenchError::Resume { reasons })
            }
            Err(TryLockError::Error(error)) => Err(BenchError::file("lock", &self.folder, error)),
        }
    }

    /// Writes all samples again, into a file that takes the other's place as a whole.
    fn rewrite(&mut self) -> Result<(), BenchError> {
        let (path, next) = (self.folder.join(SAMPLES), self.folder.join("samples.next"));
        self.file =
            File::create(&next).map_err(|error| BenchError::file("create", &next, error))?;
        self.lock()?;
        self.write(&run::write_samples(&self.samples))?;
        fs::rename(&next, &path).map_err(|error| BenchError::file("write", &path, error))
    }

    /// One call for each line, so that a line is torn at its end if at all.
    fn write(&mut self, text: &str) -> Result<(), BenchError> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| BenchError::file("write", &self.folder.join(SAMPLES), error))
    }

    fn write_header(&self) -> Result<(), BenchError> {
        let (path, next) = (self.folder.join(HEADER), self.folder.join("header.next"));
        let json = serde_json::to_string_pretty(&self.header)
            .map_err(|error| BenchError::Render(error.to_string()))?;
        fs::write(&next, json + "\n").map_err(|error| BenchError::file("write", &next, error))?;
        fs::rename(&next, &path).map_err(|error| BenchError::file("write", &path, error))
    }
}

/// The folders of interrupted runs below `results`, oldest name first. A run that was completed and
/// only not tidied away is not among them.
#[must_use]
pub fn interrupted(results: &Path) -> Vec<PathBuf> {
    let runs = results.join("runs");
    let Ok(listing) = fs::read_dir(&runs) else { return Vec::new() };
    let is_partial = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let id = name.strip_prefix('.').and_then(|name| name.strip_suffix(SUFFIX));
        id.is_some_and(|id| !runs.join(id).exists())
    };
    let mut folders: Vec<PathBuf> =
        listing.flatten().map(|entry| entry.path()).filter(is_partial).collect();
    folders.sort();
    folders
}

/// Whether the name `id` belongs to a run, complete or not.
#[must_use]
pub fn is_taken(results: &Path, id: &str) -> bool {
    let runs = results.join("runs");
    runs.join(id).exists() || runs.join(format!(".{id}{SUFFIX}")).exists()
}

fn read_header(folder: &Path) -> Result<Header, BenchError> {
    let path = folder.join(HEADER);
    let header: Header = serde_json::from_str(&run::read_bounded(&path)?)
        .map_err(|error| BenchError::corrupt(&path, &error))?;
    if header.format != PARTIAL_FORMAT {
        let reason = format!("format {}, this build reads {PARTIAL_FORMAT}", header.format);
        return Err(BenchError::corrupt(&path, &reason));
    }
    Ok(header)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
