//! Runs a table of mutants: each names an ordering or a step of the shipped code and the model
//! that must fail once that ordering is `Relaxed`, or that step is left out.
//!
//! What always holds: a model that fails without any mutant is reported as such, so that no
//! mutant counts as found by a model that is broken anyway.
//! Left to others: the models, and the names (`tests/mutants.rs` checks that none is missing).
//!
//! ```ignore
//! #[path = "support/mutants.rs"]
//! mod mutants;
//!
//! const MUTANTS: mutants::Table = &[("ring.publish", values_are_seen_whole)];
//!
//! #[test]
//! fn every_mutant_is_found() {
//!     mutants::assert_every_one_is_found("ring", MUTANTS);
//! }
//! ```

use std::{
    cell::Cell,
    panic::{self, catch_unwind},
    ptr,
    sync::Once,
};

use quorate_mq::modelled::weaken;

/// The name of an ordering or step, and the model that guards it.
pub(crate) type Table = &'static [(&'static str, fn())];

/// Runs each model as it is and then with its mutant, and prints "n of n found".
///
/// # Panics
/// When a model fails without its mutant or passes with it, naming all of them.
pub(crate) fn assert_every_one_is_found(of: &str, table: Table) {
    assert!(!table.is_empty(), "{of}: no mutant in the table");
    for (row, (name, model)) in table.iter().enumerate() {
        let first = table[..row].iter().all(|(_, earlier)| !ptr::fn_addr_eq(*earlier, *model));
        assert!(!first || !fails(*model), "{of}: the model of {name} fails without a mutant");
    }
    let mut missed = Vec::new();
    for (name, model) in table {
        weaken(Some(*name));
        let found = fails(*model);
        weaken(None);
        println!("{of}: {name} {}", if found { "found" } else { "MISSED" });
        if !found {
            missed.push(*name);
        }
    }
    println!("{of}: {} of {} found", table.len() - missed.len(), table.len());
    assert!(missed.is_empty(), "{of}: no model fails with {missed:?}");
}

/// Whether the model panics; its message is not printed.
fn fails(model: fn()) -> bool {
    silence_chosen_threads();
    SILENT.set(true);
    let failed = catch_unwind(model).is_err();
    SILENT.set(false);
    failed
}

std::thread_local! {
    // Loom runs all threads of a model on the thread that called it.
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Makes the panic hook pass over threads that set `SILENT`; the others print as before.
fn silence_chosen_threads() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |report| {
            if !SILENT.get() {
                print(report);
            }
        }));
    });
}
