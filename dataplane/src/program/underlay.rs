//! Tunnels over a resolved underlay: their prebuilt outer headers, kept as neighbours come, move and go.

use std::{net::IpAddr, sync::Arc};

use super::state::State;
use crate::{
    service::underlay::Resolved,
    tables::{
        next_hop::{Action, Encapsulation, TunnelHop, TunnelPath},
        slots::PortSlot,
    },
    wire::{
        Label, Mac, Vni,
        outer::{Encap, Ends, Outer, OuterSpec},
    },
};

/// TTL or hop limit of outer headers.
const OUTER_TTL: u8 = 64;

/// Bytes of the inner Ethernet header of VXLAN, which counts against the underlay's MTU.
const INNER_ETHERNET: usize = 14;

/// How outer headers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterOptions {
    /// Set DF on IPv4 outer headers. A tunnel packet that is too big is better dropped and noticed than fragmented.
    pub dont_fragment: bool,
    /// Compute UDP checksums over IPv6 instead of sending zero (RFC 6935).
    pub udp6_checksum: bool,
}

impl Default for OuterOptions {
    fn default() -> Self {
        Self {
            dont_fragment: true,
            udp6_checksum: false,
        }
    }
}

/// Gives all tunnels to a remote the path that was found. Gives the identifiers of the next hops changed.
pub(super) fn resolve(state: &mut State, options: OuterOptions, found: &Resolved) -> Vec<u64> {
    let name = state
        .tables
        .port(PortSlot::from_raw(found.port))
        .map_or_else(|| Arc::from("?"), |p| p.name.clone());
    let detail: Arc<str> = format!("via {} {} on {name}", found.via, found.destination_mac).into();
    change(state, found.remote, |state, tunnel| TunnelHop {
        path: path(state, options, found, tunnel.encapsulation),
        detail: detail.clone(),
        ..tunnel.clone()
    })
}

/// Tells all tunnels to a remote that it cannot be reached.
pub(super) fn lose(state: &mut State, remote: IpAddr, why: &str) -> Vec<u64> {
    let detail: Arc<str> = why.into();
    change(state, remote, |_, tunnel| TunnelHop {
        path: None,
        detail: detail.clone(),
        ..tunnel.clone()
    })
}

fn change(state: &mut State, remote: IpAddr, new: impl Fn(&State, &TunnelHop) -> TunnelHop) -> Vec<u64> {
    let mut changed = Vec::new();
    for slot in state
        .tunnels
        .get(&remote)
        .cloned()
        .iter()
        .flat_map(|slots| slots.iter())
    {
        let Some(Action::Tunnel(tunnel)) = state.tables.next_hop(*slot).map(|n| &n.action) else {
            continue;
        };
        let tunnel = Arc::new(new(state, tunnel));
        if let Some(next_hop) = state.tables.next_hops.get_mut(slot.index()) {
            next_hop.action = Action::Tunnel(tunnel);
            changed.push(next_hop.id);
        }
    }
    changed
}

/// Builds the outer headers of a tunnel. `None` if the tunnel's numbers are out of range, which `api` does not let in.
fn path(state: &State, options: OuterOptions, found: &Resolved, encapsulation: Encapsulation) -> Option<TunnelPath> {
    let ends = match (found.source, found.remote) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => Ends::V4 { src, dst },
        (IpAddr::V6(src), IpAddr::V6(dst)) => Ends::V6 { src, dst },
        _ => return None,
    };
    let build = |encap| {
        Outer::new(&OuterSpec {
            dst_mac: found.destination_mac,
            src_mac: found.source_mac,
            vlan: None,
            ends,
            ttl: OUTER_TTL,
            dont_fragment: options.dont_fragment,
            udp_checksum: options.udp6_checksum && matches!(ends, Ends::V6 { .. }),
            encap,
        })
    };
    let (routed, bridged) = match encapsulation {
        Encapsulation::Vxlan { vni, inner_mac } => {
            let vni = Vni::new(vni).ok()?;
            let routed = build(Encap::RoutedVxlan {
                vni,
                dst: inner_mac,
                src: Mac::GATEWAY,
            });
            (routed, Some(build(Encap::Vxlan { vni })))
        }
        Encapsulation::MplsUdp { label } => (
            build(Encap::Mpls {
                label: Label::new(label).ok()?,
            }),
            None,
        ),
        Encapsulation::Erspan { session } => {
            let erspan = build(Encap::Erspan { session });
            (erspan.clone(), Some(erspan))
        }
    };
    let port = PortSlot::from_raw(found.port);
    let underlay_mtu = usize::from(state.tables.port(port)?.mtu);
    let overhead = routed
        .overhead()
        .max(bridged.as_ref().map_or(0, |b| b.overhead() + INNER_ETHERNET));
    let mtu = u16::try_from(underlay_mtu.saturating_sub(overhead)).ok()?;
    Some(TunnelPath {
        port,
        routed,
        bridged,
        mtu,
    })
}
