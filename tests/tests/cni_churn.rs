//! A thousand containers come and go, several at a time, some plugins killed half-way; nothing of them is left.

use std::{
    path::{Path, PathBuf},
    process::Child,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::json;
use vrouter_proto::{control, dataplane};
use vrouter_tests::{
    cluster::{Cluster, Options},
    cni::{Plugin, Target},
    daemon,
    netns::Netns,
    require, run,
    topology::Topology,
    traffic, wait,
};

const CYCLES: usize = 1000;
/// Between two of which the engine collects what crashes left behind.
const ROUND: usize = 125;
/// Containers that come and go at the same time. Each keeps its namespace: what is tested is not how fast the kernel makes those.
const WORKERS: usize = 8;

/// A sequence that is the same in every run.
fn noise(cycle: usize, salt: u64) -> u64 {
    let mut x = (cycle as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 31;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 29)
}

/// Kills a plugin at some moment of its work: from before it has read anything to after it has answered.
fn kill(mut child: Child, cycle: usize, salt: u64) -> Result<()> {
    thread::sleep(Duration::from_micros(noise(cycle, salt) % 60_000));
    let _ = child.kill();
    child.wait()?;
    Ok(())
}

struct Worker<'a> {
    plugin: &'a Plugin,
    netns: &'a Netns,
    file: PathBuf,
    peer: [std::net::IpAddr; 2],
}

impl Worker<'_> {
    fn cycle(&self, cycle: usize) -> Result<()> {
        let id = format!("{cycle:08x}{:016x}", noise(cycle, 1));
        // What a crash leaves in the namespace is in nobody's way.
        let interface = format!("e{cycle}");
        let target = Target {
            id: &id,
            netns: Some(&self.file),
            interface: &interface,
        };
        let mut fields = json!({});
        if cycle.is_multiple_of(4) {
            fields["runtimeConfig"]["portMappings"] =
                json!([{"hostPort": 20_000 + cycle, "containerPort": 80, "protocol": "tcp"}]);
        }
        if cycle.is_multiple_of(5) {
            fields["runtimeConfig"]["bandwidth"] = json!({"ingressRate": 1_000_000_000_u64 + cycle as u64});
        }
        let plugin = self.plugin.with(&fields);
        match noise(cycle, 2) % 10 {
            // The engine crashes along with ADD: only GC will know.
            0 => kill(plugin.start("ADD", Some(target), "")?, cycle, 3),
            // ADD is killed, and the engine deletes what it may have made.
            1 => {
                kill(plugin.start("ADD", Some(target), "")?, cycle, 3)?;
                plugin.del(target)
            }
            // DEL is killed, and not tried again.
            2 => {
                plugin.add(target)?;
                kill(plugin.start("DEL", Some(target), "")?, cycle, 4)
            }
            // DEL is killed, and tried again.
            3 => {
                plugin.add(target)?;
                kill(plugin.start("DEL", Some(target), "")?, cycle, 4)?;
                plugin.del(target)
            }
            _ => {
                let result = plugin.add(target)?;
                if cycle % 10 == 5 {
                    // From this one's address, whatever else crashes left in the namespace.
                    let ips = result["ips"].as_array().context("no addresses")?;
                    for (ip, peer) in ips.iter().zip(self.peer) {
                        let source = ip["address"]
                            .as_str()
                            .and_then(|a| a.split('/').next())
                            .context("no address")?;
                        let options = ["-I", interface.as_str(), "-I", source];
                        let options = if source.contains(':') {
                            &options[..2]
                        } else {
                            &options[..]
                        };
                        let pings = traffic::pings(self.netns, peer, 1, options)?;
                        ensure!(pings.received == 1, "{}", pings.text);
                    }
                }
                plugin.del(target)
            }
        }
        .with_context(|| format!("cycle {cycle}, container {id}"))
    }
}

#[test]
fn a_thousand_containers_leave_nothing_behind() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("cni-churn", |topology| {
        let cluster = Cluster::start(
            topology,
            &Options {
                nodes: 1,
                frames: 65536,
                ..Default::default()
            },
        )?;
        cluster.routed_network("blue", 1, control::Encapsulation::Vxlan)?;
        cluster.api.network(control::Network {
            name: "public".into(),
            external: true,
            ..Default::default()
        })?;
        let subnet = Some(control::Subnet {
            network: "public".into(),
            name: "v4".into(),
            cidr: "192.0.2.0/24".into(),
            gateway: "192.0.2.254".into(),
            ..Default::default()
        });
        let request = control::CreateSubnetRequest { subnet };
        cluster.api.call(async |mut api| api.create_subnet(request).await)?;
        cluster.api.router(control::Router {
            name: "out".into(),
            networks: vec!["blue".into()],
            external_network: "public".into(),
            ..Default::default()
        })?;
        let compute = cluster.compute(0)?;
        let plugin = Plugin::new(
            &compute.node.netns,
            json!({
                "network": "blue",
                "node": "node1",
                "control": format!("unix:{}", cluster.control_socket.display()),
                "publish": {"addresses": ["192.0.2.60"]},
                // A machine that does much else at the same time is no reason to fail.
                "timeout": 60.0,
            }),
        )?;
        // One that stays, for others to talk to: they leave flows behind.
        let peer = topology.netns("peer")?;
        let file = |netns: &Netns| Path::new("/run/netns").join(netns.name());
        let peer_file = file(&peer);
        let peer_target = Target {
            id: "peer",
            netns: Some(&peer_file),
            interface: "eth0",
        };
        plugin.add(peer_target)?;
        let addresses = peer.addresses("eth0")?;
        let [v4, v6] = addresses[..] else {
            return Err(anyhow!("the peer has {addresses:?}"));
        };

        let boxes: Vec<Netns> = (0..WORKERS)
            .map(|n| topology.netns(&format!("box{n}")))
            .collect::<Result<_>>()?;
        for round in (0..CYCLES).step_by(ROUND) {
            let next = AtomicUsize::new(round);
            thread::scope(|scope| -> Result<()> {
                let workers: Vec<_> = boxes
                    .iter()
                    .map(|netns| {
                        let worker = Worker {
                            plugin: &plugin,
                            netns,
                            file: file(netns),
                            peer: [v4, v6],
                        };
                        let next = &next;
                        scope.spawn(move || -> Result<()> {
                            loop {
                                let cycle = next.fetch_add(1, Ordering::Relaxed);
                                if cycle >= (round + ROUND).min(CYCLES) {
                                    return Ok(());
                                }
                                worker.cycle(cycle)?;
                            }
                        })
                    })
                    .collect();
                for worker in workers {
                    worker.join().map_err(|_| anyhow!("a worker broke off"))??;
                }
                Ok(())
            })?;
            plugin.gc(&[("peer", "eth0")])?;
            let left = endpoints(&cluster)?;
            ensure!(left.len() == 1, "after GC there is more than the peer: {left:?}");
        }
        plugin.del(peer_target)?;

        ensure!(endpoints(&cluster)?.is_empty());
        cluster.settle()?;
        let audit = run::stdout(std::process::Command::new(daemon::binary("vrctl")?).args([
            "--control",
            &format!("unix:{}", cluster.control_socket.display()),
            "audit",
        ]))?;
        let counted = cluster
            .api
            .call(async |mut api| api.audit(control::AuditRequest {}).await)?;
        ensure!(counted.findings.is_empty(), "{audit}");
        ensure!(counted.addresses_allocated == 0 && counted.endpoints == 0, "{audit}");
        ensure!(counted.floating_ips == 0 && counted.qos_profiles == 0, "{audit}");
        for netns in boxes.iter().chain([&peer, &compute.node.netns]) {
            let links = netns.sh("ls /sys/class/net")?;
            let left: Vec<_> = links.split_whitespace().filter(|link| *link != "lo").collect();
            ensure!(left.is_empty(), "links are left in {}: {left:?}", netns.name());
        }
        let dataplane = compute.dataplane()?;
        wait::until("the dataplane to be empty", || {
            use dataplane::Kind;
            let objects = dataplane.dump(&[Kind::Port, Kind::Vrf, Kind::Route, Kind::NextHop])?;
            ensure!(
                objects.is_empty(),
                "{} objects are left: {:?}",
                objects.len(),
                objects.first()
            );
            let flows = dataplane.flows()?;
            ensure!(flows.is_empty(), "{} flows are left: {:?}", flows.len(), flows.first());
            Ok(())
        })
    })
}

fn endpoints(cluster: &Cluster) -> Result<Vec<control::Endpoint>> {
    let request = control::ListEndpointsRequest::default();
    Ok(cluster
        .api
        .call(async |mut api| api.list_endpoints(request).await)?
        .endpoints)
}
