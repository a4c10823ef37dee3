//! What addresses behind addresses cost: filling a table of backends, choosing one, and giving a source's flow an outside port.
#![allow(missing_docs, clippy::expect_used)] // a bench that cannot build its table has nothing to say

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use vrouter_dataplane::tables::{
    service::{Maglev, Member},
    slots::VrfSlot,
    source_nat::{Pool, PoolSpec},
};

const TCP: u8 = 6;

fn members(count: u16) -> Vec<Member> {
    let member = |position: u16| Member {
        address: Ipv4Addr::from(0x0a00_0000 + u32::from(position)).into(),
        port: 8080,
        weight: 1,
        position,
    };
    (0..count).map(member).collect()
}

fn maglev(c: &mut Criterion) {
    let mut group = c.benchmark_group("service/maglev");
    group.sample_size(20);
    for count in [3, 100, 1000] {
        let members = members(count);
        group.bench_function(BenchmarkId::new("build", count), |b| {
            b.iter(|| black_box(Maglev::build(black_box(&members))));
        });
    }
    let table = Maglev::build(&members(100)).expect("there are members");
    let mut hash = 0_u64;
    group.bench_function("pick", |b| {
        b.iter(|| {
            hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
            black_box(table.pick(hash))
        });
    });
}

fn source(n: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + n).into()
}

/// One flow's port taken and given back: of a source with one block, and of one that owns all that it may.
fn translate(c: &mut Criterion) {
    let mut group = c.benchmark_group("source_nat/translate_and_release");
    let spec = PoolSpec::blocks(Arc::from([IpAddr::from([198, 51, 100, 1])]));
    for (name, held) in [("one_block", 30), ("sixteen_blocks", 1000)] {
        let pool = Pool::new(&spec, VrfSlot::from_raw(1)).expect("a good spec");
        for port in 0..held {
            pool.translate(source(1), 20_000 + port, TCP, 0).expect("room");
        }
        let mut port = 0_u16;
        group.bench_function(name, |b| {
            b.iter(|| {
                port = port.wrapping_add(1);
                if let Ok((address, outside)) = pool.translate(source(1), port, TCP, 0) {
                    pool.release(source(1), address, black_box(outside));
                }
            });
        });
    }
    let pool = Pool::new(&spec, VrfSlot::from_raw(1)).expect("a good spec");
    let mut n = 0;
    group.bench_function("new_source", |b| {
        b.iter(|| {
            n = (n + 1) & 0xffff;
            if let Ok((address, outside)) = pool.translate(source(n), 40_000, TCP, 0) {
                pool.release(source(n), address, black_box(outside));
            }
        });
    });
}

criterion_group!(benches, maglev, translate);
criterion_main!(benches);
