//! Byzantine replicas and clients. As many replicas lie as the group tolerates, the first primaries
//! among them; honest clients must be served all the same.

use std::time::Duration;

use quorate_pbft::{Pbft, PbftConfig};
use quorate_sim::byzantine::{Behaviour, Mischief};
use quorate_sim::invariants::{
    CHOSEN_STAYS_CHOSEN, ONE_VALUE_PER_EPOCH_AND_SLOT, SLOT_AGREEMENT, STATE_AGREEMENT,
};
use quorate_sim::scene::{Scene, SceneBuilder, Step};
use quorate_sim::{FaultKind, Inspect};

use super::scenario;

/// Requests that must be served while others misbehave.
const REQUESTS: usize = 12;

fn quick(config: &mut PbftConfig) {
    config.checkpoint_interval = 4;
    config.window = 8;
    config.view_change_timeout = Duration::from_millis(200);
    config.view_change_timeout_max = Duration::from_secs(2);
}

/// The first `count` replicas do `behaviour`.
fn liars(mut builder: SceneBuilder<Pbft>, count: usize, behaviour: Behaviour) -> Step<Scene<Pbft>> {
    for replica in 0..count {
        builder = builder.byzantine(replica, behaviour);
    }
    builder.config(quick).start()
}

/// As many as tolerated.
fn tolerated(builder: SceneBuilder<Pbft>, behaviour: Behaviour) -> Step<Scene<Pbft>> {
    let count = Pbft::faults(builder.replicas());
    liars(builder, count, behaviour)
}

fn rogue(builder: SceneBuilder<Pbft>, mischief: Mischief) -> Step<Scene<Pbft>> {
    builder.plan(|plan| plan.rogues = vec![mischief]).config(quick).start()
}

/// Honest clients are served while `fault` takes place, and afterwards.
fn serves(mut scene: Scene<Pbft>, fault: FaultKind) -> Step {
    for request in 0..REQUESTS {
        scene.append(request % 2, "k", &[b'a' + request as u8])?;
        scene.run_for(20)?;
    }
    scene.expect(&format!("\"{fault}\" took place"), scene.faults(fault) > 0)?;
    scene.settle()
}

fn serves_despite(builder: SceneBuilder<Pbft>, behaviour: Behaviour) -> Step {
    serves(tolerated(builder, behaviour)?, behaviour.fault())
}

scenario!(equivocating_primary: pbft(|scene| serves_despite(scene, Behaviour::Equivocate)));
scenario!(colluding_primary: pbft(|scene| serves_despite(scene, Behaviour::Collude)));
scenario!(twins: pbft(|scene| serves_despite(scene, Behaviour::Twins)));
scenario!(mute_primary: pbft(|scene| serves_despite(scene, Behaviour::Mute)));
scenario!(a_primary_that_serves_only_some: pbft(|scene| serves_despite(scene, Behaviour::ServeSome)));
scenario!(a_primary_just_below_the_timeout: pbft(|scene| serves_despite(scene, Behaviour::Slow)));
scenario!(forged_messages: pbft(|scene| serves_despite(scene, Behaviour::Forge)));
scenario!(replayed_messages: pbft(|scene| serves_despite(scene, Behaviour::Replay)));
scenario!(messages_from_other_views: pbft(|scene| serves_despite(scene, Behaviour::Stale)));
scenario!(partly_valid_authenticators: pbft(|scene| serves_despite(scene, Behaviour::PartlyProven)));
scenario!(conflicting_checkpoints: pbft(|scene| serves_despite(scene, Behaviour::TwoCheckpoints)));
scenario!(requests_whose_body_never_arrives: pbft(|scene| serves_despite(scene, Behaviour::Withhold)));
scenario!(invented_requests: pbft(|scene| serves_despite(scene, Behaviour::Invent)));

/// The next primaries lie: the view changes to them, and past them.
fn certificates(builder: SceneBuilder<Pbft>) -> Step {
    let mut builder = builder.config(quick);
    for replica in 1..=Pbft::faults(builder.replicas()) {
        builder = builder.byzantine(replica, Behaviour::FalseCertificates);
    }
    let mut scene = builder.start()?;
    let last = scene.replicas() - 1;
    for request in 0..5 {
        scene.append(request % 2, "k", b"x")?;
    }
    scene.isolate(0);
    scene.begin_append(3, "k", b"y", last)?;
    scene.begin_append(2, "k", b"z", last - 1)?;
    let left =
        |scene: &Scene<Pbft>, replica| scene.status(replica).is_some_and(|status| status.epoch > 0);
    let both = |scene: &Scene<Pbft>| left(scene, last) && left(scene, last - 1);
    scene.run_until("two leave the view", both)?;
    scene.rejoin(0);
    scene.append(1, "k", b"z")?;
    serves(scene, FaultKind::FalseCertificate)
}

scenario!(withheld_or_forged_certificates_in_a_view_change: pbft(certificates));

scenario!(a_flooding_client: pbft(|scene| serves(rogue(scene, Mischief::Flood)?, FaultKind::Flood)));
scenario!(a_client_that_sends_different_requests_to_different_replicas: pbft(
    |scene| serves(rogue(scene, Mischief::TwoFaced)?, FaultKind::TwoFaced)
));
scenario!(a_client_whose_proof_is_partly_valid: pbft(
    |scene| serves(rogue(scene, Mischief::PartialProof)?, FaultKind::PartialProof)
));
scenario!(old_requests_sent_again: pbft(
    |scene| serves(rogue(scene, Mischief::OldRequests)?, FaultKind::OldRequest)
));
scenario!(absurd_numbers: pbft(|scene| serves(rogue(scene, Mischief::Absurd)?, FaultKind::Absurd)));

/// One liar more than is tolerated: agreement must be seen to break.
fn too_many(builder: SceneBuilder<Pbft>, behaviour: Behaviour) -> Step {
    let count = Pbft::faults(builder.replicas()) + 1;
    let mut scene = liars(builder, count, behaviour)?;
    let safety =
        [SLOT_AGREEMENT, STATE_AGREEMENT, ONE_VALUE_PER_EPOCH_AND_SLOT, CHOSEN_STAYS_CHOSEN];
    for request in 0..8 * REQUESTS {
        for client in 0..4 {
            let key = ["k", "l"][request % 2];
            let Err(failure) = scene.begin_append(client, key, &[b'a' + client as u8], 0) else {
                continue;
            };
            return match &failure.violation {
                Some(violation) if safety.contains(&violation.invariant) => Ok(()),
                _ => Err(failure),
            };
        }
        let Err(failure) = scene.run_for(40) else { continue };
        return match &failure.violation {
            Some(violation) if safety.contains(&violation.invariant) => Ok(()),
            _ => Err(failure),
        };
    }
    scene.expect("agreement broke", false)
}

scenario!(more_liars_than_tolerated: pbft(|scene| too_many(scene, Behaviour::Collude)));
