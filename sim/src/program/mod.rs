//! The program: many seeds ([`many`]), or one ([`single`]).

mod arguments;
mod many;
mod single;

pub(crate) use arguments::Arguments;
use arguments::{InputError, Work};

/// Prints a line; a reader that closed the pipe has seen enough.
fn say(line: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Does what was asked for; whether there was no violation.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, InputError> {
    match arguments.work()? {
        Work::Many(campaign) => many::run(arguments, &campaign),
        Work::One(case) => single::run(arguments, case),
    }
}
