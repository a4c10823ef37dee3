//! Any talk on the underlay's links: wanted remotes and neighbours, addresses of our own, frames heard and time passing, in any order.
//!
//! The resolver never panics, answers only with frames that a station believes, tells of none but wanted remotes, and its work
//! is bounded by what it was told: nobody on the link makes it speak without end.
//!
//! The input is a row of steps, each one byte and what belongs to it; see [`step`].

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use vrouter_dataplane::{
    service::{
        arp, nd,
        underlay::{Action, Resolver, Uplink},
    },
    wire::Mac,
};

use crate::packets::with_checksums;

/// Largest number of steps that are looked at.
const STEPS: usize = 256;

/// The remotes that may be wanted: on the link, beyond a gateway, without any way, our own.
pub(crate) const REMOTES: [IpAddr; 8] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
];

/// The addresses that may be ours alone.
const OWN: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 70)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x70)),
];

/// Checks one row of steps.
///
/// # Panics
/// When a property does not hold.
pub fn check(mut bytes: &[u8]) {
    let mut run = Run {
        resolver: Resolver::new(uplinks()),
        wanted: BTreeMap::new(),
        neighbors: BTreeMap::new(),
        own: BTreeSet::new(),
        now: 0,
    };
    for _ in 0..STEPS {
        let Some(rest) = step(&mut run, bytes) else { break };
        bytes = rest;
        run.listen();
    }
    run.forget();
}

struct Run {
    resolver: Resolver,
    wanted: BTreeMap<IpAddr, usize>,
    neighbors: BTreeMap<IpAddr, usize>,
    own: BTreeSet<IpAddr>,
    now: u64,
}

/// Takes one step, and gives the bytes behind it; `None` at the end. The low three bits of the first byte say which:
///
/// 0: want the remote whose number is in the upper bits; 1: give it up; 2, 3: as many hundred milliseconds pass as the upper
/// bits say (3: seconds); 4: by the lowest of the upper bits, announce, want a neighbour for packets in the clear, give it up, or begin or end to own
/// an address; else: hear a frame on the port in the upper bits, a byte with its length before it
/// (7: its checksums made right).
fn step<'a>(run: &mut Run, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (&op, rest) = bytes.split_first()?;
    let number = usize::from(op >> 3);
    let remote = REMOTES[number % REMOTES.len()];
    match op & 7 {
        0 => {
            run.resolver.want(remote, run.now);
            *run.wanted.entry(remote).or_default() += 1;
        }
        1 => {
            run.resolver.unwant(remote);
            count_down(&mut run.wanted, remote);
        }
        2 => run.pass(number as u64 * 100_000_000),
        3 => run.pass(number as u64 * 1_000_000_000),
        4 => run.in_the_clear(number % 4, number / 4),
        right => {
            let (&length, rest) = rest.split_first()?;
            let (frame, rest) = rest.split_at_checked(usize::from(length)).unwrap_or((rest, &[]));
            let frame = if right == 7 {
                with_checksums(frame)
            } else {
                frame.into()
            };
            run.resolver.on_frame((number % 4) as u16, &frame, run.now);
            return Some(rest);
        }
    }
    Some(rest)
}

fn count_down(counts: &mut BTreeMap<IpAddr, usize>, address: IpAddr) {
    if let Some(count) = counts.get_mut(&address) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&address);
        }
    }
}

impl Run {
    fn in_the_clear(&mut self, what: usize, number: usize) {
        let neighbor = REMOTES[number % REMOTES.len()];
        let own = OWN[number % OWN.len()];
        match what {
            0 => self.resolver.announce(),
            1 => {
                self.resolver.want_neighbor(neighbor, self.now);
                *self.neighbors.entry(neighbor).or_default() += 1;
            }
            2 => {
                self.resolver.unwant_neighbor(neighbor);
                count_down(&mut self.neighbors, neighbor);
            }
            _ if self.own.remove(&own) => self.resolver.own(&[], &[own], self.now),
            _ => {
                self.own.insert(own);
                self.resolver.own(&[own], &[], self.now);
            }
        }
    }

    fn pass(&mut self, nanoseconds: u64) {
        self.now += nanoseconds;
        self.resolver.tick(self.now);
        assert!(
            self.resolver.next_deadline().is_none_or(|next| next > self.now),
            "still due after its tick"
        );
    }

    /// Takes what the resolver wants done and looks at it.
    fn listen(&mut self) {
        let actions = self.resolver.drain();
        // One step makes at most one question for each neighbour, one answer, one announcement of each address, and one word
        // on each remote.
        assert!(actions.len() <= 64, "{} actions at once", actions.len());
        for action in actions {
            match action {
                Action::Send { port, frame } => {
                    assert!(port < 2, "sent by no uplink");
                    let said = arp::parse(&frame).is_ok() || nd::parse(&frame).is_ok();
                    assert!(said, "not what a station believes: {frame:02x?}");
                    assert_eq!(frame[6..12], uplinks()[usize::from(port)].mac.0);
                }
                Action::Resolved(resolved) => {
                    assert!(self.wanted.contains_key(&resolved.remote), "{resolved:?}");
                    assert!(resolved.destination_mac.is_unicast(), "{resolved:?}");
                    assert_eq!(resolved.source.is_ipv4(), resolved.remote.is_ipv4());
                }
                Action::Unresolved { remote, why } => {
                    assert!(self.wanted.contains_key(&remote), "{remote}");
                    assert!(!why.is_empty());
                }
                Action::Reached(resolved) => {
                    assert!(self.neighbors.contains_key(&resolved.remote), "{resolved:?}");
                    assert_eq!(resolved.via, resolved.remote);
                    assert!(resolved.destination_mac.is_unicast(), "{resolved:?}");
                }
                Action::Silent { neighbor, why } => {
                    assert!(self.neighbors.contains_key(&neighbor), "{neighbor}");
                    assert!(!why.is_empty());
                }
                Action::Met { port, neighbor, mac } => {
                    assert!(
                        !self.own.is_empty(),
                        "{neighbor} asked for an address of ours, but there is none"
                    );
                    assert!(mac.is_unicast() && !neighbor.is_unspecified(), "{neighbor} {mac}");
                    self.resolver.meet(port, neighbor, mac, self.now);
                }
            }
        }
        let neighbors = self.resolver.neighbors();
        assert!(
            neighbors.len() <= 4 * (self.wanted.len() + self.neighbors.len()),
            "{neighbors:?}"
        );
        for remote in REMOTES {
            assert!(self.wanted.contains_key(&remote) || self.resolver.lookup(remote).is_none());
        }
    }

    /// Gives everything up: nothing may stay.
    fn forget(&mut self) {
        for (remote, count) in std::mem::take(&mut self.wanted) {
            for _ in 0..count {
                self.resolver.unwant(remote);
            }
        }
        for (neighbor, count) in std::mem::take(&mut self.neighbors) {
            for _ in 0..count {
                self.resolver.unwant_neighbor(neighbor);
            }
        }
        let own: Vec<_> = std::mem::take(&mut self.own).into_iter().collect();
        self.resolver.own(&[], &own, self.now);
        assert!(self.resolver.neighbors().is_empty());
        assert_eq!(self.resolver.next_deadline(), None);
    }
}

/// Two uplinks: one that answers for its addresses and one that leaves it to the host.
fn uplinks() -> Vec<Uplink> {
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    vec![
        Uplink {
            port: 0,
            name: "up0".into(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            addresses: vec![
                (address("192.0.2.1"), 24),
                (address("fd00::1"), 64),
                (address("fe80::1"), 64),
            ],
            gateways: vec![address("192.0.2.254"), address("fe80::fe")],
            answer: true,
        },
        Uplink {
            port: 1,
            name: "up1".into(),
            mac: Mac([2, 0, 0, 0, 0, 2]),
            addresses: vec![
                (address("192.0.2.1"), 32),
                (address("203.0.113.1"), 24),
                (address("fd01::1"), 64),
            ],
            gateways: vec![address("203.0.113.254"), address("fd01::fe")],
            answer: false,
        },
    ]
}
