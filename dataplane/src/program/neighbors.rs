//! Neighbours of the underlay that packets in the clear are sent to: looked for when a packet misses one, forgotten when none
//! needs it any more.
//!
//! The routers that next hops name are looked for as long as a next hop does so. All others come and go with the packets, and are bounded
//! in number: a workload that scans a subnet keeps only as many questions open as are allowed, and those that nobody answers
//! are forgotten soon.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    service::underlay::{Resolved, Resolver},
    tables::{
        Tables,
        slots::PortSlot,
        underlay::{UnderlayNeighbor, UnderlayPath},
    },
    wire::Mac,
};

const SECOND: u64 = 1_000_000_000;

/// Most neighbours, beside the routers that next hops name.
const MOST: usize = 4096;

/// Most of these that have not answered (yet).
const MOST_UNANSWERED: usize = 1024;

/// How long a neighbour is kept after the last packet for it; seconds.
const KEEP: u32 = 120;

/// How long packets to a neighbour that does not answer are refused at once, before it is looked for anew; nanoseconds.
const KEEP_SILENT: u64 = 10 * SECOND;

/// How often it is looked which neighbours are not needed any more; nanoseconds.
const LOOK: u64 = SECOND;

#[derive(Debug)]
enum State {
    Asked,
    Reached { used: Arc<AtomicU32> },
    Silent { since: u64 },
}

#[derive(Debug)]
struct Known {
    /// Next hops that name it.
    next_hops: usize,
    /// Packets want it, and wanted it before any next hop: it is wanted once for all of them.
    packets: bool,
    state: State,
}

/// What is looked for.
#[derive(Debug, Default)]
pub(super) struct Neighbors {
    known: HashMap<IpAddr, Known>,
    /// Those that packets want, and those of these that have not answered (yet).
    wanted: usize,
    unanswered: usize,
    next_look: u64,
}

impl Neighbors {
    /// A next hop names this router.
    pub(super) fn add_gateway(&mut self, resolver: &mut Resolver, gateway: IpAddr, now: u64) {
        self.entry(gateway).next_hops += 1;
        resolver.want_neighbor(gateway, now);
    }

    /// A next hop names this router no more.
    pub(super) fn remove_gateway(&mut self, resolver: &mut Resolver, tables: &mut Tables, gateway: IpAddr) {
        let Some(known) = self.known.get_mut(&gateway).filter(|known| known.next_hops > 0) else {
            return;
        };
        known.next_hops -= 1;
        resolver.unwant_neighbor(gateway);
        if known.next_hops == 0 && !known.packets {
            self.known.remove(&gateway);
            tables.underlay_neighbors.remove(&gateway);
        }
    }

    /// A packet was to be sent to this neighbour. Gives whether it is looked for now.
    pub(super) fn miss(&mut self, resolver: &mut Resolver, neighbor: IpAddr, now: u64) -> bool {
        if self.known.contains_key(&neighbor) {
            return true;
        }
        if self.wanted >= MOST || self.unanswered >= MOST_UNANSWERED {
            return false;
        }
        self.entry(neighbor).packets = true;
        self.wanted += 1;
        self.unanswered += 1;
        resolver.want_neighbor(neighbor, now);
        true
    }

    /// A station that is about to send packets to an address of ours, and will want answers.
    pub(super) fn meet(&mut self, resolver: &mut Resolver, port: u16, neighbor: IpAddr, mac: Mac, now: u64) {
        if self.miss(resolver, neighbor, now) {
            resolver.meet(port, neighbor, mac, now);
        }
    }

    /// A neighbour is reached so. Gives whether tables changed.
    pub(super) fn reached(&mut self, tables: &mut Tables, found: &Resolved, now: u64) -> bool {
        let Some(known) = self.known.get_mut(&found.remote) else {
            return false;
        };
        let port = PortSlot::from_raw(found.port);
        let Some(mtu) = tables.port(port).map(|port| port.mtu) else {
            return false;
        };
        let used = match &known.state {
            State::Reached { used } => used.clone(),
            State::Asked | State::Silent { .. } => {
                self.unanswered -= usize::from(known.packets);
                Arc::new(AtomicU32::new(seconds(now)))
            }
        };
        let path = UnderlayPath {
            port,
            mac: found.destination_mac,
            source_mac: found.source_mac,
            mtu,
            used: used.clone(),
        };
        known.state = State::Reached { used };
        tables
            .underlay_neighbors
            .insert(found.remote, UnderlayNeighbor::Reached(path));
        true
    }

    /// A neighbour does not answer. Gives whether tables changed.
    pub(super) fn silent(&mut self, tables: &mut Tables, neighbor: IpAddr, now: u64) -> bool {
        let Some(known) = self.known.get_mut(&neighbor) else {
            return false;
        };
        if let State::Reached { .. } = known.state {
            self.unanswered += usize::from(known.packets);
        }
        known.state = State::Silent { since: now };
        tables.underlay_neighbors.insert(neighbor, UnderlayNeighbor::Silent);
        true
    }

    /// These addresses have become this node's own: no neighbour has them.
    pub(super) fn forget(&mut self, resolver: &mut Resolver, tables: &mut Tables, addresses: &[IpAddr]) {
        for address in addresses {
            self.forget_one(resolver, tables, *address);
        }
    }

    /// Forgets what is not needed any more. Gives whether tables changed.
    pub(super) fn look(&mut self, resolver: &mut Resolver, tables: &mut Tables, now: u64) -> bool {
        if now < self.next_look {
            return false;
        }
        self.next_look = now + LOOK;
        let unneeded = |known: &Known| match &known.state {
            State::Asked => false,
            State::Reached { used } => seconds(now).saturating_sub(used.load(Ordering::Relaxed)) > KEEP,
            State::Silent { since } => now.saturating_sub(*since) > KEEP_SILENT,
        };
        let old = self.known.iter().filter(|(_, known)| known.packets && unneeded(known));
        let old: Vec<IpAddr> = old.map(|(address, _)| *address).collect();
        for address in &old {
            self.forget_one(resolver, tables, *address);
        }
        !old.is_empty()
    }

    /// When [`look`](Self::look) has something to do; nanoseconds.
    pub(super) fn deadline(&self) -> Option<u64> {
        (!self.known.is_empty()).then_some(self.next_look)
    }

    fn entry(&mut self, neighbor: IpAddr) -> &mut Known {
        self.known.entry(neighbor).or_insert(Known {
            next_hops: 0,
            packets: false,
            state: State::Asked,
        })
    }

    /// Packets do not want it any more.
    fn forget_one(&mut self, resolver: &mut Resolver, tables: &mut Tables, neighbor: IpAddr) {
        let Some(known) = self.known.get_mut(&neighbor).filter(|known| known.packets) else {
            return;
        };
        known.packets = false;
        self.wanted -= 1;
        self.unanswered -= usize::from(!matches!(known.state, State::Reached { .. }));
        resolver.unwant_neighbor(neighbor);
        if known.next_hops == 0 {
            self.known.remove(&neighbor);
            tables.underlay_neighbors.remove(&neighbor);
        }
    }
}

/// As workers count them: see [`UnderlayPath::used`].
fn seconds(now: u64) -> u32 {
    (now / SECOND) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        service::{
            arp::{Arp, Operation},
            nd::{self, Message, Nd},
            underlay::{Action, Uplink},
        },
        tables::{
            lpm::LpmWriter,
            port::{Port, Role},
        },
    };

    struct Bed {
        neighbors: Neighbors,
        resolver: Resolver,
        tables: Tables,
        now: u64,
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    impl Bed {
        fn new() -> Self {
            let writer = LpmWriter::new(1 << 20).unwrap();
            let mut tables = Tables::new(writer.arena().clone());
            let mac = Mac([2, 0, 0, 0, 0, 1]);
            tables.ports.set(
                0,
                Port {
                    id: 1,
                    name: "up".into(),
                    role: Role::Uplink,
                    mac,
                    gateways: Arc::from([]),
                    mtu: 1400,
                    workers: 1,
                    guard: None,
                    qos: None,
                    mirrors: Arc::from([]),
                    policy: None,
                },
            );
            let uplink = Uplink {
                port: 0,
                name: "up".into(),
                mac,
                addresses: vec![(ip("192.0.2.1"), 24), (ip("2001:db8::1"), 64)],
                gateways: Vec::new(),
                answer: true,
            };
            Self {
                neighbors: Neighbors::default(),
                resolver: Resolver::new(vec![uplink]),
                tables,
                now: SECOND,
            }
        }

        fn miss(&mut self, neighbor: IpAddr) -> bool {
            let known = self.neighbors.miss(&mut self.resolver, neighbor, self.now);
            self.carry();
            known
        }

        /// As the programmer does.
        fn carry(&mut self) {
            for action in self.resolver.drain() {
                match action {
                    Action::Reached(found) => {
                        self.neighbors.reached(&mut self.tables, &found, self.now);
                    }
                    Action::Silent { neighbor, .. } => {
                        self.neighbors.silent(&mut self.tables, neighbor, self.now);
                    }
                    _ => {}
                }
            }
        }

        /// The neighbour says where it is.
        fn answer(&mut self, neighbor: IpAddr) {
            let (ours, its) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 9]));
            let frame = match neighbor {
                IpAddr::V4(sender_ip) => {
                    let answer = Arp {
                        operation: Operation::Reply,
                        sender_mac: its,
                        sender_ip,
                        target_mac: ours,
                        target_ip: [192, 0, 2, 1].into(),
                    };
                    answer.to_frame(ours).to_vec()
                }
                IpAddr::V6(target) => {
                    let question = Nd {
                        source: "2001:db8::1".parse().unwrap(),
                        destination: nd::solicited_node(target),
                        ethernet_source: ours,
                        message: Message::NeighborSolicitation {
                            target,
                            source_mac: Some(ours),
                        },
                    };
                    nd::neighbor_advertisement_frame(&question, its, false)
                        .unwrap()
                        .to_vec()
                }
            };
            self.resolver.on_frame(0, &frame, self.now);
            self.carry();
        }

        /// Time passes; those in `here` answer when they are asked.
        fn pass(&mut self, seconds: u64, here: &[IpAddr]) {
            for _ in 0..seconds * 4 {
                self.now += SECOND / 4;
                self.resolver.tick(self.now);
                self.carry();
                for neighbor in here {
                    self.answer(*neighbor);
                }
                self.neighbors.look(&mut self.resolver, &mut self.tables, self.now);
                self.carry();
            }
        }

        fn used(&self, neighbor: IpAddr) {
            let Some(UnderlayNeighbor::Reached(path)) = self.tables.underlay_neighbors.get(&neighbor) else {
                panic!("{neighbor} is not reached");
            };
            path.touch(seconds(self.now));
        }
    }

    #[test]
    fn a_neighbor_lives_as_long_as_packets_use_it() {
        for neighbor in [ip("192.0.2.9"), ip("2001:db8::9")] {
            let mut bed = Bed::new();
            assert!(bed.miss(neighbor) && bed.miss(neighbor));
            assert!(bed.tables.underlay_neighbors.is_empty());
            bed.answer(neighbor);
            for _ in 0..3 {
                bed.pass(100, &[neighbor]);
                bed.used(neighbor);
            }
            bed.pass(119, &[neighbor]);
            bed.used(neighbor);
            bed.pass(122, &[neighbor]);
            assert!(bed.tables.underlay_neighbors.is_empty() && bed.resolver.neighbors().is_empty());
            assert_eq!(bed.neighbors.deadline(), None);
        }
    }

    #[test]
    fn a_silent_one_is_told_soon_and_forgotten_soon() {
        let mut bed = Bed::new();
        let neighbor = ip("192.0.2.9");
        bed.miss(neighbor);
        bed.pass(1, &[]);
        let found = bed.tables.underlay_neighbors.get(&neighbor);
        assert!(matches!(found, Some(UnderlayNeighbor::Silent)));
        bed.pass(12, &[]);
        assert!(bed.tables.underlay_neighbors.is_empty());
        assert!(bed.miss(neighbor), "and may be asked for again");
    }

    #[test]
    fn a_router_that_a_next_hop_names_stays() {
        let mut bed = Bed::new();
        let gateway = ip("192.0.2.254");
        bed.neighbors.add_gateway(&mut bed.resolver, gateway, bed.now);
        bed.neighbors.add_gateway(&mut bed.resolver, gateway, bed.now);
        bed.carry();
        bed.answer(gateway);
        bed.pass(200, &[gateway]);
        assert!(bed.miss(gateway));
        bed.neighbors
            .remove_gateway(&mut bed.resolver, &mut bed.tables, gateway);
        bed.pass(200, &[gateway]);
        bed.used(gateway);
        bed.neighbors
            .remove_gateway(&mut bed.resolver, &mut bed.tables, gateway);
        assert!(bed.tables.underlay_neighbors.is_empty() && bed.resolver.neighbors().is_empty());
    }

    #[test]
    fn a_scan_keeps_only_so_many_questions_open() {
        let mut bed = Bed::new();
        let host = |n: u32| IpAddr::V4((0xc000_0300 + n).into());
        let asked = (0..5000).filter(|n| bed.miss(host(*n))).count();
        assert_eq!(asked, MOST_UNANSWERED);
        assert_eq!(bed.resolver.neighbors().len(), MOST_UNANSWERED);
        bed.pass(12, &[]);
        assert!(bed.miss(host(4999)), "when those before are forgotten");
        // And so many that answer.
        let mut bed = Bed::new();
        let kept = (0..5000)
            .filter(|n| {
                let known = bed.miss(host(*n));
                bed.answer(host(*n));
                known
            })
            .count();
        assert_eq!(kept, MOST);
    }

    #[test]
    fn an_address_that_becomes_ours_is_no_neighbor() {
        let mut bed = Bed::new();
        let address = ip("192.0.2.9");
        bed.miss(address);
        bed.answer(address);
        bed.neighbors.forget(&mut bed.resolver, &mut bed.tables, &[address]);
        assert!(bed.tables.underlay_neighbors.is_empty() && bed.resolver.neighbors().is_empty());
    }
}
