//! What it costs to ask a policy about a new flow: ten rules against ten thousand, of a peer in one group and in eight, and how long compiling takes.
//! The ratio of the two sizes is printed at the end of each pair.
#![allow(missing_docs)]

use std::{hint::black_box, sync::Arc, time::Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use vrouter_dataplane::tables::policy::{Policy, PolicySpec, RuleSpec, Side, Traffic, TrafficMatch, Verdict};

const FEW: u32 = 10;
const MANY: u32 = 10_000;
const TCP: u8 = 6;
/// Questions in a round: enough to meet rules all over the list.
const QUESTIONS: usize = 1024;

/// splitmix64: the same rules in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Groups that the rules of a list name: one for ten rules.
fn groups(rules: u32) -> u32 {
    (rules / 10).max(2)
}

/// Rules as networks have them: one or two peers' groups, some ports, now and then a whole protocol or any peer.
fn spec(rules: u32) -> PolicySpec {
    let mut random = Random(7);
    let mut rule = |id: u32| {
        let group = |random: &mut Random| random.below(u64::from(groups(rules))) as u32;
        let peers: Arc<[u32]> = match random.below(20) {
            0 => Arc::from([]),
            1..8 => Arc::from([group(&mut random), group(&mut random)]),
            _ => Arc::from([group(&mut random)]),
        };
        let first = random.below(60_000) as u16 + 1;
        let traffic = match random.below(10) {
            0 => TrafficMatch::protocol(17),
            1..4 => TrafficMatch::ports(TCP, first, first + random.below(2000) as u16),
            _ => TrafficMatch::ports(TCP, first, first),
        };
        RuleSpec {
            id,
            name: Arc::from("rule"),
            groups: peers,
            traffic: Arc::from([traffic]),
            verdict: if random.below(4) == 0 {
                Verdict::Deny
            } else {
                Verdict::Allow
            },
            log: false,
        }
    };
    let rules: Arc<[RuleSpec]> = (1..=rules).map(&mut rule).collect();
    PolicySpec {
        id: 1,
        name: Arc::from("bench"),
        egress: rules.clone(),
        ingress: rules,
        egress_default: Verdict::Deny,
        ingress_default: Verdict::Deny,
    }
}

/// Peers with their groups, and what they are asked for.
fn questions(rules: u32, of_peer: usize) -> Vec<(Vec<u32>, Traffic)> {
    let mut random = Random(11);
    let mut one = |_| {
        let peer = (0..of_peer).map(|_| random.below(u64::from(groups(rules))) as u32);
        let peer = peer.collect();
        let traffic = Traffic {
            protocol: TCP,
            first_port: random.below(65_536) as u16,
            code: 0,
        };
        (peer, traffic)
    };
    (0..QUESTIONS).map(&mut one).collect()
}

fn ask(policy: &Policy, questions: &[(Vec<u32>, Traffic)]) {
    for (groups, traffic) in questions {
        black_box(policy.decide(Side::Egress, black_box(groups), traffic));
    }
}

fn decide(c: &mut Criterion) {
    for of_peer in [1, 8] {
        let mut group = c.benchmark_group(format!("policy/decide/{of_peer}_groups"));
        group.throughput(Throughput::Elements(QUESTIONS as u64));
        let sizes = [FEW, MANY].map(|rules| (rules, Policy::compile(&spec(rules)), questions(rules, of_peer)));
        for (rules, policy, questions) in &sizes {
            group.bench_function(BenchmarkId::new("rules", rules), |b| b.iter(|| ask(policy, questions)));
        }
        group.finish();
        // The best of many runs of each, by turns: what the work costs when nothing else disturbs it.
        let mut best = [f64::MAX; 2];
        for _ in 0..2000 {
            for (best, (_, policy, questions)) in best.iter_mut().zip(&sizes) {
                let start = Instant::now();
                ask(policy, questions);
                *best = best.min(start.elapsed().as_nanos() as f64 / QUESTIONS as f64);
            }
        }
        let [few, many] = best;
        let ratio = many / few;
        println!(
            "policy/decide/{of_peer}_groups: {FEW} rules {few:.1} ns, {MANY} rules {many:.1} ns, ratio {ratio:.2}\n"
        );
    }
}

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("policy/compile");
    group.sample_size(20);
    for rules in [FEW, MANY] {
        let spec = spec(rules);
        group.bench_function(BenchmarkId::new("rules", rules), |b| {
            b.iter(|| black_box(Policy::compile(black_box(&spec))));
        });
    }
    group.finish();
}

criterion_group!(benches, decide, compile);
criterion_main!(benches);
