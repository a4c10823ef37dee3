//! What must hold of a dataplane at rest.

use std::{collections::HashSet, fmt::Write as _, sync::Arc};

use vrouter_dataplane::{
    engine::memory::MemoryDataplane,
    packet::DropReason,
    pipeline::counters::Counters,
    program::{
        Dumped, Snapshot,
        object::{ActionSpec, Attachment, LabelTo, Operation, VniTo},
        problem::Problem,
    },
    service::{arp, nd},
    tables::slots::{PortSlot, VrfSlot},
    wire::{IpKind, offload, parse, proto, udp},
};

use super::topology;

/// In and made here is out, dropped, handed over or cut: nothing else can become of a packet. Each drop has one reason, and
/// those of VRFs are among those of ports. `said`: what the programmer sent on its own.
pub(super) fn packets_are_counted(dataplane: &MemoryDataplane, said: u64) {
    let (mut came, mut went) = (said, 0);
    for counters in &dataplane.shared.counters {
        let (mut port_drops, mut vrf_drops) = (0, 0);
        for port in (0..topology::PORTS).filter_map(|slot| PortSlot::new(slot)) {
            let port = counters.port(port);
            came += port.rx_packets.get();
            went += port.tx_packets.get();
            port_drops += port.drops.total();
        }
        for vrf in (0..topology::VRFS).filter_map(|slot| VrfSlot::new(slot)) {
            vrf_drops += counters.vrf(vrf).drops.total();
        }
        assert!(vrf_drops <= port_drops, "{vrf_drops} in VRFs, {port_drops} at ports");
        came += counters.originated.get();
        went += port_drops + counters.punted.get() + counters.fragmented.get();
        went += counters.segmented.get() + counters.coalesced.get();
        // What waits: fragments for their head, packets for their limit.
        went += counters.fragments_held.get() + counters.shaped.get();
    }
    assert!(came == went, "{came} came, {went} went\n{}", counted(dataplane));
}

/// Every reason for which something was dropped.
pub(super) fn reasons(dataplane: &MemoryDataplane) -> Vec<&'static str> {
    let slots = || (0..topology::PORTS).filter_map(PortSlot::new);
    let met = |reason: &DropReason| {
        let counters = &dataplane.shared.counters;
        counters
            .iter()
            .any(|c| slots().any(|slot| c.port(slot).drops.get(*reason) > 0))
    };
    DropReason::ALL
        .iter()
        .filter(|reason| met(reason))
        .map(|reason| reason.name())
        .collect()
}

/// All counters that are not zero.
fn counted(dataplane: &MemoryDataplane) -> String {
    let mut text = String::new();
    for (worker, counters) in dataplane.shared.counters.iter().enumerate() {
        let mut say = |what: &str, count: u64| {
            if count > 0 {
                let _ = writeln!(text, "worker {worker} {what}: {count}");
            }
        };
        say("originated", counters.originated.get());
        say("punted", counters.punted.get());
        say("fragmented", counters.fragmented.get());
        say("segmented", counters.segmented.get());
        say("coalesced", counters.coalesced.get());
        say("withheld", counters.errors_withheld.get());
        for slot in 0..topology::PORTS {
            let Some(port) = PortSlot::new(slot) else { continue };
            let port = counters.port(port);
            say(&format!("port {slot} rx"), port.rx_packets.get());
            say(&format!("port {slot} tx"), port.tx_packets.get());
            for reason in DropReason::ALL {
                say(&format!("port {slot} {reason:?}"), port.drops.get(*reason));
            }
        }
    }
    text
}

/// At the end, nobody holds a frame.
pub(crate) fn frames_are_conserved(dataplane: &mut MemoryDataplane) {
    let mut cache = dataplane.pool.cache();
    let named: Vec<Arc<str>> = dataplane.programmer.snapshot().ports().filter_map(interface).collect();
    for interface in topology::INTERFACES.into_iter().chain(named.iter().map(|name| &**name)) {
        if let Some(peer) = dataplane.take_peer(interface) {
            peer.close(&mut cache);
        }
    }
    drop(cache);
    let waiting = |c: &Counters| c.fragments_held.get() + c.shaped.get();
    let waiting: u64 = dataplane.shared.counters.iter().map(waiting).sum();
    assert_eq!(
        dataplane.pool.free() + waiting as usize,
        dataplane.pool.total() as usize,
        "frames were lost"
    );
}

fn interface(object: Dumped) -> Option<Arc<str>> {
    match object {
        Dumped::Port { spec, .. } => Some(spec.interface),
        _ => None,
    }
}

/// What leaves by an uplink is ours: a tunnel packet with right checksums, or ARP and neighbour discovery that a station
/// believes. Gives whether it is the latter.
pub(super) fn leaves_by_an_uplink(frame: &[u8]) -> bool {
    if arp::parse(frame).is_ok() || nd::parse(frame).is_ok() {
        return true;
    }
    let parsed = parse(frame).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"));
    assert!(
        parsed.kind != IpKind::None && parsed.proto == proto::UDP,
        "{parsed:?} {frame:02x?}"
    );
    assert!(
        [udp::PORT_VXLAN, udp::PORT_MPLS].contains(&parsed.dst_port),
        "{parsed:?}"
    );
    assert!(
        parsed.end as usize == frame.len() && offload::is_right(frame, &parsed),
        "{parsed:?} {frame:02x?}"
    );
    assert!(frame.len() - usize::from(parsed.l3) <= usize::from(vrouter_dataplane::engine::memory::MTU));
    let ip = &frame[usize::from(parsed.l3)..];
    let source = match parsed.kind {
        IpKind::V4 => &ip[12..16],
        _ => &ip[8..24],
    };
    assert!(
        source == [192, 0, 2, 1] || source == [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        "sent as {source:?}"
    );
    false
}

/// Everything that was programmed.
pub(crate) fn programmed(snapshot: &Snapshot) -> Vec<Dumped> {
    snapshot
        .ports()
        .chain(snapshot.vrfs())
        .chain(snapshot.bridges())
        .chain(snapshot.next_hops())
        .chain(snapshot.routes(None))
        .chain(snapshot.macs())
        .chain(snapshot.neighbors())
        .chain(snapshot.vnis())
        .chain(snapshot.labels())
        .chain(snapshot.identities(None))
        .chain(snapshot.policies())
        .chain(snapshot.source_nats())
        .chain(snapshot.services())
        .chain(snapshot.mirrors())
        .chain(snapshot.health_checks())
        .collect()
}

/// Everything that was programmed, as text.
pub(crate) fn state(dataplane: &MemoryDataplane) -> String {
    let snapshot = dataplane.programmer.snapshot();
    let mut text = format!("{}\n", snapshot.revision());
    for object in programmed(&snapshot) {
        let _ = writeln!(text, "{object:?}");
    }
    text
}

/// A refused batch names at least one of its operations, and has changed nothing.
pub(crate) fn refused(before: &str, dataplane: &MemoryDataplane, batch: &[Operation], problems: &[Problem]) {
    assert!(!problems.is_empty());
    for problem in problems {
        assert!(
            problem.operation < batch.len() && !problem.message.is_empty(),
            "{problem:?}"
        );
    }
    let after = state(dataplane);
    assert!(
        before == after,
        "refused with {problems:?}, but\n{before}became\n{after}"
    );
}

/// Every reference names an object that exists.
pub(crate) fn references_hold(dataplane: &MemoryDataplane) {
    let objects = programmed(&dataplane.programmer.snapshot());
    let (mut ports, mut vrfs, mut bridges, mut hops) = (HashSet::new(), HashSet::new(), HashSet::new(), HashSet::new());
    let (mut mirrors, mut policies) = (HashSet::new(), HashSet::new());
    for object in &objects {
        let fresh = match object {
            Dumped::Port { spec, .. } => ports.insert(spec.id),
            Dumped::Vrf(spec) => vrfs.insert(spec.id),
            Dumped::Bridge(spec) => bridges.insert(spec.id),
            Dumped::NextHop { spec, .. } => hops.insert(spec.id),
            Dumped::Mirror(spec) => mirrors.insert(spec.id),
            Dumped::Policy(spec) => policies.insert(spec.id),
            _ => true,
        };
        assert!(fresh, "twice: {object:?}");
    }
    for object in &objects {
        let holds = match object {
            Dumped::Port { uplink: true, .. } | Dumped::Underlay(_) => true,
            Dumped::Port { spec, .. } => {
                (match spec.attachment {
                    Attachment::Vrf(vrf) => vrfs.contains(&vrf),
                    Attachment::Bridge(bridge) => bridges.contains(&bridge),
                }) && spec.mirrors.iter().all(|mirror| mirrors.contains(mirror))
                    && spec.policy.is_none_or(|policy| policies.contains(&policy))
            }
            Dumped::Vrf(_) => true,
            Dumped::Bridge(spec) => {
                spec.vrf.is_none_or(|vrf| vrfs.contains(&vrf)) && spec.flood.is_none_or(|flood| hops.contains(&flood))
            }
            Dumped::NextHop { spec, .. } => match &spec.action {
                ActionSpec::Drop
                | ActionSpec::Unreachable
                | ActionSpec::Local
                | ActionSpec::Tunnel { .. }
                | ActionSpec::Underlay { .. } => true,
                ActionSpec::Vrf { vrf, .. } => vrfs.contains(vrf),
                ActionSpec::Port { port, .. } => ports.contains(port),
                ActionSpec::Group(members) => members.iter().all(|(hop, _)| hops.contains(hop)),
                ActionSpec::Flood(members) => members.iter().all(|hop| hops.contains(hop)),
            },
            Dumped::Route { spec, .. } => vrfs.contains(&spec.vrf) && hops.contains(&spec.next_hop),
            Dumped::Mac(spec) => bridges.contains(&spec.bridge) && hops.contains(&spec.next_hop),
            Dumped::LearnedMac { bridge, .. } => bridges.contains(bridge),
            Dumped::Neighbor(spec) => bridges.contains(&spec.bridge),
            Dumped::Vni(spec) => match spec.target {
                VniTo::Bridge(bridge) => bridges.contains(&bridge),
                VniTo::Vrf(vrf) => vrfs.contains(&vrf),
            },
            Dumped::Label(spec) => match spec.target {
                LabelTo::Vrf(vrf) => vrfs.contains(&vrf),
                LabelTo::NextHop(hop) => hops.contains(&hop),
            },
            Dumped::Identity(spec) => vrfs.contains(&spec.vrf),
            Dumped::Policy(_) => true,
            Dumped::SourceNat(spec) => vrfs.contains(&spec.inside) && vrfs.contains(&spec.outside),
            Dumped::Service(spec) => {
                let backends = spec.backends.iter().filter_map(|backend| backend.vrf);
                backends.chain([spec.vrf]).all(|vrf| vrfs.contains(&vrf))
            }
            Dumped::Mirror(spec) => hops.contains(&spec.next_hop),
            Dumped::HealthCheck { spec, .. } => vrfs.contains(&spec.vrf),
        };
        assert!(holds, "refers to nothing: {object:?}");
    }
}
