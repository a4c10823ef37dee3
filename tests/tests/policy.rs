//! Who may talk to whom, as people say it with vrctl and containers feel it: policies, changes of mind under living connections, spoofing,
//! traces and watched flows. One node and two, both families.

use std::{net::SocketAddr, time::Duration};

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

/// How long a connection that is to be refused is tried.
const REFUSED: Duration = Duration::from_millis(700);
const SETTLING: Duration = Duration::from_secs(20);

/// Three containers with labels: web and db on the first node, spy on the last.
struct Scene {
    cluster: Cluster,
    web: Container,
    db: Container,
    spy: Container,
    _servers: Vec<Echo>,
}

fn scene(topology: &Topology, nodes: u8) -> Result<Scene> {
    let options = Options {
        nodes,
        ..Options::default()
    };
    let cluster = Cluster::start(topology, &options)?;
    cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
    let last = usize::from(nodes) - 1;
    let web = cluster.attach(0, "blue", "web")?;
    let db = cluster.attach(last, "blue", "db")?;
    let spy = cluster.attach(last, "blue", "spy")?;
    for name in ["web", "db", "spy"] {
        cluster.vrctl(
            None,
            &[
                "endpoint",
                "update",
                &format!("blue/{name}"),
                "--label",
                &format!("app={name}"),
            ],
        )?;
        cluster.vrctl(None, &["group", "create", name, "--label", &format!("app={name}")])?;
    }
    cluster.settle()?;
    traffic::reachable(&[&web, &db, &spy], SETTLING)?;
    let servers = [&web, &db, &spy]
        .map(|c| Echo::start(&c.netns))
        .into_iter()
        .collect::<Result<_>>()?;
    Ok(Scene {
        cluster,
        web,
        db,
        spy,
        _servers: servers,
    })
}

impl Scene {
    fn vrctl(&self, arguments: &[&str]) -> Result<String> {
        let said = self.cluster.vrctl(None, arguments)?;
        self.cluster.settle()?;
        Ok(said)
    }
}

fn try_tcp(from: &Container, to: &Container, family: Family) -> Result<Connection> {
    let to = SocketAddr::new(to.ip(family)?, Echo::PORT);
    Connection::open_to(&from.netns, to, REFUSED)
}

fn policies_hold(nodes: u8) -> Result<()> {
    Topology::run("policy", |t| {
        let scene = scene(t, nodes)?;
        let (web, db, spy) = (&scene.web, &scene.db, &scene.spy);
        let mut living = Vec::new();
        for family in Family::BOTH {
            living.push((try_tcp(web, db, family)?, try_tcp(spy, db, family)?));
        }
        // From now on only web, and only TCP 7 and ping.
        scene.vrctl(&[
            "policy",
            "create",
            "db",
            "--applies-to",
            "db",
            "--isolate-ingress",
            "--rule",
            "echo: ingress allow tcp/7 from group:web log",
            "--rule",
            "ping: ingress allow icmp/8,icmpv6/128 from group:web",
        ])?;
        for (from_web, from_spy) in &mut living {
            from_web
                .exchange(10_000)
                .context("an established connection that is still allowed goes on")?;
            ensure!(
                from_spy.exchange_within(REFUSED).is_err(),
                "one that is not stops at its next packet"
            );
        }
        for family in Family::BOTH {
            let db_ip = db.ip(family)?;
            try_tcp(web, db, family)?.exchange(1000)?;
            ensure!(try_tcp(spy, db, family).is_err(), "spy is denied");
            ensure!(traffic::udp(&web.netns, db_ip, 10).is_err(), "no rule allows UDP");
            traffic::ping(&web.netns, db_ip, 2)?;
            ensure!(
                traffic::pings(&spy.netns, db_ip, 1, &[])?.received == 0,
                "nor ping from spy"
            );
            // What db begins is nobody's business, and answers come back.
            try_tcp(db, spy, family)?.exchange(1000)?;
            traffic::udp(&db.netns, web.ip(family)?, 100)?;
        }
        let node = usize::from(nodes) - 1;
        let drops = scene
            .cluster
            .compute(node)?
            .dataplane()?
            .drops("policy_denied_ingress")?;
        ensure!(drops > 0, "drops are counted by their reason");

        // A change of mind, for endpoints by their labels.
        scene.vrctl(&["endpoint", "update", "blue/spy", "--label", "app=web"])?;
        for family in Family::BOTH {
            wait::until("spy, a web now, to be let in", || {
                try_tcp(spy, db, family)?.exchange(1000)
            })?;
        }
        scene.vrctl(&["policy", "update", "db", "--remove-rule", "echo"])?;
        for (from_web, _) in &mut living {
            ensure!(
                from_web.exchange_within(REFUSED).is_err(),
                "without its rule the connection stops"
            );
        }
        scene.vrctl(&["policy", "delete", "db"])?;
        for family in Family::BOTH {
            try_tcp(web, db, family)?.exchange(1000)?;
        }
        Ok(())
    })
}

#[test]
fn policies_hold_on_one_node() -> Result<()> {
    require!(Root, Daemons);
    policies_hold(1)
}

#[test]
fn policies_hold_over_two_nodes() -> Result<()> {
    require!(Root, Daemons);
    policies_hold(2)
}

#[test]
fn a_workload_cannot_pose_as_another() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("spoofing", |t| {
        let scene = scene(t, 2)?;
        let (db, spy) = (&scene.db, &scene.spy);
        let dataplane = scene.cluster.compute(1)?.dataplane()?;
        for (address, length, target) in [
            ("10.1.0.77", 32, db.ip(Family::V4)?),
            ("fd00:1::77", 128, db.ip(Family::V6)?),
        ] {
            spy.netns
                .ip(&format!("address add {address}/{length} dev eth0 nodad"))?;
            let before = dataplane.drops("spoofed_ip")?;
            let pings = traffic::pings(&spy.netns, target, 1, &["-I", address])?;
            ensure!(
                pings.received == 0 && dataplane.drops("spoofed_ip")? > before,
                "{address} is not spy's to send from"
            );
        }
        // Allowed by intent, it is.
        scene.vrctl(&[
            "endpoint",
            "update",
            "blue/spy",
            "--allow-address",
            "10.1.0.77",
            "--allow-address",
            "fd00:1::77",
        ])?;
        for (address, target) in [("10.1.0.77", db.ip(Family::V4)?), ("fd00:1::77", db.ip(Family::V6)?)] {
            wait::until("an allowed address to be answered", || {
                traffic::ping_with(&spy.netns, target, 1, &["-I", address])
            })?;
        }
        let mac = spy.mac()?;
        spy.netns.ip("link set eth0 address 02:00:00:00:be:ef")?;
        let before = dataplane.drops("spoofed_mac")?;
        let pings = traffic::pings(&spy.netns, db.ip(Family::V4)?, 1, &[])?;
        ensure!(
            pings.received == 0 && dataplane.drops("spoofed_mac")? > before,
            "another MAC is not believed"
        );
        spy.netns.ip(&format!("link set eth0 address {mac}"))?;
        Ok(())
    })
}

#[test]
fn traces_and_watched_flows_tell_of_rules_by_their_names() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("sight", |t| {
        let scene = scene(t, 2)?;
        let (web, db) = (&scene.web, &scene.db);
        scene.vrctl(&[
            "policy",
            "create",
            "db",
            "--applies-to",
            "db",
            "--isolate-ingress",
            "--rule",
            "echo: ingress allow tcp/7 from group:web",
        ])?;
        for to in ["blue/db", &db.ip(Family::V6)?.to_string()] {
            let trace = scene
                .cluster
                .vrctl(None, &["trace", "--from", "web", "--to", to, "--dport", "7"])?;
            ensure!(
                trace.contains("node1")
                    && trace.contains("node2")
                    && trace.contains("db/echo")
                    && trace.contains("delivered to blue/db"),
                "{trace}"
            );
            ensure!(trace.contains("VXLAN"), "{trace}");
        }
        let denied = scene.cluster.vrctl(
            None,
            &["trace", "--from", "spy", "--to", "db", "--dport", "7", "-o", "json"],
        );
        let words = format!("{:#}", denied.err().context("the packet does not arrive")?);
        ensure!(words.contains("policy_denied_ingress"), "{words}");
        let flows = scene.cluster.compute(0)?.dataplane()?.flows()?;
        ensure!(
            flows.iter().all(|flow| flow.destination_port != 7),
            "a trace leaves no flow behind: {flows:?}"
        );

        let watch = std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                scene.cluster.vrctl(
                    None,
                    &["flow", "watch", "--verdict", "deny", "--endpoint", "blue/db", "-n", "1"],
                )
            });
            let mut seen = Ok(());
            while !watch.is_finished() && seen.is_ok() {
                seen = traffic::pings(&web.netns, db.ip(Family::V4)?, 1, &["-W", "1"]).map(|_| ());
            }
            watch.join().map_err(|_| anyhow::anyhow!("the watch panicked"))?
        })?;
        ensure!(watch.contains("blue/web") && watch.contains("db/default"), "{watch}");
        Ok(())
    })
}
