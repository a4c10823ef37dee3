//! `vrctl info`: what a dataplane is, which revision it runs and what it can hold.

use serde::Serialize;
use vrouter_proto::dataplane as api;

use crate::{cli::Context, failure::Failure, output::Cell};

/// The whole answer, as JSON.
#[derive(Serialize)]
struct InfoView {
    version: String,
    instance: String,
    revision: u64,
    node: String,
    vtep_addresses: Vec<String>,
    uplinks: Vec<String>,
    underlay_mtu: u32,
    limits: LimitsView,
}

#[derive(Serialize)]
struct LimitsView {
    ports: u32,
    vrfs: u32,
    next_hops: u32,
    flows: u64,
    frames: u64,
}

/// Asks and shows.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let info = context
        .dataplane()
        .await?
        .get_info(api::GetInfoRequest {})
        .await?
        .into_inner();
    let limits = info.limits.unwrap_or_default();
    let info = InfoView {
        version: info.version,
        instance: info.instance,
        revision: info.revision,
        node: info.node,
        vtep_addresses: info.vtep_addresses,
        uplinks: info.uplinks,
        underlay_mtu: info.underlay_mtu,
        limits: LimitsView {
            ports: limits.ports,
            vrfs: limits.vrfs,
            next_hops: limits.next_hops,
            flows: limits.flows,
            frames: limits.frames,
        },
    };
    if context.output.json() {
        return context.output.value(&info);
    }
    context.output.text(&context.output.lines(&[
        ("NODE", Cell::new(&info.node)),
        ("VERSION", Cell::new(&info.version)),
        ("INSTANCE", Cell::new(&info.instance)),
        ("REVISION", info.revision.into()),
        ("VTEP", info.vtep_addresses.join(",").into()),
        ("UPLINKS", info.uplinks.join(",").into()),
        ("UNDERLAY MTU", info.underlay_mtu.into()),
        ("MAX PORTS", info.limits.ports.into()),
        ("MAX VRFS", info.limits.vrfs.into()),
        ("MAX NEXT HOPS", info.limits.next_hops.into()),
        ("MAX FLOWS", info.limits.flows.into()),
        ("FRAMES", info.limits.frames.into()),
    ]))
}
