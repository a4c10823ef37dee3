//! Many endpoints: 200 on one node and 2,000 elsewhere attach and talk; how long from attaching to the first packet.

use std::{
    net::{IpAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vrouter_proto::{
    control::{DeleteEndpointRequest, Encapsulation, Endpoint, Node},
    dataplane::{Kind, object::Object},
};
use vrouter_tests::{
    cluster::{Cluster, Options},
    container::Container,
    require,
    topology::Topology,
    traffic::Echo,
};

const LOCAL: u16 = 200;
const REMOTE: u16 = 2000;

/// How long the first packet may take before the test gives up: it judges that packets flow, not how fast.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn two_hundred_endpoints_here_and_two_thousand_elsewhere_attach_and_talk() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("scale", |t| {
        let cluster = Cluster::start(
            t,
            &Options {
                frames: 32768,
                vrouterd: ["--access-rings", "128"].map(str::to_owned).to_vec(),
                ..Options::default()
            },
        )?;
        let network = cluster.api.network(vrouter_proto::control::Network {
            name: "blue".to_owned(),
            encapsulation: Encapsulation::Vxlan.into(),
            ..Default::default()
        })?;
        cluster.api.subnet(&network.name, "v4", "10.9.0.0/16")?;
        cluster.api.subnet(&network.name, "v6", "fd00:9::/64")?;
        // A node that is only known: nothing is programmed there.
        cluster.api.node(Node {
            name: "far".to_owned(),
            vtep_addresses: vec!["192.0.2.77".to_owned()],
            ..Default::default()
        })?;
        let anchor = cluster.attach(1, "blue", "anchor")?;
        let _echo = Echo::start(&anchor.netns)?;
        let targets = anchor.addresses().to_vec();

        let began = Instant::now();
        create_remote(&cluster)?;
        println!("{REMOTE} remote endpoints wished for in {:?}", began.elapsed());
        let mut times = Vec::new();
        let mut containers = Vec::new();
        for number in 0..LOCAL {
            let (container, time) = attach(&cluster, number, &targets)?;
            times.push(time);
            containers.push(container);
        }
        cluster.settle()?;
        times.sort_unstable();
        let percentile = |p: usize| times.get(times.len() * p / 100).copied().unwrap_or_default();
        println!(
            "attach to first answered packet, {LOCAL} endpoints beside {REMOTE} remote ones: p50 {:?}, p99 {:?}",
            percentile(50),
            percentile(99)
        );
        let dataplane = cluster.compute(0)?.dataplane()?;
        let routes = dataplane.dump(&[Kind::Route])?.len();
        // Two addresses each; of each family one gateway, and the subnet's rest that leads nowhere.
        ensure!(routes == 2 * usize::from(LOCAL + REMOTE + 1) + 2 * 2, "{routes} routes");
        // All of them, still, at once.
        for container in &containers {
            for target in &targets {
                first_answer(container, *target)?;
            }
        }
        for container in containers.iter().step_by(2) {
            let request = DeleteEndpointRequest {
                network: "blue".to_owned(),
                name: container.name.clone(),
            };
            cluster
                .api
                .call(async |mut client| client.delete_endpoint(request).await)?;
        }
        cluster.settle()?;
        let ports = dataplane
            .dump(&[Kind::Port])?
            .into_iter()
            .filter(|o| matches!(o, Object::Port(p) if !p.uplink))
            .count();
        ensure!(ports == usize::from(LOCAL) / 2, "{ports} ports are left");
        for container in containers.iter().skip(1).step_by(2) {
            for target in &targets {
                first_answer(container, *target)?;
            }
        }
        Ok(())
    })
}

/// Endpoints of the far node, wished for by several clients at once.
fn create_remote(cluster: &Cluster) -> Result<()> {
    const CLIENTS: u16 = 8;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let api = vrouter_tests::api::Control::connect(&cluster.control_socket)?;
                    for number in (client..REMOTE).step_by(usize::from(CLIENTS)) {
                        api.endpoint(Endpoint {
                            network: "blue".to_owned(),
                            name: format!("far-{number}"),
                            node: "far".to_owned(),
                            interface: format!("far{number}"),
                            ..Default::default()
                        })?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(())
    })
}

/// Attaches one container, configured beforehand, and gives the time from the wish to the first answer it got.
fn attach(cluster: &Cluster, number: u16, targets: &[IpAddr]) -> Result<(Container, Duration)> {
    let name = format!("c{number}");
    let node = &cluster.compute(0)?.node;
    let mut container = Container::new(node, &name)?;
    let (v4, v6) = (format!("10.9.100.{}", number), format!("fd00:9::a:{number:x}"));
    container.address(&format!("{v4}/16"))?;
    container.gateway("10.9.0.1")?;
    container.address(&format!("{v6}/64"))?;
    container.gateway("fd00:9::1")?;
    container.mtu(1400)?;
    // A question that was asked before there was anybody to answer is asked again after a second: that would be measured.
    container.netns.sysctl("ipv4.neigh.eth0.retrans_time_ms", "2")?;
    let endpoint = Endpoint {
        network: "blue".to_owned(),
        name: name.clone(),
        node: node.name.clone(),
        interface: name,
        mac: container.mac()?,
        addresses: vec![v4, v6],
        ..Default::default()
    };
    let target = *targets.first().context("the anchor has no address")?;
    let start = Instant::now();
    cluster.api.endpoint(endpoint)?;
    first_answer(&container, target)?;
    Ok((container, start.elapsed()))
}

/// Sends until an answer comes.
fn first_answer(container: &Container, target: IpAddr) -> Result<()> {
    let any: IpAddr = if target.is_ipv4() {
        [0; 4].into()
    } else {
        [0; 16].into()
    };
    let socket = container.netns.enter(|| UdpSocket::bind((any, 0)))??;
    socket.connect((target, Echo::PORT))?;
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 64];
    while Instant::now() < deadline {
        // Refused or unreachable until it is attached.
        let _ = socket.send(b"first");
        if socket.recv(&mut buffer).is_ok() {
            return Ok(());
        }
    }
    anyhow::bail!("{} got no answer from {target} in {PATIENCE:?}", container.name)
}
