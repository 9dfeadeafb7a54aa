//! Costs as a run keeps them: in words that a reader understands, exact to the picosecond, and read
//! back so that a run can be done again with the figures of another.
//!
//! What always holds: what is read back equals what was written.

use std::collections::BTreeMap;

use quorate_sim::metered::{Costs, Linear};

use super::costs::{Codec, assume, assume_codec};
use crate::experiment::system::PROTOCOLS;

/// Costs in a run's settings: name and value.
#[must_use]
pub fn setting(system: &str, replicas: usize, costs: &Costs) -> (String, String) {
    let ns = |ps: u64| format!("{} ns", ps as f64 / 1e3);
    let line = |line: Linear| format!("{} + {}/byte", ns(line.fixed_ps), ns(line.byte_ps));
    let parts = [
        format!("encode {}", line(costs.encode)),
        format!("prove {} for each receiver", ns(costs.prove_ps)),
        format!("decode {}", line(costs.decode)),
        format!("open {}", line(costs.open)),
        format!("step {}", line(costs.step)),
        format!("propose {}", line(costs.propose)),
        format!("other {}", ns(costs.other_ps)),
        format!("request {}", line(costs.request)),
        format!("seal {}", line(costs.seal)),
        format!("apply {}", line(costs.apply)),
        format!("answer {}", ns(costs.answer_ps)),
        format!("opened {} times before it is applied", costs.opened_before),
    ];
    (format!("CPU costs, {system}, {replicas} replicas"), parts.join(", "))
}

/// A codec's costs in a run's settings: name and value.
#[must_use]
pub fn codec_setting(kind: &str, batch_bytes: usize, codec: Codec) -> (String, String) {
    let (compress, decompress) = codec;
    let name = format!("codec, {kind}, batches of {batch_bytes} bytes");
    (name, format!("compress {compress} ps/byte, open {decompress} ps/byte"))
}

/// Takes every cost in `settings` as measured; how many there were.
///
/// # Errors
/// The setting that does not parse.
pub fn assume_settings(settings: &BTreeMap<String, String>) -> Result<usize, String> {
    let mut count = 0;
    for (name, text) in settings {
        let known = match name.split_once(", ") {
            Some(("CPU costs", rest)) => assume_costs(rest, text),
            Some(("codec", rest)) => assume_packing(rest, text),
            _ => continue,
        };
        known.ok_or_else(|| format!("{name}: {text}"))?;
        count += 1;
    }
    Ok(count)
}

fn assume_costs(name: &str, text: &str) -> Option<()> {
    let (system, replicas) = name.split_once(", ")?;
    let system = PROTOCOLS.into_iter().find(|known| known.name() == system)?;
    assume(system, replicas.strip_suffix(" replicas")?.parse().ok()?, parse(text)?);
    Some(())
}

fn assume_packing(name: &str, text: &str) -> Option<()> {
    let (kind, batches) = name.split_once(", batches of ")?;
    let batch_bytes = batches.strip_suffix(" bytes")?.parse().ok()?;
    let (compress, open) = text.strip_suffix(" ps/byte")?.split_once(" ps/byte, open ")?;
    let compress = compress.strip_prefix("compress ")?.parse().ok()?;
    assume_codec(kind, batch_bytes, (compress, open.parse().ok()?));
    Some(())
}

fn parse(text: &str) -> Option<Costs> {
    let mut costs = Costs::FREE;
    for part in text.split(", ") {
        let (name, rest) = part.split_once(' ')?;
        if name == "opened" {
            costs.opened_before = rest.split(' ').next()?.parse().ok()?;
            continue;
        }
        let numbers = rest.split(' ').filter_map(|word| word.parse::<f64>().ok());
        let numbers: Vec<u64> = numbers.map(|ns| (ns * 1e3).round() as u64).collect();
        let line = || match numbers.as_slice() {
            [fixed_ps, byte_ps] => Some(Linear { fixed_ps: *fixed_ps, byte_ps: *byte_ps }),
            _ => None,
        };
        match name {
            "encode" => costs.encode = line()?,
            "prove" => costs.prove_ps = *numbers.first()?,
            "decode" => costs.decode = line()?,
            "open" => costs.open = line()?,
            "step" => costs.step = line()?,
            "propose" => costs.propose = line()?,
            "other" => costs.other_ps = *numbers.first()?,
            "request" => costs.request = line()?,
            "seal" => costs.seal = line()?,
            "apply" => costs.apply = line()?,
            "answer" => costs.answer_ps = *numbers.first()?,
            _ => return None,
        }
    }
    Some(costs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::simulated::costs;
    use crate::experiment::system::System;

    fn odd() -> Costs {
        let line = |fixed_ps, byte_ps| Linear { fixed_ps, byte_ps };
        Costs {
            encode: line(1_234, 56),
            prove_ps: 1,
            decode: line(2_001, 0),
            open: line(3, 4),
            step: line(5, 6),
            propose: line(7, 8_009),
            other_ps: 10,
            request: line(11, 12),
            seal: line(13, 14),
            apply: line(15, 16),
            answer_ps: 17,
            opened_before: 1,
            ..Costs::FREE
        }
    }

    #[test]
    fn what_is_read_back_is_what_was_written() {
        let (name, text) = setting("raft", 3, &odd());
        assert_eq!(name, "CPU costs, raft, 3 replicas");
        assert!(text.contains("encode 1.234 ns + 0.056 ns/byte"), "{text}");
        assert_eq!(parse(&text), Some(odd()));
        assert_eq!(parse("encode fast"), None);
        assert_eq!(parse("sing 3 ns"), None);
    }

    #[test]
    fn a_run_can_be_done_again_with_the_figures_of_another() {
        let mut settings = BTreeMap::from([("seed".to_owned(), "any".to_owned())]);
        settings.extend([setting("paxos", 99, &odd()), codec_setting("text", 77, (5, 6))]);
        assert_eq!(assume_settings(&settings), Ok(2));
        assert_eq!(costs::of(System::Paxos, 99).unwrap(), odd());
        assert_eq!(costs::codec("text", &[], 77), (5, 6));
        settings.insert("codec, text, batches of 8 bytes".into(), "quick".into());
        assert!(assume_settings(&settings).is_err());
    }
}
