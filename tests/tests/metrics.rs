//! Metrics of both daemons, read by the real Prometheus, and what is made of them in deploy/monitoring.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use vrouter_proto::control::Encapsulation;
use vrouter_tests::{
    cluster::{Cluster, Options},
    container::Container,
    daemon::Daemon,
    http,
    node::Family,
    require, run,
    topology::Topology,
    traffic, wait,
};

const DATAPLANE: &str = "9170";
const CONTROL: &str = "9171";

fn monitoring() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "deploy", "monitoring"]
        .iter()
        .collect()
}

/// Two nodes, one network with a container on each, and metrics served everywhere. node1 reaches control's by 198.18.0.2.
fn scene(topology: &Topology) -> Result<(Cluster, Container, Container)> {
    let cluster = Cluster::start(
        topology,
        &Options {
            vrouterd: vec!["--metrics".into(), format!("[::]:{DATAPLANE}")],
            control: vec!["--metrics".into(), format!("0.0.0.0:{CONTROL}")],
            ..Options::default()
        },
    )?;
    let node = &cluster.compute(0)?.node.netns;
    node.veth("mgmt0", &cluster.control_netns, "mgmt0", 1500)?;
    node.address("mgmt0", "198.18.0.1/30")?;
    cluster.control_netns.address("mgmt0", "198.18.0.2/30")?;
    cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
    let (a, b) = (cluster.attach(0, "blue", "a")?, cluster.attach(1, "blue", "b")?);
    cluster.settle()?;
    for family in Family::BOTH {
        wait::until("the way to be known", || traffic::ping(&a.netns, b.ip(family)?, 1))?;
    }
    Ok((cluster, a, b))
}

fn address(text: &str) -> Result<SocketAddr> {
    Ok(text.parse()?)
}

/// Sends datagrams to where there is no route.
fn lose(from: &Container, to: &str, count: usize) -> Result<()> {
    let to = address(to)?;
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = from.netns.enter(|| UdpSocket::bind(any))??;
    for _ in 0..count {
        // The error about the one before may be told here.
        while socket.send_to(b"nowhere", to).is_err() {}
    }
    Ok(())
}

/// Everything after `marker` that looks like the name of a metric, of those that are ours or the process's.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.contains(':') || word.starts_with("vrouter_") || word.starts_with("process_"))
        .filter(|word| word.contains("vrouter_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// The names of all series that a page has or can have.
fn told(page: &str) -> BTreeSet<String> {
    let types = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .flat_map(|(name, kind)| match kind {
            "histogram" => ["_bucket", "_sum", "_count"]
                .map(|suffix| format!("{name}{suffix}"))
                .to_vec(),
            _ => vec![name.to_owned()],
        })
        .collect()
}

/// Expressions of a dashboard, wherever they are.
fn expressions(value: &serde_json::Value, to: &mut String) {
    match value {
        serde_json::Value::Object(members) => {
            for (key, member) in members {
                match member.as_str() {
                    Some(text) if ["expr", "query", "definition"].contains(&key.as_str()) => {
                        to.push_str(text);
                        to.push('\n');
                    }
                    _ => expressions(member, to),
                }
            }
        }
        serde_json::Value::Array(all) => all.iter().for_each(|one| expressions(one, to)),
        _ => {}
    }
}

#[test]
fn rules_are_sound_and_alerts_fire_when_they_should() -> Result<()> {
    require!(Prometheus);
    let promtool = |arguments: &[&str]| run::stdout(Command::new("promtool").args(arguments).current_dir(monitoring()));
    promtool(&["check", "rules", "recording.rules.yml", "alerts.rules.yml"])?;
    promtool(&["check", "config", "prometheus.yml"])?;
    promtool(&["test", "rules", "tests.yml"])?;
    Ok(())
}

#[test]
fn pages_are_clean_and_whatever_dashboards_and_alerts_ask_for_is_told() -> Result<()> {
    require!(Root, Daemons, Prometheus);
    Topology::run("pages", |t| {
        let (cluster, ..) = scene(t)?;
        let node = &cluster.compute(0)?.node.netns;
        let servers = [
            address(&format!("[::1]:{DATAPLANE}"))?,
            address(&format!("198.18.0.2:{CONTROL}"))?,
        ];
        let mut all = BTreeSet::new();
        for server in servers {
            let page = http::ok(node, server, "/metrics")?;
            // Complaints come with a failure, except for style.
            let lint = run::with_input(Command::new("promtool").args(["check", "metrics"]), &page);
            lint.with_context(|| format!("promtool about {server}:\n{page}"))?;
            all.append(&mut told(&page));
            let accept = "Accept: application/openmetrics-text; version=1.0.0";
            let (_, open) = http::get(node, server, "/metrics", &[accept])?;
            ensure!(open.ends_with("# EOF\n"), "OpenMetrics ends so");
            ensure!(http::ok(node, server, "/healthz")? == "ok\n");
            ensure!(http::ok(node, server, "/readyz")? == "ok\n");
        }
        let (mut asked, mut recorded) = (String::new(), BTreeSet::new());
        for file in ["recording.rules.yml", "alerts.rules.yml"] {
            let text = fs::read_to_string(monitoring().join(file))?;
            recorded.extend(
                text.lines()
                    .filter_map(|l| Some(l.split_once("record: ")?.1.to_owned())),
            );
            asked.push_str(&text);
        }
        let dashboard = fs::read_to_string(monitoring().join("grafana-dashboard.json"))?;
        expressions(&serde_json::from_str(&dashboard)?, &mut asked);
        ensure!(names(&asked).len() > 40, "they ask for a lot: {:?}", names(&asked));
        let unknown: Vec<_> = names(&asked)
            .into_iter()
            .filter(|name| !all.contains(name) && !recorded.contains(name))
            .collect();
        ensure!(unknown.is_empty(), "nobody tells {unknown:?}");
        Ok(())
    })
}

/// What Prometheus answers to a query, if it is one number.
fn query(cluster: &Cluster, expression: &str) -> Result<f64> {
    let node = &cluster.compute(0)?.node.netns;
    let escaped: String = expression
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let answer = http::ok(
        node,
        address("127.0.0.1:9090")?,
        &format!("/api/v1/query?query={escaped}"),
    )?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let value = &answer["data"]["result"][0]["value"][1];
    Ok(value
        .as_str()
        .with_context(|| format!("{expression}: {answer}"))?
        .parse()?)
}

#[test]
fn prometheus_scrapes_both_daemons_and_counts_what_was_sent() -> Result<()> {
    require!(Root, Daemons, Prometheus);
    Topology::run("scrape", |t| {
        let (cluster, a, b) = scene(t)?;
        let text = fs::read_to_string(monitoring().join("prometheus.yml"))?
            .replace("node1:9170", "127.0.0.1:9170")
            // Over the uplink: all but tunnels is the host's there.
            .replace("node2:9170", "192.0.2.2:9170")
            .replace("control:9171", "198.18.0.2:9171")
            .replace("15s", "1s");
        for rules in ["recording.rules.yml", "alerts.rules.yml"] {
            fs::copy(monitoring().join(rules), t.state().join(rules))?;
        }
        let config = t.state().join("prometheus.yml");
        fs::write(&config, text)?;
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", t.state().join("tsdb").display()),
            "--web.listen-address=127.0.0.1:9090".to_owned(),
            "--log.level=warn".to_owned(),
        ];
        let _prometheus = Daemon::start(
            &cluster.compute(0)?.node.netns,
            "prometheus",
            "prometheus".into(),
            arguments.map(OsString::from).to_vec(),
            None,
        )?;
        let expect = |expression: &str, value: f64| {
            wait::until(expression, || {
                let found = query(&cluster, expression)?;
                ensure!((found - value).abs() < 1e-9, "{found}, not {value}");
                Ok(())
            })
        };
        expect("sum(up)", 3.0)?;
        expect("sum(vrouter_control_dataplane_connected)", 2.0)?;
        expect(r#"vrouter_control_dataplanes{state="synced"}"#, 2.0)?;

        // Dropped: all of it, and nothing else.
        lose(&a, "10.99.0.1:9", 50)?;
        lose(&a, "[fd99::1]:9", 30)?;
        lose(&b, "10.99.0.1:9", 7)?;
        let drops = r#"sum by (port) (vrouter_port_drops_total{port="blue/a",reason="no_route"})"#;
        expect(drops, 80.0)?;
        expect(r#"sum(vrouter_drops_total{reason="no_route"})"#, 87.0)?;
        expect(r#"sum(vrouter_vrf_drops_total{vrf="blue",reason="no_route"})"#, 87.0)?;

        // Carried: as vrctl says, to the packet.
        for family in Family::BOTH {
            traffic::ping_with(&a.netns, b.ip(family)?, 20, &["-i", "0.01"])?;
        }
        for (name, field) in [
            ("vrouter_port_received_packets_total", "rx_packets"),
            ("vrouter_port_received_bytes_total", "rx_bytes"),
            ("vrouter_port_sent_packets_total", "tx_packets"),
        ] {
            let expression = format!(r#"{name}{{port="blue/a"}}"#);
            wait::until(&expression, || {
                let stats: serde_json::Value =
                    serde_json::from_str(&cluster.vrctl(Some(0), &["stats", "-o", "json"])?)?;
                let ports = stats["ports"].as_array().context("ports")?;
                let port = ports.iter().find(|p| p["name"] == "blue/a").context("blue/a")?;
                let (told, found) = (port[field].as_f64().context("a number")?, query(&cluster, &expression)?);
                ensure!(
                    (told - found).abs() < 1e-9 && found >= 40.0,
                    "{found}, but vrctl: {told}"
                );
                Ok(())
            })?;
        }
        let endpoints = r#"vrouter_control_objects{kind="endpoint"}"#;
        expect(endpoints, 2.0)?;
        expect(
            r#"vrouter_rpc_handled_total{service="vrouter.control.v1.Control",method="CreateEndpoint",code="ok"}"#,
            2.0,
        )?;
        ensure!(query(&cluster, "instance:vrouter_flows:ratio{instance=\"127.0.0.1:9170\"}")? > 0.0);

        // Rules and alerts run on what real daemons tell, and nothing is wrong.
        let rules = http::ok(
            &cluster.compute(0)?.node.netns,
            address("127.0.0.1:9090")?,
            "/api/v1/rules",
        )?;
        let rules: serde_json::Value = serde_json::from_str(&rules)?;
        let groups = rules["data"]["groups"].as_array().context("groups")?;
        let all: Vec<_> = groups.iter().filter_map(|g| g["rules"].as_array()).flatten().collect();
        ensure!(all.len() > 25, "{} rules", all.len());
        for rule in all {
            ensure!(rule["health"] != "err", "{rule}");
            ensure!(rule["state"] != "firing", "nothing is wrong, but: {rule}");
        }

        // A dataplane that is gone is told.
        let mut cluster = cluster;
        cluster.computes[1].vrouterd.kill9()?;
        wait::until("the lost dataplane to be told", || {
            let found = query(&cluster, r#"vrouter_control_dataplane_connected{node="node2"}"#)?;
            ensure!(found == 0.0, "{found}");
            let up = query(&cluster, r#"up{instance="192.0.2.2:9170"}"#)?;
            ensure!(up == 0.0, "{up}");
            Ok(())
        })
    })
}
