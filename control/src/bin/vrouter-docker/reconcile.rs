//! Setting right what dockerd's requests left undone: while control was away, when dockerd or this plugin died half-way, when somebody else took away what
//! a container needs.
//!
//! What should be is in the records. What is, is in control and in the kernel. The difference is all that is ever done, so it does not matter what was
//! interrupted where.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::{self, Instant};
use vrouter_control::{attach::links, reservation};
use vrouter_proto::control as pb;

use crate::{
    control::{self, ENDPOINT_LABEL, OWNER},
    describe,
    endpoints::ALIAS,
    failure::Failure,
    house::House,
    networks, publish,
    records::{Endpoint, Phase, key},
};

/// Pauses while something is left to do: doubling.
const LEAST_PAUSE: Duration = Duration::from_millis(200);
const MOST_PAUSE: Duration = Duration::from_secs(5);
/// How often everything is compared although nothing is known to be left.
const ROUND: Duration = Duration::from_secs(30);

/// Sets right what a plugin before this one left half-made: its requests are not answered any more.
pub(crate) fn take_over(house: &Arc<House>) -> Result<(), Failure> {
    for (key, endpoint) in house.endpoints.all() {
        match endpoint.phase {
            Phase::Claimed => drop(house.discard(&key)?),
            Phase::Attached if endpoint.undescribed => describe::later(house, endpoint),
            _ => {}
        }
    }
    Ok(())
}

/// Works for ever.
pub(crate) async fn run(house: Arc<House>) {
    let mut pause = LEAST_PAUSE;
    let mut compared: Option<Instant> = None;
    let mut said = String::new();
    loop {
        let mut left = expire(&house);
        left.extend(finish(&house).await);
        if compared.is_none_or(|at| at.elapsed() >= ROUND) {
            match compare(&house).await {
                Ok(()) => compared = Some(Instant::now()),
                Err(failure) => left.push(failure.to_string()),
            }
        }
        let wait = if left.is_empty() {
            if !said.is_empty() {
                tracing::info!("all that was left to do is done");
            }
            said.clear();
            pause = LEAST_PAUSE;
            ROUND
        } else {
            // The same words once.
            if left[0] != said {
                said.clone_from(&left[0]);
                tracing::warn!(left = left.len(), why = said, "something is left to do");
            }
            let wait = pause;
            pause = (pause * 2).min(MOST_PAUSE);
            wait
        };
        // Reservations that grow old are looked for in time.
        let young = house
            .endpoints
            .find(|endpoint| endpoint.phase == Phase::Reserved)
            .is_some();
        let wait = if young { wait.min(MOST_PAUSE) } else { wait };
        tokio::select! {
            () = time::sleep(wait) => {}
            () = house.work.notified() => {
                // Whoever called tries it first.
                time::sleep(LEAST_PAUSE).await;
            }
        }
    }
}

/// Discards what dockerd asked for and never came back for.
fn expire(house: &House) -> Vec<String> {
    let mut left = Vec::new();
    for (key, endpoint) in house.endpoints.all() {
        if endpoint.phase == Phase::Reserved && house.is_stale(endpoint.since) {
            tracing::info!(endpoint = key, "nobody came for these addresses: they are given back");
            left.extend(house.discard(&key).err().map(|failure| failure.to_string()));
        }
    }
    for (record, pool) in house.pools.all() {
        let orphan = match &pool.docker_network {
            None => house.is_stale(pool.since),
            Some(network) => house.is_stale(pool.since) && house.networks.get(network).is_none(),
        };
        if orphan {
            left.extend(house.pools.remove(&record).err().map(|failure| failure.to_string()));
        }
    }
    left
}

/// Finishes what is to be deleted; why not, for what could not be.
async fn finish(house: &House) -> Vec<String> {
    let mut left = Vec::new();
    for (key, endpoint) in house.endpoints.all() {
        let done = match endpoint.phase {
            Phase::Deleting => control::finish(house, &key).await,
            _ if endpoint.withdraw => publish::withdraw(house, &key, &endpoint).await,
            _ => continue,
        };
        match done {
            Ok(()) => {}
            Err(failure) => {
                left.push(failure.to_string());
                if !failure.is_refusal() {
                    // Control is away: the others need not wait for it as well.
                    return left;
                }
            }
        }
    }
    for (docker, network) in house.networks.all() {
        if network.deleting
            && let Err(failure) = networks::finish(house, &docker).await
        {
            left.push(failure.to_string());
        }
    }
    left
}

/// Compares records, control and links.
async fn compare(house: &Arc<House>) -> Result<(), Failure> {
    // Links first: what is made while the others are read is not taken for an orphan.
    let links = links::links_with_alias(ALIAS).await?;
    let labels = [(OWNER.0.to_owned(), OWNER.1.to_owned())].into();
    let there = house.control.endpoints("", &house.node, labels).await?;
    let names: HashSet<&str> = links.iter().map(|link| link.name.as_str()).collect();
    for endpoint in &there {
        let key = key(&endpoint.network, &endpoint.name);
        if house.endpoints.get(&key).is_none() {
            orphan(house, &key, endpoint, names.contains(endpoint.interface.as_str())).await?;
        }
    }
    let in_control: HashSet<String> = there.iter().map(|e| key(&e.network, &e.name)).collect();
    for (key, known) in house.endpoints.all() {
        if known.phase != Phase::Attached {
            continue;
        }
        let link = known.link.clone().unwrap_or_default();
        if links::link(&link, None).await?.is_none() {
            // A veth goes with either end: the container is gone, and dockerd with it, or it would have said so.
            if house.is_stale(known.since) {
                tracing::warn!(
                    endpoint = key,
                    link,
                    "the container's link is gone, so its endpoint goes"
                );
                house.discard(&key)?;
            }
        } else if !in_control.contains(&key) {
            restore(house, &key, &known, &link).await?;
        }
    }
    for link in links {
        let owned = house
            .endpoints
            .find(|endpoint| endpoint.link.as_ref() == Some(&link.name))
            .is_some();
        let attached = there.iter().any(|endpoint| endpoint.interface == link.name);
        if !owned && !attached {
            tracing::warn!(link = link.name, "no endpoint has this link: it is removed");
            links::remove_link(&link.name).await?;
        }
    }
    Ok(())
}

/// An endpoint of this plugin's without a record: the state directory was lost. A container may still use it: then it is taken on again.
async fn orphan(house: &House, key: &str, endpoint: &pb::Endpoint, linked: bool) -> Result<(), Failure> {
    let _alone = house.alone(key).await;
    if house.endpoints.get(key).is_some() {
        return Ok(());
    }
    let since = endpoint
        .labels
        .get(reservation::LABEL)
        .and_then(|text| text.parse().ok());
    if endpoint.interface.is_empty() && since.is_some_and(|since| !house.is_stale(since)) {
        return Ok(());
    }
    let docker = endpoint
        .labels
        .get(ENDPOINT_LABEL)
        .zip(endpoint.labels.get(control::NETWORK_LABEL));
    let phase = if linked && docker.is_some() {
        Phase::Attached
    } else {
        Phase::Deleting
    };
    let record = Endpoint {
        network: endpoint.network.clone(),
        name: endpoint.name.clone(),
        phase,
        mac: endpoint.mac.clone(),
        addresses: endpoint.addresses.iter().filter_map(|text| text.parse().ok()).collect(),
        docker: docker.map(|(endpoint, network)| crate::records::DockerEndpoint {
            endpoint: endpoint.clone(),
            network: network.clone(),
        }),
        link: (!endpoint.interface.is_empty()).then(|| endpoint.interface.clone()),
        peer: None,
        gateways: Vec::new(),
        published: Vec::new(),
        withdraw: false,
        undescribed: false,
        since: since.unwrap_or_default(),
    };
    tracing::warn!(endpoint = key, ?phase, "an endpoint of this node had no record");
    house.endpoints.put(key, record)?;
    control::finish_locked(house, key).await
}

/// Makes an endpoint again that somebody else deleted in control while its container is running.
async fn restore(house: &Arc<House>, key: &str, endpoint: &Endpoint, link: &str) -> Result<(), Failure> {
    let _alone = house.alone(key).await;
    let still = house.endpoints.get(key).is_some_and(|now| now.phase == Phase::Attached);
    // It may be younger than what was read of control.
    if !still
        || house
            .control
            .endpoint(&endpoint.network, &endpoint.name)
            .await?
            .is_some()
    {
        return Ok(());
    }
    let restored = async {
        control::make(house, endpoint).await?;
        control::place(house, endpoint, link).await
    };
    match restored.await {
        Ok(_) => tracing::warn!(
            endpoint = key,
            "control had lost the endpoint of a running container: it has it again"
        ),
        // Others have its addresses, or its network is gone: the container has to be started anew.
        Err(failure) if failure.is_refusal() => {
            tracing::error!(%failure, endpoint = key, "control has lost the endpoint of a running container, and does not take it again");
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}
