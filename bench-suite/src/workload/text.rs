//! Real structured text that every checkout has, cut into records.
//!
//! Two corpora: the JSON that `cargo metadata` prints about this workspace and everything that it
//! depends on, and some of the workspace's own sources with its `Cargo.lock`. The JSON is asked for
//! at run time, without the network; where cargo cannot answer, the sources stand in for it, and
//! [`Corpus::origin`] says so.
//!
//! What always holds: a corpus is read once in a process and does not change after that; a record
//! has exactly the bytes asked for and begins where an object or a line begins.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use rand_chacha::ChaCha8Rng;

use super::payload::below;

/// What is kept of the metadata at most, in bytes.
pub const CORPUS_BYTES_MAX: usize = 8 << 20;
/// Less than this, in bytes, is no corpus: its records would be the same few again and again.
const CORPUS_BYTES_MIN: usize = 16 << 10;

/// The sources: compiled in, so that they are the same wherever the program runs.
const SOURCES: [&str; 8] = [
    include_str!("../../../Cargo.lock"),
    include_str!("../../../mq/src/batcher.rs"),
    include_str!("../../../smr/src/kv.rs"),
    include_str!("../../../runtime/src/client.rs"),
    include_str!("../../../runtime/src/cluster.rs"),
    include_str!("../../../runtime/src/node.rs"),
    include_str!("../workload.rs"),
    include_str!("payload.rs"),
];

/// A text with the places at which records may begin.
#[derive(Debug)]
pub struct Corpus {
    text: Vec<u8>,
    starts: Vec<usize>,
    origin: &'static str,
}

impl Corpus {
    /// `text`, whose records begin where `begins` says so of what is left from there.
    fn new(text: Vec<u8>, begins: fn(&[u8]) -> bool, origin: &'static str) -> Self {
        let mut starts: Vec<usize> =
            (0..text.len()).filter(|place| begins(&text[*place..])).collect();
        if starts.is_empty() {
            starts.push(0);
        }
        Self { text, starts, origin }
    }

    /// A record of exactly `bytes` bytes from a random place; past the end the text begins again.
    pub(super) fn cut(&self, bytes: usize, random: &mut ChaCha8Rng) -> Vec<u8> {
        let start = self.starts[below(random, self.starts.len() as u64) as usize];
        let mut record = Vec::with_capacity(bytes);
        let mut rest = &self.text[start..];
        while record.len() < bytes {
            record.extend_from_slice(&rest[..rest.len().min(bytes - record.len())]);
            rest = &self.text;
        }
        record
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Where it is from, in words.
    #[must_use]
    pub fn origin(&self) -> &'static str {
        self.origin
    }
}

/// The JSON of `cargo metadata`, or what stands in for it. The first call runs cargo.
pub fn metadata() -> &'static Corpus {
    static METADATA: OnceLock<Corpus> = OnceLock::new();
    METADATA.get_or_init(|| {
        let object = |rest: &[u8]| rest.starts_with(b"{\"");
        let whole = ask_cargo(&[]).map(|json| (json, "cargo metadata"));
        let members = || Some((ask_cargo(&["--no-deps"])?, "cargo metadata --no-deps"));
        match whole.or_else(members) {
            Some((json, origin)) => Corpus::new(json, object, origin),
            None => Corpus::new(joined_sources(), at_line, "the sources: cargo did not answer"),
        }
    })
}

/// The sources.
pub fn sources() -> &'static Corpus {
    static TEXT: OnceLock<Corpus> = OnceLock::new();
    TEXT.get_or_init(|| Corpus::new(joined_sources(), at_line, "the workspace's sources"))
}

fn joined_sources() -> Vec<u8> {
    // With a line break in front, so that the first line begins like any other.
    SOURCES.iter().flat_map(|source| [b"\n", source.as_bytes()].concat()).collect()
}

/// Whether a line begins here: at its break, which belongs to the record then.
fn at_line(rest: &[u8]) -> bool {
    rest.starts_with(b"\n") && !rest.starts_with(b"\n\n")
}

/// What cargo says about the workspace, from what is on this machine already.
fn ask_cargo(more: &[&str]) -> Option<Vec<u8>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--frozen", "--filter-platform", &platform])
        .args(more)
        .arg("--manifest-path")
        .arg(manifest)
        .output()
        .ok()?;
    let mut json = output.stdout;
    json.truncate(CORPUS_BYTES_MAX);
    (output.status.success() && json.len() >= CORPUS_BYTES_MIN).then_some(json)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn records_have_exactly_the_bytes_asked_for_and_begin_at_a_boundary() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for bytes in [2, 16, 1000, 400_000] {
            let record = sources().cut(bytes, &mut random);
            assert_eq!((record.len(), record[0]), (bytes, b'\n'));
            assert_eq!(metadata().cut(bytes, &mut random).len(), bytes);
        }
    }

    #[test]
    fn a_corpus_is_large_enough_that_records_differ() {
        for corpus in [metadata(), sources()] {
            assert!(corpus.bytes() >= CORPUS_BYTES_MIN, "{}", corpus.origin());
            assert!(corpus.starts.len() >= 100, "{}: {}", corpus.origin(), corpus.starts.len());
        }
    }

    #[test]
    fn the_metadata_is_json_wherever_cargo_answers() {
        let Some(json) = ask_cargo(&["--no-deps"]) else { return };
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert!(value["packages"].as_array().is_some_and(|packages| !packages.is_empty()));
        assert!(metadata().origin().starts_with("cargo metadata"), "{}", metadata().origin());
    }
}
