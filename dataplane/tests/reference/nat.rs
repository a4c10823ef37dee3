//! Ports of blocks, and packets with other addresses.

use std::net::IpAddr;

use vrouter_dataplane::program::object::SourceNatSpec;

use crate::{
    connections::Key,
    decision::{Question, is_icmp},
    headers::Ip,
    lab::bytes::{fix_v4, octets, pseudo, sum},
    router::Run,
    world::World,
};

/// Address and port that a translation changes. An echo reply that begins something has its identifier on the other side.
pub fn source_of(key: &Key) -> (IpAddr, u16) {
    let port = if is_icmp(key.protocol) && key.source.1 == 0 {
        key.destination.1
    } else {
        key.source.1
    };
    (key.source.0, port)
}

/// The key with another source.
pub fn with_source(mut key: Key, (address, port): (IpAddr, u16)) -> Key {
    key.source.0 = address;
    if !is_icmp(key.protocol) || key.source.1 != 0 {
        key.source.1 = port;
    } else if key.destination.1 != 0 {
        key.destination.1 = port;
    }
    key
}

impl World {
    pub fn source_nat(&self, inside: u32, outside: u32, source: IpAddr) -> Option<&SourceNatSpec> {
        let all = self.source_nats.iter().map(|(nat, _)| nat);
        let fitting = all.filter(|n| (n.inside, n.outside) == (inside, outside) && n.prefix.contains(source));
        fitting.max_by_key(|n| n.prefix.prefix_len())
    }

    /// How often a translation has changed.
    pub fn generation(&self, id: u32) -> u64 {
        self.source_nats.iter().find(|(n, _)| n.id == id).map_or(0, |n| n.1)
    }
}

impl Run<'_> {
    /// An outside address and port: those the connection has, else any that is free, which is read from what came out.
    pub fn port_of_block(
        &mut self,
        spec: &SourceNatSpec,
        generation: u64,
        question: &Question,
        (source, _): (IpAddr, u16),
    ) -> (IpAddr, u16) {
        let others = |(address, port): (IpAddr, u16)| {
            self.connections.iter().any(|c| {
                c.nat == Some((spec.id, generation))
                    && c.forward.source.0 != source
                    && source_of(&c.answers.turned()) == (address, port)
            })
        };
        let may_have = |end: &(IpAddr, u16)| {
            spec.addresses.contains(&end.0) && (spec.first_port..=spec.last_port).contains(&end.1) && !others(*end)
        };
        let kept = question.kept.map(|kept| {
            (
                source_of(&kept.answers.turned()),
                kept.nat == Some((spec.id, generation)),
            )
        });
        let seen = self.seen.filter(may_have);
        match kept {
            Some((had, true)) => had,
            // The translation has changed since: what it gave others meanwhile, the rest of whose block is theirs, may be in the way.
            Some((had, false)) if may_have(&had) => {
                let shared = self
                    .connections
                    .iter()
                    .any(|c| c.nat == Some((spec.id, generation)) && c.forward.source.0 != source);
                match shared && self.choose(2) == 1 {
                    true => seen.unwrap_or((spec.addresses[0], 0)),
                    false => had,
                }
            }
            // Where nothing came out, none is as good as another: the packet went elsewhere.
            _ => seen.unwrap_or((spec.addresses[0], 0)),
        }
    }
}

/// The packet with the addresses, ports and identifiers of a key, its checksums computed anew.
pub fn rewritten(bytes: &[u8], ip: &Ip, to: &Key) -> Vec<u8> {
    let mut new = bytes.to_vec();
    let v6 = to.source.0.is_ipv6();
    let (source, destination) = (octets(to.source.0), octets(to.destination.0));
    let addresses = if v6 { 8 } else { 12 };
    new[addresses..addresses + source.len()].copy_from_slice(&source);
    new[addresses + source.len()..addresses + 2 * source.len()].copy_from_slice(&destination);
    if !v6 {
        fix_v4(&mut new);
    }
    let transport = &mut new[ip.l4..ip.end];
    let check = match ip.proto {
        17 => {
            transport[..2].copy_from_slice(&to.source.1.to_be_bytes());
            transport[2..4].copy_from_slice(&to.destination.1.to_be_bytes());
            6
        }
        _ => {
            match transport[0] {
                8 | 128 => transport[4..6].copy_from_slice(&to.source.1.to_be_bytes()),
                0 | 129 => transport[4..6].copy_from_slice(&to.destination.1.to_be_bytes()),
                _ => {}
            }
            2
        }
    };
    transport[check..check + 2].copy_from_slice(&[0, 0]);
    let pseudo = pseudo(to.source.0, to.destination.0, ip.proto, transport.len());
    let mut value = if ip.proto == 1 {
        !sum(&[transport])
    } else {
        !sum(&[&pseudo, transport])
    };
    if ip.proto == 17 && value == 0 {
        value = 0xffff;
    }
    transport[check..check + 2].copy_from_slice(&value.to_be_bytes());
    new
}
