//! The way between a connection and the port of a workload: found in the tables, and used through the workers.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    packet::FrameCache,
    pipeline::{
        Shared,
        answers::{FIRST_PORT, PORTS},
    },
    tables::{
        Tables,
        next_hop::Action,
        port::{Port, Role},
        publish::Reader,
        slots::{PortSlot, VrfSlot},
    },
    wire::{Mac, ethertype},
    worker::Sender,
};

/// The way to a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// The port it is behind.
    port: PortSlot,
    /// The gateway's address, which it is asked from.
    pub(super) source: IpAddr,
    /// Ethernet header of all packets to it.
    header: [u8; 14],
}

/// To all workloads of this node.
pub struct Line {
    tables: Reader<Tables>,
    workers: Sender,
    shared: Arc<Shared>,
    frames: FrameCache,
    /// Own TCP ports that are free, the longest unused first.
    free: VecDeque<u16>,
    /// Those in use, and who hears what comes for them.
    used: HashMap<u16, UnboundedSender<Box<[u8]>>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line")
            .field("used", &self.used.len())
            .finish_non_exhaustive()
    }
}

/// One end of a conversation: a TCP port of the router's own, and what comes for it.
#[derive(Debug)]
pub(super) struct End {
    pub(super) local_port: u16,
    pub(super) incoming: UnboundedReceiver<Box<[u8]>>,
}

impl Line {
    /// Over these tables and workers.
    pub fn new(tables: Reader<Tables>, workers: Sender, shared: Arc<Shared>, frames: FrameCache) -> Self {
        // PORTS ports from FIRST_PORT on are all there are up to the last.
        let free = (FIRST_PORT..=u16::MAX).take(PORTS).collect();
        Self {
            tables,
            workers,
            shared,
            frames,
            free,
            used: HashMap::new(),
        }
    }

    /// Differs from start to start.
    pub(super) fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// Conversations under way.
    pub(super) fn is_used(&self) -> bool {
        !self.used.is_empty()
    }

    /// Finds the way to the workload that has an address. The error says in words why there is none.
    pub(super) fn way(&mut self, vrf: VrfSlot, address: IpAddr) -> Result<Way, String> {
        let tables = &*self.tables.pin();
        let table = tables.vrf(vrf).ok_or("its VRF is gone")?;
        let hop = tables.route(table, address).and_then(|slot| tables.next_hop(slot));
        let hop = hop.ok_or_else(|| format!("no route to {address}"))?;
        let Action::Port(to) = &hop.action else {
            return Err(format!("{address} is not behind a port of this node"));
        };
        let port = tables.port(to.port).filter(|port| port.workers != 0);
        let port = port.ok_or_else(|| format!("the port of {address} is not open"))?;
        let (vrf, source, mac) = gateway(tables, port, address.is_ipv6())
            .ok_or_else(|| format!("port {} has no gateway address to ask {address} from", port.name))?;
        let back = tables
            .vrf(vrf)
            .and_then(|vrf| tables.route(vrf, source))
            .and_then(|slot| tables.next_hop(slot));
        if !matches!(back.map(|hop| &hop.action), Some(Action::Local)) {
            return Err(format!(
                "no route makes {source} the router's own address: it could not hear the answer"
            ));
        }
        let kind = if address.is_ipv6() {
            ethertype::IPV6
        } else {
            ethertype::IPV4
        };
        let mut header = [0; 14];
        header[..6].copy_from_slice(&to.mac.unwrap_or(port.mac).0);
        header[6..12].copy_from_slice(&mac.0);
        header[12..].copy_from_slice(&kind.to_be_bytes());
        Ok(Way {
            port: to.port,
            source,
            header,
        })
    }

    /// Opens an end for a conversation with the workload at the end of the way. `None`: too many are open.
    pub(super) fn open(&mut self, way: &Way) -> Option<End> {
        let local_port = self.free.pop_front()?;
        let (sender, incoming) = unbounded_channel();
        self.used.insert(local_port, sender);
        self.shared.answers.expect(local_port, way.port);
        Some(End { local_port, incoming })
    }

    /// Closes it: what comes for it now is refused.
    pub(super) fn close(&mut self, local_port: u16) {
        if self.used.remove(&local_port).is_some() {
            self.shared.answers.forget(local_port);
            self.free.push_back(local_port);
        }
    }

    /// Sends an IP packet. What cannot be sent now is lost, as on any line.
    pub(super) fn send(&mut self, way: &Way, packet: &[u8]) {
        let worker = self.tables.pin().port(way.port).and_then(|port| port.sender(0));
        let (Some(worker), Some(mut frame)) = (worker, self.frames.take()) else {
            return;
        };
        let written = frame.copy_from(packet).is_ok()
            && frame
                .prepend(way.header.len() as u16)
                .is_ok_and(|data| data.first_chunk_mut().map(|header| *header = way.header).is_some());
        let left = if written {
            self.workers.send(worker, way.port, frame)
        } else {
            Err(frame)
        };
        match left {
            Ok(()) => {
                self.shared.injected.fetch_add(1, Ordering::Relaxed);
            }
            Err(frame) => self.frames.free(frame),
        }
    }

    /// Takes what workers left, to whom it is for.
    pub(super) fn collect(&mut self) {
        while let Some(answer) = self.shared.answers.take() {
            if let Some(hears) = self.used.get(&answer.local_port) {
                // Who does not hear any more is about to close.
                let _ = hears.send(answer.frame.data().into());
            }
            self.frames.free(answer.frame);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for local_port in self.used.keys() {
            self.shared.answers.forget(*local_port);
        }
        self.used.clear();
        self.collect();
    }
}

/// Whom a workload knows as its gateway: the VRF it is routed in, an address to speak from, and the MAC.
fn gateway(tables: &Tables, port: &Port, v6: bool) -> Option<(VrfSlot, IpAddr, Mac)> {
    let (vrf, gateways, mac) = match port.role {
        Role::Routed { vrf } => (vrf, &port.gateways, Mac::GATEWAY),
        Role::Bridged { bridge } => {
            let bridge = tables.bridge(bridge)?;
            (bridge.vrf?, &bridge.gateways, bridge.gateway_mac)
        }
        Role::Uplink => return None,
    };
    let table = tables.vrf(vrf)?;
    let any = if v6 {
        table.gateway6.map(IpAddr::V6)
    } else {
        table.gateway4.map(IpAddr::V4)
    };
    // Answers to link-local addresses are not routed.
    let mut known = gateways.iter().map(|gateway| gateway.address).chain(any);
    let address = known.find(|address| match address {
        IpAddr::V4(address) => !v6 && !address.is_link_local(),
        IpAddr::V6(address) => v6 && !address.is_unicast_link_local(),
    })?;
    Some((vrf, address, mac))
}
