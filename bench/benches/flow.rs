//! What the flow table costs: hits in batches of 32 with prefetching as the pipeline does it, single hits, misses, new flows,
//! forgetting. Flows are met in random order; with a million of them hardly any is in cache.
#![allow(missing_docs, clippy::expect_used)] // a bench that cannot build its table has nothing to say

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};
use vrouter_dataplane::packet::FlowKey;
use vrouter_dataplane::tables::flow::{FlowOwner, FlowTable, FlowView, NewDirection, NewFlow, Outlook};

const BATCH: usize = 32;
const SEED: u64 = 0x0123_4567_89ab_cdef;

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

/// The `n`th flow's key: 256 clients, their ports, and servers.
fn key(family: Family, n: u32) -> FlowKey {
    let (client, port, server) = (n & 0xff, (n >> 8 & 0x3fff) as u16 + 1024, n >> 22);
    match family {
        Family::V4 => {
            let (client, server) = (
                Ipv4Addr::from(0x0a01_0000 + client),
                Ipv4Addr::from(0x0a02_0000 + server),
            );
            FlowKey::v4(1, client, server, 6, port, 443)
        }
        Family::V6 => {
            let net = 0xfd00_0001_u128 << 96;
            let (client, server) = (
                Ipv6Addr::from(net + u128::from(client)),
                Ipv6Addr::from(net + u128::from(server) + 4096),
            );
            FlowKey::v6(1, client, server, 6, port, 443)
        }
    }
}

fn flow(table: &FlowTable, key: FlowKey) -> NewFlow {
    let direction = |key: FlowKey| NewDirection {
        key,
        hash: table.hash(&key),
        epoch: 1,
        action: [1, 2, 3],
    };
    NewFlow {
        forward: direction(key),
        reverse: Some(direction(key.reversed())),
        port: 0,
    }
}

fn table(capacity: usize) -> (FlowTable, FlowOwner) {
    let (table, mut owners) = FlowTable::new(capacity, 1, 1, 1, SEED).expect("memory for the table");
    (table, owners.pop().expect("one worker"))
}

/// A table full of `flows`, and their keys in random order, forward and reverse mixed.
fn filled(family: Family, flows: u32) -> (FlowTable, FlowOwner, Vec<FlowKey>) {
    let (table, mut owner) = table(flows as usize);
    let mut keys = Vec::with_capacity(flows as usize);
    for n in 0..flows {
        let key = key(family, n);
        table
            .insert(&mut owner, &flow(&table, key), 0)
            .expect("room for the flow");
        keys.push(if n & 1 == 0 { key } else { key.reversed() });
    }
    let mut random = SEED;
    for i in (1..keys.len()).rev() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        keys.swap(i, (random >> 33) as usize % (i + 1));
    }
    (table, owner, keys)
}

/// One batch, as a worker does it. Gives the number of hits.
#[inline]
fn batch(table: &FlowTable, keys: &[FlowKey], now_ms: u64) -> usize {
    let mut hashes = [0; BATCH];
    for (hash, key) in hashes.iter_mut().zip(keys) {
        *hash = table.hash(key);
        table.prefetch(*hash);
    }
    let hints = hashes.map(|hash| table.prefetch_record(hash, false));
    let mut hits = 0;
    for ((hash, key), hint) in hashes.iter().zip(keys).zip(hints) {
        if let Some(known) = table.known(key, hint) {
            known.touch(now_ms, 1, 64);
            hits += usize::from(black_box(known.epoch) == 1);
        } else if let Some(hit) = table.lookup(key, *hash) {
            table.touch(hit.flow, now_ms, 64);
            hits += usize::from(black_box(hit).epoch == 1);
        }
    }
    hits
}

fn hits(c: &mut Criterion) {
    let mut group = c.benchmark_group("flow/hit");
    for (name, family) in [("v4", Family::V4), ("v6", Family::V6)] {
        for flows in [32, 10_000, 1_000_000] {
            let (table, _owner, keys) = filled(family, flows);
            let whole = keys.len() / BATCH * BATCH;
            let mut at = 0;
            group.throughput(Throughput::Elements(BATCH as u64));
            group.bench_function(BenchmarkId::new(format!("{name}/batch32"), flows), |b| {
                b.iter(|| {
                    let hits = batch(&table, &keys[at..at + BATCH], 1);
                    assert_eq!(hits, BATCH);
                    at = if at + BATCH < whole { at + BATCH } else { 0 };
                });
            });
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(format!("{name}/single"), flows), |b| {
                b.iter(|| {
                    let key = &keys[at];
                    let hit = table.lookup(key, table.hash(key));
                    if let Some(hit) = hit {
                        table.touch(hit.flow, 1, 64);
                    }
                    at = if at + 1 < whole { at + 1 } else { 0 };
                    black_box(hit)
                });
            });
        }
    }
    group.finish();
}

fn misses(c: &mut Criterion) {
    let mut group = c.benchmark_group("flow/miss");
    for flows in [10_000, 1_000_000] {
        let (table, _owner, keys) = filled(Family::V4, flows);
        let absent: Vec<_> = keys.iter().map(|key| key.with_context(9)).collect();
        let whole = absent.len() / BATCH * BATCH;
        let mut at = 0;
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new("v4/batch32", flows), |b| {
            b.iter(|| {
                assert_eq!(batch(&table, &absent[at..at + BATCH], 1), 0);
                at = if at + BATCH < whole { at + BATCH } else { 0 };
            });
        });
    }
    group.finish();
}

/// New flows into a table whose memory has been used before; emptying it is not timed here but in `forget`.
fn news(c: &mut Criterion) {
    let mut group = c.benchmark_group("flow/new");
    group.throughput(Throughput::Elements(1));
    for capacity in [10_000u32, 1_000_000] {
        let (table, mut owner, _) = filled(Family::V4, capacity);
        table.sweep_all(&mut owner, 1, |_| 0);
        let mut n = 0;
        group.bench_function(BenchmarkId::new("v4/pair", capacity), |b| {
            b.iter_custom(|rounds| {
                let (mut left, mut took) = (rounds, Duration::ZERO);
                while left > 0 {
                    let chunk = left.min(u64::from(capacity) / 2);
                    let start = Instant::now();
                    for _ in 0..chunk {
                        n = (n + 1) & 0xff_ffff;
                        let new = flow(&table, key(Family::V4, n));
                        table.insert(&mut owner, &new, 0).expect("room for the flow");
                    }
                    took += start.elapsed();
                    left -= chunk;
                    table.sweep_all(&mut owner, 1, |_| 0);
                }
                took
            });
        });
    }
    group.finish();
}

/// Longer than one turn of the timer wheel, milliseconds.
const TURN_MS: u64 = 1 << 20;

/// Expiry: per pair looked at that stays, and per pair freed.
fn forget(c: &mut Criterion) {
    let mut group = c.benchmark_group("flow/sweep");
    group.throughput(Throughput::Elements(1));
    let (table, mut owner, _) = filled(Family::V4, 1_000_000);
    let mut now_ms = 1;
    group.bench_function("visit", |b| {
        b.iter_custom(|rounds| {
            let start = Instant::now();
            let mut left = rounds as usize;
            while left > 0 {
                let step = left.min(BATCH);
                // One turn of the wheel later each time, so that all are looked at and none is over.
                now_ms += TURN_MS;
                let outlook = |_: &FlowView<'_>| Outlook {
                    timeout_ms: u64::MAX / 2,
                    young: false,
                };
                black_box(table.expire(&mut owner, now_ms, step, outlook, |_| {}));
                left -= step;
            }
            start.elapsed()
        });
    });
    table.sweep_all(&mut owner, 1, |_| 0);
    let mut n = 0;
    group.bench_function("free", |b| {
        b.iter_custom(|rounds| {
            let (mut left, mut took) = (rounds, Duration::ZERO);
            while left > 0 {
                let chunk = left.min(500_000);
                for _ in 0..chunk {
                    n = (n + 1) & 0xff_ffff;
                    table
                        .insert(&mut owner, &flow(&table, key(Family::V4, n)), 0)
                        .expect("room for the flow");
                }
                let start = Instant::now();
                let freed = table.sweep_all(&mut owner, 1, |_| 0);
                took += start.elapsed();
                assert_eq!(freed as u64, chunk);
                left -= chunk;
            }
            took
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = hits, misses, news, forget
}
criterion_main!(benches);
