//! Objects of every kind, at random: all that may be programmed as far as one field can tell.

use std::{net::IpAddr, sync::Arc};

use proptest::{collection::vec, option, prelude::*};

use crate::{
    program::object::{
        ActionSpec, Attachment, BackendSpec, BridgeSpec, GuardSpec, HealthCheckSpec, HealthKind, IdentitySpec,
        MirrorMatch, MirrorSpec, Mode, PolicySpec, PortSpec, QosSpec, Rate, RouteSpec, RuleSpec, ServiceSpec,
        SourceNatSpec, TrafficMatch, Verdict,
    },
    tables::{gateway::not_a_host, next_hop::Encapsulation, port::Gateway},
    wire::{IpPrefix, Label, Mac, Vni},
};

pub(super) fn name() -> impl Strategy<Value = Arc<str>> {
    "[a-zA-Z0-9 äß._/-]{0,20}".prop_map(Into::into)
}

pub(super) fn station() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(|mut mac| {
        mac[0] &= 0xfe;
        mac[5] |= 1;
        Mac(mac)
    })
}

pub(super) fn address() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>().prop_filter("a host's", |address| not_a_host(*address).is_none())
}

pub(super) fn gateways() -> impl Strategy<Value = Arc<[Gateway]>> {
    vec((address(), 1..=128_u8), 0..4).prop_map(|addresses| {
        let mut gateways: Vec<Gateway> = Vec::new();
        for (address, prefix_len) in addresses {
            let prefix_len = if address.is_ipv4() {
                prefix_len.min(32)
            } else {
                prefix_len
            };
            // Only those that can be written down: no network's own or broadcast address.
            let written = Gateway { address, prefix_len }.to_string().parse();
            gateways.extend(
                written
                    .ok()
                    .filter(|g: &Gateway| gateways.iter().all(|o| o.address != g.address)),
            );
        }
        gateways.into()
    })
}

pub(super) fn port() -> impl Strategy<Value = PortSpec> {
    let modes = vec![
        Mode::Auto,
        Mode::NativeZeroCopy,
        Mode::NativeCopy,
        Mode::Generic,
        Mode::Packet,
        Mode::Memory,
    ];
    let attachment = prop_oneof![
        (1..=u32::MAX).prop_map(Attachment::Vrf),
        (1..=u32::MAX).prop_map(Attachment::Bridge)
    ];
    let mtu = prop_oneof![Just(0), 576..=u16::MAX];
    let mirrors = prop::collection::btree_set(1..=u32::MAX, 0..=4).prop_map(|ids| ids.into_iter().collect());
    (
        (1..=u32::MAX, name(), "[a-z][a-z0-9]{0,14}", prop::sample::select(modes)),
        (attachment, station(), gateways(), mtu, any::<u32>()),
        (
            option::of(1..=u32::MAX),
            option::of(guard()),
            option::of(qos()),
            mirrors,
        ),
    )
        .prop_map(
            |(
                (id, name, interface, mode),
                (attachment, mac, gateways, mtu, max_flows),
                (policy, guard, qos, mirrors),
            )| PortSpec {
                id,
                name,
                interface: interface.into(),
                mode,
                attachment,
                mac,
                gateways,
                mtu,
                max_flows,
                policy,
                guard: guard.map(Arc::new),
                qos,
                mirrors,
            },
        )
}

pub(super) fn guard() -> impl Strategy<Value = GuardSpec> {
    let addresses = prop::collection::btree_set(prefix(), 0..5);
    let macs = prop::collection::btree_set(station(), 0..5);
    (addresses, macs, any::<bool>(), any::<bool>()).prop_map(|(addresses, macs, allow_router, allow_dhcp_server)| {
        GuardSpec {
            addresses: addresses.into_iter().collect(),
            macs: macs.into_iter().collect(),
            allow_router,
            allow_dhcp_server,
        }
    })
}

pub(super) fn qos() -> impl Strategy<Value = QosSpec> {
    let rate = || {
        let small = || 0..=u64::from(u32::MAX);
        (small(), small(), small(), small()).prop_map(|(bits, packets, bytes, burst)| Rate {
            bits_per_second: bits * 100,
            packets_per_second: packets,
            burst_bytes: bytes,
            burst_packets: burst,
            shape: false,
            queue_bytes: 0,
        })
    };
    let shaped = (rate(), any::<bool>(), 0..=1_u64 << 32).prop_map(|(rate, shape, queue)| Rate {
        shape,
        queue_bytes: if shape { queue } else { 0 },
        ..rate
    });
    (option::of(rate()), option::of(shaped), option::of(0..=63_u8)).prop_map(|(from_workload, to_workload, dscp)| {
        QosSpec {
            from_workload,
            to_workload,
            dscp,
        }
    })
}

pub(super) fn mirror() -> impl Strategy<Value = MirrorSpec> {
    let filter = vec(traffic(), 0..4).prop_map(|all| {
        let one = |(protocol, (first_port, last_port), icmp_type, icmp_code)| MirrorMatch {
            protocol,
            first_port,
            last_port,
            icmp_type,
            icmp_code,
        };
        all.into_iter().map(one).collect()
    });
    (
        (1..=u32::MAX, name(), 1..=u64::MAX, any::<bool>(), any::<bool>()),
        (filter, vec(prefix(), 0..4), prop_oneof![Just(0), 64..=65_535_u32]),
    )
        .prop_map(
            |((id, name, next_hop, from_workload, to_workload), (filter, prefixes, snap_length))| MirrorSpec {
                id,
                name,
                next_hop,
                from_workload,
                to_workload,
                filter,
                prefixes: prefixes.into(),
                snap_length,
            },
        )
}

pub(super) type Kind = (u8, (u16, u16), Option<u8>, Option<u8>);

/// Protocol, ports, ICMP type and code, as they may go together.
pub(super) fn traffic() -> impl Strategy<Value = Kind> {
    let ports = prop_oneof![
        Just((0, 0)),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| (a.min(b), a.max(b)))
    ];
    let with_ports = (prop::sample::select(vec![6_u8, 17, 132]), ports).prop_map(|(p, ports)| (p, ports, None, None));
    let icmp = (
        prop::sample::select(vec![1_u8, 58]),
        option::of((any::<u8>(), option::of(any::<u8>()))),
    )
        .prop_map(|(p, of)| (p, (0, 0), of.map(|o| o.0), of.and_then(|o| o.1)));
    prop_oneof![with_ports, icmp, any::<u8>().prop_map(|p| (p, (0, 0), None, None))]
}

pub(super) fn identity() -> impl Strategy<Value = IdentitySpec> {
    let groups = prop::collection::btree_set(1..=u32::MAX, 0..8);
    (1..=u32::MAX, prefix(), groups).prop_map(|(vrf, prefix, groups)| IdentitySpec {
        vrf,
        prefix,
        groups: groups.into_iter().collect(),
    })
}

pub(super) fn policy() -> impl Strategy<Value = PolicySpec> {
    let verdict = || prop::sample::select(vec![Verdict::Allow, Verdict::Deny, Verdict::Audit]);
    let default = || prop::sample::select(vec![Verdict::Allow, Verdict::Deny]);
    let groups = prop::collection::btree_set(1..=u32::MAX, 0..4);
    let rule = (name(), groups, vec(traffic(), 0..4), verdict(), any::<bool>());
    let rules = prop::collection::btree_map(1..u32::MAX, (rule, any::<bool>()), 0..8);
    (1..=u32::MAX, name(), rules, default(), default()).prop_map(
        |(id, name, rules, egress_default, ingress_default)| {
            let rules = rules
                .into_iter()
                .map(|(id, ((name, groups, traffic, verdict, log), egress))| {
                    let traffic = traffic.into_iter().map(kind).collect();
                    let groups = groups.into_iter().collect();
                    (
                        egress,
                        RuleSpec {
                            id,
                            name,
                            groups,
                            traffic,
                            verdict,
                            log,
                        },
                    )
                });
            let (egress, ingress): (Vec<_>, Vec<_>) = rules.partition(|(egress, _)| *egress);
            let plain = |rules: Vec<(bool, RuleSpec)>| rules.into_iter().map(|(_, rule)| rule).collect();
            let (egress, ingress) = (plain(egress), plain(ingress));
            PolicySpec {
                id,
                name,
                egress,
                ingress,
                egress_default,
                ingress_default,
            }
        },
    )
}

/// Addresses of one family, each once.
pub(super) fn addresses(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<IpAddr>> {
    (any::<bool>(), prop::collection::btree_set(1..1_u32 << 24, count)).prop_map(|(v6, hosts)| {
        let address = |host: u32| match v6 {
            true => IpAddr::from((0xfd00_u128 << 112 | u128::from(host)).to_be_bytes()),
            false => IpAddr::from([10, (host >> 16) as u8, (host >> 8) as u8, host as u8]),
        };
        hosts.into_iter().map(address).collect()
    })
}

pub(super) fn source_nat() -> impl Strategy<Value = SourceNatSpec> {
    let ports = prop_oneof![Just((0, 0)), (1024..40_000_u16, 40_000 + 4096..=65_535_u16)];
    let block = prop_oneof![Just(0), (3..=12_u32).prop_map(|bits| 1_u16 << bits)];
    let ids = (1..=u32::MAX, name(), 1..1000_u32, 1000..=u32::MAX);
    (ids, addresses(1..=5), 0..=128_u8, (ports, block, 0..=256_u16)).prop_map(
        |((id, name, inside, outside), addresses, length, ((first_port, last_port), block_size, blocks_per_source))| {
            let most = if addresses[0].is_ipv4() { 32 } else { 128 };
            let spec = SourceNatSpec {
                id,
                name,
                inside,
                outside,
                prefix: IpPrefix::containing(addresses[0], length.min(most)).unwrap(),
                addresses: addresses.into(),
                first_port,
                last_port,
                block_size,
                blocks_per_source,
            };
            if !spec.is_one_to_one() {
                return spec;
            }
            SourceNatSpec {
                first_port: 0,
                last_port: 0,
                block_size: 0,
                blocks_per_source: 0,
                ..spec
            }
        },
    )
}

pub(super) fn service() -> impl Strategy<Value = ServiceSpec> {
    let place = prop_oneof![Just((0, 0)), (prop::sample::select(vec![6_u8, 17, 132]), 1..=u16::MAX),];
    let backend = (
        any::<u16>(),
        option::of(1..=u32::MAX),
        any::<u8>(),
        any::<bool>(),
        name(),
    );
    let backends = vec(backend, 5);
    let ids = (1..=u32::MAX, name(), 1..=u32::MAX);
    (ids, (addresses(1..=6), place), backends, option::of(0..=604_800_u32)).prop_map(
        |((id, name, vrf), (addresses, (protocol, port)), backends, affinity)| {
            let backends = addresses[1..]
                .iter()
                .zip(backends)
                .map(|(address, backend)| BackendSpec {
                    address: *address,
                    port: if protocol == 0 { 0 } else { backend.0 },
                    vrf: backend.1,
                    weight: backend.2,
                    draining: backend.3,
                    name: backend.4,
                });
            ServiceSpec {
                id,
                name,
                vrf,
                address: addresses[0],
                protocol,
                port,
                backends: backends.collect(),
                client_affinity: affinity.is_some(),
                affinity_seconds: affinity.unwrap_or(0),
            }
        },
    )
}

pub(super) fn kind((protocol, (first_port, last_port), icmp_type, icmp_code): Kind) -> TrafficMatch {
    TrafficMatch {
        protocol,
        first_port,
        last_port,
        icmp_type,
        icmp_code,
    }
}

pub(super) fn health_check() -> impl Strategy<Value = HealthCheckSpec> {
    let asked = prop_oneof![
        Just((HealthKind::Tcp, String::new())),
        "(/[!-~]{0,20})?".prop_map(|path| (HealthKind::Http, path)),
        "[!-~]{0,20}".prop_map(|service| (HealthKind::Grpc, service)),
    ];
    let times = (
        prop_oneof![Just(0), 100..=3_600_000_u32],
        prop_oneof![Just(0), 10..=60_000_u32],
    );
    let counts = (0..=100_u32, 0..=100_u32);
    (
        (1..=u32::MAX, name(), 1..=u32::MAX),
        (address(), 1..=u16::MAX, asked),
        times,
        counts,
    )
        .prop_map(
            |((id, name, vrf), (address, port, (kind, target)), (interval_ms, timeout_ms), (rise, fall))| {
                HealthCheckSpec {
                    id,
                    name,
                    vrf,
                    address,
                    port,
                    kind,
                    target: target.into(),
                    interval_ms,
                    timeout_ms,
                    rise,
                    fall,
                }
            },
        )
        .prop_filter("a question ends before the next", |check| {
            check.timeout() <= check.interval()
        })
}

pub(super) fn bridge() -> impl Strategy<Value = BridgeSpec> {
    (
        (1..=u32::MAX, name(), option::of(1..=u32::MAX), station()),
        (gateways(), any::<bool>(), 0..=1_000_000_u32, option::of(1..=u64::MAX)),
    )
        .prop_map(
            |((id, name, vrf, gateway_mac), (gateways, learn, aging_seconds, flood))| BridgeSpec {
                id,
                name,
                vrf,
                gateway_mac,
                gateways,
                learn,
                aging_seconds,
                flood,
            },
        )
}

pub(super) fn action() -> impl Strategy<Value = ActionSpec> {
    let vxlan = (1..=Vni::MAX, station()).prop_map(|(vni, inner_mac)| Encapsulation::Vxlan { vni, inner_mac });
    let label = prop_oneof![Just(0), Just(2), 16..=Label::MAX];
    let mpls = label.prop_map(|label| Encapsulation::MplsUdp { label });
    let ids = prop::collection::btree_map(1..=u64::MAX, 1..=u8::MAX, 1..20);
    prop_oneof![
        Just(ActionSpec::Drop),
        Just(ActionSpec::Local),
        (1..=u32::MAX, option::of(station())).prop_map(|(port, mac)| ActionSpec::Port { port, mac }),
        (address(), prop_oneof![vxlan, mpls])
            .prop_map(|(remote, encapsulation)| ActionSpec::Tunnel { remote, encapsulation }),
        ids.clone().prop_map(|ids| ActionSpec::Group(ids.into_iter().collect())),
        ids.prop_map(|ids| ActionSpec::Flood(ids.into_keys().collect())),
        (1..=u32::MAX, any::<bool>()).prop_map(|(vrf, untranslated)| ActionSpec::Vrf { vrf, untranslated }),
        option::of(address()).prop_map(|gateway| ActionSpec::Underlay { gateway }),
    ]
}

pub(super) fn prefix() -> impl Strategy<Value = IpPrefix> {
    (any::<IpAddr>(), any::<u8>()).prop_map(|(address, length)| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        IpPrefix::containing(address, length.min(most)).unwrap()
    })
}

pub(super) fn route() -> impl Strategy<Value = RouteSpec> {
    (1..=u32::MAX, prefix(), 1..=u64::MAX, 0..16_u8, 0..16_u8).prop_map(
        |(vrf, prefix, next_hop, source, preference)| RouteSpec {
            vrf,
            prefix,
            next_hop,
            source,
            preference,
        },
    )
}
