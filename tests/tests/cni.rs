//! `vrouter-cni` by itself: every command of the specification, every version, every error that an engine may meet.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use vrouter_proto::control;
use vrouter_tests::{
    cluster::{Cluster, Options},
    cni::{Plugin, Target},
    netns::Netns,
    node::Family,
    require,
    topology::Topology,
    traffic::{self, Connection, Echo},
    wait,
};

/// What an answer without control may take: no waiting, but a busy machine.
const AT_ONCE: Duration = Duration::from_millis(1000);

fn cluster(topology: &Topology, others: u8) -> Result<Cluster> {
    let options = Options {
        nodes: 1,
        others,
        ..Default::default()
    };
    let cluster = Cluster::start(topology, &options)?;
    cluster.routed_network("blue", 1, control::Encapsulation::Vxlan)?;
    Ok(cluster)
}

fn plugin(cluster: &Cluster, fields: &Value) -> Result<Plugin> {
    let config = json!({
        "network": "blue",
        "node": "node1",
        "control": format!("unix:{}", cluster.control_socket.display()),
    });
    Ok(Plugin::new(&cluster.compute(0)?.node.netns, config)?.with(fields))
}

fn file(netns: &Netns) -> PathBuf {
    Path::new("/run/netns").join(netns.name())
}

fn endpoints(cluster: &Cluster) -> Result<Vec<control::Endpoint>> {
    let request = control::ListEndpointsRequest::default();
    let answer = cluster.api.call(async |mut api| api.list_endpoints(request).await)?;
    Ok(answer.endpoints)
}

fn floating(cluster: &Cluster) -> Result<Vec<control::FloatingIp>> {
    let request = control::ListFloatingIpsRequest {};
    Ok(cluster
        .api
        .call(async |mut api| api.list_floating_ips(request).await)?
        .floating_ips)
}

fn profiles(cluster: &Cluster) -> Result<Vec<control::QosProfile>> {
    let request = control::ListQosProfilesRequest {};
    Ok(cluster
        .api
        .call(async |mut api| api.list_qos_profiles(request).await)?
        .qos_profiles)
}

/// Links of the node that are ours.
fn links(cluster: &Cluster) -> Result<Vec<String>> {
    let text = cluster.compute(0)?.node.netns.sh("ls /sys/class/net")?;
    Ok(text
        .split_whitespace()
        .filter(|name| name.starts_with("vr"))
        .map(str::to_owned)
        .collect())
}

fn nothing_left(cluster: &Cluster) -> Result<()> {
    ensure!(
        endpoints(cluster)?.is_empty(),
        "endpoints are left: {:?}",
        endpoints(cluster)?
    );
    ensure!(
        floating(cluster)?.is_empty(),
        "floating addresses are left: {:?}",
        floating(cluster)?
    );
    ensure!(
        profiles(cluster)?.is_empty(),
        "profiles are left: {:?}",
        profiles(cluster)?
    );
    ensure!(links(cluster)?.is_empty(), "links are left: {:?}", links(cluster)?);
    cluster.settle()?;
    let audit = cluster
        .api
        .call(async |mut api| api.audit(control::AuditRequest {}).await)?;
    ensure!(audit.findings.is_empty(), "audit: {:?}", audit.findings);
    ensure!(
        audit.addresses_allocated == 0,
        "{} addresses are left",
        audit.addresses_allocated
    );
    Ok(())
}

#[test]
fn a_container_is_attached_checked_repaired_and_deleted() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("cni-life", |topology| {
        let cluster = cluster(topology, 0)?;
        let plugin = plugin(
            &cluster,
            &json!({"labels": {"app": "web"}, "dns": {"nameservers": ["10.1.0.1"]}}),
        )?;
        let box1 = topology.netns("box1")?;
        let netns = file(&box1);
        let id = "4d5e2f0a9b".repeat(6);
        let target = Target {
            id: &id,
            netns: Some(&netns),
            interface: "eth0",
        };

        let arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_UID=u-1;OTHER=x";
        let result = plugin.run("ADD", Some(target), arguments)?.ok()?;
        // The very first packet goes through: nothing is tried twice here.
        for gateway in ["10.1.0.1", "fd00:1::1"] {
            traffic::ping(&box1, gateway.parse()?, 1)?;
        }
        ensure!(
            result["cniVersion"] == "1.1.0" && result["dns"]["nameservers"][0] == "10.1.0.1",
            "{result}"
        );
        ensure!(
            result["interfaces"][1]["name"] == "eth0" && result["interfaces"][1]["mtu"] == 60000,
            "{result}"
        );
        ensure!(
            result["ips"][0]["address"] == "10.1.0.2/24" && result["ips"][1]["address"] == "fd00:1::2/64",
            "{result}"
        );
        ensure!(
            result["routes"].as_array().is_some_and(|routes| routes.len() == 2),
            "{result}"
        );
        let endpoint = endpoints(&cluster)?.pop().context("no endpoint")?;
        for (key, value) in [
            ("app", "web"),
            ("k8s.namespace", "shop"),
            ("k8s.pod", "web-1"),
            ("k8s.pod-uid", "u-1"),
            ("cni.container", id.as_str()),
        ] {
            ensure!(
                endpoint.labels.get(key).is_some_and(|found| found == value),
                "{key}: {:?}",
                endpoint.labels
            );
        }
        // The host's end speaks for nobody.
        let host = result["interfaces"][0]["name"].as_str().context("no name")?;
        let shown = cluster
            .compute(0)?
            .node
            .netns
            .sh(&format!("ip -o addr show dev {host}"))?;
        ensure!(shown.trim().is_empty(), "{host} has addresses: {shown}");

        plugin.check(target, &result)?.ok()?;
        let again = plugin.run("ADD", Some(target), arguments)?.ok()?;
        ensure!(again == result, "ADD again: {again}\nfirst: {result}");

        // Each thing that is broken is found, and ADD repairs it.
        for (what, damage) in [
            ("an address", "ip addr del fd00:1::2/64 dev eth0"),
            ("a route", "ip route del default"),
            ("the interface down", "ip link set eth0 down"),
            ("the MTU", "ip link set eth0 mtu 1400"),
            ("the link", "ip link del eth0"),
        ] {
            box1.sh(damage)?;
            let answer = plugin.check(target, &result)?;
            ensure!(answer.code()? == 100, "{what}: {}", answer.json);
            let again = plugin.run("ADD", Some(target), arguments)?.ok()?;
            ensure!(again == result, "ADD after {what}: {again}");
            plugin
                .check(target, &result)?
                .ok()
                .with_context(|| format!("CHECK after {what} was repaired"))?;
            traffic::ping(&box1, "fd00:1::1".parse()?, 1).with_context(|| what.to_owned())?;
        }
        let mut other = result.clone();
        other["ips"][0]["address"] = "10.1.0.99/24".into();
        ensure!(plugin.check(target, &other)?.code()? == 100);

        plugin.del(target)?;
        nothing_left(&cluster)?;
        plugin.del(target)?;
        // Nothing of it is known any more, and the namespace is gone.
        plugin.del(Target {
            netns: Some(Path::new("/run/netns/none")),
            ..target
        })?;
        plugin.del(Target { netns: None, ..target })?;
        ensure!(plugin.check(target, &result)?.code()? == 3);

        // The namespace goes first, as when a machine was restarted.
        plugin.add(target)?;
        drop(box1);
        plugin.with(&json!({"network": "renamed"})).del(target)?;
        nothing_left(&cluster)
    })
}

#[test]
fn versions_are_negotiated_and_mistakes_are_named() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("cni-protocol", |topology| {
        let cluster = cluster(topology, 0)?;
        let plugin = plugin(&cluster, &json!({}))?;
        let box1 = topology.netns("box1")?;
        let netns = file(&box1);
        let target = Target {
            id: "c1",
            netns: Some(&netns),
            interface: "eth0",
        };

        let answer = plugin.run("VERSION", None, "")?.ok()?;
        ensure!(
            answer["supportedVersions"] == json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]),
            "{answer}"
        );
        for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let plugin = plugin.with(&json!({"cniVersion": version}));
            let result = plugin.add(target)?;
            ensure!(result["cniVersion"] == version, "{result}");
            let old = version < "1.0.0";
            ensure!(
                result["ips"][1].get("version").is_some_and(|v| v == "6") == old,
                "{result}"
            );
            ensure!(
                result["interfaces"][1].get("mtu").is_some() == (version == "1.1.0"),
                "{result}"
            );
            let checked = plugin.check(target, &result)?;
            ensure!(
                if version == "0.3.1" {
                    checked.code()? == 1
                } else {
                    checked.success
                },
                "{}",
                checked.json
            );
            let status = plugin.run("STATUS", None, "")?;
            ensure!(
                if version == "1.1.0" {
                    status.success
                } else {
                    status.code()? == 1
                },
                "{}",
                status.json
            );
            plugin.del(target)?;
        }
        plugin.run("STATUS", None, "")?.ok()?;

        // Each mistake with its code, and the words that help.
        for (fields, code, words) in [
            (json!({"cniVersion": "0.2.0"}), 1, "0.2.0"),
            (json!({"cniVersion": "2.0.0"}), 1, "2.0.0"),
            (json!({"netwrok": "blue"}), 2, "did you mean network?"),
            (json!({"ipam": {"type": "host-local"}}), 2, "host-local"),
            (json!({"ipMasq": true}), 2, "ipMasq"),
            (json!({"runtimeConfig": {"infinibandGUID": "x"}}), 2, "infinibandGUID"),
            (json!({"labels": 7}), 6, "a map"),
            (json!({"control": "http//x"}), 7, "http://"),
            (json!({"timeout": -1.0}), 7, "timeout"),
            (json!({"network": "bleu"}), 101, "did you mean blue?"),
            (json!({"node": "node9"}), 101, "node9"),
            (json!({"runtimeConfig": {"ips": ["10.9.9.9"]}}), 101, "10.9.9.9"),
            (json!({"runtimeConfig": {"mac": "01:00:5e:00:00:01"}}), 101, "unicast"),
            (
                json!({"runtimeConfig": {"portMappings": [{"hostPort": 80, "containerPort": 80}]}}),
                7,
                "external",
            ),
        ] {
            let answer = plugin.with(&fields).run("ADD", Some(target), "")?;
            ensure!(answer.code()? == code, "{fields}: {}", answer.json);
            let said = answer.json["msg"].as_str().unwrap_or_default().to_owned();
            ensure!(said.contains(words), "{fields}: {said}");
        }
        for (target, arguments) in [
            (Target { id: "", ..target }, ""),
            (Target { id: "-c", ..target }, ""),
            (
                Target {
                    interface: "a/b",
                    ..target
                },
                "",
            ),
            (
                Target {
                    interface: "sixteen-letters-",
                    ..target
                },
                "",
            ),
            (Target { netns: None, ..target }, ""),
            (target, "FOO=bar"),
            (target, "nonsense"),
        ] {
            let answer = plugin.run("ADD", Some(target), arguments)?;
            ensure!(answer.code()? == 4, "{target:?} {arguments}: {}", answer.json);
        }
        ensure!(plugin.run("DANCE", None, "")?.code()? == 4);
        ensure!(plugin.run("GC", None, "")?.code()? == 7);
        ensure!(plugin.run("CHECK", Some(target), "")?.code()? == 7);
        let gone = Target {
            netns: Some(Path::new("/run/netns/none")),
            ..target
        };
        ensure!(plugin.run("ADD", Some(gone), "")?.code()? == 3);
        // Somebody else's interface is left alone.
        box1.ip("link add eth0 type veth peer name other")?;
        ensure!(plugin.run("ADD", Some(target), "")?.code()? == 102);
        box1.ip("link del eth0")?;
        nothing_left(&cluster)?;

        // Behind another plugin of a chain, what that made is passed on.
        let before = json!({"cniVersion": "1.1.0", "interfaces": [{"name": "lo", "sandbox": netns}],
            "ips": [{"address": "127.0.0.1/8", "interface": 0}]});
        let result = plugin.with(&json!({"prevResult": before})).add(target)?;
        ensure!(
            result["interfaces"][0]["name"] == "lo" && result["ips"][1]["interface"] == 2,
            "{result}"
        );
        plugin.check(target, &result)?.ok()?;
        plugin.del(target)?;
        nothing_left(&cluster)
    })
}

#[test]
fn without_control_or_dataplane_errors_come_at_once() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("cni-away", |topology| {
        let mut cluster = cluster(topology, 0)?;
        let plugin = plugin(&cluster, &json!({"timeout": 1.0}))?;
        let box1 = topology.netns("box1")?;
        let netns = file(&box1);
        let target = Target {
            id: "c1",
            netns: Some(&netns),
            interface: "eth0",
        };
        let result = plugin.add(target)?;

        cluster.control.kill9()?;
        for (verb, code) in [("ADD", 11), ("DEL", 11), ("STATUS", 50)] {
            let answer = plugin.run(verb, Some(target), "")?;
            ensure!(answer.code()? == code, "{verb}: {}", answer.json);
            ensure!(answer.took < AT_ONCE, "{verb} took {:?}", answer.took);
            ensure!(
                answer.json["msg"]
                    .as_str()
                    .is_some_and(|m| m.contains("control is away")),
                "{}",
                answer.json
            );
        }
        let checked = plugin.check(target, &result)?;
        ensure!(checked.code()? == 11 && checked.took < AT_ONCE, "{checked:?}");
        // The link is gone all the same: nothing is heard of the container.
        ensure!(links(&cluster)?.is_empty(), "{:?}", links(&cluster)?);
        cluster.control.restart()?;
        plugin.del(target)?;
        nothing_left(&cluster)?;

        // It is there, but does not answer.
        let process = cluster.control.process().context("no process")?;
        let stopped = Stopped::new(process)?;
        let answer = plugin.run("ADD", Some(target), "")?;
        ensure!(
            answer.code()? == 11 && answer.took < Duration::from_secs(4),
            "{answer:?}"
        );
        let answer = plugin.run("DEL", Some(target), "")?;
        ensure!(
            answer.code()? == 11 && answer.took < Duration::from_secs(4),
            "{answer:?}"
        );
        drop(stopped);
        // What was asked of it meanwhile may have been done: DEL again, as engines do.
        wait::until("the late ADD to be undone", || {
            plugin.del(target)?;
            nothing_left(&cluster)
        })?;

        // Without a dataplane nothing can be attached, and what was made is unmade.
        let compute = cluster.computes.first_mut().context("no node")?;
        compute.vrouterd.kill9()?;
        wait::until("STATUS to tell", || {
            ensure!(plugin.run("STATUS", None, "")?.code()? == 50);
            Ok(())
        })?;
        let answer = plugin.run("ADD", Some(target), "")?;
        ensure!(answer.code()? == 11, "{}", answer.json);
        ensure!(endpoints(&cluster)?.is_empty() && links(&cluster)?.is_empty());
        cluster.computes.first_mut().context("no node")?.vrouterd.restart()?;
        wait::until("STATUS to be well", || plugin.run("STATUS", None, "")?.ok())?;
        plugin.add(target)?;
        traffic::ping(&box1, "10.1.0.1".parse()?, 1)?;
        plugin.del(target)?;
        nothing_left(&cluster)
    })
}

/// A process that stands still until this is dropped.
struct Stopped(u32);

impl Stopped {
    fn new(process: u32) -> Result<Self> {
        signal(process, "STOP")?;
        Ok(Self(process))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = signal(self.0, "CONT");
    }
}

fn signal(process: u32, name: &str) -> Result<()> {
    let mut command = std::process::Command::new("kill");
    vrouter_tests::run::stdout(command.args([format!("-{name}"), process.to_string()]))?;
    Ok(())
}

#[test]
fn ports_limits_and_addresses_are_as_the_engine_asks() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("cni-capabilities", |topology| {
        let cluster = cluster(topology, 1)?;
        cluster.api.network(control::Network {
            name: "public".into(),
            external: true,
            ..Default::default()
        })?;
        // The nodes' own addresses are not to be handed out.
        for (name, cidr, gateway, reserved) in [
            ("v4", "192.0.2.0/24", "192.0.2.254", "192.0.2.1-192.0.2.50"),
            (
                "v6",
                "2001:db8:2::/64",
                "2001:db8:2::fe",
                "2001:db8:2::1-2001:db8:2::50",
            ),
        ] {
            let subnet = Some(control::Subnet {
                network: "public".into(),
                name: name.into(),
                cidr: cidr.into(),
                gateway: gateway.into(),
                reserved: vec![reserved.into()],
                ..Default::default()
            });
            let request = control::CreateSubnetRequest { subnet };
            cluster.api.call(async |mut api| api.create_subnet(request).await)?;
        }
        cluster.api.router(control::Router {
            name: "out".into(),
            networks: vec!["blue".into()],
            external_network: "public".into(),
            ..Default::default()
        })?;
        let own = ["192.0.2.60", "2001:db8:2::60"];
        let plugin = plugin(&cluster, &json!({"publish": {"network": "public", "addresses": own}}))?;
        let boxes = [topology.netns("box1")?, topology.netns("box2")?];
        let files = [file(&boxes[0]), file(&boxes[1])];
        let target = |index: usize, id: &'static str| Target {
            id,
            netns: Some(&files[index]),
            interface: "eth0",
        };
        let ports = |port: u16| {
            json!([
                {"hostPort": port, "containerPort": Echo::PORT, "protocol": "tcp"},
                {"hostPort": port, "containerPort": Echo::PORT, "protocol": "udp"},
            ])
        };

        // Two containers share the node's addresses.
        let first = plugin.with(&json!({"runtimeConfig": {"portMappings": ports(8001), "ips": ["10.1.0.77", "fd00:1::77/64"],
            "mac": "02:00:00:00:00:77", "bandwidth": {"ingressRate": 80_000_000, "egressRate": 80_000_000, "egressBurst": 8_000_000}}}));
        let result = first.add(target(0, "c1"))?;
        ensure!(
            result["ips"][0]["address"] == "10.1.0.77/24" && result["ips"][1]["address"] == "fd00:1::77/64",
            "{result}"
        );
        ensure!(result["interfaces"][1]["mac"] == "02:00:00:00:00:77", "{result}");
        ensure!(boxes[0].mac("eth0")? == "02:00:00:00:00:77");
        ensure!(first.add(target(0, "c1"))? == result);
        plugin
            .with(&json!({"runtimeConfig": {"portMappings": ports(8002)}}))
            .add(target(1, "c2"))?;
        let profile = profiles(&cluster)?.pop().context("no profile")?;
        ensure!(
            profile.ingress.is_some_and(|rate| rate.bits_per_second == 80_000_000),
            "{profile:?}"
        );
        ensure!(floating(&cluster)?.len() == 2, "{:?}", floating(&cluster)?);
        cluster.settle()?;
        let outside = &cluster.others.first().context("no other node")?.netns;
        let servers = [Echo::start(&boxes[0])?, Echo::start(&boxes[1])?];
        for address in own {
            for port in [8001, 8002] {
                let to = (address.parse::<std::net::IpAddr>()?, port).into();
                let mut connection = wait::until("a published port", || {
                    Connection::open_to(outside, to, Duration::from_secs(2))
                })?;
                connection.exchange(10_000).with_context(|| format!("{to}"))?;
            }
        }
        drop(servers);

        // A port is one container's.
        let box3 = topology.netns("box3")?;
        let third = file(&box3);
        let third = Target {
            id: "c3",
            netns: Some(&third),
            interface: "eth0",
        };
        let answer = plugin
            .with(&json!({"runtimeConfig": {"portMappings": ports(8001)}}))
            .run("ADD", Some(third), "")?;
        ensure!(answer.code()? == 101, "{}", answer.json);
        ensure!(
            answer.json["msg"].as_str().is_some_and(|m| m.contains("8001")),
            "{}",
            answer.json
        );
        ensure!(endpoints(&cluster)?.len() == 2, "the refused one is unmade");
        let v4_only = json!([{"hostPort": 8003, "containerPort": 1, "protocol": "tcp", "hostIP": "0.0.0.0"}]);
        plugin
            .with(&json!({"runtimeConfig": {"portMappings": v4_only}}))
            .add(third)?;
        let forwards = |address: &str| -> Result<usize> {
            let all = floating(&cluster)?;
            Ok(all
                .iter()
                .filter(|f| f.address == address)
                .map(|f| f.forwards.len())
                .sum())
        };
        ensure!(
            (forwards(own[0])?, forwards(own[1])?) == (5, 4),
            "{:?}",
            floating(&cluster)?
        );

        // GC: what is not known goes, with its ports and limits.
        plugin.gc(&[("c2", "eth0"), ("c3", "eth0")])?;
        ensure!(
            (forwards(own[0])?, forwards(own[1])?) == (3, 2),
            "{:?}",
            floating(&cluster)?
        );
        ensure!(profiles(&cluster)?.is_empty());
        plugin.with(&json!({"name": "other"})).gc(&[])?;
        ensure!(
            endpoints(&cluster)?.len() == 2,
            "another configuration's attachments are left alone"
        );
        plugin.del(target(1, "c2"))?;
        // As the first engines with GC call the list.
        let old = plugin.with(&json!({"cni.dev/attachments": [{"containerID": "c3", "ifname": "eth0"}]}));
        old.run("GC", None, "")?.ok()?;
        ensure!(endpoints(&cluster)?.len() == 1);
        plugin.gc(&[])?;
        nothing_left(&cluster)
    })
}

#[test]
fn a_network_is_made_where_the_configuration_asks_for_it() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("cni-create", |topology| {
        let cluster = cluster(topology, 0)?;
        let subnets = json!({"subnets": ["10.9.0.0/24", "fd00:9::/64"]});
        let plugin = plugin(
            &cluster,
            &json!({"name": "green", "network": "green", "create": subnets}),
        )?;
        let boxes = [topology.netns("box1")?, topology.netns("box2")?];
        let files = [file(&boxes[0]), file(&boxes[1])];
        // Both at once: neither minds the other's making it.
        std::thread::scope(|scope| -> Result<()> {
            let runs: Vec<_> = files
                .iter()
                .zip(["c1", "c2"])
                .map(|(netns, id)| {
                    let plugin = plugin.clone();
                    scope.spawn(move || {
                        plugin.add(Target {
                            id,
                            netns: Some(netns),
                            interface: "eth0",
                        })
                    })
                })
                .collect();
            for run in runs {
                run.join().map_err(|_| anyhow::anyhow!("a thread broke off"))??;
            }
            Ok(())
        })?;
        for family in Family::BOTH {
            let to = boxes[1]
                .addresses("eth0")?
                .into_iter()
                .find(|a| Family::of(*a) == family);
            traffic::ping(&boxes[0], to.context("no address")?, 1)?;
        }
        // Another run has come half-way: the container waits for nobody, and lacks nothing.
        cluster.api.network(control::Network {
            name: "half".into(),
            ..Default::default()
        })?;
        cluster.api.subnet("half", "v4-0", "10.7.0.0/24")?;
        let half = plugin
            .with(&json!({"name": "half", "network": "half", "create": {"subnets": ["10.7.0.0/24", "fd00:7::/64"]}}));
        let box4 = topology.netns("box4")?;
        let netns = file(&box4);
        let target = Target {
            id: "c4",
            netns: Some(&netns),
            interface: "eth0",
        };
        half.add(target)?;
        let families: Vec<_> = box4.addresses("eth0")?.into_iter().map(Family::of).collect();
        ensure!(Family::BOTH.iter().all(|f| families.contains(f)), "{families:?}");
        half.del(target)?;
        let bridged = plugin
            .with(&json!({"name": "red", "network": "red", "create": {"subnets": ["10.8.0.0/24"], "bridged": true}}));
        let box3 = topology.netns("box3")?;
        let netns = file(&box3);
        let target = Target {
            id: "c3",
            netns: Some(&netns),
            interface: "eth0",
        };
        let result = bridged.add(target)?;
        let mtu = result["interfaces"][1]["mtu"].as_u64().context("no mtu")?;
        ensure!(
            (1280..=1500).contains(&mtu),
            "a bridged network has the underlay's MTU, not {mtu}"
        );
        ensure!(box3.link_file("eth0", "mtu")?.trim() == mtu.to_string());
        bridged.del(target)?;
        for id in ["c1", "c2"] {
            plugin.del(Target {
                id,
                netns: None,
                interface: "eth0",
            })?;
        }
        nothing_left(&cluster)
    })
}
