//! Our cores and other libraries' in the same loop on one thread. Libraries that bring threads of
//! their own (openraft, `hotstuff_rs`) cannot be measured like this: `cargo compare-peers` does.
//!
//! ```text
//! cargo bench --bench peers                                # ours alone
//! cargo bench --bench peers --features consensus-peers     # with raft-rs and omnipaxos
//! ```

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_bench::experiment::peers::{CASES, bare};
use quorate_bench::peers::drive::round;
use quorate_bench::peers::{COMPILED_IN, Script};

fn cores(criterion: &mut Criterion) {
    if !COMPILED_IN {
        eprintln!(
            "peers: only our own cores; for raft-rs and omnipaxos add --features consensus-peers"
        );
    }
    for case in CASES {
        let script = Script::new(&case.workload());
        let mut group = criterion.benchmark_group(format!("peers/{}", case.name));
        group.throughput(Throughput::Elements(case.sending.in_flight as u64));
        for one in bare(case.sending) {
            let mut replicas = (one.new)().expect("the default setup is valid");
            let mut sent = 0;
            group.bench_function(format!("{}/{}", one.system, one.variant), |bencher| {
                bencher.iter(|| {
                    sent = round(&mut *replicas, &script, case.sending, sent)
                        .expect("every command is answered");
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, cores);
criterion_main!(benches);
