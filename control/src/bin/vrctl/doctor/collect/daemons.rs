//! What the daemons say of themselves and of each other.

use std::{path::Path, time::Duration};

use tokio::time::timeout;
use tonic::transport::Channel;
use vrouter_proto::{
    control::{self as ctl, control_client::ControlClient},
    dataplane::{self as dp, dataplane_client::DataplaneClient},
};

use super::Wish;
use crate::{
    cli::Context,
    connect::Address,
    doctor::facts::{Daemon, Driven, Facts, Node, Port},
    failure::Failure,
};

/// How long each may take for all that it is asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks both.
pub(super) async fn ask(facts: &mut Facts, wish: &Wish, context: &Context) {
    facts.control = reach(context.control_address());
    let control = within(async { ask_control(facts, &mut context.control().await?).await }).await;
    facts.control.answer = Some(control);
    if wish.node.is_empty() {
        facts.dataplane = reach(context.dataplane_address());
        let dataplane = within(async { ask_dataplane(facts, &mut context.dataplane().await?).await }).await;
        facts.dataplane.answer = Some(dataplane);
        return;
    }
    // Of another node, control says where its dataplane listens.
    let address = facts.driven_address(&wish.node);
    let Some(address) = address else {
        facts.dataplane.answer = Some(Err(format!(
            "vrouter-control drives no dataplane of a node {}",
            wish.node
        )));
        return;
    };
    facts.dataplane.address.clone_from(&address);
    let dataplane = within(async {
        let address: Address = address.parse().map_err(Failure::Usage)?;
        ask_dataplane(facts, &mut crate::connect::dataplane(&address).await?).await
    });
    facts.dataplane.answer = Some(dataplane.await);
}

fn reach(address: &Address) -> Daemon {
    Daemon {
        address: address.to_string(),
        socket: match address {
            Address::Unix(path) => Some(Path::new(path).exists()),
            Address::Tcp(_) => None,
        },
        answer: None,
    }
}

async fn within(answer: impl Future<Output = Result<String, Failure>>) -> Result<String, String> {
    match timeout(PATIENCE, answer).await {
        Ok(Ok(version)) => Ok(version),
        Ok(Err(Failure::Unreachable { reason, .. })) => Err(reason),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask_control(facts: &mut Facts, control: &mut ControlClient<Channel>) -> Result<String, Failure> {
    let info = control.get_info(ctl::GetInfoRequest {}).await?.into_inner();
    facts.driven = info
        .dataplanes
        .into_iter()
        .map(|status| Driven {
            node: status.node,
            address: status.address,
            connected: status.connected,
            error: status.error,
        })
        .collect();
    let networks = control
        .list_networks(ctl::ListNetworksRequest::default())
        .await?
        .into_inner();
    facts.networks = networks
        .networks
        .into_iter()
        .map(|network| (network.name, network.mtu))
        .collect();
    Ok(info.version)
}

async fn ask_dataplane(facts: &mut Facts, dataplane: &mut DataplaneClient<Channel>) -> Result<String, Failure> {
    let info = dataplane.get_info(dp::GetInfoRequest {}).await?.into_inner();
    let statistics = dataplane
        .get_statistics(dp::GetStatisticsRequest {})
        .await?
        .into_inner();
    let mut node = Node {
        name: info.node,
        vteps: info
            .vtep_addresses
            .iter()
            .filter_map(|address| address.parse().ok())
            .collect(),
        uplinks: info.uplinks,
        underlay_mtu: info.underlay_mtu,
        workers: statistics.workers.len(),
        ..Node::default()
    };
    if let Some(frames) = statistics.frames {
        (node.frames_total, node.frames_free) = (frames.total, frames.free);
    }
    let request = dp::DumpRequest {
        kinds: vec![dp::Kind::Port.into()],
        vrf: 0,
    };
    let mut chunks = dataplane.dump(request).await?.into_inner();
    while let Some(chunk) = chunks.message().await? {
        for object in chunk.objects {
            if let Some(dp::object::Object::Port(port)) = object.object {
                let state = port.state.unwrap_or_default();
                node.ports.push(Port {
                    up: state.up,
                    generic: state.mode() == dp::port::Mode::Generic,
                    attachment: state.attachment,
                    name: port.name,
                });
            }
        }
    }
    facts.node = Some(node);
    Ok(info.version)
}
