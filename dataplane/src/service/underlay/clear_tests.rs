//! Addresses of our own, and neighbours for packets in the clear.

use super::{
    tests::{Link, SECOND, ip, mac, node, uplink},
    *,
};
use crate::service::arp::Arp;

fn reached(neighbor: &str, source: &str, from: u8, to: u8) -> Action {
    Action::Reached(Resolved {
        remote: ip(neighbor),
        port: 1,
        source: ip(source),
        destination_mac: mac(to),
        source_mac: mac(from),
        via: ip(neighbor),
    })
}

/// ARP messages and advertisements among what is to be sent: who says that an address is at a MAC.
fn claims(actions: &[Action]) -> Vec<(IpAddr, Mac)> {
    let claim = |action: &Action| match action {
        Action::Send { frame, .. } => match (arp::parse(frame), nd::parse(frame)) {
            (Ok(arp), _) => Some((arp.sender_ip.into(), arp.sender_mac)),
            (_, Ok(nd)) => match nd.message {
                Message::NeighborAdvertisement { target, target_mac, .. } => Some((target.into(), target_mac?)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    actions.iter().filter_map(claim).collect()
}

#[test]
fn own_addresses_are_announced_twice_and_answered_for() {
    let own = [ip("203.0.113.7"), ip("2001:db8:f::7")];
    let mut us = Resolver::new(vec![Uplink {
        answer: false,
        ..uplink(1)
    }]);
    us.own(&own, &[], 0);
    let announced = own.map(|address| (address, mac(1)));
    assert_eq!(claims(&us.drain()), announced);
    us.tick(SECOND);
    assert_eq!(us.drain(), []);
    assert_eq!(us.next_deadline(), Some(2 * SECOND));
    us.tick(2 * SECOND);
    assert_eq!(claims(&us.drain()), announced);
    assert_eq!(us.next_deadline(), None);
    // Another node finds them, and is met.
    let mut link = Link::new(vec![us, node(2)]);
    for address in own {
        link.nodes[1].want_neighbor(address, link.now);
        link.settle();
        let news = link.news();
        let met = news
            .iter()
            .any(|(at, action)| *at == 0 && matches!(action, Action::Met { mac: from, .. } if *from == mac(2)));
        let found = news.iter().any(|(at, action)| {
            *at == 1 && matches!(action, Action::Reached(to) if to.remote == address && to.destination_mac == mac(1))
        });
        assert!(met && found, "{address}: {news:?}");
    }
    // No more when they are not ours any more.
    link.nodes[0].own(&[], &own, link.now);
    for address in own {
        link.nodes[1].unwant_neighbor(address);
        link.nodes[1].want_neighbor(address, link.now);
        link.settle();
        assert_eq!(link.news(), []);
    }
    assert_eq!(link.nodes[0].next_deadline(), None);
}

#[test]
fn thousands_are_announced_some_at_a_time() {
    let own: Vec<IpAddr> = (0..10_000_u32)
        .map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes()))
        .collect();
    let mut us = node(1);
    us.own(&own, &[], 0);
    let (mut now, mut heard, mut most) = (0, BTreeMap::<_, u32>::new(), 0);
    loop {
        let claims = claims(&us.drain());
        most = most.max(claims.len());
        for (address, _) in claims {
            *heard.entry(address).or_default() += 1;
        }
        let Some(next) = us.next_deadline() else { break };
        assert!(next > now);
        now = next;
        us.tick(now);
    }
    assert!(most <= 64, "{most} at once");
    assert_eq!(heard.len(), own.len());
    assert!(heard.values().all(|count| *count == 2));
    assert!(now < 10 * SECOND, "{now} ns");
}

#[test]
fn an_address_that_goes_is_not_announced_again() {
    let own = [ip("203.0.113.7"), ip("203.0.113.8")];
    let mut us = node(1);
    us.own(&own, &[], 0);
    us.drain();
    us.own(&[], &own[..1], SECOND);
    us.tick(5 * SECOND);
    assert_eq!(claims(&us.drain()), [(own[1], mac(1))]);
}

#[test]
fn a_neighbor_beyond_our_subnets_is_asked_for_on_the_link_from_an_address_near_it() {
    for (neighbor, near, far) in [
        ("203.0.113.99", "203.0.113.7", "198.51.100.7"),
        ("2001:db8:f::99", "2001:db8:f::7", "2001:db8:e::7"),
    ] {
        let mut us = node(1);
        us.own(&[ip(near), ip(far)], &[], 0);
        us.drain();
        us.want_neighbor(ip(neighbor), 0);
        let asked: Vec<IpAddr> = us
            .drain()
            .iter()
            .filter_map(|action| match action {
                Action::Send { frame, .. } => match (arp::parse(frame), nd::parse(frame)) {
                    (Ok(arp), _) => Some(arp.sender_ip.into()),
                    (_, Ok(nd)) => Some(nd.source.into()),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        assert_eq!(asked, [ip(near)]);
    }
    // The answer, to an address of ours alone, counts as one.
    let mut us = node(1);
    us.own(&[ip("203.0.113.7")], &[], 0);
    us.want_neighbor(ip("203.0.113.99"), 0);
    us.drain();
    let answer = Arp {
        operation: Operation::Reply,
        sender_mac: mac(9),
        sender_ip: [203, 0, 113, 99].into(),
        target_mac: mac(1),
        target_ip: [203, 0, 113, 7].into(),
    };
    us.on_frame(1, &answer.to_frame(mac(1)), 0);
    assert_eq!(us.drain(), [reached("203.0.113.99", "203.0.113.99", 1, 9)]);
    assert_eq!(us.neighbors()[0].state, "reachable");
}

#[test]
fn tunnels_and_packets_in_the_clear_do_not_disturb_each_other() {
    let mut link = Link::new(vec![node(1), node(2), node(254)]);
    // The same address: by its gateway for tunnels, on the link in the clear.
    let beyond = "198.51.100.7";
    link.want(0, beyond);
    assert!(matches!(link.news()[..], [(0, Action::Resolved(to))] if to.via == ip("192.0.2.254")));
    link.nodes[0].want_neighbor(ip(beyond), link.now);
    link.run_until(link.now + SECOND);
    let news = link.news();
    assert!(
        matches!(&news[..], [(0, Action::Silent { neighbor, .. })] if *neighbor == ip(beyond)),
        "{news:?}"
    );
    // And an address on the link, for both.
    link.want(0, "192.0.2.2");
    link.nodes[0].want_neighbor(ip("192.0.2.2"), link.now);
    link.settle();
    assert_eq!(link.news().len(), 2);
    link.nodes[0].unwant(ip("192.0.2.2"));
    assert_eq!(link.nodes[0].neighbors().iter().filter(|n| n.mac.is_some()).count(), 2);
    link.nodes[0].unwant_neighbor(ip("192.0.2.2"));
    assert_eq!(link.nodes[0].neighbors().iter().filter(|n| n.mac.is_some()).count(), 1);
}

#[test]
fn who_is_met_is_reached_at_once_and_confirmed() {
    let mut us = node(1);
    us.want_neighbor(ip("203.0.113.99"), 0);
    us.drain();
    us.meet(1, ip("203.0.113.99"), mac(9), 1);
    let actions = us.drain();
    assert_eq!(actions[0], reached("203.0.113.99", "203.0.113.99", 1, 9));
    assert!(
        matches!(&actions[1], Action::Send { frame, .. } if frame[..6] == mac(9).0),
        "asked itself"
    );
    // Of one that nobody looks for nothing is kept.
    us.meet(1, ip("203.0.113.98"), mac(8), 1);
    assert_eq!(us.drain(), []);
}

#[test]
fn what_is_no_neighbor_is_said_at_once() {
    let mut us = node(1);
    us.own(&[ip("203.0.113.7")], &[], 0);
    us.drain();
    for (address, why) in [
        ("203.0.113.7", "is an address of this node"),
        ("192.0.2.1", "is an address of this node"),
        ("224.0.0.5", "is not the address of one host"),
        ("ff02::1", "is not the address of one host"),
    ] {
        us.want_neighbor(ip(address), 0);
        let actions = us.drain();
        let [Action::Silent { neighbor, why: told }] = &actions[..] else {
            panic!("{actions:?}");
        };
        assert_eq!(*neighbor, ip(address));
        assert!(told.contains(why), "{told}");
        us.unwant_neighbor(ip(address));
    }
    let mut none = Resolver::new(Vec::new());
    none.want_neighbor(ip("192.0.2.9"), 0);
    assert!(matches!(&none.drain()[..], [Action::Silent { why, .. }] if why.contains("no uplink")));
}
