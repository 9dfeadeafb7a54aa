//! The linearizability checker is itself checked: known histories, random ones against brute
//! force, the work that it does on large ones, what it reads, and the program.

mod generate;
mod known;
mod random;
mod work;
