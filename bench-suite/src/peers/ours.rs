//! Our protocols as plain values on one thread, and the state machine alone as their floor.
//!
//! Commands are sealed into batches, signed where clients own keys, and applied from the committed
//! batch on every replica. Sessions, which find repeated requests, belong to the runtime and are
//! not part of this, as they are not part of the other libraries.

use bytes::Bytes;
use quorate_smr::machine::Checksum;
use quorate_smr::{
    Authenticator, Batch, BatchBuilder, ClientAuthenticator, ClientId, Command, GroupId, Protocol,
    ReplicaId, RequestSeq, Seed, Setup,
};

use crate::core_loop::{Commits, CoreLoop};
use crate::error::BenchError;
use crate::peers::{Application, Group, Inbox};

/// The smallest identity: where clients own keys, it does.
const CLIENT: ClientId = ClientId(1);

/// Our protocol `P`.
pub struct Ours<P: Protocol> {
    cores: CoreLoop<P, Replicas>,
    builder: BatchBuilder,
    client: <P::Auth as Authenticator<P::Message>>::Client,
    proof: Vec<u8>,
}

/// What stands above the replicas.
struct Replicas {
    applications: Vec<Application>,
    answering: ReplicaId,
    inbox: Inbox,
    scratch: Vec<u8>,
}

impl Commits for Replicas {
    fn commit(&mut self, replica: ReplicaId, batch: &Batch) {
        let body = batch.body(&mut self.scratch).expect("the batch was sealed here");
        let application = &mut self.applications[usize::from(replica.0)];
        for command in body.commands() {
            let reply = application.apply(command.payload);
            if replica == self.answering {
                self.inbox.deliver(command.seq.0, reply);
            }
        }
    }
}

impl<P: Protocol> Ours<P> {
    /// A fresh group that tolerates one fault, with a leader.
    ///
    /// # Errors
    /// When the protocol refuses its default setup or elects no leader.
    pub fn new() -> Result<Self, BenchError> {
        let failed = |error: &dyn std::fmt::Display| BenchError::setup(P::NAME, &error);
        let count = P::replicas_for(1);
        let setup = Setup::new(ReplicaId(0), count, Seed(7), P::Config::default());
        let auth = P::authenticator(&setup).map_err(|error| failed(&error))?;
        let client = auth.client(CLIENT).ok_or_else(|| failed(&"client 1 has no key"))?;
        let replicas = Replicas {
            applications: vec![Application::default(); count],
            answering: ReplicaId(0),
            inbox: Inbox::default(),
            scratch: Vec::new(),
        };
        let mut cores = CoreLoop::telling(count, replicas)?;
        cores.commits_mut().answering = cores.leader();
        Ok(Self { cores, builder: BatchBuilder::new(GroupId(0)), client, proof: Vec::new() })
    }
}

impl<P: Protocol> Group for Ours<P> {
    fn propose(&mut self, first: u64, commands: &[Bytes]) -> Result<(), String> {
        for (seq, payload) in (first..).zip(commands) {
            self.proof.clear();
            let seq = RequestSeq(seq);
            self.client.sign(CLIENT, seq, payload, &mut self.proof);
            let command = Command { client: CLIENT, seq, payload, auth: &self.proof };
            self.builder.push(&command).map_err(|error| error.to_string())?;
        }
        self.cores.propose(self.builder.seal(None));
        Ok(())
    }

    fn settle(&mut self) -> Result<(), String> {
        self.cores.settle();
        Ok(())
    }

    fn tick(&mut self) -> Result<(), String> {
        self.cores.tick();
        Ok(())
    }

    fn inbox(&self) -> &Inbox {
        &self.cores.commits().inbox
    }

    fn machines(&self) -> Vec<Checksum> {
        let applications = &self.cores.commits().applications;
        applications.iter().map(|one| one.machine().clone()).collect()
    }

    fn messages(&self) -> u64 {
        self.cores.messages()
    }
}

/// The state machine alone: commands go in, replies come out.
#[derive(Default)]
pub struct Unreplicated {
    application: Application,
    inbox: Inbox,
}

impl Group for Unreplicated {
    fn propose(&mut self, first: u64, commands: &[Bytes]) -> Result<(), String> {
        for (seq, command) in (first..).zip(commands) {
            self.inbox.deliver(seq, self.application.apply(command));
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
        vec![self.application.machine().clone()]
    }

    fn messages(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use quorate_paxos::Paxos;
    use quorate_pbft::Pbft;
    use quorate_raft::Raft;
    use quorate_runtime::Direct;

    use super::*;
    use crate::peers::drive::Sending;
    use crate::peers::tests::every_command_is_verified;

    fn orders_and_answers(new: impl Fn() -> Box<dyn Group>) {
        for (batch, in_flight) in [(1, 1), (1, 512), (64, 512)] {
            every_command_is_verified(&mut *new(), Sending { batch, in_flight });
        }
    }

    #[test]
    fn every_protocol_orders_and_answers_every_command() {
        orders_and_answers(|| Box::new(Ours::<Paxos>::new().unwrap()));
        orders_and_answers(|| Box::new(Ours::<Raft>::new().unwrap()));
        orders_and_answers(|| Box::new(Ours::<Pbft>::new().unwrap()));
        orders_and_answers(|| Box::new(Ours::<Direct>::new().unwrap()));
        orders_and_answers(|| Box::<Unreplicated>::default());
    }
}
