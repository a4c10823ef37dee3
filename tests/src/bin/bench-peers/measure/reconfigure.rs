//! What a change of the router costs those whose packets are under way: at a steady rate, replace routes and policies, add and
//! remove ports, and count the packets that do not arrive. Lost packets divided by the offered rate is the time for which the router was
//! blocked, in effect.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vrouter_proto::{
    control::{self, DeleteEndpointRequest, UpdatePolicyRequest},
    dataplane::{
        self, Kind, NextHop, RouteKey,
        key::Key,
        next_hop::{Action, Drop as Dropping},
        object::Object,
    },
};
use vrouter_tests::{
    api::Dataplane,
    cluster::Cluster,
    container::{Container, LINK},
};

use super::{
    Case, Effort, Reading,
    counters::Counters,
    cpu::{Load, Watch},
    pktgen::{Pktgen, next_mac, number},
};
use crate::{
    metric::{BLOCKED, DROPPED, LOST, NOT_TAKEN, RECEIVER, STEADY, TOOK},
    peers::vrouter::{CLIENT, NETWORK, SERVER, WORKLOADS},
    placement::Placement,
    scene::Scene,
};

/// Packets per second, as pktgen is told.
const RATE: &str = "50k";
const FLOWS: u32 = 64;
/// From the start of the stream until something changes, and from then until it ends.
const CALM: Duration = Duration::from_millis(700);
/// Longer than any change takes.
const LONG: u32 = 300;

/// Half of them IPv4, half IPv6.
const ROUTES: u32 = 100_000;
/// Routes of one batch.
const BATCH: usize = 5000;
const POLICIES: u32 = 1000;
const PORTS: u32 = 20;
/// Who offers our routes: not the control process, which leaves them alone.
const SOURCE: u32 = 9;
/// Identifiers that the control process does not give.
const NEXT_HOPS: [u64; 2] = [1 << 40, (1 << 40) + 1];
const FIRST_POLICY: u32 = 1 << 30;

/// A change. Every round begins with a new router: nothing is undone.
type Change = fn(&Cluster, &Prepared) -> Result<()>;

/// What changes need, made before anything is measured.
struct Prepared {
    dataplane: Dataplane,
    vrf: u32,
    containers: Vec<Container>,
}

pub(super) fn run(scene: &Scene, effort: &Effort) -> Vec<Case> {
    let changes: [(&str, Change); 6] = [
        ("nothing", |_, _| {
            thread::sleep(Duration::from_secs(2));
            Ok(())
        }),
        ("routes_replaced", |_, prepared| put_routes(prepared, 1)),
        ("routes_removed", |_, prepared| delete_routes(prepared)),
        ("policies_replaced", |_, prepared| put_policies(prepared, 1)),
        ("ports_added_and_removed", ports),
        ("own_policies_replaced", |cluster, _| replace_own_policies(cluster)),
    ];
    let prepared = scene.vrouter.as_ref().context("only vrouter is changed");
    let prepared = prepared.and_then(|cluster| Ok((cluster, Prepared::new(cluster)?)));
    let (cluster, prepared) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            return vec![Case {
                name: effort.case("reconfigure", Placement::Apart),
                outcome: Err(error),
            }];
        }
    };
    changes
        .into_iter()
        .map(|(name, change)| Case {
            name: effort.case(&format!("reconfigure_{name}"), Placement::Apart),
            outcome: measure(scene, effort, || change(cluster, &prepared), &prepared.dataplane),
        })
        .collect()
}

/// Changes something while a stream of packets passes, and counts those that do not arrive.
fn measure(
    scene: &Scene,
    effort: &Effort,
    change: impl FnOnce() -> Result<()>,
    dataplane: &Dataplane,
) -> Result<Reading> {
    scene.ready(effort.family)?;
    let mac = next_mac(scene, effort)?;
    let receiver = Pktgen::receive(scene, effort.cpus.client(), LONG)?;
    let before = Losses::so_far(scene, dataplane)?;
    let sender = Pktgen::send(scene, effort, &mac, (FLOWS, RATE), LONG)?;
    thread::sleep(CALM);
    let watch = Watch::start()?;
    let began = Instant::now();
    let changed = change();
    let took = began.elapsed();
    let load = watch.stop()?;
    thread::sleep(CALM);
    sender.stop()?;
    let sent = sender.report()?;
    // What is still on its way.
    thread::sleep(Duration::from_millis(200));
    receiver.stop()?;
    let received = receiver.report()?;
    changed?;
    let losses = Losses::so_far(scene, dataplane)?.since(&before);
    reading(&sent, &received, &losses, took, load)
}

fn reading(sent: &Value, received: &Value, losses: &Losses, took: Duration, load: Load) -> Result<Reading> {
    let different = number(received, "packets")? - number(received, "duplicates")?;
    let lost = (number(sent, "packets")? - different).max(0.0);
    let rate = number(sent, "packets_per_second")?;
    ensure!(rate > 0.0 && different > 0.0, "no packets were sent, or none came");
    Ok(Reading {
        values: vec![
            (BLOCKED, lost / rate * 1e3),
            (LOST, lost),
            (NOT_TAKEN, losses.not_taken as f64),
            (DROPPED, losses.dropped as f64),
            (RECEIVER, losses.receiver as f64),
            (STEADY, rate / 1e3),
            (TOOK, took.as_secs_f64() * 1e3),
        ],
        load,
    })
}

/// Where packets were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Losses {
    not_taken: u64,
    dropped: u64,
    receiver: u64,
}

impl Losses {
    fn so_far(scene: &Scene, dataplane: &Dataplane) -> Result<Self> {
        let cluster = scene.vrouter.as_ref().context("only vrouter is changed")?;
        let node = &cluster.compute(0)?.node.netns;
        let statistics = dataplane.statistics()?;
        let drops = statistics.ports.iter().flat_map(|port| &port.drops);
        Ok(Self {
            not_taken: Counters::of(&scene.client.netns, LINK)?.not_sent + Counters::of(node, CLIENT)?.not_taken,
            dropped: drops.map(|drop| drop.packets).sum(),
            receiver: Counters::of(node, SERVER)?.not_sent + Counters::of(&scene.server.netns, LINK)?.not_taken,
        })
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            not_taken: self.not_taken.saturating_sub(before.not_taken),
            // Counters of ports that are gone are gone, too.
            dropped: self.dropped.saturating_sub(before.dropped),
            receiver: self.receiver.saturating_sub(before.receiver),
        }
    }
}

impl Prepared {
    fn new(cluster: &Cluster) -> Result<Self> {
        let dataplane = cluster.compute(0)?.dataplane()?;
        let vrf = dataplane
            .dump(&[Kind::Port])?
            .into_iter()
            .find_map(|object| match object {
                Object::Port(port) if port.interface == SERVER => Some(port.vrf),
                _ => None,
            });
        let node = &cluster.compute(0)?.node;
        let containers = (0..PORTS).map(|number| Container::new(node, &format!("more{number}")));
        let prepared = Self {
            dataplane,
            vrf: vrf.context("the server has no port")?,
            containers: containers.collect::<Result<_>>()?,
        };
        let drop = |id| {
            Object::NextHop(NextHop {
                id,
                action: Some(Action::Drop(Dropping {})),
                ..Default::default()
            })
        };
        prepared.dataplane.put(NEXT_HOPS.map(drop))?;
        put_routes(&prepared, 0)?;
        put_policies(&prepared, 0)?;
        create_own_policies(cluster)?;
        Ok(prepared)
    }
}

fn prefixes() -> impl Iterator<Item = String> {
    (0..ROUTES / 2).flat_map(|number| {
        let (high, low) = (number >> 8, number & 0xff);
        [format!("20.{high}.{low}.0/24"), format!("fd20:{number:x}::/48")]
    })
}

/// Puts all routes, by the first or the second next hop, some thousand at a time.
fn put_routes(prepared: &Prepared, turn: usize) -> Result<()> {
    let next_hop = *NEXT_HOPS.get(turn).context("no such turn")?;
    let routes = prefixes().map(|prefix| {
        Object::Route(dataplane::Route {
            vrf: prepared.vrf,
            prefix,
            next_hop,
            source: SOURCE,
            ..Default::default()
        })
    });
    for batch in routes.collect::<Vec<_>>().chunks(BATCH) {
        prepared.dataplane.put(batch.iter().cloned())?;
    }
    Ok(())
}

fn delete_routes(prepared: &Prepared) -> Result<()> {
    let keys = prefixes().map(|prefix| {
        Key::Route(RouteKey {
            vrf: prepared.vrf,
            prefix,
            source: SOURCE,
        })
    });
    for batch in keys.collect::<Vec<_>>().chunks(BATCH) {
        prepared.dataplane.delete(batch.iter().cloned())?;
    }
    Ok(())
}

/// Puts a thousand policies of nobody yet, in one batch, the first or the second time with other ports.
fn put_policies(prepared: &Prepared, turn: u32) -> Result<()> {
    let policies = (0..POLICIES).map(|number| {
        let ports = 1000 + 2 * number + turn;
        let rule = dataplane::Rule {
            id: 1,
            traffic: vec![dataplane::Traffic {
                protocol: 6,
                first_port: ports,
                last_port: ports,
                ..Default::default()
            }],
            verdict: dataplane::Verdict::Allow.into(),
            ..Default::default()
        };
        Object::Policy(dataplane::Policy {
            id: FIRST_POLICY + number,
            name: format!("bench-{number}"),
            ingress: vec![rule],
            ..Default::default()
        })
    });
    prepared.dataplane.put(policies)?;
    Ok(())
}

/// One of a thousand policies of the very workloads that talk, as control knows it.
fn own_policy(number: u32, turn: u32) -> control::Policy {
    let rule = control::PolicyRule {
        name: "peer".to_owned(),
        direction: control::policy_rule::Direction::Ingress.into(),
        priority: 1000,
        action: control::policy_rule::Action::Allow.into(),
        peers: vec![control::Peer {
            peer: Some(control::peer::Peer::Group(WORKLOADS.to_owned())),
            ..Default::default()
        }],
        traffic: vec![control::Traffic {
            protocol: "tcp".to_owned(),
            ports: (30000 + 2 * number + turn).to_string(),
            ..Default::default()
        }],
        ..Default::default()
    };
    control::Policy {
        name: format!("more-{number}"),
        applies_to: WORKLOADS.to_owned(),
        rules: vec![rule],
        ..Default::default()
    }
}

fn create_own_policies(cluster: &Cluster) -> Result<()> {
    for number in 0..POLICIES {
        cluster.api.policy(own_policy(number, 0))?;
    }
    cluster.settle()
}

fn replace_own_policies(cluster: &Cluster) -> Result<()> {
    for number in 0..POLICIES {
        let request = UpdatePolicyRequest {
            policy: Some(own_policy(number, 1)),
            ..Default::default()
        };
        cluster
            .api
            .call(async |mut client| client.update_policy(request).await)?;
    }
    cluster.settle()
}

/// Adds ports by attaching containers, and removes them again, through the control process.
fn ports(cluster: &Cluster, prepared: &Prepared) -> Result<()> {
    for container in &prepared.containers {
        cluster.api.endpoint(control::Endpoint {
            network: NETWORK.to_owned(),
            name: container.name.clone(),
            node: container.node.clone(),
            interface: container.name.clone(),
            mac: container.mac()?,
            ..Default::default()
        })?;
    }
    cluster.settle()?;
    for container in &prepared.containers {
        let request = DeleteEndpointRequest {
            network: NETWORK.to_owned(),
            name: container.name.clone(),
        };
        cluster
            .api
            .call(async |mut client| client.delete_endpoint(request).await)?;
    }
    cluster.settle()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_hundred_thousand_prefixes_differ() {
        let all: HashSet<String> = prefixes().collect();
        assert_eq!(all.len(), ROUTES as usize);
        assert!(all.contains("20.195.79.0/24") && all.contains("fd20:c34f::/48"));
    }

    #[test]
    fn lost_packets_are_time() {
        let sent = json!({"packets": 10_000, "packets_per_second": 50_000.0});
        let received = json!({"packets": 9_905, "duplicates": 5});
        let losses = Losses {
            not_taken: 70,
            receiver: 30,
            dropped: 0,
        };
        let reading = reading(&sent, &received, &losses, Duration::from_millis(40), Load::default()).unwrap();
        let value = |metric| reading.values.iter().find(|(m, _)| *m == metric).unwrap().1;
        assert_eq!(value(LOST), 100.0);
        assert_eq!(value(BLOCKED), 2.0);
        assert_eq!((value(NOT_TAKEN), value(RECEIVER), value(TOOK)), (70.0, 30.0, 40.0));
    }
}
