//! What is installed around the daemons: systemd units that verify and confine, and daemons that do their work with exactly what the units leave
//! them, and tell the service manager the truth.

use std::{
    ffi::OsString,
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use vrouter_proto::control::Endpoint;
use vrouter_tests::{
    api,
    container::Container,
    daemon::{self, Daemon},
    node::{Family, Node, UPLINK},
    require, run,
    topology::Topology,
    traffic, wait,
};

const UNITS: [&str; 3] = ["vrouterd", "vrouter-control", "vrouter-docker"];

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd")
}

fn unit(name: &str) -> Result<String> {
    let file = units().join(format!("{name}.service"));
    fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// The last value of a setting.
fn setting(unit: &str, key: &str) -> Result<String> {
    let mut lines = unit.lines().rev();
    let found = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    found
        .map(str::to_owned)
        .with_context(|| format!("no {key} in the unit"))
}

#[test]
fn units_verify() -> Result<()> {
    require!(SystemdAnalyze);
    let directory = tempfile::tempdir()?;
    let mut files = Vec::new();
    for name in UNITS {
        // Verified where nothing is installed: any program that exists will do.
        let text = unit(name)?.replace("ExecStart=/usr/sbin/", "ExecStart=/bin/true ");
        let file = directory.path().join(format!("{name}.service"));
        fs::write(&file, text)?;
        files.push(file);
    }
    let output = run::output(
        Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .args(&files),
    )?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours = said
        .lines()
        .filter(|line| line.contains(&directory.path().display().to_string()));
    let ours: Vec<_> = ours.collect();
    ensure!(
        output.status.success() && ours.is_empty(),
        "systemd-analyze verify: {said}"
    );
    Ok(())
}

#[test]
fn units_expose_no_more_than_they_need() -> Result<()> {
    require!(SystemdAnalyze);
    // In tenths of systemd's scale from 0 (confined) to 10 (as root, unconfined); above 5 it says "medium".
    for (name, most) in [("vrouterd", 25), ("vrouter-control", 15), ("vrouter-docker", 25)] {
        let file = units().join(format!("{name}.service"));
        let mut command = Command::new("systemd-analyze");
        command
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={most}"))
            .arg(file);
        let output = run::output(&mut command)?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{name} is exposed beyond {most}/100: {}",
            said.lines().last().unwrap_or_default()
        );
    }
    Ok(())
}

/// `env` and `setpriv` before a program, so that it has what a unit leaves it.
fn confined(unit: &str, notify: &Path, program: &str) -> Result<Vec<OsString>> {
    let capabilities = setting(unit, "CapabilityBoundingSet")?;
    let set = capabilities
        .split_whitespace()
        .fold("-all".to_owned(), |set, capability| {
            format!("{set},+{}", capability.trim_start_matches("CAP_").to_lowercase())
        });
    let mut words = vec![
        format!("NOTIFY_SOCKET={}", notify.display()),
        "WATCHDOG_USEC=2000000".to_owned(),
        "setpriv".to_owned(),
        format!("--bounding-set={set}"),
        format!("--inh-caps={set}"),
        "--no-new-privs".to_owned(),
    ];
    words.push(daemon::binary(program)?.display().to_string());
    Ok(words.into_iter().map(OsString::from).collect())
}

/// Reads what a daemon tells its service manager until a line is among it.
fn hear(socket: &UnixDatagram, wanted: &str) -> Result<Vec<String>> {
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = socket
            .recv(&mut buffer)
            .with_context(|| format!("waited for {wanted}; heard {heard:?}"))?;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        heard.extend(text.lines().map(str::to_owned));
        if heard.iter().any(|line| line.starts_with(wanted)) {
            return Ok(heard);
        }
    }
}

#[test]
fn the_capabilities_of_the_unit_are_enough_and_the_service_manager_hears_the_truth() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("unit", |t| {
        let node = Node::new(t, "node1", 1)?;
        let far = t.netns("far")?;
        node.netns.veth(UPLINK, &far, "wire", 1500)?;
        for family in Family::BOTH {
            node.netns.address(UPLINK, &node.underlay_cidr(family))?;
        }

        let notify = t.state().join("notify");
        let manager = UnixDatagram::bind(&notify)?;
        let text = unit("vrouterd")?;
        let mut arguments = confined(&text, &notify, "vrouterd")?;
        let socket = t.state().join("vrouterd.sock");
        let mut flags = vec![
            "--node".to_owned(),
            "node1".to_owned(),
            "--frames".to_owned(),
            "8192".to_owned(),
        ];
        flags.extend(["--uplink".to_owned(), UPLINK.to_owned()]);
        for family in Family::BOTH {
            flags.extend(["--vtep".to_owned(), node.underlay_cidr(family)]);
        }
        flags.extend(["--listen".to_owned(), format!("unix:{}", socket.display())]);
        arguments.extend(flags.into_iter().map(OsString::from));
        let mut vrouterd = Daemon::start(
            &node.netns,
            "vrouterd",
            "/usr/bin/env".into(),
            arguments,
            Some(socket.clone()),
        )?;
        let heard = hear(&manager, "READY=1")?;
        ensure!(
            heard
                .iter()
                .any(|line| line.starts_with("STATUS=moving packets of node node1")),
            "{heard:?}"
        );
        hear(&manager, "WATCHDOG=1")?;

        // What it runs with is what the unit says, and nothing else.
        let status = fs::read_to_string(format!("/proc/{}/status", vrouterd.process().context("it runs")?))?;
        let sets = ["CapBnd:", "CapPrm:", "CapEff:"].map(|set| {
            let line = status.lines().find_map(|line| line.strip_prefix(set));
            line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        });
        // CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_IPC_LOCK 14, CAP_BPF 39.
        let mask = 1 << 12 | 1 << 13 | 1 << 14 | 1 << 39;
        ensure!(sets == [Some(mask); 3], "{sets:x?} is not {mask:x}");

        let control_text = unit("vrouter-control")?;
        let mut arguments = confined(&control_text, &notify, "vrouter-control")?;
        let control_socket = t.state().join("control.sock");
        let flags = [
            "--store".to_owned(),
            t.state().join("store").display().to_string(),
            "--listen".to_owned(),
            format!("unix:{}", control_socket.display()),
            "--dataplane".to_owned(),
            format!("node1=unix:{}", socket.display()),
        ];
        arguments.extend(flags.into_iter().map(OsString::from));
        let mut control = Daemon::start(
            &node.netns,
            "vrouter-control",
            "/usr/bin/env".into(),
            arguments,
            Some(control_socket.clone()),
        )?;
        hear(&manager, "STATUS=revision")?;

        // An uplink is attached already; now two workloads, and they talk.
        let api = api::Control::connect(&control_socket)?;
        api.node(vrouter_proto::control::Node {
            name: "node1".to_owned(),
            ..Default::default()
        })?;
        api.network(vrouter_proto::control::Network {
            name: "blue".to_owned(),
            ..Default::default()
        })?;
        api.subnet("blue", "v4", "10.1.0.0/24")?;
        api.subnet("blue", "v6", "fd00:1::/64")?;
        let attach = |name: &str| -> Result<Container> {
            let mut container = Container::new(&node, name)?;
            let endpoint = api.endpoint(Endpoint {
                network: "blue".to_owned(),
                name: name.to_owned(),
                node: "node1".to_owned(),
                interface: name.to_owned(),
                mac: container.mac()?,
                ..Default::default()
            })?;
            container.configure(&endpoint)?;
            Ok(container)
        };
        let (a, b) = (attach("a")?, attach("b")?);
        wait::until("the endpoints to be programmed", || api.in_sync())?;
        traffic::reachable(&[&a, &b], Duration::from_secs(30))?;

        let mut arguments = confined(&unit("vrouter-docker")?, &notify, "vrouter-docker")?;
        let flags = [
            "--node".to_owned(),
            "node1".to_owned(),
            "--listen".to_owned(),
            t.state().join("plugin.sock").display().to_string(),
            "--control".to_owned(),
            format!("unix:{}", control_socket.display()),
            "--state".to_owned(),
            t.state().join("plugin").display().to_string(),
            "--docker-api".to_owned(),
            "none".to_owned(),
        ];
        arguments.extend(flags.into_iter().map(OsString::from));
        let mut plugin = Daemon::start(&node.netns, "vrouter-docker", "/usr/bin/env".into(), arguments, None)?;
        hear(&manager, "STATUS=serving dockerd")?;

        for (daemon, name) in [
            (&mut plugin, "vrouter-docker"),
            (&mut control, "vrouter-control"),
            (&mut vrouterd, "vrouterd"),
        ] {
            let status = daemon.stop()?;
            ensure!(status.success(), "{name} ended with {status}");
            hear(&manager, "STOPPING=1")?;
        }
        Ok(())
    })
}
