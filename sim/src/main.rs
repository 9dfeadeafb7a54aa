//! Runs seeds of the simulator, or replays, draws and reduces one.
//!
//! Exit codes: 0 no violation, 1 a violation, 2 bad input.

#![forbid(unsafe_code)]

mod program;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match program::run(&program::Arguments::parse()) {
        Ok(clean) => ExitCode::from(u8::from(!clean)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
