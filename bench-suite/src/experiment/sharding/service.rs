//! Servers behind a balancer, in virtual time: what they sustain and how long requests take when
//! some keys are hot, or one server is slow.
//!
//! A request waits in the queue of the server that it was given to. Service times are exponential
//! with mean 1, drawn from the seed: no clock is read. What always holds, or the repetition has
//! failed: every request ends, not before its service time is over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::balance::{Requests, Skew, keys};
use super::balancer::{Algorithm, Chooser};
use crate::metric::Metric;
use crate::stats::quantile;

/// Servers.
pub const SERVERS: usize = 16;
/// The open loop's load, as a share of capacity.
pub const OFFERED: f64 = 0.6;
/// Requests of one repetition.
const REQUESTS: usize = 20_000;
/// Requests at the start that do not count.
const WARM_UP: usize = REQUESTS / 10;
/// Requests outstanding for each server in the closed loop.
const WINDOW_EACH: usize = 8;
/// Virtual ticks of a mean service time.
const SERVICE: u64 = 1 << 20;

/// Which servers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    /// Equal ones.
    Equal,
    /// One at half the speed of the others.
    OneSlow,
}

impl Servers {
    /// The case of their cells.
    #[must_use]
    pub fn case(self) -> String {
        match self {
            Self::Equal => format!("service-{SERVERS}"),
            Self::OneSlow => format!("service-{SERVERS}-one-slow"),
        }
    }

    /// How much longer server `index` takes.
    const fn slowness(self, index: usize) -> u64 {
        if matches!(self, Self::OneSlow) && index == 0 { 2 } else { 1 }
    }

    /// Requests per mean service time that all can serve.
    fn capacity(self) -> f64 {
        (0..SERVERS).map(|index| 1.0 / self.slowness(index) as f64).sum()
    }
}

/// Serves requests behind `algorithm`: closed loop, then open loop. The percentiles are left out
/// where the open loop's load is more than what was sustained: they would only grow.
///
/// # Errors
/// What went wrong, in words.
pub fn service(
    algorithm: Algorithm,
    servers: Servers,
    skew: Skew,
    seed: u32,
) -> Result<BTreeMap<Metric, f64>, String> {
    let sustained = Station::new(algorithm, servers, skew, seed)?.closed_loop()?;
    let mut values = BTreeMap::from([(Metric::Sustained, sustained * 100.0)]);
    if sustained > OFFERED {
        let mut latencies = Station::new(algorithm, servers, skew, seed)?.open_loop()?;
        latencies.sort_unstable();
        let in_services: Vec<f64> =
            latencies.iter().map(|ticks| *ticks as f64 / SERVICE as f64).collect();
        values.insert(Metric::ServiceP50, quantile(&in_services, 0.5));
        values.insert(Metric::ServiceP99, quantile(&in_services, 0.99));
    }
    Ok(values)
}

/// Servers with their queues and the balancer before them.
struct Station {
    chooser: Chooser,
    servers: Servers,
    requests: Requests,
    keys: Vec<Vec<u8>>,
    draws: ChaCha8Rng,
    /// When each server has served all that it was given.
    free_at: [u64; SERVERS],
    /// Ends of requests to come, with their servers.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Station {
    fn new(algorithm: Algorithm, servers: Servers, skew: Skew, seed: u32) -> Result<Self, String> {
        Ok(Self {
            chooser: Chooser::new(algorithm, SERVERS, seed).map_err(|error| error.to_string())?,
            servers,
            requests: Requests::new(skew, seed)?,
            keys: keys(seed),
            draws: ChaCha8Rng::seed_from_u64(u64::from(seed) << 32),
            free_at: [0; SERVERS],
            ends: BinaryHeap::new(),
        })
    }

    /// An exponential time with this mean, in ticks.
    fn draw(&mut self, mean: f64) -> u64 {
        // Above zero and at most one, so that the logarithm exists.
        let uniform = (f64::from(self.draws.next_u32()) + 1.0) / (f64::from(u32::MAX) + 1.0);
        (-uniform.ln() * mean) as u64
    }

    /// Gives a request that comes at `now` to a server and returns how long it will take.
    fn serve(&mut self, now: u64) -> Result<u64, String> {
        let server = self.chooser.choose(&self.keys[self.requests.next()]);
        let time = self.draw(SERVICE as f64) * self.servers.slowness(server);
        let free_at =
            self.free_at.get_mut(server).ok_or_else(|| format!("there is no server {server}"))?;
        *free_at = (*free_at).max(now) + time;
        let took = *free_at - now;
        self.ends.push(Reverse((*free_at, server)));
        if took < time { Err("a request ended before it was served".into()) } else { Ok(took) }
    }

    /// The next end, if it comes at `now` at the latest; the balancer hears of it.
    fn end_by(&mut self, now: u64) -> Option<u64> {
        let Reverse((at, _)) = self.ends.peek()?;
        if *at > now {
            return None;
        }
        let Reverse((at, server)) = self.ends.pop()?;
        self.chooser.completed(server);
        Some(at)
    }

    /// Keeps as many requests outstanding as [`WINDOW_EACH`] says, and returns the share of the
    /// capacity that is used.
    fn closed_loop(mut self) -> Result<f64, String> {
        for _ in 0..WINDOW_EACH * SERVERS {
            self.serve(0)?;
        }
        let mut begin = 0;
        for number in 0..REQUESTS {
            let now = self.end_by(u64::MAX).ok_or("a request did not end")?;
            if number == WARM_UP {
                begin = now;
            }
            if number + 1 == REQUESTS {
                let services = (now - begin) as f64 / SERVICE as f64;
                return Ok((REQUESTS - WARM_UP) as f64 / services / self.servers.capacity());
            }
            self.serve(now)?;
        }
        Err("no request was served".into())
    }

    /// Sends requests at random times, [`OFFERED`] of the capacity, and returns how many ticks
    /// each took.
    fn open_loop(mut self) -> Result<Vec<u64>, String> {
        let interval = SERVICE as f64 / (OFFERED * self.servers.capacity());
        let (mut now, mut latencies) = (0, Vec::with_capacity(REQUESTS));
        for number in 0..REQUESTS {
            now += self.draw(interval);
            while self.end_by(now).is_some() {}
            let took = self.serve(now)?;
            if number >= WARM_UP {
                latencies.push(took);
            }
        }
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sustained(algorithm: Algorithm, servers: Servers, skew: Skew) -> f64 {
        service(algorithm, servers, skew, 1).unwrap()[&Metric::Sustained]
    }

    #[test]
    fn the_fewest_outstanding_wait_least_and_turns_wait_more_than_two_choices() {
        let p99 = |algorithm| {
            service(algorithm, Servers::Equal, Skew::Uniform, 1).unwrap()[&Metric::ServiceP99]
        };
        let (turns, two, least) = (
            p99(Algorithm::RoundRobin),
            p99(Algorithm::PowerOfTwo),
            p99(Algorithm::LeastOutstanding),
        );
        assert!(least < two && two < turns, "{least} {two} {turns}");
        // A lone exponential service has its 99th percentile at ln 100.
        assert!(least > 4.0, "{least}");
    }

    #[test]
    fn a_hot_key_limits_servers_whose_keys_have_homes() {
        let keyed = sustained(Algorithm::SlotTable, Servers::Equal, Skew::Strong);
        let free = sustained(Algorithm::LeastOutstanding, Servers::Equal, Skew::Strong);
        // The hottest of 10,000 keys has about a fifth of all requests: a server for three.
        assert!(keyed < 45.0 && free > 95.0, "{keyed} {free}");
        let figures = service(Algorithm::SlotTable, Servers::Equal, Skew::Strong, 1).unwrap();
        assert!(!figures.contains_key(&Metric::ServiceP99), "saturated");
    }

    #[test]
    fn turns_send_a_slow_server_too_much_and_counting_does_not() {
        let turns = sustained(Algorithm::RoundRobin, Servers::OneSlow, Skew::Uniform);
        let least = sustained(Algorithm::LeastOutstanding, Servers::OneSlow, Skew::Uniform);
        assert!(turns < 65.0 && least > 95.0, "{turns} {least}");
    }

    #[test]
    fn virtual_time_repeats_itself() {
        let once = service(Algorithm::PowerOfTwo, Servers::OneSlow, Skew::Ycsb, 5).unwrap();
        assert_eq!(once, service(Algorithm::PowerOfTwo, Servers::OneSlow, Skew::Ycsb, 5).unwrap());
    }
}
