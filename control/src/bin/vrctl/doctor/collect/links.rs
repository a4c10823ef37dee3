//! Interfaces, by netlink and /sys.

use std::{fs, net::IpAddr};

use rtnetlink::packet_route::link::{InfoData, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp};
use tokio_stream::StreamExt as _;

use super::ethtool;
use crate::doctor::facts::{Facts, Interface, Vxlan};

/// Looks at these interfaces, and at VXLAN devices.
pub(super) async fn look(facts: &mut Facts, uplinks: &[String], others: &[String]) {
    let links = dump().await.unwrap_or_default();
    facts.vxlans = links.iter().filter_map(vxlan).collect();
    let others = others.iter().filter(|name| !uplinks.contains(name));
    for (name, is_uplink) in uplinks
        .iter()
        .map(|name| (name, true))
        .chain(others.map(|name| (name, false)))
    {
        match links.iter().find(|link| self::name(link) == Some(name)) {
            Some(link) => facts.interfaces.push(Interface {
                is_uplink,
                ..interface(name, link)
            }),
            None => facts.missing_interfaces.push(name.clone()),
        }
    }
}

async fn dump() -> Option<Vec<LinkMessage>> {
    let (connection, handle, _) = rtnetlink::new_connection().ok()?;
    let task = tokio::spawn(connection);
    let mut links = Vec::new();
    let mut stream = std::pin::pin!(handle.link().get().execute());
    while let Some(Ok(link)) = stream.next().await {
        links.push(link);
    }
    task.abort();
    Some(links)
}

fn name(link: &LinkMessage) -> Option<&String> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    })
}

fn interface(name: &str, link: &LinkMessage) -> Interface {
    let mut interface = Interface {
        name: name.to_owned(),
        driver: ethtool::driver(name),
        up: link.header.flags.contains(LinkFlags::Up),
        rx_queues: queues(name, "rx-"),
        tx_queues: queues(name, "tx-"),
        offloads: ethtool::offloads(name),
        ..Interface::default()
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::Xdp(xdp) => {
                interface.xdp_program = xdp.iter().find_map(|part| match part {
                    LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => {
                        Some(*id).filter(|id| *id > 0)
                    }
                    _ => None,
                });
            }
            _ => {}
        }
    }
    interface
}

/// /sys shows the queues of the namespace that it was mounted in; elsewhere there are none.
fn queues(name: &str, kind: &str) -> usize {
    let entries = fs::read_dir(format!("/sys/class/net/{name}/queues"));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(kind))
        .count()
}

fn vxlan(link: &LinkMessage) -> Option<Vxlan> {
    let parts = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
            LinkInfo::Data(InfoData::Vxlan(parts)) => Some(parts),
            _ => None,
        }),
        _ => None,
    })?;
    let mut device = Vxlan {
        name: name(link).cloned().unwrap_or_default(),
        ..Vxlan::default()
    };
    for part in parts {
        match part {
            InfoVxlan::Id(vni) => device.vni = *vni,
            InfoVxlan::Local(address) => device.local = Some(IpAddr::V4(*address)),
            InfoVxlan::Local6(address) => device.local = Some(IpAddr::V6(*address)),
            InfoVxlan::Port(port) => device.port = *port,
            _ => {}
        }
    }
    Some(device)
}
