//! Containers of real dockerds on vrouter's networks, as somebody would have them who only knows `docker`.

use std::{process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use vrouter_proto::control::{
    AuditRequest, Endpoint, ListEndpointsRequest, ListFloatingIpsRequest, ListNetworksRequest,
};
use vrouter_tests::{
    cluster::{Cluster, Options},
    docker::{Dockerd, IMAGE, Plugin},
    node::Family,
    require, run,
    topology::Topology,
    wait,
};

/// What a network is created with.
const BLUE: [&str; 12] = [
    "-d",
    "vrouter",
    "--ipam-driver",
    "vrouter",
    "--subnet",
    "10.1.0.0/24",
    "--ipv6",
    "--subnet",
    "fd00:1::/64",
    "-o",
    "network=blue",
    "blue",
];

fn create(docker: &Dockerd, options: &[&str]) -> Result<String> {
    docker.run(&[&["network", "create"], options].concat())
}

/// Plugins and dockerds of all nodes of a cluster.
fn dockers(cluster: &Cluster, nodes: usize) -> Result<(Vec<Plugin>, Vec<Dockerd>)> {
    let plugins = (0..nodes)
        .map(|node| Plugin::start(cluster, node, &[]))
        .collect::<Result<_>>()?;
    // They take their time to start: together.
    let dockers = thread::scope(|scope| {
        let starting: Vec<_> = (0..nodes)
            .map(|node| scope.spawn(move || Dockerd::start(cluster, node)))
            .collect();
        let started = starting.into_iter().map(|thread| match thread.join() {
            Ok(started) => started,
            Err(_) => bail!("a thread panicked"),
        });
        started.collect::<Result<_>>()
    })?;
    Ok((plugins, dockers))
}

fn endpoints(cluster: &Cluster) -> Result<Vec<Endpoint>> {
    let request = ListEndpointsRequest::default();
    Ok(cluster
        .api
        .call(async |mut c| c.list_endpoints(request).await)?
        .endpoints)
}

fn nothing_is_left(cluster: &Cluster, nodes: usize) -> Result<()> {
    wait::until("nothing to be left", || {
        let endpoints = endpoints(cluster)?;
        ensure!(endpoints.is_empty(), "endpoints: {endpoints:?}");
        let answer = cluster
            .api
            .call(async |mut c| c.list_networks(ListNetworksRequest {}).await)?;
        let networks: Vec<_> = answer.networks.iter().filter(|network| !network.external).collect();
        ensure!(networks.is_empty(), "networks: {networks:?}");
        let audit = cluster.api.call(async |mut c| c.audit(AuditRequest {}).await)?;
        ensure!(audit.findings.is_empty(), "audit: {:?}", audit.findings);
        let request = ListFloatingIpsRequest {};
        let floating = cluster
            .api
            .call(async |mut c| c.list_floating_ips(request).await)?
            .floating_ips;
        ensure!(floating.is_empty(), "floating addresses: {floating:?}");
        for node in 0..nodes {
            let links = cluster
                .compute(node)?
                .node
                .netns
                .sh("ls /sys/class/net | grep '^vr' || true")?;
            ensure!(links.is_empty(), "links: {links}");
        }
        Ok(())
    })
}

fn ping(docker: &Dockerd, from: &str, to: &str) -> Result<()> {
    docker.exec(from, &["ping", "-c", "2", "-W", "5", to]).map(drop)
}

/// Asks a container for its name by HTTP, from another one.
fn greet(docker: &Dockerd, from: &str, to: &str, expected: &str) -> Result<()> {
    let to = if to.contains(':') {
        format!("[{to}]")
    } else {
        to.to_owned()
    };
    let url = format!("http://{to}/");
    let said = docker.exec(from, &["busybox", "timeout", "10", "wget", "-q", "-O", "-", &url])?;
    ensure!(said == expected, "{url} from {from}: {said:?}");
    Ok(())
}

/// The address of a container in a network, as docker tells it.
fn address(docker: &Dockerd, container: &str, network: &str, field: &str) -> Result<String> {
    let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").{field}}}}}");
    docker.run(&["inspect", "-f", &format, container])
}

/// An external network on the wire, with a router from `blue`.
fn way_out(cluster: &Cluster) -> Result<()> {
    cluster.vrctl(None, &["network", "create", "public", "--external"])?;
    let host = cluster.others.first().context("there is a host on the wire")?;
    for (name, cidr, family, reserved) in [
        ("v4", "192.0.2.0/24", Family::V4, "192.0.2.1-192.0.2.99"),
        ("v6", "2001:db8:2::/64", Family::V6, "2001:db8:2::1-2001:db8:2::99"),
    ] {
        let (subnet, gateway) = (format!("public/{name}"), host.underlay(family).to_string());
        let arguments = [
            "subnet",
            "create",
            &subnet,
            "--cidr",
            cidr,
            "--gateway",
            &gateway,
            "--reserve",
            reserved,
        ];
        cluster.vrctl(None, &arguments)?;
    }
    cluster.vrctl(
        None,
        &["router", "create", "r", "--network", "blue", "--external", "public"],
    )?;
    Ok(())
}

#[test]
fn docker_containers_of_two_dockerds_share_a_network() -> Result<()> {
    require!(Root, Daemons, Docker);
    Topology::run("dockerds", |t| {
        let options = Options {
            others: 1,
            ..Options::default()
        };
        let cluster = Cluster::start(t, &options)?;
        let (_plugins, dockers) = dockers(&cluster, 2)?;
        let [one, two] = dockers.as_slice() else {
            bail!("two dockerds")
        };
        for docker in [one, two] {
            create(docker, &BLUE)?;
        }
        // Addresses: given by control, or chosen by the user.
        one.serve(
            "web1",
            &["--network", "blue", "--network-alias", "db", "--label", "app=web"],
        )?;
        let chosen = [
            "--network",
            "blue",
            "--ip",
            "10.1.0.77",
            "--ip6",
            "fd00:1::77",
            "--mac-address",
            "02:42:0a:01:00:4d",
        ];
        two.serve("web2", &chosen)?;
        let (web1, web1_v6) = (
            address(one, "web1", "blue", "IPAddress")?,
            address(one, "web1", "blue", "GlobalIPv6Address")?,
        );
        ensure!(address(two, "web2", "blue", "IPAddress")? == "10.1.0.77");
        let link = two.exec("web2", &["ip", "link", "show", "dev", "eth0"])?;
        ensure!(
            link.contains("mtu 60000") && link.contains("02:42:0a:01:00:4d"),
            "{link}"
        );
        let words = one.fails(&[
            "run",
            "--rm",
            "--network",
            "blue",
            "--ip",
            "10.1.0.77",
            IMAGE,
            "ip",
            "addr",
        ])?;
        ensure!(
            words.contains("10.1.0.77") && words.contains("docker-02420a01004d"),
            "{words}"
        );
        // Across the nodes, both families, at once after they have started.
        for to in ["10.1.0.77", "fd00:1::77"] {
            ping(one, "web1", to)?;
            greet(one, "web1", to, "web2")?;
        }
        for to in [&web1, &web1_v6] {
            ping(two, "web2", to)?;
            greet(two, "web2", to, "web1")?;
        }
        two.run(&[
            "run",
            "--rm",
            "--network",
            "blue",
            IMAGE,
            "ping",
            "-c",
            "1",
            "-W",
            "5",
            "fd00:1::77",
        ])?;
        // Names and aliases are of each dockerd's own; its resolver makes its rules in the container, and needs none outside.
        for name in ["db", "web1"] {
            let said = one.run(&["run", "--rm", "--network", "blue", IMAGE, "nslookup", name])?;
            ensure!(said.contains(&web1) && said.contains(&web1_v6), "{name}: {said}");
        }
        // Who they are is known to control.
        wait::until("names and labels of containers", || {
            let all = endpoints(&cluster)?;
            let has = |key: &str, value: &str| all.iter().any(|e| e.labels.get(key).is_some_and(|is| is == value));
            ensure!(
                has("docker.container", "web1") && has("docker.container", "web2") && has("app", "web"),
                "{all:?}"
            );
            Ok(())
        })?;

        // Another network, while they run.
        for docker in [one, two] {
            let green = [
                "-d",
                "vrouter",
                "--ipam-driver",
                "vrouter",
                "--subnet",
                "10.2.0.0/24",
                "--ipam-opt",
                "network=green",
                "green",
            ];
            create(docker, &green)?;
        }
        two.serve("other", &["--network", "green", "--ip", "10.2.0.50"])?;
        let apart = ["ping", "-c", "1", "-W", "1", "10.2.0.50"];
        ensure!(one.exec("web1", &apart).is_err(), "networks are apart");
        one.run(&["network", "connect", "green", "web1"])?;
        ping(one, "web1", "10.2.0.50")?;
        greet(one, "web1", "10.2.0.50", "other")?;
        ping(one, "web1", "10.1.0.77")?;
        one.run(&["network", "disconnect", "green", "web1"])?;
        ensure!(one.exec("web1", &apart).is_err(), "disconnected");
        ping(one, "web1", "fd00:1::77")?;

        // Published ports, from the underlay.
        let words = one.fails(&["run", "--rm", "--network", "blue", "-p", "8080:80", IMAGE, "ip", "addr"])?;
        ensure!(words.contains("vrctl router create"), "{words}");
        way_out(&cluster)?;
        one.serve("shop", &["--network", "blue", "-p", "8080:80"])?;
        let floating = cluster
            .api
            .call(async |mut c| c.list_floating_ips(ListFloatingIpsRequest {}).await)?;
        ensure!(floating.floating_ips.len() == 2, "{floating:?}");
        let host = cluster.others.first().context("there is a host on the wire")?;
        for published in &floating.floating_ips {
            let to = match published.address.contains(':') {
                true => format!("[{}]", published.address),
                false => published.address.clone(),
            };
            wait::until("the published port", || {
                let mut wget = host.netns.command("busybox");
                let said =
                    run::stdout(wget.args(["timeout", "3", "wget", "-q", "-O", "-", &format!("http://{to}:8080/")]))?;
                ensure!(said.trim() == "shop", "{said}");
                Ok(())
            })?;
        }
        let words = one.fails(&[
            "run",
            "-d",
            "--network",
            "blue",
            "-p",
            "8080:80",
            IMAGE,
            "sleep",
            "1000",
        ])?;
        ensure!(words.contains("8080"), "{words}");

        // What is in use stays; the rest goes.
        one.fails(&["network", "rm", "blue"])?;
        one.run(&["rm", "-f", "web1", "shop"])?;
        two.run(&["rm", "-f", "web2", "other"])?;
        // Those that could not start.
        let left = one.run(&["ps", "-aq"])?;
        if !left.is_empty() {
            one.run(&[&["rm", "-f"], left.lines().collect::<Vec<_>>().as_slice()].concat())?;
        }
        cluster.vrctl(None, &["router", "delete", "r"])?;
        for docker in [one, two] {
            docker.run(&["network", "rm", "blue", "green"])?;
        }
        nothing_is_left(&cluster, 2)
    })
}

#[test]
fn docker_goes_on_while_control_plugin_and_dockerd_die_and_come_back() -> Result<()> {
    require!(Root, Daemons, Docker);
    Topology::run("dockerd and deaths", |t| {
        let options = Options {
            nodes: 1,
            ..Options::default()
        };
        let mut cluster = Cluster::start(t, &options)?;
        let (mut plugins, mut dockers) = dockers(&cluster, 1)?;
        let (plugin, docker) = (&mut plugins[0], &mut dockers[0]);
        create(docker, &BLUE)?;
        docker.serve("aaa", &["--network", "blue"])?;
        docker.serve(
            "bbb",
            &["--network", "blue", "--ip", "10.1.0.50", "--ip6", "fd00:1::50"],
        )?;
        let meet = |docker: &Dockerd, from: &str| -> Result<()> {
            ping(docker, from, "10.1.0.50")?;
            greet(docker, from, "fd00:1::50", "bbb")
        };
        meet(docker, "aaa")?;

        // The plugin.
        plugin.daemon.kill9()?;
        meet(docker, "aaa").context("without the plugin")?;
        plugin.daemon.restart()?;
        plugin.wait_serving()?;
        meet(docker, "aaa").context("with a plugin that was started again")?;
        docker.serve("ccc", &["--network", "blue"])?;
        meet(docker, "ccc")?;
        docker.run(&["rm", "-f", "aaa"])?;

        // Control.
        cluster.control.kill9()?;
        meet(docker, "ccc").context("without control")?;
        let mut timed = Command::new("timeout");
        let command = docker.command(&["run", "--rm", "--network", "blue", IMAGE, "ip", "addr"]);
        timed.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        timed.arg("20").arg(command.get_program()).args(command.get_args());
        let refused = run::output(&mut timed)?;
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(
            refused.status.code() == Some(125) && words.contains("control is away"),
            "{:?} {words}",
            refused.status
        );
        docker.run(&["rm", "-f", "ccc", "bbb"])?;
        docker.run(&["network", "rm", "blue"])?;
        cluster.control.restart()?;
        nothing_is_left(&cluster, 1)?;

        // Dockerd, and its containers with it.
        create(docker, &BLUE)?;
        docker.serve("ddd", &["--network", "blue"])?;
        docker.serve(
            "bbb",
            &["--network", "blue", "--ip", "10.1.0.50", "--ip6", "fd00:1::50"],
        )?;
        docker.restart()?;
        docker.run(&["start", "ddd", "bbb"])?;
        wait::within(Duration::from_secs(10), "containers to meet again", || {
            meet(docker, "ddd")
        })?;
        docker.run(&["rm", "-f", "ddd", "bbb"])?;
        docker.run(&["network", "rm", "blue"])?;
        nothing_is_left(&cluster, 1)
    })
}
