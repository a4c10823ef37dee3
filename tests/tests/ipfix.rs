//! Flows told to a collector as IPFIX, decoded by tshark, who knows nothing of us.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::mpsc::RecvTimeoutError,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use vrouter_proto::control::Encapsulation;
use vrouter_tests::{
    capture::Capture,
    cluster::{Cluster, Options},
    container::Container,
    http,
    netns::Netns,
    node::Family,
    require,
    topology::Topology,
    traffic, wait,
};

const COLLECTOR: &str = "127.0.0.1:4739";

fn bind(netns: &Netns, address: &str) -> Result<UdpSocket> {
    Ok(netns.enter(|| UdpSocket::bind(address))??)
}

/// Sends some datagrams of 100 bytes from port 5555, without waiting for anything.
fn send(from: &Container, to: SocketAddr, count: usize) -> Result<()> {
    let any = if to.is_ipv4() { "0.0.0.0:5555" } else { "[::]:5555" };
    let socket = bind(&from.netns, any)?;
    for _ in 0..count {
        socket.send_to(&[7; 100], to)?;
    }
    Ok(())
}

/// What tshark says of each record, a line for each value, those with one address at one end only.
fn records<'a>(text: &'a str, source: &str, destination: &str) -> Vec<Vec<&'a str>> {
    let (source, destination) = (format!("SrcAddr: {source}"), format!("DstAddr: {destination}"));
    let mut all: Vec<Vec<&str>> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("Flow ") && line[5..].bytes().all(|b| b.is_ascii_digit()) {
            all.push(Vec::new());
        } else if let Some(record) = all.last_mut() {
            record.push(line);
        }
    }
    all.retain(|record| record.contains(&source.as_str()) && record.contains(&destination.as_str()));
    all
}

fn expect(text: &str, (source, destination): (&str, &str), values: &[&str]) -> Result<()> {
    let found = records(text, source, destination);
    let fits = |record: &&Vec<&str>| values.iter().all(|value| record.contains(value));
    ensure!(
        found.iter().filter(fits).count() == 1,
        "from {source} to {destination} one record with {values:?}, of {found:#?}"
    );
    Ok(())
}

/// The number at the end of a line with this beginning.
fn number(record: &[&str], key: &str) -> Option<u64> {
    record
        .iter()
        .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

#[test]
fn collectors_hear_of_carried_denied_translated_and_lasting_flows() -> Result<()> {
    require!(Root, Daemons, Tshark);
    Topology::run("ipfix", |t| {
        let arguments = [
            "--ipfix",
            &format!("udp:{COLLECTOR}"),
            "--ipfix-domain",
            "77",
            "--ipfix-active",
            "2",
            "--metrics",
            "127.0.0.1:9170",
            "--flow-timeout",
            "udp=1",
            "--flow-timeout",
            "unreplied=1",
            "--flow-timeout",
            "untracked=1",
            "--flow-timeout",
            "denied=1",
            "--flow-timeout",
            "icmp=1",
        ];
        let mut cluster = Cluster::start(
            t,
            &Options {
                nodes: 1,
                vrouterd: arguments.map(str::to_owned).to_vec(),
                ..Options::default()
            },
        )?;
        let node = &cluster.compute(0)?.node.netns;
        let collector = bind(node, COLLECTOR)?;
        let capture = Capture::start(node, "lo", "udp dst port 4739")?;
        cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
        let (a, b, c) = (
            cluster.attach(0, "blue", "a")?,
            cluster.attach(0, "blue", "b")?,
            cluster.attach(0, "blue", "c")?,
        );
        cluster.vrctl(None, &["endpoint", "update", "blue/b", "--label", "app=echo"])?;
        cluster.vrctl(None, &["endpoint", "update", "blue/c", "--label", "app=shut"])?;
        cluster.vrctl(None, &["group", "create", "echo", "--label", "app=echo"])?;
        cluster.vrctl(None, &["group", "create", "shut", "--label", "app=shut"])?;
        let policy = ["policy", "create", "shut", "--applies-to", "shut", "--isolate-ingress"];
        cluster.vrctl(None, &policy)?;
        let service = [
            "service",
            "create",
            "blue/echo",
            "--port",
            "udp/80=9999",
            "--group",
            "echo",
            "-o",
            "json",
        ];
        let service: serde_json::Value = serde_json::from_str(&cluster.vrctl(None, &service)?)?;
        let vips: Vec<String> = serde_json::from_value(service["addresses"].clone())?;
        cluster.settle()?;
        for family in Family::BOTH {
            wait::until("the way to be known", || traffic::ping(&a.netns, b.ip(family)?, 1))?;
        }
        let sinks = [bind(&b.netns, "0.0.0.0:9999")?, bind(&b.netns, "[::1]:9998")?];
        let sink6 = bind(&b.netns, &format!("[{}]:9999", b.ip(Family::V6)?))?;

        // Whoever listens from the middle understands nothing until templates come again, twice a minute.
        collector.set_read_timeout(Some(Duration::from_secs(40)))?;
        let mut message = [0; 2048];
        while collector.recv(&mut message[..]).is_ok() && message[16..18] != [0, 2] {}
        collector.set_read_timeout(Some(Duration::from_millis(100)))?;

        for family in Family::BOTH {
            send(&a, SocketAddr::new(b.ip(family)?, 9999), 10)?;
            send(&a, SocketAddr::new(c.ip(family)?, 7777), 5)?;
            let vip = vips.iter().find(|vip| vip.contains(':') == (family == Family::V6));
            send(&a, SocketAddr::new(vip.context("an address")?.parse()?, 80), 3)?;
        }
        // A flow that lasts longer than collectors may wait.
        let (lasting, to) = (
            bind(&a.netns, "0.0.0.0:6666")?,
            SocketAddr::new(b.ip(Family::V4)?, 9999),
        );
        for _ in 0..50 {
            lasting.send_to(&[7; 72], to)?;
            std::thread::sleep(Duration::from_millis(100));
        }
        wait::until("all flows to end", || {
            let page = http::ok(node, "127.0.0.1:9170".parse()?, "/metrics")?;
            ensure!(page.lines().any(|line| line == "vrouter_flows 0"), "some live");
            Ok(())
        })?;
        // What ended is told within a quarter of a second.
        std::thread::sleep(Duration::from_secs(1));
        let mut message = [0; 2048];
        while let Ok(length) = collector.recv(&mut message) {
            ensure!(length <= 1232, "a message of {length} bytes");
        }
        let page = http::ok(node, "127.0.0.1:9170".parse()?, "/metrics")?;
        // Flows that live when the daemon ends.
        let unended: Vec<_> = Family::BOTH
            .into_iter()
            .map(|family| {
                let any = if family == Family::V4 {
                    "0.0.0.0:7070"
                } else {
                    "[::]:7071"
                };
                Ok((bind(&a.netns, any)?, SocketAddr::new(b.ip(family)?, 9999)))
            })
            .collect::<Result<_>>()?;
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let sender = std::thread::spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
                for (socket, to) in &unended {
                    let _ = socket.send_to(&[7; 100], to);
                }
            }
        });
        std::thread::sleep(Duration::from_millis(500));
        let ended = cluster.computes[0].vrouterd.stop()?;
        drop(stop);
        ensure!(sender.join().is_ok() && ended.success(), "{ended}");
        drop((sinks, sink6));
        let pcap = capture.stop()?;
        let text = pcap.tshark(&["-V", "-O", "cflow"])?;
        ensure!(!text.contains("No template found"), "templates come first");

        let (a4, a6) = (a.ip(Family::V4)?.to_string(), a.ip(Family::V6)?.to_string());
        for (source, family, headers) in [(&a4, Family::V4, 28), (&a6, Family::V6, 48)] {
            let (b, c) = (b.ip(family)?.to_string(), c.ip(family)?.to_string());
            let octets = |count: u64| format!("Octets: {}", count * (100 + headers));
            expect(
                &text,
                (source, &b),
                &[
                    "SrcPort: 5555",
                    "DstPort: 9999",
                    "Protocol: UDP (17)",
                    "Packets: 10",
                    &octets(10),
                    "Biflow Direction: Initiator (1)",
                    "Direction: Ingress (0)",
                    "Flow End Reason: Idle timeout (1)",
                    "Firewall Event: Flow deleted (2)",
                ],
            )?;
            expect(
                &text,
                (source, &c),
                &[
                    "DstPort: 7777",
                    "Packets: 5",
                    &octets(5),
                    "Firewall Event: Flow denied (3)",
                    "..00 0001 = ForwardingStatusDropCode: Drop ACL Deny (1)",
                    "OutputInt: 0",
                ],
            )?;
            let vip = vips
                .iter()
                .find(|vip| vip.contains(':') == (family == Family::V6))
                .context("one")?;
            let version = if family == Family::V4 { "IPv4" } else { "IPv6" };
            expect(
                &text,
                (source, vip),
                &[
                    "DstPort: 80",
                    "Packets: 3",
                    &octets(3),
                    &format!("Post NAT Source {version} Address: {source}"),
                    &format!("Post NAT Destination {version} Address: {b}"),
                    "Post NAPT Destination Transport Port: 9999",
                ],
            )?;
        }
        for (source, family, port) in [(&a4, Family::V4, 7070), (&a6, Family::V6, 7071)] {
            let last = [&format!("SrcPort: {port}"), "Flow End Reason: Forced end (4)"];
            expect(&text, (source, &b.ip(family)?.to_string()), &last)?;
        }
        // Told of while it lasted, and each packet once.
        let lasting = records(&text, &a4, &to.ip().to_string());
        let lasting: Vec<_> = lasting.iter().filter(|r| r.contains(&"SrcPort: 6666")).collect();
        let sum: u64 = lasting.iter().filter_map(|record| number(record, "Packets:")).sum();
        let bytes: u64 = lasting.iter().filter_map(|record| number(record, "Octets:")).sum();
        ensure!((sum, bytes) == (50, 5000), "{lasting:#?}");
        let active = |record: &&&Vec<&str>| record.contains(&"Flow End Reason: Active timeout (2)");
        ensure!(lasting.iter().filter(active).count() >= 1, "{lasting:#?}");
        // Names, and what the exporter says of itself.
        for line in ["Observation Domain Id: 77", "VRFname: blue", "Sampling_Flow_Spacing: 0"] {
            ensure!(text.lines().any(|l| l.trim() == line), "{line}");
        }
        ensure!(text.contains("blue/a") && text.contains("blue/b"), "names of ports");
        let told = page
            .lines()
            .find_map(|line| line.strip_prefix(r#"vrouter_ipfix_records_total{result="sent"} "#))
            .context("counted")?;
        // The last flows came after the page.
        let data: usize = text.matches("Flow End Reason:").count() - text.matches("Port: 707").count();
        ensure!(told.parse::<usize>()? >= data && data >= 8, "{told} told, {data} heard");
        Ok(())
    })
}
