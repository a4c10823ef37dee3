//! A full disk under the running process: its file may not grow beyond a limit, and then may again.

use std::process::{Command, Stdio};

use tonic::Code;
use vrouter_proto::control as pb;

use crate::{
    house::Ground,
    kill::{Process, client},
};

fn network(name: String) -> pb::CreateNetworkRequest {
    // Large enough to fill the file in reasonable time.
    let labels = (0..60).map(|n| (format!("k{n}"), "x".repeat(250))).collect();
    pb::CreateNetworkRequest {
        network: Some(pb::Network {
            name,
            labels,
            ..Default::default()
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_error_and_not_the_end() {
    let ground = Ground::new();
    let directory = ground.directory.path();
    let (socket, store) = (directory.join("control.sock"), directory.join("control.redb"));
    // The shell counts in blocks of 512 or 1024 bytes; either leaves room for a few hundred networks.
    let limited = format!(
        "ulimit -S -f 4096 && exec {} --listen unix:{} --store {}",
        env!("CARGO_BIN_EXE_vrouter-control"),
        socket.display(),
        store.display()
    );
    let process = Process(
        Command::new("sh")
            .args(["-c", &limited])
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut api = client(directory).await;
    let mut made = 0;
    let refused = loop {
        match api.create_network(network(format!("n{made}"))).await {
            Ok(_) => made += 1,
            Err(status) => break status,
        }
        assert!(made < 5000, "the limit was never reached");
    };
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let said = refused.message();
    assert!(
        said.contains("control.redb") && said.contains("no space left") && said.contains("nothing was changed"),
        "{said}"
    );

    // It goes on answering, with all that it had.
    let list = api
        .list_networks(pb::ListNetworksRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.networks.len(), made);
    assert_eq!(list.revision, made as u64);

    // There is room again: it goes on, without a restart.
    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited:", "--pid", &process.0.id().to_string()])
        .status();
    assert!(lifted.unwrap().success());
    api.create_network(network(format!("n{made}"))).await.unwrap();
    assert_eq!(
        api.audit(pb::AuditRequest {}).await.unwrap().into_inner().findings,
        Vec::<String>::new()
    );
    let list = api
        .list_networks(pb::ListNetworksRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.networks.len(), made + 1);
}
