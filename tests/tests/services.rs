//! Addresses that stand for others: services, networks joined by a router, floating addresses, translated sources and forwarded ports, as
//! people ask for them with vrctl.

use std::{collections::BTreeSet, net::IpAddr, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use vrouter_proto::control::Encapsulation;
use vrouter_tests::{
    cluster::{Cluster, Options},
    container::Container,
    node::Family,
    require,
    topology::Topology,
    traffic::{self, Connection, Echo},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(5);
const REFUSED: Duration = Duration::from_millis(700);

fn connect(from: &Container, to: IpAddr, port: u16) -> Result<Connection> {
    Connection::open_to(&from.netns, SocketAddr::new(to, port), PATIENCE)
}

/// The addresses of an object, from its JSON.
fn addresses(cluster: &Cluster, arguments: &[&str]) -> Result<Vec<IpAddr>> {
    let mut all = arguments.to_vec();
    all.extend(["-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&cluster.vrctl(None, &all)?)?;
    let found = match (&value["addresses"], &value["address"]) {
        (serde_json::Value::Array(many), _) => many.clone(),
        (_, one) => vec![one.clone()],
    };
    found
        .iter()
        .map(|a| Ok(a.as_str().context("an address")?.parse()?))
        .collect()
}

#[test]
fn a_service_spreads_connections_and_keeps_them_over_a_restart_of_control() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("service", |t| {
        let mut cluster = Cluster::start(t, &Options::default())?;
        cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
        let client = cluster.attach(0, "blue", "client")?;
        let backends = [cluster.attach(0, "blue", "b1")?, cluster.attach(1, "blue", "b2")?];
        for name in ["b1", "b2"] {
            cluster.vrctl(
                None,
                &["endpoint", "update", &format!("blue/{name}"), "--label", "app=echo"],
            )?;
        }
        cluster.vrctl(None, &["group", "create", "echo", "--label", "app=echo"])?;
        let made = [
            "service",
            "create",
            "blue/echo",
            "--port",
            "tcp/80=7",
            "--port",
            "u:udp/80=7",
            "--group",
            "echo",
        ];
        let made = cluster.vrctl(None, &made);
        ensure!(made.is_err(), "two ports need two names");
        let made = [
            "service",
            "create",
            "blue/echo",
            "--port",
            "t:tcp/80=7",
            "--port",
            "u:udp/80=7",
            "--group",
            "echo",
        ];
        let vips = addresses(&cluster, &made)?;
        ensure!(vips.len() == 2, "one of each family: {vips:?}");
        cluster.settle()?;
        traffic::reachable(&[&client, &backends[0], &backends[1]], Duration::from_secs(20))?;
        let _servers: Vec<Echo> = backends.iter().map(|b| Echo::start(&b.netns)).collect::<Result<_>>()?;
        let mut living = Vec::new();
        for vip in &vips {
            for _ in 0..16 {
                let mut connection = connect(&client, *vip, 80)?;
                connection.exchange(2000)?;
                living.push(connection);
            }
            // A backend may be its own client.
            connect(&backends[0], *vip, 80)?.exchange(2000)?;
            ensure!(connect(&client, *vip, 81).is_err(), "no other port is served");
        }
        let flows = cluster.compute(0)?.dataplane()?.flows()?;
        let chosen: BTreeSet<String> = flows
            .iter()
            .filter(|flow| flow.forward && flow.destination_port == 80 && flow.protocol == 6)
            .map(|flow| flow.translated_destination.clone())
            .collect();
        ensure!(chosen.len() == 4, "both backends, in both families: {chosen:?}");

        cluster.control.kill9()?;
        for connection in &mut living {
            connection.exchange(1000).context("without control")?;
        }
        cluster.control.restart()?;
        cluster.settle()?;
        for connection in &mut living {
            connection.exchange(1000).context("after control came back")?;
        }
        // A backend that drains keeps what it has and gets nothing new.
        cluster.vrctl(
            None,
            &[
                "service",
                "update",
                "blue/echo",
                "--group",
                "",
                "--backend",
                "blue/b1,draining",
                "--backend",
                "blue/b2",
            ],
        )?;
        cluster.settle()?;
        for connection in &mut living {
            connection.exchange(1000).context("on a backend that drains")?;
        }
        for vip in &vips {
            let mut connection = connect(&client, *vip, 80)?;
            connection.exchange(100)?;
        }
        let flows = cluster.compute(0)?.dataplane()?.flows()?;
        let youngest = flows
            .iter()
            .filter(|f| f.forward && f.destination_port == 80)
            .max_by_key(|f| std::cmp::Reverse(f.age_seconds));
        ensure!(youngest.is_some(), "flows are shown");
        Ok(())
    })
}

#[test]
fn a_service_uses_only_backends_that_answer() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("health", |t| {
        let cluster = Cluster::start(t, &Options::default())?;
        cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
        let client = cluster.attach(0, "blue", "client")?;
        let backends = [cluster.attach(0, "blue", "b1")?, cluster.attach(1, "blue", "b2")?];
        let check = "tcp:7,interval=200,timeout=200,fall=2";
        let made = [
            "service",
            "create",
            "blue/echo",
            "--port",
            "tcp/80=7",
            "--backend",
            "blue/b1",
            "--backend",
            "blue/b2",
            "--health",
            check,
        ];
        let vips = addresses(&cluster, &made)?;
        cluster.settle()?;
        let refused = |vip: &IpAddr| Connection::open_to(&client.netns, SocketAddr::new(*vip, 80), REFUSED).is_err();
        ensure!(vips.iter().all(refused), "nobody was ever well");

        // One becomes well: all go there.
        let one = Echo::start(&backends[0].netns)?;
        for vip in &vips {
            wait::until("the first backend to be used", || {
                connect(&client, *vip, 80)?.exchange(100)
            })?;
            for _ in 0..8 {
                connect(&client, *vip, 80)?.exchange(100)?;
            }
        }
        let healthy = |count: usize| {
            let shown = cluster.vrctl(None, &["service", "show", "blue/echo", "-o", "json"])?;
            let shown: serde_json::Value = serde_json::from_str(&shown)?;
            let states = shown["status"].as_array().context("states")?;
            let well = states.iter().filter(|state| state["healthy"] == true).count();
            ensure!(well == count, "{well} are well: {shown}");
            Ok(())
        };
        wait::until("one backend of each family to be shown as well", || healthy(2))?;

        // The other takes over when it is gone.
        let _other = Echo::start(&backends[1].netns)?;
        wait::until("both to be shown as well", || healthy(4))?;
        drop(one);
        wait::until("the first to be missed", || healthy(2))?;
        for vip in &vips {
            wait::until("all to go to the other", || {
                for _ in 0..8 {
                    connect(&client, *vip, 80)?.exchange(100)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}

#[test]
fn a_router_joins_networks_and_only_those() -> Result<()> {
    require!(Root, Daemons);
    for encapsulation in [Encapsulation::Vxlan, Encapsulation::MplsUdp] {
        Topology::run("router", |t| {
            let cluster = Cluster::start(t, &Options::default())?;
            for (name, number) in [("blue", 1), ("green", 2), ("red", 3)] {
                cluster.routed_network(name, number, encapsulation)?;
            }
            let blue = cluster.attach(0, "blue", "one")?;
            let green = [cluster.attach(0, "green", "near")?, cluster.attach(1, "green", "far")?];
            let red = cluster.attach(1, "red", "other")?;
            cluster.settle()?;
            let _servers: Vec<Echo> = [&blue, &green[0], &green[1], &red]
                .into_iter()
                .map(|c| Echo::start(&c.netns))
                .collect::<Result<_>>()?;
            for family in Family::BOTH {
                ensure!(
                    traffic::pings(&blue.netns, green[1].ip(family)?, 1, &["-W", "1"])?.received == 0,
                    "not joined yet"
                );
            }
            cluster.vrctl(
                None,
                &["router", "create", "r", "--network", "blue", "--network", "green"],
            )?;
            cluster.settle()?;
            for family in Family::BOTH {
                for to in &green {
                    wait::until("blue and green to be joined", || {
                        traffic::ping(&blue.netns, to.ip(family)?, 1)
                    })?;
                    connect(&blue, to.ip(family)?, Echo::PORT)?.exchange(100_000)?;
                    connect(to, blue.ip(family)?, Echo::PORT)?.exchange(100_000)?;
                    traffic::udp(&blue.netns, to.ip(family)?, 1000)?;
                }
                ensure!(
                    traffic::pings(&blue.netns, red.ip(family)?, 1, &["-W", "1"])?.received == 0,
                    "red stays apart"
                );
            }
            cluster.vrctl(None, &["router", "delete", "r"])?;
            cluster.settle()?;
            let to = SocketAddr::new(green[1].ip(Family::V4)?, Echo::PORT);
            ensure!(Connection::open_to(&blue.netns, to, REFUSED).is_err(), "parted again");
            Ok(())
        })?;
    }
    Ok(())
}

/// The underlay has a host that knows nothing of vrouter, and the external network is the wire's own subnet.
#[test]
fn containers_meet_the_underlay_by_floating_addresses_forwarded_ports_and_translated_sources() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("outside", |t| {
        let options = Options {
            others: 1,
            ..Options::default()
        };
        let mut cluster = Cluster::start(t, &options)?;
        cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
        cluster.vrctl(None, &["network", "create", "public", "--external"])?;
        // The host on the wire plays the underlay's router.
        let host = cluster.others.remove(0);
        for (name, cidr, family) in [
            ("v4", "192.0.2.0/24", Family::V4),
            ("v6", "2001:db8:2::/64", Family::V6),
        ] {
            let gateway = host.underlay(family).to_string();
            let reserved = match family {
                Family::V4 => "192.0.2.1-192.0.2.99",
                Family::V6 => "2001:db8:2::1-2001:db8:2::99",
            };
            cluster.vrctl(
                None,
                &[
                    "subnet",
                    "create",
                    &format!("public/{name}"),
                    "--cidr",
                    cidr,
                    "--gateway",
                    &gateway,
                    "--reserve",
                    reserved,
                ],
            )?;
        }
        for (node, suffix) in [("node1", "51"), ("node2", "52")] {
            let arguments = [
                "node",
                "update",
                node,
                "--nat-address",
                &format!("192.0.2.{suffix}"),
                "--nat-address",
                &format!("2001:db8:2::{suffix}"),
            ];
            cluster.vrctl(None, &arguments)?;
        }
        let inner = cluster.attach(0, "blue", "inner")?;
        let shown = cluster.attach(0, "blue", "shown")?;
        let far = cluster.attach(1, "blue", "far")?;
        cluster.vrctl(
            None,
            &[
                "router",
                "create",
                "r",
                "--network",
                "blue",
                "--external",
                "public",
                "--snat",
            ],
        )?;
        let mut floating = Vec::new();
        for (name, endpoint) in [("shown", "blue/shown"), ("far", "blue/far")] {
            for family in ["4", "6"] {
                let made = [
                    "floatingip",
                    "create",
                    &format!("{name}{family}"),
                    "--network",
                    "public",
                    "--family",
                    family,
                    "--endpoint",
                    endpoint,
                ];
                floating.push((name, addresses(&cluster, &made)?[0]));
            }
        }
        let edge = addresses(
            &cluster,
            &[
                "floatingip",
                "create",
                "edge",
                "--network",
                "public",
                "--forward",
                "tcp/8007=blue/inner:7",
            ],
        )?[0];
        cluster.settle()?;
        let _servers: Vec<Echo> = [&inner.netns, &shown.netns, &far.netns, &host.netns]
            .into_iter()
            .map(Echo::start)
            .collect::<Result<_>>()?;
        for family in Family::BOTH {
            let outside = host.underlay(family);
            // Out: with a floating address, and behind the node's.
            for container in [&shown, &far, &inner] {
                wait::until("the underlay to answer", || traffic::ping(&container.netns, outside, 1))
                    .with_context(|| format!("{outside} from {}", container.netns.name()))?;
                connect(container, outside, Echo::PORT)?.exchange(200_000)?;
                traffic::udp(&container.netns, outside, 500)?;
            }
            for (name, address) in floating.iter().filter(|(_, a)| Family::of(*a) == family) {
                // In, from the underlay.
                traffic::ping(&host.netns, *address, 2).with_context(|| format!("{name} from outside"))?;
                Connection::open_to(&host.netns, SocketAddr::new(*address, Echo::PORT), PATIENCE)?.exchange(100_000)?;
                // From another container, by way of the outside: its own node's, and another's.
                for from in [&inner, &shown, &far] {
                    wait::until("a floating address to be reached from inside", || {
                        connect(from, *address, Echo::PORT)?.exchange(1000)
                    })
                    .with_context(|| format!("{name} {address} from {}", from.netns.name()))?;
                }
            }
        }
        // What nobody has inside is not looked for outside, and whoever asks is told so.
        for nobody in ["10.1.0.200", "fd00:1::200"] {
            let pings = traffic::pings(&inner.netns, nobody.parse()?, 1, &[])?;
            ensure!(
                pings.received == 0 && pings.text.contains("nreachable"),
                "{}",
                pings.text
            );
        }
        ensure!(
            cluster.compute(0)?.dataplane()?.drops("address_unreachable")? == 2,
            "not counted"
        );
        // A forwarded port, and nothing but it.
        Connection::open_to(&host.netns, SocketAddr::new(edge, 8007), PATIENCE)?.exchange(1000)?;
        ensure!(
            Connection::open_to(&host.netns, SocketAddr::new(edge, 8008), REFUSED).is_err(),
            "not forwarded"
        );
        // The host's own address on the uplink is still the host's.
        traffic::ping(&host.netns, cluster.compute(0)?.node.underlay(Family::V4), 1)?;

        // Translations live on while control is dead, and when it is back.
        let outside = Family::BOTH.map(|family| host.underlay(family));
        let mut living = Vec::new();
        for (container, to) in outside.iter().flat_map(|to| [(&inner, to), (&shown, to)]) {
            living.push(connect(container, *to, Echo::PORT)?);
        }
        cluster.control.kill9()?;
        for connection in &mut living {
            connection.exchange(1000).context("without control")?;
        }
        cluster.control.restart()?;
        cluster.settle()?;
        for connection in &mut living {
            connection.exchange(1000).context("after control came back")?;
        }
        Ok(())
    })
}
