//! The real process, killed without warning.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tonic::transport::Channel;
use vrouter_control::transport::{Address, connect};
use vrouter_proto::control::{self as pb, control_client::ControlClient};

use crate::house::Ground;

/// Killed when dropped.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vrouter-control"));
    command
        .arg("--listen")
        .arg(format!("unix:{}", directory.join("control.sock").display()))
        .arg("--store")
        .arg(directory.join("control.redb"))
        .arg("--dataplane")
        .arg(format!("node-a=unix:{}", directory.join("node-a.sock").display()))
        .args(["--log", "warn"])
        .stderr(Stdio::null());
    command
}

pub(crate) async fn client(directory: &Path) -> ControlClient<Channel> {
    let address = Address::Unix(directory.join("control.sock"));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match connect(&address, Duration::from_secs(1)).await {
            Ok(channel) => return ControlClient::new(channel),
            Err(error) => assert!(Instant::now() < deadline, "never came up: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn endpoint(name: String) -> pb::CreateEndpointRequest {
    let endpoint = pb::Endpoint {
        network: "blue".into(),
        interface: format!("v{name}"),
        name,
        node: "node-a".into(),
        ..Default::default()
    };
    pb::CreateEndpointRequest {
        endpoint: Some(endpoint),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_kill() {
    let ground = Ground::new();
    let directory = ground.directory.path();
    let fake = ground.fake("node-a");
    let mut process = Process(command(directory).spawn().unwrap());
    let mut api = client(directory).await;
    let network = pb::Network {
        name: "blue".into(),
        ..Default::default()
    };
    api.create_network(pb::CreateNetworkRequest { network: Some(network) })
        .await
        .unwrap();
    let subnet = pb::Subnet {
        network: "blue".into(),
        name: "v4".into(),
        cidr: "10.1.0.0/16".into(),
        ..Default::default()
    };
    api.create_subnet(pb::CreateSubnetRequest { subnet: Some(subnet) })
        .await
        .unwrap();
    while api
        .list_nodes(pb::ListNodesRequest {})
        .await
        .unwrap()
        .into_inner()
        .nodes
        .is_empty()
    {}

    let mut answered: Vec<pb::Endpoint> = Vec::new();
    for round in 0..4 {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let mut api = api.clone();
                tokio::spawn(async move {
                    let mut made = Vec::new();
                    for n in 0.. {
                        match api.create_endpoint(endpoint(format!("r{round}w{writer}n{n}"))).await {
                            Ok(endpoint) => made.push(endpoint.into_inner()),
                            Err(_) => break,
                        }
                    }
                    made
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(40 + 30 * round)).await;
        process.0.kill().unwrap();
        process.0.wait().unwrap();
        for writer in writers {
            answered.extend(writer.await.unwrap());
        }
        process = Process(command(directory).spawn().unwrap());
        api = client(directory).await;
    }
    assert!(!answered.is_empty());

    let list = pb::ListEndpointsRequest {
        network: "blue".into(),
        node: String::new(),
        ..Default::default()
    };
    let kept = api.list_endpoints(list).await.unwrap().into_inner().endpoints;
    for endpoint in &answered {
        let found = kept
            .iter()
            .find(|e| e.name == endpoint.name)
            .unwrap_or_else(|| panic!("{} is lost", endpoint.name));
        assert_eq!(
            (&found.uid, &found.addresses, found.number),
            (&endpoint.uid, &endpoint.addresses, endpoint.number)
        );
    }
    // The leak check compares the dataplane, too.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let findings = api.audit(pb::AuditRequest {}).await.unwrap().into_inner().findings;
        if findings.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{findings:?}");
    }
    let ports = fake
        .held()
        .keys()
        .filter(|k| matches!(k, vrouter_control::compile::ObjectKey::Port(_)))
        .count();
    assert_eq!(ports, kept.len());

    // A second process must not come near.
    let second = command(directory).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("another process"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_when_it_is_ready_and_ends_when_asked() {
    let ground = Ground::new();
    let directory = ground.directory.path();
    for signal in ["TERM", "INT"] {
        // One for each process: what the last one said at its end is not for this one.
        let place = directory.join(signal);
        let notify = std::os::unix::net::UnixDatagram::bind(&place).unwrap();
        notify.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut command = command(directory);
        let mut process = Process(command.env("NOTIFY_SOCKET", &place).spawn().unwrap());
        let mut said = [0; 1024];
        let length = notify.recv(&mut said).unwrap();
        assert!(
            said[..length].starts_with(b"READY=1\n"),
            "{}",
            said[..length].escape_ascii()
        );
        let mut api = client(directory).await;
        // Somebody watching must not keep it from ending.
        let mut watch = api
            .watch(pb::WatchRequest { kinds: vec![] })
            .await
            .unwrap()
            .into_inner();
        while watch.message().await.unwrap().unwrap().r#type() != pb::watch_event::Type::Synced {}
        let asked = Command::new("kill")
            .args(["-s", signal, &process.0.id().to_string()])
            .status()
            .unwrap();
        assert!(asked.success());
        assert!(process.0.wait().unwrap().success(), "{signal}");
        assert!(!directory.join("control.sock").exists(), "the socket is gone");
    }
}

#[test]
fn bad_settings_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("control.toml");
    std::fs::write(&file, "stroe = \"/x\"\n").unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_vrouter-control"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = run(&["--config", file.to_str().unwrap()]);
    assert!(said.contains("stroe") && said.contains("control.toml"), "{said}");
    let said = run(&["--config", "/does/not/exist"]);
    assert!(said.contains("/does/not/exist"), "{said}");
    std::fs::write(&file, "log = \"a=b=c\"\n").unwrap();
    let said = run(&["--config", file.to_str().unwrap()]);
    assert!(said.contains("log:"), "{said}");
    let garbage = directory.path().join("garbage.redb");
    std::fs::write(&garbage, vec![7_u8; 8192]).unwrap();
    let said = run(&[
        "--store",
        garbage.to_str().unwrap(),
        "--listen",
        "unix:/tmp/unused.sock",
    ]);
    assert!(said.contains("garbage.redb") && said.contains("damaged"), "{said}");
}
