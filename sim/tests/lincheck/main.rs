//! The linearizability checker is itself checked: known histories, random ones against brute
//! force, the work that it does on large ones, what it reads, and the program.

mod generate;
mod input;
mod known;
mod program;
mod random;
mod timeline;
mod work;
