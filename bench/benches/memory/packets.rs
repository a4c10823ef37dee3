//! The packets that beds are fed with: 64 bytes of Ethernet, IP and UDP, with correct checksums, in a tunnel where one is taken off.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrouter_dataplane::{
    packet::Frame,
    wire::{
        Mac, Vni,
        checksum::Sum,
        eth, ethertype,
        outer::{Encap, Ends, Outer, OuterSpec, PerPacket},
        proto, udp,
    },
};

/// Bytes of a packet's Ethernet frame, without check sequence and before any encapsulation.
pub(crate) const SIZE: usize = 64;

/// The family of the workloads' packets and of the underlay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Bytes of the IP header.
    fn header(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }

    /// The `n`th address of a network.
    pub(crate) fn address(self, net: Net, n: u32) -> IpAddr {
        match self {
            Self::V4 => {
                let base = match net {
                    Net::Clients => 0x0a40_0000,
                    Net::Servers => 0x0a80_0000,
                    Net::Outside => 0x6440_0000,
                };
                Ipv4Addr::from_bits(base + n).into()
            }
            Self::V6 => {
                let base = match net {
                    Net::Clients => 1,
                    Net::Servers => 2,
                    Net::Outside => 3,
                };
                Ipv6Addr::new(0xfd00, base, 0, 0, 0, 0, (n >> 16) as u16, n as u16).into()
            }
        }
    }

    /// The length of the networks' prefix.
    pub(crate) fn length(self) -> u8 {
        match self {
            Self::V4 => 10,
            Self::V6 => 64,
        }
    }
}

/// Networks of the lab.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Net {
    /// Those who begin.
    Clients,
    /// Those who answer.
    Servers,
    /// What sources are translated to.
    Outside,
}

/// Addresses and ports of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tuple {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ports: [u16; 2],
}

/// What distinguishes flows.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// 256 clients behind one port, their port numbers, and servers.
    Clients,
    /// The same, answered: from the servers to the clients.
    Answers,
    /// 64 port numbers of each client, one server.
    Sources,
    /// So many clients (a power of two), each with port numbers that come up one after the other; one server.
    NewSources(u32),
    /// One client, a destination each; after the last, again with the next port number.
    Destinations(Vec<IpAddr>),
}

/// The UDP port of the servers.
pub(crate) const SERVICE: u16 = 4433;

impl Pattern {
    /// The tuple of flow `n`; `base` is added to the numbers of all addresses.
    fn tuple(&self, family: Family, base: u32, n: u32) -> Tuple {
        let (client, server, port) = match self {
            Self::Clients | Self::Answers => (n & 0xff, n >> 22, (n >> 8 & 0x3fff) as u16 + 1024),
            Self::Sources => (n >> 6, 0, (n & 63) as u16 + 10_048),
            Self::NewSources(clients) => (n & (clients - 1), 0, ((n / clients) & 0x3fff) as u16 + 1024),
            Self::Destinations(list) => {
                return Tuple {
                    source: family.address(Net::Clients, 10),
                    destination: list[n as usize % list.len()],
                    ports: [1024u16.wrapping_add((n as usize / list.len()) as u16), SERVICE],
                };
            }
        };
        let client = family.address(Net::Clients, base + client);
        let server = family.address(Net::Servers, base + server);
        match self {
            Self::Answers => Tuple {
                source: server,
                destination: client,
                ports: [SERVICE, port],
            },
            _ => Tuple {
                source: client,
                destination: server,
                ports: [port, SERVICE],
            },
        }
    }
}

/// In which order flows come.
#[derive(Debug)]
pub(crate) enum Order {
    /// All of them again and again, in this order.
    Again { list: Vec<u32>, at: usize },
    /// From 0 up, for ever, each number's bits mixed: of a power of two, all come before one comes again.
    Mixed { next: u32, of: u32 },
    /// From 0 up.
    Up(u32),
}

impl Order {
    /// `flows` in random order.
    pub(crate) fn shuffled(flows: u32) -> Self {
        let mut list: Vec<_> = (0..flows).collect();
        shuffle(&mut list);
        Self::Again { list, at: 0 }
    }

    fn next(&mut self) -> u32 {
        match self {
            Self::Again { list, at } => {
                let n = list[*at];
                *at = if *at + 1 == list.len() { 0 } else { *at + 1 };
                n
            }
            Self::Mixed { next, of } => {
                let n = *next;
                *next = next.wrapping_add(1);
                // Odd, so that it permutes.
                n.wrapping_mul(0x9e37_79b1) & (*of - 1)
            }
            Self::Up(next) => {
                let n = *next;
                *next += 1;
                n
            }
        }
    }
}

/// splitmix64: the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub(crate) fn shuffle<T>(list: &mut [T]) {
    let mut random = Random(list.len() as u64);
    for i in (1..list.len()).rev() {
        list.swap(i, random.next() as usize % (i + 1));
    }
}

/// The tunnel that packets come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrapping {
    pub(crate) spec: OuterSpec,
    /// VXLAN: flows are in this many VNIs by turns, from that of `spec` up.
    pub(crate) vnis: u32,
}

/// Makes packets.
#[derive(Debug)]
pub(crate) struct Generator {
    family: Family,
    base: u32,
    pattern: Pattern,
    pub(crate) order: Order,
    /// One packet, with what is the same in all.
    packet: Vec<u8>,
    /// Where its IP header is.
    ip: usize,
    outers: Vec<Outer>,
}

impl Generator {
    /// Packets from a workload's MAC to its gateway, or in a tunnel. `base` is added to the numbers of all addresses.
    pub(crate) fn new(
        (family, base): (Family, u32),
        from: Mac,
        pattern: Pattern,
        order: Order,
        wrapping: Option<Wrapping>,
    ) -> Self {
        let outers: Vec<_> = wrapping.iter().flat_map(|wrapping| outers(*wrapping)).collect();
        let bare = wrapping.is_some_and(|wrapping| matches!(wrapping.spec.encap, Encap::Mpls { .. }));
        let mut packet = vec![0; outers.first().map_or(0, Outer::len)];
        if !bare {
            let kind = match family {
                Family::V4 => ethertype::IPV4,
                Family::V6 => ethertype::IPV6,
            };
            packet.extend(eth::header(Mac::GATEWAY, from, kind));
        }
        let (ip, length) = (packet.len(), SIZE - eth::HEADER_LEN);
        packet.resize(ip + length, 0);
        let payload = (length - family.header()) as u16;
        let header = &mut packet[ip..];
        match family {
            Family::V4 => {
                header[..10].copy_from_slice(&[0x45, 0, 0, length as u8, 0, 0, 0x40, 0, 64, proto::UDP]);
            }
            Family::V6 => header[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, payload as u8, proto::UDP, 64]),
        }
        let l4 = &mut header[family.header()..];
        l4[4..6].copy_from_slice(&payload.to_be_bytes());
        Self {
            family,
            base,
            pattern,
            order,
            packet,
            ip,
            outers,
        }
    }

    /// The next packet, into a frame.
    pub(crate) fn fill(&mut self, frame: &mut Frame) {
        let n = self.order.next();
        let tuple = self.pattern.tuple(self.family, self.base, n);
        frame.copy_from(&self.packet).expect("a frame has room");
        let data = frame.data_mut();
        if let Some(outer) = self.outers.get(n as usize % self.outers.len().max(1)) {
            let packet = PerPacket {
                inner_len: self.packet.len() - outer.len(),
                entropy_port: udp::entropy_port(n.wrapping_mul(0x9e37_79b1)),
                tos: 0,
                ttl: 64,
                ip_id: 0,
                inner_ethertype: 0,
            };
            outer
                .apply(&mut data[..outer.len()], &packet)
                .expect("room for the outer header");
        }
        patch(&mut data[self.ip..], tuple);
    }
}

fn outers(wrapping: Wrapping) -> impl Iterator<Item = Outer> {
    (0..wrapping.vnis).map(move |n| {
        let encap = match wrapping.spec.encap {
            Encap::Vxlan { vni } => Encap::Vxlan {
                vni: Vni::new(vni.get() + n).expect("in range"),
            },
            other => other,
        };
        Outer::new(&OuterSpec { encap, ..wrapping.spec })
    })
}

/// Puts addresses, ports and checksums into an IP packet.
fn patch(ip: &mut [u8], tuple: Tuple) {
    let l4 = match (tuple.source, tuple.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ip[12..16].copy_from_slice(&source.octets());
            ip[16..20].copy_from_slice(&destination.octets());
            ip[10..12].fill(0);
            let check = Sum::of(&ip[..20]).checksum();
            ip[10..12].copy_from_slice(&check.to_be_bytes());
            20
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ip[8..24].copy_from_slice(&source.octets());
            ip[24..40].copy_from_slice(&destination.octets());
            40
        }
        _ => unreachable!("one family"),
    };
    let addresses = if l4 == 20 { 12 } else { 8 };
    let pseudo = Sum::of(&ip[addresses..l4])
        .add_u16(u16::from(proto::UDP))
        .add_u16((ip.len() - l4) as u16);
    let udp = &mut ip[l4..];
    udp[..2].copy_from_slice(&tuple.ports[0].to_be_bytes());
    udp[2..4].copy_from_slice(&tuple.ports[1].to_be_bytes());
    udp[6..8].fill(0);
    let check = match pseudo.add_bytes(udp).checksum() {
        0 => 0xffff,
        check => check,
    };
    udp[6..8].copy_from_slice(&check.to_be_bytes());
}

/// The IP packet within a frame of the lab (Ethernet, or a tunnel in Ethernet): where it starts, and where the Ethernet header in front of it.
pub(crate) fn inside(frame: &[u8]) -> (usize, Option<usize>) {
    let start = |at: usize| match u16::from_be_bytes([frame[at + 12], frame[at + 13]]) {
        ethertype::IPV4 => (at + 14, 20),
        _ => (at + 14, 40),
    };
    let (ip, header) = start(0);
    match u16::from_be_bytes([frame[ip + header + 2], frame[ip + header + 3]]) {
        udp::PORT_VXLAN => {
            let ethernet = ip + header + 16;
            (start(ethernet).0, Some(ethernet))
        }
        udp::PORT_MPLS => (ip + header + 12, None),
        _ => (ip, Some(0)),
    }
}

/// Turns a frame that a node sent into the answer to it, to be received where it was sent. Checksums stay as they are: sums do not mind order.
pub(crate) fn answer(frame: &mut [u8]) {
    let (inner, ethernet) = inside(frame);
    if inner > eth::HEADER_LEN {
        // The tunnel: from the other node.
        swap_macs(frame);
        swap_addresses(&mut frame[eth::HEADER_LEN..]);
    }
    if let Some(ethernet) = ethernet {
        let to: [u8; 6] = frame[ethernet..ethernet + 6].try_into().expect("six");
        frame[ethernet..ethernet + 6].copy_from_slice(&Mac::GATEWAY.0);
        frame[ethernet + 6..ethernet + 12].copy_from_slice(&to);
    }
    let header = swap_addresses(&mut frame[inner..]);
    let (source, destination) = frame[inner + header..inner + header + 4].split_at_mut(2);
    source.swap_with_slice(destination);
}

fn swap_macs(frame: &mut [u8]) {
    let (to, from) = frame[..12].split_at_mut(6);
    to.swap_with_slice(from);
}

/// Gives the length of the header.
fn swap_addresses(ip: &mut [u8]) -> usize {
    let (first, second, header) = if ip[0] >> 4 == 4 { (12, 16, 20) } else { (8, 24, 40) };
    let (source, destination) = ip[first..header].split_at_mut(second - first);
    source.swap_with_slice(destination);
    header
}

/// The tunnel's ends.
pub(crate) fn ends(source: IpAddr, destination: IpAddr) -> Ends {
    vrouter_bench::encap::ends(source, destination).expect("one family")
}
