//! The way out of a tunnel.

use std::net::IpAddr;

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{ActionSpec, Attachment, LabelTo, VniTo},
    wire::Mac,
};

use crate::{
    headers::{self, Fragment, Frame},
    lab::{
        bytes::{pseudo, sum},
        node::{VTEP4, VTEP6},
        outer::word,
    },
    router::{From, Run},
    speech,
    world::World,
};

/// What was in a tunnel packet, and where it belongs.
pub enum Inside {
    Bridge {
        bridge: u32,
        vni: u32,
        remote: IpAddr,
        frame: Vec<u8>,
    },
    Vrf {
        vrf: u32,
        packet: Vec<u8>,
    },
    Label {
        next_hop: u64,
        packet: Vec<u8>,
    },
}

/// Why not: the reason and the VRF, if that was known.
type No = (DropReason, Option<u32>);

/// Opens a tunnel packet. `Ok(None)`: it concerns the underlay itself.
pub fn open(world: &World, frame: &[u8]) -> Result<Option<Inside>, No> {
    let no = |reason| Err((reason, None));
    let read = Frame::read(frame).map_err(|reason| (reason, None))?;
    if read.ethertype == 0x0806 {
        return Ok(None);
    }
    let Some(ip) = &read.ip else {
        return no(DropReason::NotATunnel);
    };
    let packet = &frame[read.l3..read.l3 + ip.end];
    if speech::is_neighbor_discovery(packet, ip) {
        return Ok(None);
    }
    if read.vlan {
        return no(DropReason::UnknownVlan);
    }
    if ip.proto != 17 {
        return no(DropReason::NotATunnel);
    }
    if ip.destination != IpAddr::V4(VTEP4) && ip.destination != IpAddr::V6(VTEP6) {
        return no(DropReason::NotOurVtep);
    }
    if ip.fragment != Fragment::No {
        return no(DropReason::FragmentedTunnel);
    }
    if !matches!(ip.ports.1, 4789 | 6635 | 51234) {
        return no(DropReason::NotATunnel);
    }
    let datagram = &packet[ip.l4..];
    if usize::from(word(datagram, 4)) != datagram.len() {
        return no(DropReason::BadTransport);
    }
    let whole = [&pseudo(ip.source, ip.destination, 17, datagram.len()), datagram].concat();
    if word(datagram, 6) != 0 && sum(&[&whole]) != 0xffff {
        return no(DropReason::BadOuterChecksum);
    }
    let (body, ecn) = (&datagram[8..], headers::tos(packet) & 3);
    if ip.ports.1 == 4789 {
        vxlan(world, body, ip.source, ecn)
    } else {
        mpls(world, body, ecn)
    }
    .map(Some)
}

fn vxlan(world: &World, body: &[u8], remote: IpAddr, ecn: u8) -> Result<Inside, No> {
    if body.len() < 8 || body[0] & 8 == 0 {
        return Err((DropReason::BadVxlan, None));
    }
    let vni = u32::from_be_bytes([0, body[4], body[5], body[6]]);
    let Some(spec) = world.vnis.iter().find(|v| v.vni.get() == vni) else {
        return Err((DropReason::UnknownVni, None));
    };
    let mut frame = body[8..].to_vec();
    match spec.target {
        VniTo::Bridge(bridge) => {
            if let Ok(Frame { ip: Some(_), l3, .. }) = Frame::read(&frame) {
                combine(&mut frame[l3..], ecn).ok_or((DropReason::EcnConflict, None))?;
            }
            Ok(Inside::Bridge {
                bridge,
                vni,
                remote,
                frame,
            })
        }
        VniTo::Vrf(vrf) => {
            let read = Frame::read(&frame).map_err(|reason| (reason, Some(vrf)))?;
            if read.vlan {
                return Err((DropReason::UnknownVlan, Some(vrf)));
            }
            let Some(ip) = read.ip else {
                return Err((DropReason::UnknownEthertype, Some(vrf)));
            };
            if read.destination != Mac::GATEWAY {
                return Err((DropReason::NotOurMac, Some(vrf)));
            }
            let mut packet = frame[read.l3..read.l3 + ip.end].to_vec();
            combine(&mut packet, ecn).ok_or((DropReason::EcnConflict, Some(vrf)))?;
            Ok(Inside::Vrf { vrf, packet })
        }
    }
}

fn mpls(world: &World, body: &[u8], ecn: u8) -> Result<Inside, No> {
    let mut found = None;
    for (depth, entry) in body.chunks_exact(4).take(4).enumerate() {
        let entry = u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]);
        if entry & 0x100 != 0 {
            found = Some((entry >> 12, (depth + 1) * 4));
            break;
        }
        // Only explicit null may stand above our label.
        if !matches!(entry >> 12, 0 | 2) {
            break;
        }
    }
    let Some((label, at)) = found else {
        return Err((DropReason::BadMpls, None));
    };
    let Some(spec) = world.labels.iter().find(|l| l.label.get() == label) else {
        return Err((DropReason::UnknownLabel, None));
    };
    let ip = headers::ip(&body[at..]).map_err(|reason| (reason, None))?;
    let mut packet = body[at..at + ip.end].to_vec();
    combine(&mut packet, ecn).ok_or((DropReason::EcnConflict, None))?;
    Ok(match spec.target {
        LabelTo::Vrf(vrf) => Inside::Vrf { vrf, packet },
        LabelTo::NextHop(next_hop) => Inside::Label { next_hop, packet },
    })
}

/// RFC 6040, figure 4. `None`: the packet must be dropped.
fn combine(ip: &mut [u8], outer: u8) -> Option<()> {
    const NOT_ECT: u8 = 0;
    const ECT1: u8 = 1;
    const ECT0: u8 = 2;
    const CE: u8 = 3;
    let tos = headers::tos(ip);
    let mark = match (tos & 3, outer) {
        (NOT_ECT, CE) => return None,
        (NOT_ECT, _) => NOT_ECT,
        (_, CE) => CE,
        (ECT0, ECT1) => ECT1,
        (inner, _) => inner,
    };
    if mark != tos & 3 {
        headers::set_tos(ip, tos & !3 | mark);
    }
    Some(())
}

impl Run<'_> {
    pub fn enter_by_uplink(&mut self, frame: &[u8]) {
        match open(self.world, frame) {
            Err((reason, vrf)) => self.drop(reason, vrf),
            Ok(None) => {}
            Ok(Some(Inside::Bridge { bridge, frame, .. })) => self.enter_bridge_from_tunnel(bridge, frame),
            Ok(Some(Inside::Vrf { vrf, packet })) => self.route_in(vrf, packet, From::Tunnel, None),
            Ok(Some(Inside::Label { next_hop, packet })) => {
                let Some(vrf) = self.vrf_behind(next_hop) else {
                    return self.drop(DropReason::NextHopDrop, None);
                };
                if let Some(packet) = self.admit(vrf, packet, From::Tunnel, None) {
                    self.gather(packet, Some(next_hop));
                }
            }
        }
    }

    /// The VRF of the workload behind a label.
    fn vrf_behind(&self, next_hop: u64) -> Option<u32> {
        let ActionSpec::Port { port, .. } = self.world.next_hop(next_hop)?.action else {
            return None;
        };
        match self.world.port(port)?.attachment {
            Attachment::Vrf(vrf) => Some(vrf),
            Attachment::Bridge(bridge) => self.world.bridge(bridge)?.vrf,
        }
    }
}
