//! What goes on while daemons die: the host's own traffic on the uplink, the containers' packets, and convergence after.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use vrouter_proto::{
    control::Encapsulation,
    dataplane::{NextHop, Object, Route, object, operation::Operation},
};
use vrouter_tests::{
    cluster::{Cluster, Options},
    container::Container,
    node::Family,
    require,
    topology::Topology,
    traffic::{self, Connection, Echo, Stream},
    wait,
};

const SETTLING: Duration = Duration::from_secs(30);
/// Rings that outlast a test machine which lets a worker wait for its CPU for tenths of a second: what is judged is that nothing
/// which happens to daemons or tables loses a packet.
fn patient() -> Options {
    Options {
        vrouterd: ["--access-rings", "1024"].map(str::to_owned).to_vec(),
        ..Options::default()
    }
}

/// Datagrams a second of a steady stream.
const RATE: u32 = 2000;

fn pair(cluster: &Cluster, encapsulation: Encapsulation) -> Result<[Container; 2]> {
    cluster.routed_network("blue", 1, encapsulation)?;
    let containers = [cluster.attach(0, "blue", "a")?, cluster.attach(1, "blue", "b")?];
    cluster.settle()?;
    traffic::reachable(&[&containers[0], &containers[1]], SETTLING)?;
    Ok(containers)
}

#[test]
fn the_hosts_own_connections_on_the_uplink_survive_vrouterd() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("host traffic", |t| {
        let mut cluster = Cluster::start(t, &Options::default())?;
        let to: Vec<_> = Family::BOTH
            .map(|family| cluster.computes[1].node.underlay(family))
            .to_vec();
        let _echo = Echo::start(&cluster.computes[1].node.netns)?;
        let open = |cluster: &Cluster| -> Result<Vec<Connection>> {
            to.iter()
                .map(|to| Connection::open(&cluster.computes[0].node.netns, *to))
                .collect()
        };
        let go_on = |connections: &mut Vec<Connection>, when: &str| -> Result<()> {
            for connection in connections {
                connection.exchange(100_000).with_context(|| when.to_owned())?;
            }
            Ok(())
        };

        let mut connections = open(&cluster)?;
        go_on(&mut connections, "while vrouterd runs")?;
        for compute in &mut cluster.computes {
            compute.vrouterd.kill9()?;
        }
        go_on(&mut connections, "after kill -9")?;
        // Opened while no vrouterd runs, it must also survive one that starts.
        connections.extend(open(&cluster)?);
        for compute in &mut cluster.computes {
            compute.vrouterd.restart()?;
        }
        go_on(&mut connections, "after a start")?;
        for compute in &mut cluster.computes {
            let status = compute.vrouterd.stop()?;
            ensure!(status.success(), "vrouterd ended with {status} after SIGTERM");
        }
        go_on(&mut connections, "after a stop")?;
        connections.extend(open(&cluster)?);
        go_on(&mut connections, "new ones after a stop")
    })
}

#[test]
fn a_steady_stream_loses_nothing_while_control_dies_and_returns() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("control dies", |t| {
        let mut cluster = Cluster::start(t, &patient())?;
        let [a, b] = pair(&cluster, Encapsulation::Vxlan)?;
        let streams = Family::BOTH.map(|family| Stream::start(&a.netns, &b.netns, b.ip(family)?, RATE, 200));
        thread::sleep(Duration::from_millis(300));
        cluster.control.kill9()?;
        thread::sleep(Duration::from_millis(300));
        // New flows, too, need no control process.
        traffic::matrix(&[&a, &b])?;
        cluster.control.restart()?;
        cluster.settle()?;
        thread::sleep(Duration::from_millis(300));
        for stream in streams {
            let report = stream?.stop()?;
            ensure!(report.sent > 1000, "no steady stream: {report:?}");
            ensure!(
                report.lost() == 0 && report.duplicates == 0 && report.reordered == 0,
                "{report:?}"
            );
        }
        Ok(())
    })
}

fn forwards(next_hop: &NextHop) -> bool {
    use vrouter_proto::dataplane::next_hop::Action;
    matches!(next_hop.action, Some(Action::Port(_) | Action::Tunnel(_)))
}

#[test]
fn a_steady_stream_loses_nothing_while_100_000_routes_are_replaced() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("routes replaced", |t| {
        let mut cluster = Cluster::start(t, &patient())?;
        let [a, b] = pair(&cluster, Encapsulation::MplsUdp)?;
        let vrf = cluster.api.network(vrouter_proto::control::Network {
            name: "blue".to_owned(),
            encapsulation: Encapsulation::MplsUdp.into(),
            ..Default::default()
        })?;
        // Control would take away what it has not wished for.
        cluster.control.kill9()?;
        let dataplane = cluster.compute(0)?.dataplane()?;
        let next_hops: Vec<u64> = dataplane
            .dump(&[vrouter_proto::dataplane::Kind::NextHop])?
            .into_iter()
            .filter_map(|object| match object {
                object::Object::NextHop(next_hop) if forwards(&next_hop) => Some(next_hop.id),
                _ => None,
            })
            .collect();
        ensure!(
            next_hops.len() >= 2,
            "there are {} next hops to choose from",
            next_hops.len()
        );

        let stream = Stream::start(&a.netns, &b.netns, b.ip(Family::V4)?, RATE, 200)?;
        for next_hop in next_hops.into_iter().take(2) {
            for block in 0..10u32 {
                // 10,000 prefixes of /28 from 20.0.0.0 up: none holds an address in use.
                let operations = (0..10_000u32).map(|index| {
                    let prefix = std::net::Ipv4Addr::from_bits((20 << 24) + ((block * 10_000 + index) << 4));
                    let route = Route {
                        vrf: vrf.number,
                        prefix: format!("{prefix}/28"),
                        next_hop,
                        ..Default::default()
                    };
                    Operation::Put(Object {
                        object: Some(object::Object::Route(route)),
                    })
                });
                dataplane.apply(operations.collect())?;
            }
        }
        let report = stream.stop()?;
        ensure!(report.sent > 100, "no steady stream: {report:?}");
        ensure!(
            report.lost() == 0 && report.duplicates == 0 && report.reordered == 0,
            "{report:?}"
        );

        // The replaced state is repaired when control returns.
        cluster.control.restart()?;
        cluster.settle()?;
        wait::until("the foreign routes to be taken away", || {
            let routes = dataplane.dump(&[vrouter_proto::dataplane::Kind::Route])?.len();
            ensure!(routes < 1000, "{routes} routes are left");
            Ok(())
        })?;
        traffic::matrix(&[&a, &b])?;
        Ok(())
    })
}

#[test]
fn everything_converges_after_all_daemons_were_killed() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("all die", |t| {
        let mut cluster = Cluster::start(t, &Options::default())?;
        let [a, b] = pair(&cluster, Encapsulation::Vxlan)?;
        let c = cluster.attach(0, "blue", "c")?;
        for round in 0..2 {
            // In each order once: control first, and dataplanes first.
            if round == 0 {
                cluster.control.kill9()?;
            }
            for compute in &mut cluster.computes {
                compute.vrouterd.kill9()?;
            }
            if round == 1 {
                cluster.control.kill9()?;
                cluster.control.restart()?;
            }
            for compute in &mut cluster.computes {
                compute.vrouterd.restart()?;
            }
            if round == 0 {
                cluster.control.restart()?;
            }
            cluster.settle()?;
            traffic::reachable(&[&a, &b, &c], SETTLING)?;
            assert_eq!(traffic::matrix(&[&a, &b, &c])?, 12);
        }
        Ok(())
    })
}

#[test]
fn ports_come_and_go_while_traffic_runs() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("ports", |t| {
        let cluster = Cluster::start(t, &patient())?;
        let [a, b] = pair(&cluster, Encapsulation::Vxlan)?;
        let stream = Stream::start(&a.netns, &b.netns, b.ip(Family::V6)?, RATE, 200)?;
        for round in 0..5 {
            let name = format!("guest-{round}");
            let guest = cluster.attach(round % 2, "blue", &name)?;
            cluster.settle()?;
            traffic::reachable(&[&a, &guest], SETTLING)?;
            let request = vrouter_proto::control::DeleteEndpointRequest {
                network: "blue".to_owned(),
                name,
            };
            let answer = cluster
                .api
                .call(async |mut client| client.delete_endpoint(request).await)?;
            ensure!(answer.existed, "the endpoint was not there");
            cluster.settle()?;
        }
        let report = stream.stop()?;
        ensure!(report.lost() == 0 && report.duplicates == 0, "{report:?}");
        Ok(())
    })
}
