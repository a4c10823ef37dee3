//! Fragments, naively: every byte of every datagram that was seen, and what waits for its head.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vrouter_dataplane::packet::DropReason;

use crate::{
    headers::{self, Fragment},
    lab::outer::word,
    router::{From, Packet, Run},
};

/// Nanoseconds after which a datagram whose fragments are not all there is given up.
const PATIENCE: u64 = 5_000_000_000;

/// Which datagram: whose (a port, or a VRF behind tunnels), VRF, addresses, protocol (of IPv4), identification.
pub type Name = (Option<u32>, u32, IpAddr, IpAddr, u8, u32);

/// A datagram under way.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub name: Name,
    since: u64,
    seen: BTreeSet<usize>,
    total: Option<usize>,
    /// Protocol and ports of the head.
    head: Option<(u8, (u16, u16))>,
    spoiled: bool,
    held: Vec<(Packet, Option<u64>)>,
}

/// What a fragment says of itself: identification, first byte, bytes, whether more follow.
fn read(packet: &Packet) -> (u32, usize, usize, bool) {
    let b = &packet.bytes;
    if b[0] >> 4 == 4 {
        let field = word(b, 6);
        let offset = usize::from(field & 0x1fff) * 8;
        return (
            u32::from(word(b, 4)),
            offset,
            packet.ip.end - packet.ip.l4,
            field & 0x2000 != 0,
        );
    }
    let (mut at, mut kind) = (40, b[6]);
    while kind != 44 {
        let next = b[at];
        at += headers::extension_length(kind, b[at + 1]);
        kind = next;
    }
    let (field, id) = (
        word(b, at + 2),
        u32::from(word(b, at + 4)) << 16 | u32::from(word(b, at + 6)),
    );
    (id, usize::from(field & 0xfff8), packet.ip.end - at - 8, field & 1 != 0)
}

/// Forgets what has waited too long.
pub fn expire(datagrams: &mut Vec<Datagram>, now: u64) {
    datagrams.retain(|d| now - d.since < PATIENCE);
}

impl Run<'_> {
    /// Routes a packet, or sends it where its label says; of fragments, those whose head is known, each after it.
    pub fn gather(&mut self, packet: Packet, via: Option<u64>) {
        if packet.ip.fragment == Fragment::No {
            return self.go(packet, via);
        }
        self.fragments_seen += 1;
        let (id, offset, len, more) = read(&packet);
        if len == 0 {
            return self.drop(DropReason::BadFragment, Some(packet.vrf));
        }
        let v4 = packet.bytes[0] >> 4 == 4;
        let name = (
            packet.port.filter(|_| packet.from != From::Tunnel),
            packet.vrf,
            packet.ip.source,
            packet.ip.destination,
            if v4 { packet.ip.proto } else { 0 },
            id,
        );
        let index = self.datagrams.iter().position(|d| d.name == name).unwrap_or_else(|| {
            self.datagrams.push(Datagram {
                name,
                since: self.world.now_ns,
                seen: BTreeSet::new(),
                total: None,
                head: None,
                spoiled: false,
                held: Vec::new(),
            });
            self.datagrams.len() - 1
        });
        let datagram = &mut self.datagrams[index];
        let (bytes, end) = (offset..offset + len, offset + len);
        let tiny = packet.ip.proto == 6 && (1..20).contains(&offset);
        let again = datagram.seen.range(bytes.clone()).next().is_some();
        let beyond = datagram.total.is_some_and(|total| !more || end >= total)
            || !more && datagram.seen.last().is_some_and(|last| *last >= end);
        if datagram.spoiled || tiny || again || beyond {
            datagram.spoiled = true;
            let held = std::mem::take(&mut datagram.held);
            self.drop(DropReason::FragmentOverlap, Some(packet.vrf));
            return held
                .iter()
                .for_each(|(packet, _)| self.drop(DropReason::FragmentOverlap, Some(packet.vrf)));
        }
        datagram.seen.extend(bytes);
        if !more {
            datagram.total = Some(end);
        }
        if packet.ip.fragment == Fragment::First {
            datagram.head = Some((packet.ip.proto, packet.ip.ports));
        }
        let Some(head) = datagram.head else {
            return datagram.held.push((packet, via));
        };
        let held = std::mem::take(&mut datagram.held);
        if datagram.total == Some(datagram.seen.len()) {
            self.datagrams.remove(index);
        }
        for (mut packet, via) in std::iter::once((packet, via)).chain(held) {
            (packet.ip.proto, packet.ip.ports) = head;
            self.go(packet, via);
        }
    }

    fn go(&mut self, packet: Packet, via: Option<u64>) {
        match via {
            Some(next_hop) => self.forward(packet, next_hop),
            None if self.world.follows => self.judge(packet),
            None => self.route(packet),
        }
    }
}
