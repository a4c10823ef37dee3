//! Packets that scapy made: odd but right ones pass unharmed, wrong ones are dropped for the reason that is theirs.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use vrouter_proto::control::Encapsulation;
use vrouter_tests::{
    api::Dataplane,
    capture::{Capture, Pcap},
    cluster::{Cluster, Options},
    container::{Container, LINK},
    netns::Netns,
    node::{Family, UPLINK},
    require,
    scapy::Scapy,
    topology::Topology,
    traffic, wait,
};

const SETTLING: Duration = Duration::from_secs(20);
/// Every packet carries its case's number from here on: as IPv4 identification or IPv6 flow label.
const MARK: usize = 0x7000;

/// What shall become of a packet.
enum Fate {
    /// It arrives as so many packets, each of which matches this display filter. 63 stands for what is left of 64 hops.
    Arrives(usize, &'static str),
    /// It is dropped for this reason.
    Dropped(&'static str),
}

/// A case: what it is, the scapy expression of its packet (or list of packets), its fate.
type Case = (&'static str, &'static str, Fate);

use Fate::{Arrives, Dropped};

/// Between containers. `eth`, `v4` and `v6` are layers with the right addresses, `mark` the case's number.
const INNER: &[Case] = &[
    (
        "plain IPv4",
        "eth/v4/UDP(sport=1, dport=9)/b'x'",
        Arrives(1, "ip.ttl == 63"),
    ),
    (
        "plain IPv6",
        "eth/v6/UDP(sport=1, dport=9)/b'x'",
        Arrives(1, "ipv6.hlim == 63"),
    ),
    (
        "IPv4 options",
        "eth/v4.__class__(src=v4.src, dst=v4.dst, id=mark, options=[IPOption_NOP(), IPOption_NOP(), IPOption_RR(routers=['0.0.0.0'])])/UDP(sport=1, dport=9)/b'x'",
        Arrives(1, "ip.hdr_len > 20 && ip.ttl == 63"),
    ),
    (
        "IPv4 fragments",
        "[eth/f for f in fragment(v4/UDP(sport=1, dport=9)/(b'x' * 3000), fragsize=1000)]",
        Arrives(4, "ip.ttl == 63"),
    ),
    (
        "IPv4 last fragment first",
        "[eth/f for f in reversed(fragment(v4/UDP(sport=1, dport=9)/(b'x' * 1500), fragsize=1000))]",
        Arrives(2, "ip.ttl == 63"),
    ),
    (
        "IPv6 fragments",
        "[eth/f for f in fragment6(v6/IPv6ExtHdrFragment(id=mark)/UDP(sport=1, dport=9)/(b'x' * 2500), 1200)]",
        Arrives(3, "ipv6.fraghdr && ipv6.hlim == 63"),
    ),
    (
        "IPv6 extension headers",
        "eth/v6/IPv6ExtHdrHopByHop(options=[PadN(optdata=b'\\0' * 4)])/IPv6ExtHdrDestOpt(options=[PadN(optdata=b'\\0' * 4)])/UDP(sport=1, dport=9)/b'x'",
        Arrives(1, "ipv6.hopopts && ipv6.dstopts && ipv6.hlim == 63"),
    ),
    (
        "SCTP",
        "eth/v4/SCTP(sport=1, dport=9)/SCTPChunkInit()",
        Arrives(1, "sctp"),
    ),
    (
        "an IP protocol that nobody knows",
        "eth/v4.__class__(src=v4.src, dst=v4.dst, id=mark, proto=253)/b'xxxxxxxx'",
        Arrives(1, "ip.proto == 253"),
    ),
    (
        "IPv6 without payload",
        "eth/v6.__class__(src=v6.src, dst=v6.dst, fl=mark, nh=59)",
        Arrives(1, "ipv6.nxt == 59"),
    ),
    // A router looks at no transport checksum and heals none: the receiver must see what was sent.
    (
        "wrong UDP checksum",
        "eth/v4/UDP(sport=1, dport=9, chksum=0x1234)/b'x'",
        Arrives(1, "udp.checksum == 0x1234"),
    ),
    (
        "wrong TCP checksum",
        "eth/v6/TCP(sport=1, dport=9, chksum=0x1234)",
        Arrives(1, "tcp.checksum == 0x1234"),
    ),
    (
        "zero UDP checksum, IPv4",
        "eth/v4/UDP(sport=1, dport=9, chksum=0)/b'x'",
        Arrives(1, "udp.checksum == 0"),
    ),
    (
        "Ethernet padding",
        "eth/v4/UDP(sport=1, dport=9)/b'x'/Padding(b'\\0' * 40)",
        Arrives(1, "ip.len == 29"),
    ),
    (
        "wrong IPv4 header checksum",
        "eth/v4.__class__(src=v4.src, dst=v4.dst, id=mark, chksum=0x1234)/UDP(dport=9)",
        Dropped("bad_ipv4_checksum"),
    ),
    (
        "IPv4 shorter than it says",
        "Raw(bytes(eth/v4/UDP(dport=9)/(b'x' * 100))[:60])",
        Dropped("bad_ip_length"),
    ),
    (
        "IPv6 shorter than it says",
        "Raw(bytes(eth/v6/UDP(dport=9)/(b'x' * 100))[:80])",
        Dropped("bad_ip_length"),
    ),
    ("IPv4 header cut", "Raw(bytes(eth/v4)[:30])", Dropped("truncated_ip")),
    ("IPv6 header cut", "Raw(bytes(eth/v6)[:40])", Dropped("truncated_ip")),
    (
        "IPv4 header length of 16",
        "eth/v4.__class__(src=v4.src, dst=v4.dst, id=mark, ihl=4)/UDP(dport=9)",
        Dropped("bad_ip_header_length"),
    ),
    (
        "version 6 as IPv4",
        "Ether(src=eth.src, dst=eth.dst, type=0x800)/Raw(bytes([0x60]) + bytes(v4/UDP(dport=9))[1:])",
        Dropped("bad_ip_version"),
    ),
    (
        "UDP header cut",
        "eth/v4.__class__(src=v4.src, dst=v4.dst, id=mark, proto=17)/b'xxxx'",
        Dropped("truncated_transport"),
    ),
    (
        "a VLAN nobody has",
        "Ether(src=eth.src, dst=eth.dst)/Dot1Q(vlan=7)/v4/UDP(dport=9)",
        Dropped("unknown_vlan"),
    ),
    (
        "an ethertype nobody has",
        "Ether(src=eth.src, dst=eth.dst, type=0x88b5)/b'x'",
        Dropped("unknown_ethertype"),
    ),
    (
        "another station's MAC",
        "Ether(src=eth.src, dst='02:00:00:00:be:ef')/v4/UDP(dport=9)",
        Dropped("not_our_mac"),
    ),
    (
        "source 127.0.0.1",
        "eth/v4.__class__(src='127.0.0.1', dst=v4.dst, id=mark)/UDP(dport=9)",
        Dropped("martian_source"),
    ),
    (
        "source 224.0.0.1",
        "eth/v4.__class__(src='224.0.0.1', dst=v4.dst, id=mark)/UDP(dport=9)",
        Dropped("martian_source"),
    ),
    (
        "source ff02::1",
        "eth/v6.__class__(src='ff02::1', dst=v6.dst, fl=mark)/UDP(dport=9)",
        Dropped("martian_source"),
    ),
    (
        "IPv6 link-local to far away",
        "eth/v6.__class__(src='fe80::1', dst=v6.dst, fl=mark)/UDP(dport=9)",
        Dropped("link_local_unrouted"),
    ),
    (
        "multicast",
        "Ether(src=eth.src, dst='01:00:5e:01:02:03')/v4.__class__(src=v4.src, dst='239.1.2.3', id=mark)/UDP(dport=9)",
        Dropped("multicast_unrouted"),
    ),
    (
        "TTL 1",
        "eth/v4.__class__(src=v4.src, dst=v4.dst, id=mark, ttl=1)/UDP(dport=9)",
        Dropped("hop_limit_exceeded"),
    ),
    (
        "hop limit 1",
        "eth/v6.__class__(src=v6.src, dst=v6.dst, fl=mark, hlim=1)/UDP(dport=9)",
        Dropped("hop_limit_exceeded"),
    ),
    (
        "nowhere",
        "eth/v4.__class__(src=v4.src, dst='10.77.0.1', id=mark)/UDP(dport=9)",
        Dropped("no_route"),
    ),
];

/// From elsewhere on the wire, to the node's tunnel endpoint. `outer` is Ethernet and IPv4 to it, `vni` and `label` are ones
/// that are bound there, `inner` is a whole IPv4 packet between the containers.
const TUNNEL: &[Case] = &[
    (
        "a VNI nobody has",
        "outer/UDP(sport=50000, dport=4789)/VXLAN(vni=999999, flags=8)/Ether()/inner",
        Dropped("unknown_vni"),
    ),
    (
        "VXLAN without I flag",
        "outer/UDP(sport=50000, dport=4789)/VXLAN(vni=vni, flags=0)/Ether()/inner",
        Dropped("bad_vxlan"),
    ),
    (
        "VXLAN cut",
        "outer/UDP(sport=50000, dport=4789)/b'\\x08\\0\\0'",
        Dropped("bad_vxlan"),
    ),
    (
        "a label nobody has",
        "outer/UDP(sport=50000, dport=6635)/MPLS(label=1000000, s=1, ttl=64)/inner",
        Dropped("unknown_label"),
    ),
    (
        "MPLS cut",
        "outer/UDP(sport=50000, dport=6635)/b'\\0\\1'",
        Dropped("bad_mpls"),
    ),
    (
        "labels without end",
        "outer/UDP(sport=50000, dport=6635)/Raw(bytes(MPLS(label=1000, s=0, ttl=64)) * 40)",
        Dropped("bad_mpls"),
    ),
    (
        "wrong outer checksum",
        "outer/UDP(sport=50000, dport=4789, chksum=0x1234)/VXLAN(vni=vni, flags=8)/Ether()/inner",
        Dropped("bad_outer_checksum"),
    ),
    (
        "a tunnel packet in fragments",
        "framed(fragment(IP(bytes((outer/UDP(sport=50000, dport=4789, chksum=0)/VXLAN(vni=vni, flags=8)/Ether()/inner/(b'x' * 1000))[IP])), fragsize=800))",
        Dropped("fragmented_tunnel"),
    ),
    (
        "an inner packet cut",
        "outer/UDP(sport=50000, dport=4789, chksum=0)/VXLAN(vni=vni, flags=8)/Raw(bytes(Ether(dst='00:00:5e:00:01:00')/inner)[:40])",
        Dropped("bad_ip_length"),
    ),
];

/// Where cases are played.
struct Stage<'a> {
    /// Who sends, and on which link.
    from: &'a Netns,
    link: &'static str,
    /// Python lines that define the layers.
    layers: String,
    /// Whose drops count.
    judge: Dataplane,
    /// Who receives, so many routers further on.
    to: &'a Container,
    hops: u8,
}

impl Stage<'_> {
    /// Sends every case and holds it against its fate.
    fn play(&self, cases: &[Case]) -> Result<()> {
        let mut scapy = Scapy::start(self.from)?;
        let mut failures = Vec::new();
        let capture = Capture::start(&self.to.netns, LINK, "")?;
        for (number, (title, packets, fate)) in cases.iter().enumerate() {
            if let Err(error) = self.send(&mut scapy, number, packets, fate) {
                failures.push(format!("{title}: {error:#}"));
            }
        }
        let pcap = capture.stop()?;
        // Looked at one by one only when any of them arrived: every look reads the whole capture.
        let dropped = cases
            .iter()
            .enumerate()
            .filter(|(_, (_, _, fate))| matches!(fate, Dropped(_)));
        let dropped: Vec<_> = dropped.map(|(number, _)| marked(number)).collect();
        let all_dropped = pcap.count(&dropped.join(" || "))? == 0;
        for (number, (title, _, fate)) in cases.iter().enumerate() {
            if all_dropped && matches!(fate, Dropped(_)) {
                continue;
            }
            if let Err(error) = arrivals(&pcap, number, fate, self.hops) {
                failures.push(format!("{title}: {error:#}"));
            }
        }
        ensure!(
            failures.is_empty(),
            "{} of {} cases:\n{}\ndrops: {}",
            failures.len(),
            cases.len(),
            failures.join("\n"),
            self.judge.all_drops()?.join(", ")
        );
        Ok(())
    }

    fn send(&self, scapy: &mut Scapy, number: usize, packets: &str, fate: &Fate) -> Result<()> {
        let (judge, mark) = (&self.judge, mark(number));
        let code = format!("mark = {mark}\n{}\nsend_on('{}', {packets})\n", self.layers, self.link);
        let Dropped(reason) = fate else {
            return scapy.run(&code).map(|_| ());
        };
        let before = judge.drops(reason)?;
        let others = judge.all_drops()?.join(", ");
        scapy.run(&code)?;
        wait::within(Duration::from_secs(2), "the drop to be counted", || {
            let dropped = judge.drops(reason)? - before;
            let now = judge.all_drops()?.join(", ");
            ensure!(
                dropped > 0,
                "not dropped as {reason}; drops before: {others}; now: {now}"
            );
            Ok(())
        })
    }
}

fn mark(number: usize) -> usize {
    MARK + number
}

/// The display filter for a case's own packets. ICMP errors about one carry its header, and are none of it.
fn marked(number: usize) -> String {
    format!("((ip.id == {0} || ipv6.flow == {0}) && !icmp && !icmpv6)", mark(number))
}

fn arrivals(pcap: &Pcap, number: usize, fate: &Fate, hops: u8) -> Result<()> {
    let marked = marked(number);
    match fate {
        Arrives(expected, filter) => {
            let filter = filter.replace("== 63", &format!("== {}", 64 - hops));
            let right = pcap.count(&format!("({marked}) && ({filter})"))?;
            if right != *expected {
                let arrived = pcap.count(&marked)?;
                bail!("{arrived} of {expected} arrived, {right} as they should: {filter}");
            }
        }
        Dropped(_) => {
            let arrived = pcap.count(&marked)?;
            ensure!(arrived == 0, "{arrived} arrived");
        }
    }
    Ok(())
}

/// The cases themselves: seen on a plain link, each sends what it says, with its mark where the receiver looks for it.
#[test]
fn every_case_sends_what_it_says() -> Result<()> {
    require!(Root, Scapy, Tshark);
    Topology::run("cases", |t| {
        let (left, right) = (t.netns("left")?, t.netns("right")?);
        left.veth(LINK, &right, LINK, 9000)?;
        let layers = "eth = Ether(src='02:00:00:00:00:01', dst='02:00:00:00:00:02')\n\
                      v4 = IP(src='10.0.0.1', dst='10.0.0.2', id=mark)\n\
                      v6 = IPv6(src='fd00::1', dst='fd00::2', fl=mark)\n\
                      vni = 1\nouter = Ether()/IP(src='192.0.2.1', dst='192.0.2.2')\n\
                      inner = IP(src='10.0.0.1', dst='10.0.0.2', id=mark)/UDP(dport=9)/b'x'\n\
                      framed = lambda packets: [Ether()/packet for packet in packets]";
        let mut scapy = Scapy::start(&left)?;
        let capture = Capture::start(&right, LINK, "")?;
        for (number, (_, packets, _)) in INNER.iter().chain(TUNNEL).enumerate() {
            scapy.run(&format!(
                "mark = {}\n{layers}\nsend_on('{LINK}', {packets})\n",
                mark(number)
            ))?;
        }
        let pcap = capture.stop()?;
        for (number, (title, _, fate)) in INNER.iter().enumerate() {
            let mark = mark(number);
            if let Arrives(count, filter) = fate {
                // Not routed here, so the hop limit is still whole.
                let filter = filter.replace("== 63", "== 64");
                let seen = pcap.count(&format!("(ip.id == {mark} || ipv6.flow == {mark}) && ({filter})"))?;
                ensure!(seen == *count, "{title}: {seen} of {count} seen");
            }
        }
        ensure!(pcap.count("")? >= INNER.len() + TUNNEL.len(), "some cases sent nothing");
        Ok(())
    })
}

fn odd_packets_between(encapsulation: Encapsulation, far: usize) -> Result<()> {
    Topology::run("odd packets", |t| {
        let options = Options {
            nodes: 1 + u8::try_from(far)?,
            ..Options::default()
        };
        let cluster = Cluster::start(t, &options)?;
        cluster.routed_network("blue", 1, encapsulation)?;
        let a = cluster.attach(0, "blue", "a")?;
        let b = cluster.attach(far, "blue", "b")?;
        cluster.settle()?;
        traffic::reachable(&[&a, &b], SETTLING)?;
        // Python is slow to start; the router need not wait for its neighbour caches.
        let gateway = a.netns.sh("ip -4 neigh show 10.1.0.1 | grep -o '[0-9a-f:]\\{17\\}' || (ping -c1 -W2 10.1.0.1 >/dev/null; ip -4 neigh show 10.1.0.1 | grep -o '[0-9a-f:]\\{17\\}')")?;
        let setup = format!(
            "eth = Ether(src='{}', dst='{}')\nv4 = IP(src='{}', dst='{}', id=mark)\nv6 = IPv6(src='{}', dst='{}', fl=mark)",
            a.mac()?,
            gateway.trim(),
            a.ip(Family::V4)?,
            b.ip(Family::V4)?,
            a.ip(Family::V6)?,
            b.ip(Family::V6)?,
        );
        let stage = Stage {
            from: &a.netns,
            link: LINK,
            layers: setup,
            judge: cluster.compute(0)?.dataplane()?,
            to: &b,
            hops: options.nodes,
        };
        stage.play(INNER)?;
        // After all that, it still works.
        traffic::matrix(&[&a, &b])?;
        Ok(())
    })
}

#[test]
fn odd_packets_within_a_node() -> Result<()> {
    require!(Root, Daemons, Scapy, Tshark);
    odd_packets_between(Encapsulation::Vxlan, 0)
}

#[test]
fn odd_packets_through_vxlan() -> Result<()> {
    require!(Root, Daemons, Scapy, Tshark);
    odd_packets_between(Encapsulation::Vxlan, 1)
}

#[test]
fn odd_packets_through_mpls() -> Result<()> {
    require!(Root, Daemons, Scapy, Tshark);
    odd_packets_between(Encapsulation::MplsUdp, 1)
}

#[test]
fn odd_tunnel_packets_are_dropped_by_their_reason() -> Result<()> {
    require!(Root, Daemons, Scapy, Tshark);
    Topology::run("odd tunnels", |t| {
        let options = Options {
            nodes: 1,
            others: 1,
            ..Options::default()
        };
        let cluster = Cluster::start(t, &options)?;
        let network = cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
        let a = cluster.attach(0, "blue", "a")?;
        let b = cluster.attach(0, "blue", "b")?;
        cluster.settle()?;
        traffic::reachable(&[&a, &b], SETTLING)?;
        let (here, other) = (&cluster.compute(0)?.node, &cluster.others[0]);
        let setup = format!(
            "vni = {}\nouter = Ether(src='{}', dst='{}')/IP(src='{}', dst='{}')\n\
             inner = IP(src='{}', dst='{}', id=mark)/UDP(dport=9)/b'x'\n\
             framed = lambda packets: [Ether(src=outer.src, dst=outer.dst)/packet for packet in packets]",
            network.vni,
            other.netns.mac(UPLINK)?,
            here.netns.mac(UPLINK)?,
            other.underlay(Family::V4),
            here.underlay(Family::V4),
            a.ip(Family::V4)?,
            b.ip(Family::V4)?,
        );
        let stage = Stage {
            from: &other.netns,
            link: UPLINK,
            layers: setup,
            judge: cluster.compute(0)?.dataplane()?,
            to: &b,
            hops: 1,
        };
        stage.play(TUNNEL)?;
        traffic::matrix(&[&a, &b])?;
        Ok(())
    })
}
