//! Host ports and limits, as engines ask for them.

use std::net::IpAddr;

use serde::Deserialize;
use vrouter_control::attach::{Client, Publication};
use vrouter_proto::control as pb;

use super::{config::Config, failure::Failure};

/// A port of the host that stands for one of the container.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PortMapping {
    host_port: u16,
    container_port: u16,
    #[serde(default)]
    protocol: String,
    #[serde(default, rename = "hostIP")]
    host_ip: String,
}

/// Limits: bits per second, bursts in bits.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Bandwidth {
    ingress_rate: u64,
    ingress_burst: u64,
    egress_rate: u64,
    egress_burst: u64,
}

impl Bandwidth {
    /// The limits as a profile of one endpoint; `None` when there are none.
    pub(crate) fn profile(&self, name: &str) -> Result<Option<pb::QosProfile>, Failure> {
        let rate = |what: &str, bits: u64, burst: u64, shape: bool| match (bits, burst) {
            (0, 0) => Ok(None),
            (0, _) => Err(Failure::config(format!(
                "bandwidth: {what}Burst goes with {what}Rate only"
            ))),
            (bits, burst) => Ok(Some(pb::QosRate {
                bits_per_second: bits.max(8),
                burst_bytes: burst.div_ceil(8),
                shape,
                ..Default::default()
            })),
        };
        // What a container sends is held back by its own stack; what it is sent has to be held back by the router.
        let egress = rate("egress", self.egress_rate, self.egress_burst, false)?;
        let ingress = rate("ingress", self.ingress_rate, self.ingress_burst, true)?;
        if egress.is_none() && ingress.is_none() {
            return Ok(None);
        }
        Ok(Some(pb::QosProfile {
            name: name.to_owned(),
            egress,
            ingress,
            ephemeral: true,
            ..Default::default()
        }))
    }
}

/// Publishes the ports of a container at this node's floating addresses.
pub(crate) async fn publish(client: &Client, config: &Config, endpoint: &pb::Endpoint) -> Result<(), Failure> {
    let mappings: Vec<&PortMapping> = config.port_mappings().iter().filter(|m| m.host_port != 0).collect();
    if mappings.is_empty() {
        return Ok(());
    }
    let name = format!("{}/{}", endpoint.network, endpoint.name);
    let has = |v4: bool| endpoint.addresses.iter().any(|a| a.contains(':') != v4);
    let families = families(client, config).await?;
    let mut published = vec![false; mappings.len()];
    for v4 in [true, false] {
        if !has(v4) || !families.contains(&v4) {
            continue;
        }
        // Those that name no address, or any of this family, at the node's own; the others at the address they name.
        let mut at: Vec<(Option<IpAddr>, Vec<usize>)> = Vec::new();
        for (index, mapping) in mappings.iter().enumerate() {
            let Some(address) = mapping.place(v4, &config.publish.addresses)? else {
                continue;
            };
            match at.iter_mut().find(|(known, _)| *known == address) {
                Some((_, list)) => list.push(index),
                None => at.push((address, vec![index])),
            }
        }
        for (address, list) in at {
            let ports: Vec<(&str, u16, u16)> = list
                .iter()
                .filter_map(|index| mappings.get(*index))
                .map(|m| m.port())
                .collect();
            client.publish(&publication(config, v4, address), &name, &ports).await?;
            for index in list {
                published[index] = true;
            }
        }
    }
    match published
        .iter()
        .position(|done| !done)
        .and_then(|index| mappings.get(index))
    {
        None => Ok(()),
        Some(mapping) => {
            let message = format!(
                "portMappings: host port {} can be published nowhere: the container has {}, and the external network other families",
                mapping.host_port,
                endpoint.addresses.join(", ")
            );
            Err(Failure::config(message))
        }
    }
}

/// Families (IPv4: true) that ports can be published in.
async fn families(client: &Client, config: &Config) -> Result<Vec<bool>, Failure> {
    let wished = &config.publish.addresses;
    if !wished.is_empty() {
        return Ok(wished.iter().map(IpAddr::is_ipv4).collect());
    }
    let network = if config.publish.network.is_empty() {
        match client.external_network().await? {
            Some(network) => network.name,
            None => {
                let message = "portMappings: control has no external network, whose addresses ports are published at";
                return Err(Failure::config(message)
                    .with_details("vrctl network create public --external; vrctl subnet create public/v4 --cidr ..."));
            }
        }
    } else {
        config.publish.network.clone()
    };
    let subnets = client.subnets(&network).await?;
    Ok(subnets.iter().map(|subnet| !subnet.cidr.contains(':')).collect())
}

fn publication(config: &Config, v4: bool, address: Option<IpAddr>) -> Publication {
    let family = if v4 { 4 } else { 6 };
    // A floating address leads to one node: its name says which.
    let name = match address {
        None => format!("ports-{}-v{family}", config.node()),
        Some(address) => format!("ports-{}-{}", config.node(), address.to_string().replace(':', "-")),
    };
    Publication {
        name,
        network: config.publish.network.clone(),
        address,
        family,
    }
}

impl PortMapping {
    fn port(&self) -> (&str, u16, u16) {
        let protocol = match self.protocol.as_str() {
            "" | "tcp" | "TCP" => "tcp",
            "udp" | "UDP" => "udp",
            "sctp" | "SCTP" => "sctp",
            other => other,
        };
        (protocol, self.host_port, self.container_port)
    }

    /// Where this is published in a family: `None` nowhere, `Some(None)` at whatever address control chooses.
    fn place(&self, v4: bool, own: &[IpAddr]) -> Result<Option<Option<IpAddr>>, Failure> {
        let own = own.iter().copied().find(|address| address.is_ipv4() == v4);
        if self.host_ip.is_empty() {
            return Ok(Some(own));
        }
        let wished: IpAddr = self
            .host_ip
            .parse()
            .map_err(|_| Failure::config(format!("portMappings: hostIP {:?} is no address", self.host_ip)))?;
        Ok(match wished {
            other if other.is_ipv4() != v4 => None,
            any if any.is_unspecified() => Some(own),
            one => Some(Some(one)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(text: &str) -> PortMapping {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn host_addresses_choose_family_and_address() {
        let own: Vec<IpAddr> = vec!["192.0.2.60".parse().unwrap()];
        let plain = mapping(r#"{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}"#);
        assert_eq!(plain.place(true, &own).unwrap(), Some(Some(own[0])));
        assert_eq!(plain.place(false, &own).unwrap(), Some(None));
        let any6 = mapping(r#"{"hostPort": 8080, "containerPort": 80, "hostIP": "::"}"#);
        assert_eq!(any6.place(true, &own).unwrap(), None);
        assert_eq!(any6.place(false, &[]).unwrap(), Some(None));
        let one = mapping(r#"{"hostPort": 8080, "containerPort": 80, "hostIP": "192.0.2.61"}"#);
        assert_eq!(one.place(true, &own).unwrap(), Some("192.0.2.61".parse().ok()));
        assert!(
            mapping(r#"{"hostPort": 1, "containerPort": 1, "hostIP": "x"}"#)
                .place(true, &own)
                .is_err()
        );
    }

    #[test]
    fn limits_become_a_profile_that_goes_with_its_endpoint() {
        let limits: Bandwidth = serde_json::from_str(r#"{"ingressRate": 8000000, "ingressBurst": 800000}"#).unwrap();
        let profile = limits.profile("p").unwrap().unwrap();
        assert!(profile.ephemeral && profile.egress.is_none());
        let ingress = profile.ingress.unwrap();
        assert_eq!(
            (ingress.bits_per_second, ingress.burst_bytes, ingress.shape),
            (8_000_000, 100_000, true)
        );
        assert!(Bandwidth::default().profile("p").unwrap().is_none());
        let burst: Bandwidth = serde_json::from_str(r#"{"egressBurst": 8}"#).unwrap();
        assert!(burst.profile("p").is_err());
    }
}
