//! Plans that are quieter than a given one.
//!
//! Fields are found in the plan's serialised form, so that a field that is added to a plan takes
//! part without a word here: whatever differs from [`Plan::quiet`] (a *knob*) can be set to what it
//! is there. Amounts of work have no quiet value; they can only become less.

use serde_json::Value;

use crate::plan::Plan;

/// Fields that are amounts of work: less is simpler, and 1 is the least.
const AMOUNTS: [&str; 4] = ["clients", "keys", "requests", "liveness_requests"];
/// The field that says how long faults last.
const DURATION: &str = "faults_ns";
/// A duration that is not worth shortening, in nanoseconds.
const DURATION_NS_MIN: u64 = 10_000_000;

/// Where a field is.
pub(super) type Knob = Vec<String>;

/// How many of the plan's fields are not quiet.
#[must_use]
pub fn count_knobs(plan: &Plan) -> usize {
    knobs(plan).len()
}

/// The fields that are not quiet.
pub(super) fn knobs(plan: &Plan) -> Vec<Knob> {
    let mut found = Vec::new();
    collect(&value_of(plan), &value_of(&Plan::quiet()), &mut Vec::new(), &mut found);
    found
}

fn collect(now: &Value, quiet: &Value, path: &mut Knob, found: &mut Vec<Knob>) {
    if let (Value::Object(parts), Value::Object(_)) = (now, quiet) {
        for (name, part) in parts {
            path.push(name.clone());
            collect(part, quiet.get(name).unwrap_or(&Value::Null), path, found);
            path.pop();
        }
    } else if now != quiet && !path.last().is_some_and(|name| is_amount(name)) {
        found.push(path.clone());
    }
}

fn is_amount(name: &str) -> bool {
    AMOUNTS.contains(&name) || name == DURATION
}

/// The plan with all fields quiet but the `kept` ones and the amounts.
pub(super) fn with_knobs(plan: &Plan, kept: &[Knob]) -> Plan {
    let quiet = value_of(&Plan::quiet());
    let mut value = value_of(plan);
    for knob in knobs(plan).iter().filter(|knob| !kept.contains(knob)) {
        let silence = knob.iter().try_fold(&quiet, |at, name| at.get(name));
        set(&mut value, knob, silence.cloned().unwrap_or_default());
    }
    serde_json::from_value(value).unwrap_or_else(|_| plan.clone())
}

/// Every plan that has one amount less, or one item of a list less; the largest steps first.
pub(super) fn smaller(plan: &Plan) -> Vec<Plan> {
    let value = value_of(plan);
    let mut changes = Vec::new();
    shorten(&value, &mut Vec::new(), &mut changes);
    let changed = |(path, less): (Knob, Value)| {
        let mut value = value.clone();
        set(&mut value, &path, less);
        serde_json::from_value(value).ok()
    };
    changes.into_iter().filter_map(changed).filter(|smaller| smaller != plan).collect()
}

fn shorten(now: &Value, path: &mut Knob, changes: &mut Vec<(Knob, Value)>) {
    match now {
        Value::Object(parts) => {
            for (name, part) in parts {
                path.push(name.clone());
                shorten(part, path, changes);
                path.pop();
            }
        }
        Value::Array(items) if !items.iter().all(Value::is_number) || path[0] == "left_down" => {
            for left_out in 0..items.len() {
                let mut fewer = items.clone();
                fewer.remove(left_out);
                changes.push((path.clone(), fewer.into()));
            }
        }
        Value::Number(number) => {
            let name = path.last().map_or("", String::as_str);
            let number = number.as_u64().unwrap_or(0);
            let less = match () {
                () if AMOUNTS.contains(&name) => vec![1, number / 2, number.saturating_sub(1)],
                () if name == DURATION && number > DURATION_NS_MIN => {
                    vec![number / 4, number / 2, number / 4 * 3]
                }
                () => Vec::new(),
            };
            let less = less.into_iter().filter(|less| (1..number).contains(less));
            changes.extend(less.map(|less| (path.clone(), less.into())));
        }
        _ => {}
    }
}

fn set(value: &mut Value, path: &[String], to: Value) {
    if let Some(place) = path.iter().try_fold(value, |at, name| at.get_mut(name)) {
        *place = to;
    }
}

fn value_of(plan: &Plan) -> Value {
    serde_json::to_value(plan).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byzantine::Behaviour;

    #[test]
    fn a_plan_survives_being_written_down() {
        for seed in 0..100 {
            let plan = Plan::swarm(seed, 7, 2, true);
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan, "seed {seed}");
        }
    }

    #[test]
    fn what_a_written_plan_does_not_say_is_quiet() {
        assert_eq!(serde_json::from_str::<Plan>("{}").unwrap(), Plan::quiet());
        let text = r#"{"network": {"loss_ppm": 7}, "a field of another version": 1}"#;
        let mut lossy = Plan::quiet();
        lossy.network.loss_ppm = 7;
        assert_eq!(serde_json::from_str::<Plan>(text).unwrap(), lossy);
    }

    #[test]
    fn all_knobs_are_the_plan_and_none_are_a_quiet_one_with_its_amounts() {
        for seed in 0..100 {
            let plan = Plan::swarm(seed, 7, 2, true);
            let knobs = knobs(&plan);
            assert!(knobs.len() > 5);
            assert_eq!(with_knobs(&plan, &knobs), plan);
            let quiet = with_knobs(&plan, &[]);
            assert_eq!(count_knobs(&quiet), 0);
            assert_eq!(quiet.load.clients, plan.load.clients);
            assert_eq!(quiet.faults_ns, plan.faults_ns);
        }
    }

    #[test]
    fn a_knob_alone_is_the_only_difference() {
        let plan = Plan::swarm(1, 3, 1, false);
        for knob in knobs(&plan) {
            let alone = with_knobs(&plan, std::slice::from_ref(&knob));
            assert_eq!(knobs(&alone), [knob]);
        }
    }

    #[test]
    fn smaller_plans_end_at_the_least_amounts_without_byzantine_replicas() {
        let mut plan = Plan::swarm(3, 7, 2, true);
        plan.byzantine = vec![(0, Behaviour::Mute), (1, Behaviour::Lie)];
        plan.left_down = vec![3];
        let steps = smaller(&plan);
        assert!(steps.iter().any(|it| it.byzantine == [(1, Behaviour::Lie)]));
        assert!(steps.iter().any(|it| it.left_down.is_empty()));
        let mut taken = 0;
        while let Some(next) = smaller(&plan).into_iter().next() {
            plan = next;
            taken += 1;
            assert!(taken < 100, "{plan:?}");
        }
        let load = &plan.load;
        assert_eq!((load.clients, load.keys, load.requests, plan.liveness_requests), (1, 1, 1, 1));
        assert!(plan.byzantine.is_empty() && plan.left_down.is_empty());
        assert!(plan.faults_ns <= DURATION_NS_MIN);
    }
}
