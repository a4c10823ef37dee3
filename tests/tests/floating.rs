//! Packets that cross the underlay in the clear: a container with a floating address and an ordinary host on the wire find each other, and one
//! without goes out behind a shared address; while the node itself keeps what is its own. One vrouterd, programmed by hand.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use vrouter_proto::dataplane::{
    Backend, NextHop, Object, Port, Route, Service, SourceNat, Vrf,
    next_hop::{Action, Local, ToPort, ToVrf, Underlay},
    object,
    operation::Operation,
};
use vrouter_tests::{
    api::Dataplane,
    cluster::{Compute, Options},
    container::Container,
    netns::Netns,
    node::{Family, Node, Wire},
    require,
    topology::Topology,
    traffic::{self, Connection, Echo},
    wait,
};

/// VRFs.
const TENANT: u32 = 1;
const OUTSIDE: u32 = 2;
/// Next hops.
const LOCAL: u64 = 1;
const TO_WEB: u64 = 11;
const TO_PLAIN: u64 = 12;
const TO_OUTSIDE: u64 = 20;
const ON_LINK: u64 = 21;

/// What the scene is in one family.
struct Addresses {
    gateway: &'static str,
    web: &'static str,
    plain: &'static str,
    tenant: &'static str,
    length: u8,
    /// A host of the underlay, in a subnet of its own.
    host: &'static str,
    subnet: &'static str,
    /// Beyond that host, which routes to it.
    beyond: &'static str,
    floating: &'static str,
    shared: &'static str,
    default: &'static str,
    all: u8,
    /// Next hop by way of the host.
    by_host: u64,
    /// A second address of the host, in the subnet of the nodes.
    beside_node: &'static str,
}

const SCENE: [Addresses; 2] = [
    Addresses {
        gateway: "10.1.0.1",
        web: "10.1.0.10",
        plain: "10.1.0.20",
        tenant: "10.1.0.0/24",
        length: 24,
        host: "203.0.113.9",
        subnet: "203.0.113.0/24",
        beyond: "198.51.100.9",
        floating: "203.0.113.70",
        shared: "203.0.113.80",
        default: "0.0.0.0/0",
        all: 32,
        by_host: 22,
        beside_node: "192.0.2.99/24",
    },
    Addresses {
        gateway: "fd00:1::1",
        web: "fd00:1::10",
        plain: "fd00:1::20",
        tenant: "fd00:1::/64",
        length: 64,
        host: "2001:db8:f::9",
        subnet: "2001:db8:f::/64",
        beyond: "2001:db8:ffff::9",
        floating: "2001:db8:f::70",
        shared: "2001:db8:f::80",
        default: "::/0",
        all: 128,
        by_host: 23,
        beside_node: "2001:db8:2::99/64",
    },
];

/// The field order is the order of their end: the daemon before namespaces.
struct Scene {
    compute: Compute,
    dataplane: Dataplane,
    web: Container,
    plain: Container,
    host: Netns,
    _wire: Wire,
}

impl Scene {
    fn new(t: &Topology) -> Result<Self> {
        let node = Node::new(t, "node1", 1)?;
        let wire = Wire::switched(t, &[&node], 1500)?;
        let host = t.netns("host")?;
        let switch = wire.switch.as_ref().context("a switch")?;
        switch.veth("to-host", &host, "eth0", 1500)?;
        switch.ip("link set dev to-host master wire")?;
        // Its checksums are left as its stack leaves them: unfinished.
        for scene in &SCENE {
            host.address("eth0", &format!("{}/{}", scene.host, scene.length))?;
            host.address("eth0", scene.beside_node)?;
            host.address("lo", &format!("{}/{}", scene.beyond, scene.all))?;
        }
        let mut containers = Vec::new();
        for name in ["web", "plain"] {
            let mut container = Container::new(&node, name)?;
            for scene in &SCENE {
                let address = if name == "web" { scene.web } else { scene.plain };
                container.address(&format!("{address}/{}", scene.length))?;
                container.gateway(scene.gateway)?;
            }
            containers.push(container);
        }
        let [web, plain] = <[Container; 2]>::try_from(containers).map_err(|_| anyhow::anyhow!("two containers"))?;
        let compute = Compute::start(t, node, &Options::default(), true)?;
        let dataplane = compute.dataplane()?;
        dataplane.apply(objects(&web, &plain)?.into_iter().map(put).collect())?;
        Ok(Self {
            compute,
            dataplane,
            web,
            plain,
            host,
            _wire: wire,
        })
    }
}

fn put(object: object::Object) -> Operation {
    Operation::Put(Object { object: Some(object) })
}

fn next_hop(id: u64, action: Action) -> object::Object {
    object::Object::NextHop(NextHop {
        id,
        action: Some(action),
        ..Default::default()
    })
}

fn route(vrf: u32, prefix: &str, next_hop: u64) -> object::Object {
    object::Object::Route(Route {
        vrf,
        prefix: prefix.to_owned(),
        next_hop,
        ..Default::default()
    })
}

fn objects(web: &Container, plain: &Container) -> Result<Vec<object::Object>> {
    let vrf = |id, name: &str, underlay| {
        object::Object::Vrf(Vrf {
            id,
            name: name.to_owned(),
            underlay,
        })
    };
    let to_vrf = ToVrf {
        vrf: OUTSIDE,
        untranslated: false,
    };
    let mut objects = vec![
        vrf(TENANT, "tenant", false),
        vrf(OUTSIDE, "outside", true),
        next_hop(LOCAL, Action::Local(Local {})),
        next_hop(TO_OUTSIDE, Action::Vrf(to_vrf)),
        next_hop(ON_LINK, Action::Underlay(Underlay::default())),
    ];
    for (id, to, container) in [(1, TO_WEB, web), (2, TO_PLAIN, plain)] {
        objects.push(object::Object::Port(Port {
            id,
            name: container.name.clone(),
            interface: container.name.clone(),
            vrf: TENANT,
            mac: container.mac()?,
            gateways: SCENE.iter().map(|s| format!("{}/{}", s.gateway, s.length)).collect(),
            ..Default::default()
        }));
        objects.push(next_hop(
            to,
            Action::Port(ToPort {
                port: id,
                ..Default::default()
            }),
        ));
    }
    for (number, s) in (0..).zip(&SCENE) {
        let one = |address: &str| format!("{address}/{}", s.all);
        let gateway = Underlay {
            gateway: s.host.to_owned(),
        };
        let source_nat = |id, prefix: String, address: &str| {
            object::Object::SourceNat(SourceNat {
                id,
                inside: TENANT,
                outside: OUTSIDE,
                prefix,
                addresses: vec![address.to_owned()],
                ..Default::default()
            })
        };
        objects.extend([
            next_hop(s.by_host, Action::Underlay(gateway)),
            route(TENANT, &one(s.gateway), LOCAL),
            route(TENANT, &one(s.web), TO_WEB),
            route(TENANT, &one(s.plain), TO_PLAIN),
            route(TENANT, s.default, TO_OUTSIDE),
            route(OUTSIDE, s.subnet, ON_LINK),
            route(OUTSIDE, s.default, s.by_host),
            source_nat(1 + number, one(s.web), s.floating),
            source_nat(3 + number, s.tenant.to_owned(), s.shared),
            object::Object::Service(Service {
                id: 1 + number,
                name: "floating".to_owned(),
                vrf: OUTSIDE,
                address: s.floating.to_owned(),
                backends: vec![Backend {
                    address: s.web.to_owned(),
                    vrf: TENANT,
                    ..Default::default()
                }],
                ..Default::default()
            }),
        ]);
    }
    Ok(objects)
}

fn ip(text: &str) -> Result<IpAddr> {
    text.parse().with_context(|| format!("not an address: {text}"))
}

/// Whom a server in `to`, at `address`, sees when `from` connects to it, and when it sends a datagram; both get answers.
fn seen(from: &Netns, to: &Netns, address: IpAddr) -> Result<[IpAddr; 2]> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let at = SocketAddr::new(address, 8080);
    let (tcp, udp) = to.enter(|| Ok::<_, std::io::Error>((TcpListener::bind(at)?, UdpSocket::bind(at)?)))??;
    udp.set_read_timeout(Some(PATIENCE))?;
    let mut client = from
        .enter(|| TcpStream::connect_timeout(&at, PATIENCE))?
        .with_context(|| format!("connect to {at}"))?;
    let (mut server, peer) = tcp.accept()?;
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE))?;
    }
    let mut buffer = [0; 5];
    client.write_all(b"hello")?;
    server.read_exact(&mut buffer)?;
    server.write_all(b"world")?;
    client.read_exact(&mut buffer)?;
    ensure!(&buffer == b"world");

    let unbound: SocketAddr = match address {
        IpAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        IpAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let asker = from.enter(|| UdpSocket::bind(unbound))??;
    asker.set_read_timeout(Some(PATIENCE))?;
    asker.send_to(b"hello", at)?;
    let (_, asked_by) = udp.recv_from(&mut buffer).context("no datagram")?;
    udp.send_to(b"world", asked_by)?;
    let (_, answered_by) = asker.recv_from(&mut buffer).context("no answer")?;
    ensure!(answered_by == at);
    Ok([peer.ip(), asked_by.ip()])
}

#[test]
fn a_floating_address_is_reached_from_the_underlay() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("floating address from outside", |t| {
        let scene = Scene::new(t)?;
        let _echo = Echo::start(&scene.web.netns)?;
        for s in &SCENE {
            let floating = ip(s.floating)?;
            traffic::ping(&scene.host, floating, 3)?;
            traffic::tcp(&scene.host, floating, 1_000_000)?;
            traffic::udp(&scene.host, floating, 1000)?;
            // In fragments, both ways, once the workload has been told what the path carries.
            wait::until("fragments to arrive", || {
                traffic::ping_with(&scene.host, floating, 1, &["-s", "4000"])
            })?;
            traffic::ping_with(&scene.host, floating, 2, &["-s", "4000"])?;
            let mut connection = Connection::open(&scene.host, floating)?;
            for _ in 0..3 {
                connection.exchange(200_000)?;
            }
        }
        ensure!(scene.dataplane.drops("not_our_vtep")? == 0);
        Ok(())
    })
}

#[test]
fn containers_reach_the_underlay_behind_their_addresses() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("translated sources", |t| {
        let scene = Scene::new(t)?;
        for s in &SCENE {
            for (from, address) in [(&scene.web, s.floating), (&scene.plain, s.shared)] {
                // On the link, and beyond a router of it.
                for to in [s.host, s.beyond] {
                    // The first packets to a neighbour are lost while it is looked for.
                    wait::until(&format!("{} to reach {to}", from.name), || {
                        traffic::ping(&from.netns, ip(to)?, 1)
                    })?;
                    traffic::ping(&from.netns, ip(to)?, 3)?;
                    let seen = seen(&from.netns, &scene.host, ip(to)?)?;
                    ensure!(seen == [ip(address)?; 2], "{to} saw {seen:?} and not {address}");
                }
            }
            // The shared address is nobody's, but it is there.
            traffic::ping(&scene.host, ip(s.shared)?, 3)?;
        }
        Ok(())
    })
}

#[test]
fn the_node_keeps_what_is_its_own() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("the node's own", |t| {
        let mut scene = Scene::new(t)?;
        let node = &scene.compute.node;
        let _echo = Echo::start(&node.netns)?;
        for (family, s) in Family::BOTH.into_iter().zip(&SCENE) {
            let own = node.underlay(family);
            traffic::ping(&scene.host, own, 3)?;
            traffic::tcp(&scene.host, own, 1_000_000)?;
            traffic::udp(&scene.host, own, 1000)?;
            traffic::ping(&node.netns, ip(s.beside_node.split('/').next().unwrap_or_default())?, 3)?;
            traffic::ping(&scene.host, ip(s.floating)?, 1)?;
        }
        // What is ours alone goes with vrouterd, and comes back with it: the host behind never answers for it.
        scene.compute.vrouterd.kill9()?;
        for (family, s) in Family::BOTH.into_iter().zip(&SCENE) {
            traffic::ping(&scene.host, scene.compute.node.underlay(family), 1)?;
            ensure!(traffic::ping(&scene.host, ip(s.floating)?, 1).is_err());
        }
        Ok(())
    })
}
