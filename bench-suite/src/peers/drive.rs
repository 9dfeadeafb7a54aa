//! Loads a group on one thread and proves what it did.
//!
//! Time is the thread's own CPU time: nothing else runs here, so that commands in a second are
//! commands in a second of one core, whatever else the machine does.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::experiment::Outcome;
use crate::machine::thread_cpu;
use crate::metric::Metric;
use crate::peers::{Group, Script};
use crate::run::Proof;

/// How commands are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sending {
    /// Commands that leave together.
    pub batch: usize,
    /// Commands on their way at once; a multiple of `batch`.
    pub in_flight: usize,
}

/// Timers that may pass after the load until every replica has applied everything.
const TICKS_MAX: usize = 1000;
/// At least so many commands between two looks at the clock, which takes about as long as one.
const COMMANDS_BETWEEN_CLOCKS: usize = 512;

/// Loads `group` with `script` for `warm_up` and then for `measured`, both in CPU time of this
/// thread, and verifies what it did.
#[must_use]
pub fn measure(
    group: &mut dyn Group,
    script: &Script,
    sending: Sending,
    (warm_up, measured): (Duration, Duration),
) -> Outcome {
    let mut sent = 0;
    let mut load = |group: &mut dyn Group, duration: Duration| -> Result<Loaded, String> {
        let (start, sent_before, messages_before) = (thread_cpu(), sent, group.messages());
        loop {
            for _ in 0..COMMANDS_BETWEEN_CLOCKS.div_ceil(sending.in_flight) {
                sent = round(group, script, sending, sent)?;
            }
            let elapsed = thread_cpu() - start;
            if elapsed >= duration {
                let (commands, messages) = (sent - sent_before, group.messages() - messages_before);
                return Ok(Loaded { commands, messages, elapsed });
            }
        }
    };
    let loaded = load(group, warm_up).and_then(|_| load(group, measured));
    let proof = match loaded.as_ref().map_err(Clone::clone).and_then(|_| prove(group, script, sent))
    {
        Ok(()) => Proof::Verified,
        Err(reason) => Proof::Failed(reason),
    };
    let values = loaded.map(|loaded| loaded.values()).unwrap_or_default();
    Outcome::new(values, proof)
}

struct Loaded {
    commands: u64,
    messages: u64,
    elapsed: Duration,
}

impl Loaded {
    fn values(&self) -> BTreeMap<Metric, f64> {
        let (commands, seconds) = (self.commands as f64, self.elapsed.as_secs_f64());
        BTreeMap::from([
            (Metric::Throughput, commands / seconds),
            (Metric::Cpu, seconds / commands * 1e6),
            (Metric::Messages, self.messages as f64 / commands),
        ])
    }
}

/// Sends a window of commands and carries everything until all of them are answered; returns the
/// number of the last.
///
/// # Errors
/// When one is not answered.
pub fn round(
    group: &mut dyn Group,
    script: &Script,
    sending: Sending,
    sent: u64,
) -> Result<u64, String> {
    let mut next = sent + 1;
    for _ in 0..sending.in_flight / sending.batch {
        group.propose(next, script.batch(next, sending.batch))?;
        next += sending.batch as u64;
    }
    group.settle()?;
    let answered = group.inbox().answered();
    if answered + 1 == next {
        return Ok(answered);
    }
    Err(format!("{answered} of {} commands were answered", next - 1))
}

/// Checks that every reply was right and came once and in order, and that every replica applied
/// exactly what was sent.
pub(super) fn prove(group: &mut dyn Group, script: &Script, sent: u64) -> Result<(), String> {
    let lags = |group: &dyn Group| group.machines().iter().any(|one| one.applied() < sent);
    for _ in 0..TICKS_MAX {
        if !lags(group) {
            break;
        }
        group.tick()?;
    }
    let (inbox, machine) = script.replay(sent);
    if let Some(error) = &group.inbox().error {
        return Err(error.clone());
    }
    if *group.inbox() != inbox {
        return Err("a reply is not what the state machine answers".into());
    }
    for (replica, found) in group.machines().iter().enumerate() {
        if *found != machine {
            let applied = found.applied();
            return Err(format!("replica {replica} applied {applied} of {sent} or others"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quorate_smr::machine::Checksum;

    use super::*;
    use crate::peers::{Application, Inbox};
    use crate::workload::SMALL;

    const NOW: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);
    const SENDING: Sending = Sending { batch: 4, in_flight: 8 };

    /// A group of two that answers at once, with a defect.
    #[derive(Default)]
    struct Defective {
        replicas: [Application; 2],
        inbox: Inbox,
        loses: bool,
        repeats: bool,
        diverges: bool,
    }

    impl Group for Defective {
        fn propose(&mut self, first: u64, commands: &[Bytes]) -> Result<(), String> {
            for (seq, command) in (first..).zip(commands) {
                if self.loses && seq == 6 {
                    continue;
                }
                let reply = self.replicas[0].apply(command).to_vec();
                self.inbox.deliver(seq, &reply);
                self.replicas[1].apply(if self.diverges && seq == 6 { b"x" } else { command });
                if self.repeats && seq == 6 {
                    self.replicas.iter_mut().for_each(|one| _ = one.apply(command));
                }
            }
            Ok(())
        }

        fn settle(&mut self) -> Result<(), String> {
            Ok(())
        }

        fn tick(&mut self) -> Result<(), String> {
            Ok(())
        }

        fn inbox(&self) -> &Inbox {
            &self.inbox
        }

        fn machines(&self) -> Vec<Checksum> {
            self.replicas.iter().map(|one| one.machine().clone()).collect()
        }

        fn messages(&self) -> u64 {
            0
        }
    }

    #[test]
    fn a_group_that_does_what_it_should_is_verified() {
        let outcome = measure(&mut Defective::default(), &Script::new(&SMALL), SENDING, NOW);
        assert_eq!(outcome.proof, Proof::Verified);
        assert!(outcome.values[&Metric::Throughput] > 0.0);
    }

    #[test]
    fn a_lost_a_repeated_and_a_differing_command_fail_the_proof() {
        let script = Script::new(&SMALL);
        let defects = [
            Defective { loses: true, ..Defective::default() },
            Defective { repeats: true, ..Defective::default() },
            Defective { diverges: true, ..Defective::default() },
        ];
        for mut group in defects {
            let outcome = measure(&mut group, &script, SENDING, NOW);
            assert!(!outcome.proof.is_verified());
        }
    }
}
