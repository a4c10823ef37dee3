//! Pools: prefixes that dockerd gets addresses of. A pool is a promise to dockerd only; control hears of it with the network.

use std::{collections::HashMap, net::IpAddr};

use vrouter_control::model::{Cidr, Family, Name};
use vrouter_proto::control as pb;

use crate::{
    failure::Failure,
    house::{House, now},
    protocol::{Done, ipam},
    records::Pool,
};

/// What dockerd calls the place where pools of this plugin are.
pub(crate) const ADDRESS_SPACE: &str = "vrouter";
/// The option of `docker network create --ipam-opt`, and of `-o`, that names control's network.
pub(crate) const NETWORK: &str = "network";
/// What dockerd calls a pool's gateway.
const GATEWAY: &str = "com.docker.network.gateway";

/// `RequestPool`.
pub(crate) async fn request(house: &House, asked: ipam::RequestPool) -> Result<ipam::Pool, Failure> {
    let family = if asked.v6 { Family::V6 } else { Family::V4 };
    let strange = |key: &&String| *key != NETWORK && !key.starts_with("com.docker.");
    if let Some(key) = asked.options.keys().find(strange) {
        return Err(Failure::refused(format!(
            "--ipam-opt {key} is not known to vrouter; {NETWORK}=NAME would be right"
        )));
    }
    let network = asked.options.get(NETWORK).map(|name| control_name(name)).transpose()?;
    let _alone = house.alone("pools").await;
    let subnets = list(house).await?;
    let cidr = if asked.pool.is_empty() {
        choose(house, family, network.as_deref(), &subnets)?
    } else {
        let cidr = prefix(&asked.pool, "--subnet")?;
        if cidr.family() != family {
            return Err(Failure::refused(format!("--subnet {cidr} is not of {family}")));
        }
        cidr
    };
    let range = match asked.sub_pool.as_str() {
        "" => None,
        text => Some(prefix(text, "--ip-range")?),
    };
    if let Some(range) = range.filter(|range| !cidr.covers(*range)) {
        return Err(Failure::refused(format!("--ip-range {range} is not within {cidr}")));
    }
    unambiguous(house, cidr, network.as_deref())?;
    let gateway = gateway(cidr, network.as_deref(), &subnets)?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let pool = Pool {
        cidr,
        range,
        gateway,
        network,
        docker_network: None,
        auxiliary: Vec::new(),
        since: now(),
    };
    house.pools.put(&id, pool)?;
    Ok(ipam::Pool {
        id: format!("{ADDRESS_SPACE}/{cidr}/{id}"),
        pool: cidr.to_string(),
        data: HashMap::from([(GATEWAY, format!("{gateway}/{}", cidr.length()))]),
    })
}

/// `ReleasePool`. What is not there is released.
pub(crate) fn release(house: &House, asked: &ipam::ReleasePool) -> Result<Done, Failure> {
    if let Some(id) = record_of(&asked.pool) {
        house.pools.remove(id)?;
    }
    Ok(Done {})
}

/// A pool by dockerd's identifier, with the name of its record.
pub(crate) fn find(house: &House, id: &str) -> Result<(String, Pool), Failure> {
    let found = record_of(id).and_then(|record| Some((record.to_owned(), house.pools.get(record)?)));
    found.ok_or_else(|| {
        let shown: String = id.chars().take(120).collect();
        Failure::Unknown(format!("vrouter gave no pool {shown:?}, or it was released"))
    })
}

/// The name of a pool's record.
fn record_of(id: &str) -> Option<&str> {
    let (_, record) = id.rsplit_once('/')?;
    (record.len() == 32 && record.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(record)
}

/// The pool of a prefix that waits for its network, and is for a network of this name as far as it is known.
pub(crate) fn waiting(house: &House, cidr: Cidr, name: Option<&str>) -> Option<(String, Pool)> {
    let fits = |pool: &Pool| pool.network.is_none() || name.is_none() || pool.network.as_deref() == name;
    house
        .pools
        .find(|pool| pool.cidr == cidr && pool.docker_network.is_none() && !house.is_stale(pool.since) && fits(pool))
}

/// Dockerd does not say which pool a network is of but for its prefix: two that wait for networks must be told apart by the networks' names.
fn unambiguous(house: &House, cidr: Cidr, name: Option<&str>) -> Result<(), Failure> {
    match waiting(house, cidr, name) {
        Some(_) => Err(Failure::refused(format!(
            "another network with {cidr} is just being created; try again, or tell them apart by --ipam-opt {NETWORK}=NAME"
        ))),
        None => Ok(()),
    }
}

/// The name of a network of control's that a user wrote.
pub(crate) fn control_name(text: &str) -> Result<String, Failure> {
    match Name::new(text) {
        Ok(name) => Ok(name.to_string()),
        Err(error) => Err(Failure::refused(format!("{NETWORK}: {error}"))),
    }
}

fn prefix(text: &str, option: &str) -> Result<Cidr, Failure> {
    Cidr::new(text).map_err(|error| Failure::refused(format!("{option}: {error}")))
}

/// All subnets of control.
async fn list(house: &House) -> Result<Vec<pb::Subnet>, Failure> {
    Ok(house.control.subnets("").await?)
}

/// A prefix for a network without `--subnet`: that of the network, if it is there; else a free one.
fn choose(house: &House, family: Family, network: Option<&str>, subnets: &[pb::Subnet]) -> Result<Cidr, Failure> {
    let parse = |subnet: &&pb::Subnet| Cidr::new(&subnet.cidr).ok();
    let of_network = subnets.iter().filter(|subnet| network == Some(&subnet.network));
    if let Some(cidr) = of_network
        .filter_map(|s| parse(&s))
        .find(|cidr| cidr.family() == family)
    {
        return Ok(cidr);
    }
    let mut taken: Vec<Cidr> = subnets.iter().filter_map(|s| parse(&s)).collect();
    taken.extend(house.pools.all().into_iter().map(|(_, pool)| pool.cidr));
    let (around, length) = house.config.pool(family);
    free(around, length, &taken).ok_or_else(|| {
        Failure::refused(format!(
            "no /{length} is left of {around}; say --subnet, or give vrouter-docker a larger --pool-{}",
            family.to_string().trim_start_matches("IP")
        ))
    })
}

/// The first prefix of a length within `around` that overlaps none.
fn free(around: Cidr, length: u8, taken: &[Cidr]) -> Option<Cidr> {
    let family = around.family();
    let length = length.max(around.length());
    let mut candidate = Cidr::covering(family.address(around.first())?, length);
    loop {
        if !around.covers(candidate) {
            return None;
        }
        let last = taken
            .iter()
            .filter(|other| other.overlaps(candidate))
            .map(|other| other.last())
            .max();
        let Some(last) = last else {
            return Some(candidate);
        };
        // Behind whatever is in the way.
        let next = family.address(last.max(candidate.last()).checked_add(1)?)?;
        let behind = Cidr::covering(next, length);
        candidate = if behind.first() > candidate.first() {
            behind
        } else {
            return None;
        };
    }
}

/// The gateway of a prefix: as the network that has it says, else the first address.
fn gateway(cidr: Cidr, network: Option<&str>, subnets: &[pb::Subnet]) -> Result<IpAddr, Failure> {
    let text = cidr.to_string();
    let same = |subnet: &&pb::Subnet| subnet.cidr == text && network.is_none_or(|name| name == subnet.network);
    let mut said: Vec<IpAddr> = subnets
        .iter()
        .filter(same)
        .filter_map(|subnet| subnet.gateway.parse().ok())
        .collect();
    said.dedup();
    // Networks that differ in it are told apart when the network is created.
    let known = if let [one] = said.as_slice() { Some(*one) } else { None };
    let first = || cidr.family().address(cidr.hosts().0);
    known
        .or_else(first)
        .ok_or_else(|| Failure::refused(format!("{cidr} has no address for a gateway")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        Cidr::new(text).unwrap()
    }

    fn subnet(network: &str, cidr: &str, gateway: &str) -> pb::Subnet {
        pb::Subnet {
            network: network.into(),
            cidr: cidr.into(),
            gateway: gateway.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_free_prefix_is_found_behind_what_is_taken() {
        let around = cidr("10.192.0.0/10");
        let find = |taken: &[&str]| {
            let taken: Vec<Cidr> = taken.iter().map(|text| cidr(text)).collect();
            free(around, 24, &taken).map(|c| c.to_string())
        };
        assert_eq!(find(&[]).as_deref(), Some("10.192.0.0/24"));
        assert_eq!(
            find(&["10.192.0.128/25", "10.192.1.0/24"]).as_deref(),
            Some("10.192.2.0/24")
        );
        assert_eq!(find(&["10.192.0.0/16", "fd00::/16"]).as_deref(), Some("10.193.0.0/24"));
        assert_eq!(find(&["10.0.0.0/8"]), None);
        assert_eq!(find(&["10.192.0.0/11", "10.224.0.0/11"]), None);
        let small = free(cidr("fd00::/127"), 64, &[]);
        assert_eq!(small.map(|c| c.to_string()).as_deref(), Some("fd00::/127"));
        assert_eq!(free(cidr("fdff:ffff::/32"), 32, &[cidr("fdff:ffff::/32")]), None);
    }

    #[test]
    fn the_gateway_is_what_the_network_says() {
        let all = [
            subnet("blue", "10.1.0.0/24", "10.1.0.254"),
            subnet("green", "10.1.0.0/24", "10.1.0.9"),
            subnet("red", "fd00::/64", "fd00::99"),
        ];
        let of = |text: &str, network: Option<&str>| gateway(cidr(text), network, &all).unwrap().to_string();
        assert_eq!(of("10.1.0.0/24", Some("blue")), "10.1.0.254");
        assert_eq!(of("10.1.0.0/24", None), "10.1.0.1", "two say different things");
        assert_eq!(of("fd00::/64", None), "fd00::99");
        assert_eq!(of("10.2.0.0/24", Some("blue")), "10.2.0.1");
    }

    #[test]
    fn only_own_identifiers_lead_to_records() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(record_of(&format!("vrouter/10.0.0.0/8/{id}")), Some(id));
        for bad in [
            "",
            "/",
            id,
            "vrouter/../../etc/passwd",
            "x/0123456789abcdef0123456789abcde.",
        ] {
            assert_eq!(record_of(bad), None, "{bad}");
        }
    }
}
