//! What single packets cost on the lowest floor: parsing, checksums, outer headers.

use std::{hint::black_box, net::IpAddr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vrouter_bench::{
    encap::EncapSpec,
    flows::{FlowSpec, Flows, Order, PortRange},
    stamp::Stamp,
    template::{Proto, Template, TemplateSpec, least_size},
};
use vrouter_dataplane::wire::{
    Mac,
    checksum::Sum,
    outer::{Outer, PerPacket},
    parse,
};

const V4: (&str, &str) = ("10.0.0.1", "10.0.0.2");
const V6: (&str, &str) = ("2001:db8::1", "2001:db8::2");

/// A UDP packet of the smallest size from 64 bytes up.
fn packet((src, dst): (&str, &str)) -> Vec<u8> {
    let address = |text: &str| text.parse::<IpAddr>().unwrap_or([0, 0, 0, 0].into());
    let flows = Flows::new(&FlowSpec {
        src: address(src).into(),
        dst: address(dst).into(),
        sport: PortRange::one(1000),
        dport: PortRange::one(2000),
        flows: None,
        order: Order::RoundRobin,
    });
    let Ok(flows) = flows else {
        return Vec::new();
    };
    let template = Template::new(&TemplateSpec {
        to_mac: Mac([2, 0, 0, 0, 0, 2]),
        from_mac: Mac([2, 0, 0, 0, 0, 1]),
        flows,
        proto: Proto::Udp,
        size: least_size(flows.tuple(0).ends).max(64),
        outer: None,
    });
    let mut buffer = vec![0; 128];
    let stamp = Stamp {
        stream: 1,
        sequence: 2,
        sent_at: 3,
    };
    let len = template.map_or(0, |template| template.write(&mut buffer, 0, stamp));
    buffer.truncate(len);
    buffer
}

fn parsing(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/parse");
    group.throughput(Throughput::Elements(1));
    for (name, ends) in [("udp v4", V4), ("udp v6", V6)] {
        let packet = packet(ends);
        assert!(parse(&packet).is_ok(), "the bench measures a good packet");
        group.bench_function(name, |b| b.iter(|| parse(black_box(&packet))));
    }
    group.finish();
}

fn checksums(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/checksum");
    let data: Vec<u8> = (0..1500u32).map(|n| (n * 7) as u8).collect();
    for len in [20, 64, 1500] {
        group.throughput(Throughput::Bytes(len as u64));
        let data = data.get(..len).unwrap_or_default();
        group.bench_function(format!("{len} bytes"), |b| {
            b.iter(|| Sum::of(black_box(data)).checksum());
        });
    }
    group.finish();
}

fn outer_headers(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/outer");
    group.throughput(Throughput::Elements(1));
    for tunnel in ["vxlan,vni=5000", "mpls,label=100"] {
        for (family, (src, dst)) in [("v4", V4), ("v6", V6)] {
            let text = format!("{tunnel},src={src},dst={dst},to-mac=02:00:00:00:00:09");
            let Ok(encap) = text.parse::<EncapSpec>() else {
                unreachable!("{text}")
            };
            let outer = Outer::new(&encap.outer(Mac([2, 0, 0, 0, 0, 8])));
            let mut header = vec![0; outer.len()];
            let packet = PerPacket {
                inner_len: 64,
                entropy_port: 50_000,
                tos: 0,
                ttl: 63,
                ip_id: 0,
                inner_ethertype: 0,
            };
            let name = tunnel.split(',').next().unwrap_or_default();
            group.bench_function(format!("{name} over {family}"), |b| {
                b.iter(|| outer.apply(black_box(&mut header), black_box(&packet)));
            });
        }
    }
    group.finish();
}

/// The benches of this file.
#[allow(missing_docs)] // Of what the macro makes.
mod groups {
    use super::*;
    criterion_group!(wire, parsing, checksums, outer_headers);
}
criterion_main!(groups::wire);
