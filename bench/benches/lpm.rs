//! Route lookup: one route and a million, IPv4 and IPv6, one address after another; and what the writer pays
//! for a million routes in one batch, and for one more route in a full table.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use vrouter_dataplane::tables::lpm::{Address, Arena, LpmWriter, Prefix, Root};

const MILLION: usize = 1_000_000;
/// Addresses to look up: enough that they do not stay in the cache together with their routes. A multiple of 64.
const DESTINATIONS: usize = 1 << 18;
const ARENA_BYTES: usize = 256 << 20;

/// splitmix64: the same routes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

/// Lengths roughly as in the Internet's IPv4 table: most /24, some shorter, few longer. Addresses are random.
fn prefix_v4(random: &mut Random) -> Prefix<u32> {
    let length = match random.next() % 100 {
        0..60 => 24,
        60..82 => 22 + random.next() % 2,
        82..97 => 16 + random.next() % 6,
        97 => 8 + random.next() % 8,
        _ => 25 + random.next() % 8,
    };
    prefix(random.next() as u32, length as u8)
}

/// Global unicast, lengths 32 to 64, most /48 and /64.
fn prefix_v6(random: &mut Random) -> Prefix<u128> {
    let length = match random.next() % 10 {
        0..4 => 48,
        4..7 => 64,
        _ => 32 + random.next() % 33,
    };
    prefix(1 << 125 | random.wide() >> 3, length as u8)
}

fn prefix<A: Address>(address: A, length: u8) -> Prefix<A> {
    Prefix::containing(address, length).unwrap_or_else(|_| Prefix::default_route())
}

/// A table of these routes in one batch.
fn load<A: Address>(prefixes: &[Prefix<A>]) -> Option<(LpmWriter, Root<A>)> {
    let mut writer = LpmWriter::new(ARENA_BYTES).ok()?;
    let mut root = Root::EMPTY;
    for (prefix, value) in prefixes.iter().zip(0..) {
        writer.insert(&mut root, *prefix, value).ok()?;
    }
    let retired = writer.commit();
    writer.release(retired);
    Some((writer, root))
}

fn lookups<A: Address>(c: &mut Criterion, name: &str, arena: &Arena, queries: &[(Root<A>, A)]) {
    let mut group = c.benchmark_group(format!("lpm/{name}"));
    group.throughput(Throughput::Elements(64));
    let mut chunks = queries.chunks_exact(64).cycle();
    group.bench_function("single", |b| {
        b.iter(|| {
            for &(root, address) in chunks.next().unwrap_or_default() {
                black_box(arena.lookup(root, black_box(address)));
            }
        });
    });
    group.finish();
}

/// Looks up random addresses within the routes: every one is found.
fn family<A: Address>(
    c: &mut Criterion,
    name: &str,
    prefixes: &[Prefix<A>],
    host: impl Fn(Prefix<A>, &mut Random) -> A,
) {
    let Some((writer, root)) = load(prefixes) else {
        eprintln!("{name}: no room for the routes; not measured");
        return;
    };
    println!(
        "{name}: {} routes, {} bytes",
        writer.arena().count(root),
        writer.bytes_used()
    );
    let mut random = Random(2);
    let queries: Vec<_> = (0..DESTINATIONS)
        .map(|_| {
            let prefix = prefixes[random.next() as usize % prefixes.len()];
            (root, host(prefix, &mut random))
        })
        .collect();
    let arena = Arc::clone(writer.arena());
    lookups(c, name, &arena, &queries);
}

fn host_v4(prefix: Prefix<u32>, random: &mut Random) -> u32 {
    prefix.address() | (random.next() as u32 & u32::MAX.checked_shr(prefix.length().into()).unwrap_or(0))
}

fn host_v6(prefix: Prefix<u128>, random: &mut Random) -> u128 {
    prefix.address() | (random.wide() & u128::MAX.checked_shr(prefix.length().into()).unwrap_or(0))
}

fn lookup(c: &mut Criterion) {
    let mut random = Random(1);
    let v4: Vec<_> = (0..MILLION).map(|_| prefix_v4(&mut random)).collect();
    let v6: Vec<_> = (0..MILLION).map(|_| prefix_v6(&mut random)).collect();
    family(c, "IPv4, 1 route", &[prefix(0x0a00_0000, 8)], host_v4);
    family(c, "IPv4, 1M routes", &v4, host_v4);
    family(c, "IPv6, 1 route", &[prefix(0x2001_0db8 << 96, 64)], host_v6);
    family(c, "IPv6, 1M routes", &v6, host_v6);
}

fn write(c: &mut Criterion) {
    let mut random = Random(1);
    let prefixes: Vec<_> = (0..MILLION).map(|_| prefix_v4(&mut random)).collect();
    let mut group = c.benchmark_group("lpm/write");
    group.sample_size(10).throughput(Throughput::Elements(MILLION as u64));
    group.bench_function("1M routes in one batch", |b| {
        b.iter_batched(|| (), |()| load(black_box(&prefixes)), BatchSize::PerIteration);
    });
    group.finish();
    let Some((mut writer, mut root)) = load(&prefixes) else {
        return;
    };
    let mut changes = prefixes.iter().cycle().zip(0x8000_0000..);
    c.bench_function("lpm/write/1 change in 1M routes", |b| {
        b.iter(|| {
            if let Some((prefix, value)) = changes.next() {
                let done = writer.insert(&mut root, *prefix, value);
                let retired = writer.commit();
                writer.release(retired);
                black_box(done.is_ok());
            }
        });
    });
}

criterion_group!(benches, lookup, write);
criterion_main!(benches);
