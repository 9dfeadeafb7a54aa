//! What replicas heard and said in a run: to be done again, elsewhere, with a watch in hand.

use quorate_smr::protocol::{Input, Protocol, Setup};
use quorate_smr::{Time, To};

/// What one replica heard.
#[derive(Clone, Debug)]
pub struct Heard<P: Protocol> {
    /// Who it is.
    pub setup: Setup<P::Config>,
    /// When its clock stood where, and its inputs in order, with their size on the wire (0 where
    /// there is none).
    pub inputs: Vec<(Time, Input<P::Message>, usize)>,
}

/// Everything that replicas of one group heard and said.
#[derive(Clone, Debug)]
pub struct Tape<P: Protocol> {
    /// By replica.
    pub heard: Vec<Heard<P>>,
    /// Who said what to whom.
    pub said: Vec<(usize, To, P::Message)>,
}

impl<P: Protocol> Default for Tape<P> {
    fn default() -> Self {
        Self { heard: Vec::new(), said: Vec::new() }
    }
}
