//! Addresses of pools. An address that dockerd asks for is kept by an endpoint of control's that is not attached yet: the very endpoint that the
//! container will have. Both of its addresses find together by the MAC address that dockerd sends with each request.

use std::{collections::HashMap, net::IpAddr};

use vrouter_control::model::{Cidr, Family, Mac, parse_address};
use vrouter_proto::control as pb;

use crate::{
    control,
    failure::Failure,
    house::{House, Undo, now},
    pools,
    protocol::{Done, ipam},
    records::{Endpoint, Phase, Pool, key, name_of},
};

/// What dockerd calls the kind of an address, and the kinds.
const KIND: &str = "RequestAddressType";
const GATEWAY: &str = "com.docker.network.gateway";
/// What dockerd calls a MAC address.
const MAC: &str = "com.docker.network.endpoint.macaddress";
/// How many free addresses of a range are tried before giving up: others take addresses meanwhile.
const TRIES: usize = 8;

/// `RequestAddress`.
pub(crate) async fn request(house: &House, asked: ipam::RequestAddress) -> Result<ipam::Address, Failure> {
    let (record, pool) = pools::find(house, &asked.pool)?;
    let wish = match asked.address.as_str() {
        "" => None,
        text => Some(within(text, pool.cidr)?),
    };
    let given = |address: IpAddr| ipam::Address {
        address: format!("{address}/{}", pool.cidr.length()),
        data: HashMap::new(),
    };
    if asked.options.get(KIND).is_some_and(|kind| kind == GATEWAY) {
        let gateway = wish.unwrap_or(pool.gateway);
        house.pools.update(&record, |pool| pool.gateway = gateway)?;
        return Ok(given(gateway));
    }
    match asked.options.get(MAC) {
        Some(mac) => {
            let mac = Mac::new(mac).map_err(|error| Failure::refused(format!("--mac-address: {error}")))?;
            Ok(given(reserve(house, &pool, &mac.to_string(), wish).await?))
        }
        None => {
            let address = wish.filter(|_| pool.docker_network.is_none()).ok_or_else(|| {
                Failure::refused(
                    "vrouter gives addresses to containers only; Docker is to say the container's MAC address",
                )
            })?;
            // `--aux-address`: nobody may get it, which control is told with the network.
            house.pools.update(&record, |pool| pool.auxiliary.push(address))?;
            Ok(given(address))
        }
    }
}

/// `ReleaseAddress`. What is not kept is released.
pub(crate) async fn release(house: &House, asked: &ipam::ReleaseAddress) -> Result<Done, Failure> {
    let (Ok((_, pool)), Ok(address)) = (pools::find(house, &asked.pool), asked.address.parse::<IpAddr>()) else {
        return Ok(Done {});
    };
    let Some(network) = control_network(house, &pool) else {
        return Ok(Done {});
    };
    // Given back with its endpoint, it may be somebody else's by now.
    if house.was_given_back(&network, address) {
        return Ok(Done {});
    }
    let kept = |endpoint: &Endpoint| {
        endpoint.network == network && endpoint.phase == Phase::Reserved && endpoint.addresses.contains(&address)
    };
    if let Some((key, _)) = house.endpoints.find(kept) {
        // Dockerd gives all addresses of an endpoint back, one after the other; the first stands for all.
        house.discard(&key)?;
        // It is gone when dockerd hears so, if control answers; later, if not.
        if let Err(failure) = control::finish(house, &key).await {
            tracing::info!(%failure, %address, "an address is given back later");
        }
    }
    Ok(Done {})
}

/// The network of control's that a pool is of.
fn control_network(house: &House, pool: &Pool) -> Option<String> {
    let network = pool.docker_network.as_ref()?;
    Some(house.networks.get(network)?.name)
}

fn within(text: &str, cidr: Cidr) -> Result<IpAddr, Failure> {
    let address = parse_address(text).map_err(Failure::Refused)?;
    if cidr.contains(address) {
        Ok(address)
    } else {
        Err(Failure::refused(format!("{address} is not in {cidr}")))
    }
}

/// Keeps an address of the pool for the endpoint with a MAC address.
async fn reserve(house: &House, pool: &Pool, mac: &str, wish: Option<IpAddr>) -> Result<IpAddr, Failure> {
    let network = control_network(house, pool)
        .ok_or_else(|| Failure::Unknown(format!("the pool {} is of no network that vrouter knows", pool.cidr)))?;
    let name = name_of(mac);
    let key = key(&network, &name);
    let _alone = house.alone(&key).await;
    let family = pool.cidr.family();
    // `docker restart` of a container with --mac-address: what it had before has to be gone first.
    control::finish_locked(house, &key).await?;
    let mut endpoint = match house.endpoints.get(&key) {
        None => Endpoint::reserved(&network, &name, mac.to_owned(), now()),
        Some(half) if half.phase == Phase::Reserved && !half.addresses.iter().any(|a| Family::of(*a) == family) => half,
        Some(_) => {
            return Err(Failure::refused(format!(
                "{mac} is the MAC address of another container in network {network}"
            )));
        }
    };
    // On record before it is in control: whatever becomes of this request, somebody will clean up.
    house.endpoints.put(&key, endpoint.clone())?;
    // Dockerd gives nothing back of a container that it could not get all addresses for.
    let undo = Undo::unless_told(house, &key);
    let address = match take(house, pool, &endpoint, wish).await {
        Ok(address) => address,
        Err(failure) => {
            drop(undo);
            if failure.is_refusal()
                && let Err(later) = control::finish_locked(house, &key).await
            {
                tracing::info!(%later, key, "addresses are given back later");
            }
            return Err(failure);
        }
    };
    endpoint.addresses.push(address);
    house.endpoints.put(&key, endpoint)?;
    undo.forget();
    Ok(address)
}

/// Takes an address of the pool from control: the one that is wished for, or any, of the pool's range if it has one.
async fn take(house: &House, pool: &Pool, endpoint: &Endpoint, wish: Option<IpAddr>) -> Result<IpAddr, Failure> {
    let (Some(range), None) = (pool.range, wish) else {
        let wish = match wish {
            Some(address) => address.to_string(),
            None => format!("subnet:{}", control::subnet_name(house, &endpoint.network, pool.cidr)?),
        };
        return ask(house, pool, endpoint, wish).await;
    };
    let listed = house.control.endpoints(&endpoint.network, "", HashMap::new()).await?;
    let mut used: Vec<IpAddr> = listed
        .iter()
        .flat_map(|e| &e.addresses)
        .filter_map(|a| a.parse().ok())
        .collect();
    used.extend(&pool.auxiliary);
    used.push(pool.gateway);
    let (first, last) = range.hosts();
    let bounds = pool.cidr.hosts();
    // A range within a subnet has no network or broadcast address of its own.
    let first = if range.first() > bounds.0 { range.first() } else { first };
    let last = if range.last() < bounds.1 { range.last() } else { last };
    let candidates = (first..=last).filter_map(|number| range.family().address(number));
    let mut said = None;
    for address in candidates.filter(|address| !used.contains(address)).take(TRIES) {
        match ask(house, pool, endpoint, address.to_string()).await {
            Err(failure) if failure.is_refusal() => said = Some(failure),
            answer => return answer,
        }
    }
    Err(said.unwrap_or_else(|| Failure::refused(format!("no address is left of --ip-range {range}"))))
}

/// Asks control to keep one more address for an endpoint, which is made with its first.
async fn ask(house: &House, pool: &Pool, endpoint: &Endpoint, wish: String) -> Result<IpAddr, Failure> {
    let kept = if endpoint.addresses.is_empty() {
        control::reserve(house, endpoint, wish).await?
    } else {
        control::reserve_more(house, endpoint, wish).await?
    };
    let new = |address: &IpAddr| pool.cidr.contains(*address) && !endpoint.addresses.contains(address);
    let mut addresses = kept.addresses.iter().filter_map(|text| text.parse().ok());
    addresses.find(new).ok_or_else(|| {
        let pb::Endpoint { network, name, .. } = &kept;
        Failure::refused(format!(
            "control keeps no address of {} for endpoint {network}/{name}",
            pool.cidr
        ))
    })
}
