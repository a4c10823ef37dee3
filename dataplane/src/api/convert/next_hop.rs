//! Next hops.

use std::sync::Arc;

use vrouter_proto::dataplane::{self as pb, next_hop as pbn};

use super::field;
use crate::{
    program::{
        NextHopStatus,
        object::{ActionSpec, NextHopSpec},
        problem::Refusal,
    },
    tables::next_hop::{Encapsulation, GROUP_BUCKETS},
    wire::{Label, Mac, Vni, erspan},
};

/// Most copies that one next hop may make.
const FLOOD_MAX: usize = 1 << 16;

pub(super) fn read(next_hop: &pb::NextHop) -> Result<NextHopSpec, Refusal> {
    let action = field::required(
        "next_hop.action",
        next_hop.action.as_ref(),
        "one of drop, unreachable, port, tunnel, group, flood, local, vrf or underlay",
    )?;
    Ok(NextHopSpec {
        id: field::id("next_hop.id", next_hop.id)?,
        name: field::name("next_hop.name", &next_hop.name)?,
        action: match action {
            pbn::Action::Drop(pbn::Drop {}) => ActionSpec::Drop,
            pbn::Action::Unreachable(pbn::Unreachable {}) => ActionSpec::Unreachable,
            pbn::Action::Local(pbn::Local {}) => ActionSpec::Local,
            pbn::Action::Port(port) => ActionSpec::Port {
                port: field::id("next_hop.port.port", port.port)?,
                mac: field::optional_station("next_hop.port.mac", &port.mac)?,
            },
            pbn::Action::Tunnel(tunnel) => ActionSpec::Tunnel {
                remote: field::host("next_hop.tunnel.remote", &tunnel.remote)?,
                encapsulation: read_encapsulation(tunnel)?,
            },
            pbn::Action::Group(group) => ActionSpec::Group(read_group(group)?),
            pbn::Action::Flood(flood) => ActionSpec::Flood(read_flood(flood)?),
            pbn::Action::Vrf(to) => ActionSpec::Vrf {
                vrf: field::id("next_hop.vrf.vrf", to.vrf)?,
                untranslated: to.untranslated,
            },
            pbn::Action::Underlay(underlay) => {
                let gateway = underlay.gateway.as_str();
                let read = || field::host("next_hop.underlay.gateway", gateway);
                let gateway = (!gateway.is_empty()).then(read).transpose()?;
                ActionSpec::Underlay { gateway }
            }
        },
    })
}

fn read_encapsulation(tunnel: &pbn::Tunnel) -> Result<Encapsulation, Refusal> {
    let beside = |field, what| Err(Refusal::invalid(field, format!("{what}; leave this unset")));
    match pbn::Encapsulation::try_from(tunnel.encapsulation) {
        Ok(pbn::Encapsulation::Vxlan) => {
            if tunnel.label != 0 {
                return beside("next_hop.tunnel.label", "VXLAN carries no MPLS label");
            }
            let vni = Vni::new(tunnel.vni).map_err(|e| Refusal::invalid("next_hop.tunnel.vni", e.to_string()))?;
            let inner_mac = field::optional_station("next_hop.tunnel.inner_mac", &tunnel.inner_mac)?;
            Ok(Encapsulation::Vxlan {
                vni: vni.get(),
                inner_mac: inner_mac.unwrap_or(Mac::GATEWAY),
            })
        }
        Ok(pbn::Encapsulation::MplsUdp) => {
            if tunnel.vni != 0 {
                return beside("next_hop.tunnel.vni", "MPLS over UDP carries no VNI");
            }
            if !tunnel.inner_mac.is_empty() {
                return beside(
                    "next_hop.tunnel.inner_mac",
                    "MPLS over UDP carries no inner Ethernet header",
                );
            }
            let refused = |message| Refusal::invalid("next_hop.tunnel.label", message);
            let label = Label::new(tunnel.label).map_err(|e| refused(e.to_string()))?;
            let explicit_null = [Label::IPV4_EXPLICIT_NULL, Label::IPV6_EXPLICIT_NULL].contains(&label);
            if label.is_reserved() && !explicit_null {
                return Err(refused(format!(
                    "label {label} is reserved (RFC 7274); give 16 to {}, or 0 or 2 for explicit null",
                    Label::MAX
                )));
            }
            Ok(Encapsulation::MplsUdp { label: label.get() })
        }
        Ok(pbn::Encapsulation::Erspan) => {
            if tunnel.label != 0 {
                return beside("next_hop.tunnel.label", "ERSPAN carries no MPLS label");
            }
            if !tunnel.inner_mac.is_empty() {
                return beside("next_hop.tunnel.inner_mac", "ERSPAN carries frames as they are");
            }
            match u16::try_from(tunnel.vni) {
                Ok(session) if session <= erspan::MAX_SESSION => Ok(Encapsulation::Erspan { session }),
                _ => {
                    let message = format!("ERSPAN sessions are 0 to {}, not {}", erspan::MAX_SESSION, tunnel.vni);
                    Err(Refusal::invalid("next_hop.tunnel.vni", message))
                }
            }
        }
        Ok(pbn::Encapsulation::Unspecified) | Err(_) => Err(Refusal::invalid(
            "next_hop.tunnel.encapsulation",
            format!(
                "{} is no encapsulation; give VXLAN (1), MPLS_UDP (2) or, for mirrors, ERSPAN (3)",
                tunnel.encapsulation
            ),
        )),
    }
}

fn read_group(group: &pbn::Group) -> Result<Arc<[(u64, u8)]>, Refusal> {
    let count = group.members.len();
    if count == 0 || count > GROUP_BUCKETS {
        let message = format!("{count} members; a group has from 1 to {GROUP_BUCKETS}");
        return Err(Refusal::invalid("next_hop.group.members", message));
    }
    field::distinct(
        "next_hop.group.members.next_hop",
        group.members.iter().map(|m| m.next_hop),
    )?;
    let members = group.members.iter().map(|member| {
        let weight = u8::try_from(member.weight).ok().filter(|weight| *weight > 0);
        let weight = weight.ok_or_else(|| {
            let message = format!(
                "weight {} of next hop {} is out of range: it must be from 1 to 255",
                member.weight, member.next_hop
            );
            Refusal::invalid("next_hop.group.members.weight", message)
        })?;
        Ok((member.next_hop, weight))
    });
    members.collect()
}

fn read_flood(flood: &pbn::Flood) -> Result<Arc<[u64]>, Refusal> {
    let count = flood.next_hops.len();
    if count > FLOOD_MAX {
        let message = format!("{count} next hops are too many; give at most {FLOOD_MAX}");
        return Err(Refusal::invalid("next_hop.flood.next_hops", message));
    }
    field::distinct("next_hop.flood.next_hops", flood.next_hops.iter().copied())?;
    Ok(flood.next_hops.as_slice().into())
}

pub(super) fn show(next_hop: &NextHopSpec) -> pb::NextHop {
    let action = match &next_hop.action {
        ActionSpec::Drop => pbn::Action::Drop(pbn::Drop {}),
        ActionSpec::Unreachable => pbn::Action::Unreachable(pbn::Unreachable {}),
        ActionSpec::Local => pbn::Action::Local(pbn::Local {}),
        ActionSpec::Port { port, mac } => pbn::Action::Port(pbn::ToPort {
            port: *port,
            mac: mac.map_or_else(String::new, |mac| mac.to_string()),
        }),
        ActionSpec::Tunnel { remote, encapsulation } => {
            let mut tunnel = pbn::Tunnel {
                remote: remote.to_string(),
                ..pbn::Tunnel::default()
            };
            match encapsulation {
                Encapsulation::Vxlan { vni, inner_mac } => {
                    tunnel.set_encapsulation(pbn::Encapsulation::Vxlan);
                    tunnel.vni = *vni;
                    tunnel.inner_mac = inner_mac.to_string();
                }
                Encapsulation::MplsUdp { label } => {
                    tunnel.set_encapsulation(pbn::Encapsulation::MplsUdp);
                    tunnel.label = *label;
                }
                Encapsulation::Erspan { session } => {
                    tunnel.set_encapsulation(pbn::Encapsulation::Erspan);
                    tunnel.vni = u32::from(*session);
                }
            }
            pbn::Action::Tunnel(tunnel)
        }
        ActionSpec::Group(members) => pbn::Action::Group(pbn::Group {
            members: members
                .iter()
                .map(|(next_hop, weight)| pbn::Member {
                    next_hop: *next_hop,
                    weight: u32::from(*weight),
                })
                .collect(),
        }),
        ActionSpec::Flood(next_hops) => pbn::Action::Flood(pbn::Flood {
            next_hops: next_hops.to_vec(),
        }),
        ActionSpec::Vrf { vrf, untranslated } => pbn::Action::Vrf(pbn::ToVrf {
            vrf: *vrf,
            untranslated: *untranslated,
        }),
        ActionSpec::Underlay { gateway } => pbn::Action::Underlay(pbn::Underlay {
            gateway: gateway.map_or_else(String::new, |gateway| gateway.to_string()),
        }),
    };
    pb::NextHop {
        id: next_hop.id,
        name: next_hop.name.to_string(),
        state: None,
        action: Some(action),
    }
}

pub(super) fn show_state(status: &NextHopStatus) -> pb::NextHopState {
    pb::NextHopState {
        resolved: status.resolved,
        detail: status.detail.to_string(),
        mtu: status.mtu.into(),
    }
}
