//! Memory after a burst, in a process of its own: what was freed before would be used again and
//! hide what the queue takes.
//!
//! What is measured is the resident memory that the system reports, so it includes what the
//! allocator keeps for later; that is what a user's process shows. The child is the `compare`
//! program itself, called with [`ARGUMENT`].

use std::collections::BTreeMap;
use std::process::Command;

use super::contenders::{self, Kind};
use super::work::Memory;
use crate::experiment::Outcome;
use crate::metric::Metric;
use crate::run::Proof;

/// The argument that makes `compare` measure the memory of the unbounded queue that follows.
pub const ARGUMENT: &str = "--memory-of";

/// Starts this program again to measure the queue `name`.
#[must_use]
pub fn in_a_process_of_its_own(name: &str, items: u64) -> Outcome {
    let Ok(program) = std::env::current_exe() else {
        return Outcome::failed(&"this program does not know where it is");
    };
    let items = items.to_string();
    let output = match Command::new(program).args([ARGUMENT, name, "--items", &items]).output() {
        Ok(output) => output,
        Err(error) => return Outcome::failed(&error),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
    match numbers[..] {
        [peak, left] if output.status.success() => {
            let values = [(Metric::MemoryPeak, peak), (Metric::MemoryLeft, left)];
            Outcome::new(BTreeMap::from(values), Proof::Verified)
        }
        _ => Outcome::failed(&format!("the measuring process said: {}", text.trim())),
    }
}

/// Measures in this process: resident bytes above the start at the peak and afterwards, as text.
///
/// # Errors
/// When there is no such unbounded queue, or not all items came back.
pub fn report(name: &str, items: u64) -> Result<String, String> {
    let known = contenders::all();
    let unbounded = |kind| kind == Kind::Unbounded;
    let found = known.iter().find(|found| unbounded(found.kind) && found.name == name);
    let Some(contender) = found else { return Err(format!("no unbounded queue is called {name}")) };
    match (contender.memory)(items) {
        Some(Memory { peak, left }) => Ok(format!("{peak} {left}\n")),
        None => Err("not all items came back, or the system tells no memory".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_reported_for_unbounded_queues_only() {
        let text = report("crossbeam SegQueue", 100_000).unwrap();
        let numbers: Vec<u64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 2, "{text}");
        assert!(report("crossbeam ArrayQueue", 10).unwrap_err().contains("ArrayQueue"));
    }
}
