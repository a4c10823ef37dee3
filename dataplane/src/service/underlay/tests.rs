use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::service::arp::Arp;

pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

/// A node on one link, by its last byte: 192.0.2.N/24 and fd00::N/64, with .254 and ::fe as gateways.
pub(super) fn node(last: u8) -> Resolver {
    Resolver::new(vec![uplink(last)])
}

pub(super) fn uplink(last: u8) -> Uplink {
    Uplink {
        port: 1,
        name: "eth1".into(),
        mac: mac(last),
        addresses: vec![
            (Ipv4Addr::new(192, 0, 2, last).into(), 24),
            (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into(), 64),
        ],
        gateways: vec![ip("192.0.2.254"), ip("fd00::fe")],
        answer: true,
    }
}

/// Some nodes on one link with a clock. Frames go to all others, as through a hub.
pub(super) struct Link {
    pub(super) now: u64,
    pub(super) nodes: Vec<Resolver>,
    /// Nodes cut off the link.
    cut: BTreeSet<usize>,
    /// What each node told, with the time.
    told: Vec<(u64, usize, Action)>,
    frames: usize,
}

impl Link {
    pub(super) fn new(nodes: Vec<Resolver>) -> Self {
        Self {
            now: 0,
            nodes,
            cut: BTreeSet::new(),
            told: Vec::new(),
            frames: 0,
        }
    }

    /// Carries frames until all are silent.
    pub(super) fn settle(&mut self) {
        loop {
            let mut sent = Vec::new();
            for (index, node) in self.nodes.iter_mut().enumerate() {
                for action in node.drain() {
                    match action {
                        Action::Send { port, frame } => sent.push((index, port, frame)),
                        other => self.told.push((self.now, index, other)),
                    }
                }
            }
            if sent.is_empty() {
                return;
            }
            for (from, port, frame) in sent {
                self.frames += 1;
                for (index, node) in self.nodes.iter_mut().enumerate() {
                    if index != from && !self.cut.contains(&index) && !self.cut.contains(&from) {
                        node.on_frame(port, &frame[..frame.len().min(128)], self.now);
                    }
                }
            }
        }
    }

    /// Lets time pass, from deadline to deadline.
    pub(super) fn run_until(&mut self, end: u64) {
        self.settle();
        while let Some(next) = self.nodes.iter().filter_map(Resolver::next_deadline).min() {
            if next > end {
                break;
            }
            assert!(next > self.now, "a deadline that passed was not dealt with");
            self.now = next;
            for node in &mut self.nodes {
                node.tick(next);
            }
            self.settle();
        }
        self.now = end;
    }

    pub(super) fn want(&mut self, node: usize, remote: &str) {
        self.nodes[node].want(ip(remote), self.now);
        self.settle();
    }

    /// What was told since the last call, without times.
    pub(super) fn news(&mut self) -> Vec<(usize, Action)> {
        std::mem::take(&mut self.told)
            .into_iter()
            .map(|(_, node, action)| (node, action))
            .collect()
    }
}

fn resolved(remote: &str, via: &str, source: &str, from: u8, to: u8) -> Action {
    Action::Resolved(Resolved {
        remote: ip(remote),
        port: 1,
        source: ip(source),
        destination_mac: mac(to),
        source_mac: mac(from),
        via: ip(via),
    })
}

#[test]
fn two_nodes_find_each_other_at_once_and_stay_in_touch() {
    let mut link = Link::new(vec![node(1), node(2)]);
    for (remote, source) in [("192.0.2.2", "192.0.2.1"), ("fd00::2", "fd00::1")] {
        link.want(0, remote);
        assert_eq!(link.news(), [(0, resolved(remote, remote, source, 1, 2))]);
    }
    link.want(1, "192.0.2.1");
    link.want(1, "fd00::1");
    assert_eq!(link.news().len(), 2);
    // Ten minutes of confirmations: nothing to tell, and not many frames.
    link.frames = 0;
    link.run_until(600 * SECOND);
    assert_eq!(link.news(), []);
    assert!(
        (4 * 2 * 20..=4 * 2 * 30).contains(&link.frames),
        "{} frames",
        link.frames
    );
    let neighbors = link.nodes[0].neighbors();
    let info = NeighborInfo {
        address: ip("192.0.2.2"),
        mac: Some(mac(2)),
        state: "reachable",
        interface: "eth1".into(),
        port: 1,
        remotes: 1,
    };
    assert_eq!(neighbors[0], info);
    assert_eq!(neighbors.len(), 2);
}

#[test]
fn many_remotes_share_their_gateway() {
    let mut link = Link::new(vec![node(1), node(254)]);
    // The second is the gateway of IPv4.
    for third in 0..200 {
        link.want(0, &format!("198.51.{third}.7"));
    }
    assert_eq!(link.frames, 2, "one question, one answer");
    let news = link.news();
    assert_eq!(news.len(), 200);
    assert_eq!(news[7].1, resolved("198.51.7.7", "192.0.2.254", "192.0.2.1", 1, 254));
    assert_eq!(link.nodes[0].neighbors()[0].remotes, 200);
    // The gateway moves to another MAC and says so: all are told, in both families.
    let announcement = Arp {
        operation: Operation::Request,
        sender_mac: mac(77),
        sender_ip: Ipv4Addr::new(192, 0, 2, 254),
        target_mac: Mac::ZERO,
        target_ip: Ipv4Addr::new(192, 0, 2, 254),
    };
    link.nodes[0].on_frame(1, &announcement.to_frame(Mac::BROADCAST), 0);
    let actions = link.nodes[0].drain();
    let told = actions
        .iter()
        .filter(|action| matches!(action, Action::Resolved(to) if to.destination_mac == mac(77)));
    assert_eq!(told.count(), 200);
    // And the new place is confirmed by a question to it alone.
    let probe = actions.iter().find_map(|action| match action {
        Action::Send { frame, .. } => Some(frame[..6].to_vec()),
        _ => None,
    });
    assert_eq!(probe, Some(mac(77).0.to_vec()));
    for third in 0..200 {
        link.nodes[0].unwant(ip(&format!("198.51.{third}.7")));
    }
    assert_eq!(link.nodes[0].neighbors(), []);
    assert_eq!(link.nodes[0].next_deadline(), None);
}

#[test]
fn a_silent_neighbor_is_told_and_found_when_it_comes() {
    let mut link = Link::new(vec![node(1), node(2)]);
    link.cut.insert(1);
    link.want(0, "192.0.2.2");
    link.want(0, "fd00::2");
    link.run_until(SECOND / 2);
    assert_eq!(link.news(), []);
    assert_eq!(link.nodes[0].lookup(ip("192.0.2.2")), None);
    link.run_until(20 * SECOND);
    let why = "does not answer on eth1; asking again every 3 s";
    let unresolved = |remote| Action::Unresolved {
        remote: ip(remote),
        why: format!("{remote} {why}"),
    };
    assert_eq!(link.news(), [(0, unresolved("192.0.2.2")), (0, unresolved("fd00::2"))]);
    assert_eq!(link.nodes[0].neighbors()[1].state, "failed");
    link.cut.clear();
    link.run_until(24 * SECOND);
    let back = [
        (0, resolved("192.0.2.2", "192.0.2.2", "192.0.2.1", 1, 2)),
        (0, resolved("fd00::2", "fd00::2", "fd00::1", 1, 2)),
    ];
    assert_eq!(link.news(), back);
}

#[test]
fn a_lost_neighbor_is_given_up_after_probes() {
    let mut link = Link::new(vec![node(1), node(2)]);
    link.want(0, "192.0.2.2");
    link.news();
    link.run_until(60 * SECOND);
    link.cut.insert(1);
    link.run_until(120 * SECOND);
    let (at, _, action) = link.told.pop().unwrap();
    let Action::Unresolved { why, .. } = action else {
        panic!("{action:?}")
    };
    assert_eq!(
        why,
        "192.0.2.2 does not answer on eth1 (it was at 02:00:00:00:00:02); asking again every 3 s"
    );
    assert!(at < 60 * SECOND + 34 * SECOND, "{at}");
    assert!(link.told.is_empty());
    assert!(link.nodes[0].lookup(ip("192.0.2.2")).unwrap().is_err());
}

#[test]
fn a_neighbor_that_moves_without_a_word_is_found() {
    for remote in ["192.0.2.2", "fd00::2"] {
        let mut link = Link::new(vec![node(1), node(2)]);
        link.want(0, remote);
        link.news();
        let mut moved = uplink(2);
        moved.mac = mac(99);
        // A hub would carry probes for the old MAC to the new owner, who would not hear them: take those away.
        link.nodes[1] = Resolver::new(vec![moved]);
        link.cut.insert(1);
        while link.nodes[0].neighbors()[0].state != "search" {
            let next = link.nodes[0].next_deadline().unwrap();
            link.run_until(next);
        }
        link.cut.clear();
        link.run_until(link.now + SECOND);
        let news = link.news();
        assert!(
            matches!(news[..], [(0, Action::Resolved(to))] if to.destination_mac == mac(99)),
            "{news:?}"
        );
    }
}

#[test]
fn a_second_gateway_takes_over_and_gives_back() {
    let mut first = uplink(1);
    first.gateways.insert(1, ip("192.0.2.253"));
    let mut link = Link::new(vec![Resolver::new(vec![first]), node(254), node(253)]);
    link.want(0, "203.0.113.9");
    link.run_until(SECOND);
    link.cut.insert(1);
    link.run_until(60 * SECOND);
    link.cut.clear();
    link.run_until(120 * SECOND);
    let by = |gateway: &str, to| resolved("203.0.113.9", gateway, "192.0.2.1", 1, to);
    let expected = [
        (0, by("192.0.2.254", 254)),
        (0, by("192.0.2.253", 253)),
        (0, by("192.0.2.254", 254)),
    ];
    assert_eq!(link.news(), expected);
}

#[test]
fn no_route_is_told_at_once_with_its_reason() {
    let mut lonely = uplink(1);
    lonely.gateways.clear();
    let mut resolver = Resolver::new(vec![lonely]);
    resolver.want(ip("203.0.113.9"), 0);
    let why = "no route to 203.0.113.9: it is on the link of no uplink, and no IPv4 gateway is configured";
    assert_eq!(
        resolver.drain(),
        [Action::Unresolved {
            remote: ip("203.0.113.9"),
            why: why.into()
        }]
    );
    assert_eq!(resolver.next_deadline(), None);
    resolver.unwant(ip("203.0.113.9"));
    assert_eq!(resolver.lookup(ip("203.0.113.9")), None);
}

#[test]
fn wanting_is_counted() {
    let mut resolver = node(1);
    resolver.want(ip("192.0.2.2"), 0);
    resolver.want(ip("192.0.2.2"), 0);
    assert_eq!(resolver.drain().len(), 1, "one question");
    resolver.unwant(ip("192.0.2.2"));
    assert_eq!(resolver.neighbors().len(), 1);
    resolver.unwant(ip("192.0.2.2"));
    resolver.unwant(ip("192.0.2.2"));
    assert_eq!(resolver.neighbors(), []);
}

#[test]
fn questions_for_our_address_are_answered_only_if_the_host_does_not() {
    for answer in [true, false] {
        let mut own = uplink(1);
        own.answer = answer;
        let mut resolver = Resolver::new(vec![own]);
        let mut other = node(2);
        other.want(ip("192.0.2.1"), 0);
        other.want(ip("fd00::1"), 0);
        let mut replies = 0;
        for action in other.drain() {
            let Action::Send { frame, .. } = action else {
                panic!("{action:?}")
            };
            resolver.on_frame(1, &frame, 0);
            // Not on a port of another, not behind a tag, not for another address.
            resolver.on_frame(2, &frame, 0);
            let mut tagged = frame.clone();
            tagged.splice(12..12, [0x81, 0, 0, 5]);
            resolver.on_frame(1, &tagged, 0);
            node(3).on_frame(1, &frame, 0);
            for action in resolver.drain() {
                let Action::Send { port: 1, frame } = action else {
                    panic!("{action:?}")
                };
                replies += 1;
                assert_eq!(frame[..12], [mac(2).0, mac(1).0].concat());
                other.on_frame(1, &frame, 0);
            }
        }
        let found = other.drain();
        assert_eq!((replies, found.len()), if answer { (2, 2) } else { (0, 0) });
    }
}

#[test]
fn an_announcement_moves_what_others_know() {
    let mut link = Link::new(vec![node(1), node(2)]);
    link.want(0, "192.0.2.2");
    link.want(0, "fd00::2");
    link.news();
    let mut restarted = uplink(2);
    restarted.mac = mac(99);
    link.nodes[1] = Resolver::new(vec![restarted]);
    link.nodes[1].announce();
    link.settle();
    let moved = [
        (0, resolved("192.0.2.2", "192.0.2.2", "192.0.2.1", 1, 99)),
        (0, resolved("fd00::2", "fd00::2", "fd00::1", 1, 99)),
    ];
    assert_eq!(link.news(), moved);
    assert!(
        link.nodes[0]
            .neighbors()
            .iter()
            .all(|neighbor| neighbor.state == "reachable"),
        "confirmed"
    );
    let mut host = uplink(3);
    host.answer = false;
    let mut host = Resolver::new(vec![host]);
    host.announce();
    assert_eq!(host.drain(), []);
}

#[test]
fn somebody_with_our_address_is_not_believed_nor_are_our_own_words() {
    let mut resolver = node(1);
    resolver.want(ip("192.0.2.2"), 0);
    let Action::Send { frame, .. } = resolver.drain().remove(0) else {
        panic!()
    };
    resolver.on_frame(1, &frame, 0);
    let thief = Arp {
        operation: Operation::Reply,
        sender_mac: mac(66),
        sender_ip: Ipv4Addr::new(192, 0, 2, 1),
        target_mac: mac(1),
        target_ip: Ipv4Addr::new(192, 0, 2, 1),
    };
    resolver.on_frame(1, &thief.to_frame(mac(1)), 0);
    assert_eq!(resolver.drain(), []);
}

proptest! {
    #[test]
    fn any_frames(
        frames in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..128)), 0..20),
        flips in prop::collection::vec((0usize..90, any::<u8>()), 0..4),
        step in 0u64..20,
    ) {
        let (mut resolver, mut other) = (node(1), node(2));
        for remote in ["192.0.2.2", "fd00::2", "203.0.113.1"] {
            resolver.want(ip(remote), 0);
        }
        other.want(ip("192.0.2.1"), 0);
        other.want(ip("fd00::1"), 0);
        let mut now = 0;
        let questions = other.drain().into_iter().filter_map(|action| match action {
            Action::Send { frame, .. } => Some((false, frame)),
            _ => None,
        });
        for (as_arp, mut frame) in frames.into_iter().chain(questions) {
            for (at, value) in &flips {
                if let Some(byte) = frame.get_mut(*at) {
                    *byte = *value;
                }
            }
            if as_arp && frame.len() > 22 {
                frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
            }
            resolver.on_frame(1, &frame, now);
            now += step * SECOND;
            resolver.tick(now);
            prop_assert!(resolver.next_deadline().is_none_or(|next| next > now));
        }
        for action in resolver.drain() {
            if let Action::Resolved(to) = action {
                prop_assert!(to.destination_mac.is_unicast());
            }
        }
    }
}
