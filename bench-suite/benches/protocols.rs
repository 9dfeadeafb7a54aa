//! The protocols: the bare core (replicas as plain values, no queue), and through the cluster.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_bench::core_loop::CoreLoop;
use quorate_bench::experiment::cluster::Prepared;
use quorate_bench::experiment::small::{Gathering, WINDOW};
use quorate_bench::experiment::system::SYSTEMS;
use quorate_bench::workload::SMALL;
use quorate_smr::machine::Checksum;
use quorate_smr::{
    Authenticator, BatchBuilder, ClientAuthenticator, ClientId, Command, GroupId, Protocol,
    ReplicaId, RequestSeq, Seed, Setup,
};

/// The smallest identity: where clients own keys, it does.
const CLIENT: ClientId = ClientId(1);

fn core<P: Protocol>(criterion: &mut Criterion, batch: u64) {
    let mut cores: CoreLoop<P> = CoreLoop::new(0).expect("the default setup is valid");
    let setup = Setup::new(ReplicaId(0), P::replicas_for(1), Seed(7), P::Config::default());
    let auth = P::authenticator(&setup).expect("the default keys are usable");
    let client = auth.client(CLIENT).expect("client 1 is known");
    let mut builder = BatchBuilder::new(GroupId(0));
    let (mut seq, mut proof) = (0, Vec::new());
    let mut group = criterion.benchmark_group("protocols/core");
    group.throughput(Throughput::Elements(batch));
    group.bench_function(format!("{}/batch-{batch}", P::NAME), |bencher| {
        bencher.iter(|| {
            for _ in 0..batch {
                seq += 1;
                proof.clear();
                client.sign(CLIENT, RequestSeq(seq), &[7; 16], &mut proof);
                let command = Command {
                    client: CLIENT,
                    seq: RequestSeq(seq),
                    payload: &[7; 16],
                    auth: &proof,
                };
                builder.push(&command).expect("the batch has room");
            }
            cores.order(builder.seal(None));
        });
    });
    group.finish();
}

fn cores(criterion: &mut Criterion) {
    for batch in [1, 64] {
        core::<quorate_runtime::Direct>(criterion, batch);
        core::<quorate_paxos::Paxos>(criterion, batch);
        core::<quorate_raft::Raft>(criterion, batch);
        core::<quorate_pbft::Pbft>(criterion, batch);
    }
}

fn clusters(criterion: &mut Criterion) {
    let prepared = Prepared::new(SMALL, 1, false);
    let mut group = criterion.benchmark_group("protocols/cluster");
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    for system in SYSTEMS {
        for (name, gathering) in [("batching", Gathering::Batching), ("single", Gathering::Single)]
        {
            let mut run = system
                .runner(&gathering, Checksum::default, &prepared, WINDOW)
                .expect("the default cluster starts");
            group.bench_function(format!("{}/{name}", system.name()), |bencher| {
                bencher.iter_custom(&mut run);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, cores, clusters);
criterion_main!(benches);
