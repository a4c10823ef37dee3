//! Published ports: `docker run -p 8080:80` makes a port of the node's floating address stand for one of the container.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;
use vrouter_control::{
    attach::{Error, Publication},
    model::Family,
};
use vrouter_proto::control as pb;

use crate::{
    endpoints,
    failure::Failure,
    house::House,
    protocol::{Done, Options, network, nullable},
    records::{Endpoint, Phase},
};

/// What dockerd calls the ports of a container that are published.
const PORTS: &str = "com.docker.network.portmap";
/// Most ports of one container: what one message to control carries with ease.
const MOST_PORTS: usize = 4096;

/// One of dockerd's ports.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Binding {
    /// As IP numbers it.
    proto: u8,
    port: u16,
    #[serde(rename = "HostIP", deserialize_with = "nullable")]
    host_ip: String,
    /// 0: any.
    host_port: u16,
    /// The last of a range of which the first that is free is wanted.
    host_port_end: u16,
}

impl Binding {
    fn protocol(&self) -> Result<&'static str, Failure> {
        match self.proto {
            6 => Ok("tcp"),
            17 => Ok("udp"),
            132 => Ok("sctp"),
            other => Err(Failure::refused(format!(
                "IP protocol {other} has no ports; tcp, udp and sctp have"
            ))),
        }
    }

    /// The families and the address it is to be published at.
    fn place(&self) -> Result<(Vec<Family>, Option<IpAddr>), Failure> {
        if self.host_ip.is_empty() {
            return Ok((vec![Family::V4, Family::V6], None));
        }
        let address: IpAddr = self
            .host_ip
            .parse()
            .map_err(|_| Failure::refused(format!("-p {}: is no address", self.host_ip)))?;
        let at = (!address.is_unspecified()).then_some(address);
        Ok((vec![Family::of(address)], at))
    }
}

/// Whether options name ports to be published.
pub(crate) fn wanted(options: &Options) -> bool {
    options
        .get(PORTS)
        .is_some_and(|value| value.as_array().is_some_and(|ports| !ports.is_empty()))
}

fn bindings(options: &Options) -> Result<Vec<Binding>, Failure> {
    let value = options.get(PORTS).cloned().unwrap_or(Value::Null);
    let bindings: Option<Vec<Binding>> = serde_json::from_value(value).map_err(Failure::Malformed)?;
    let bindings = bindings.unwrap_or_default();
    if bindings.len() > MOST_PORTS {
        let words = format!("{} published ports; {MOST_PORTS} at most are", bindings.len());
        return Err(Failure::refused(words));
    }
    Ok(bindings)
}

/// `ProgramExternalConnectivity`: all ports of the container are published, or none.
pub(crate) async fn program(house: &House, asked: network::Join) -> Result<Done, Failure> {
    let Some((key, endpoint)) = endpoints::publishable(house, &asked)? else {
        return Ok(Done {});
    };
    let bindings = bindings(&asked.options)?;
    way_out(house, &endpoint.network).await?;
    let mut published = Vec::new();
    for binding in &bindings {
        match publish(house, &endpoint, binding).await {
            Ok(ports) => published.extend(ports),
            Err(failure) => {
                let withdrawn = house.control.withdraw(&name(&endpoint), &[]).await;
                // With the endpoint they go in any case.
                if let Err(error) = withdrawn {
                    tracing::info!(%error, endpoint = key, "published ports go with their endpoint");
                }
                return Err(failure);
            }
        }
    }
    tracing::info!(endpoint = key, ?published, "ports are published");
    house
        .endpoints
        .update(&key, |endpoint| endpoint.published = published)?;
    Ok(Done {})
}

/// Refuses to publish ports of a network that nothing from outside reaches: the container would run, and nobody would know why it is not heard.
async fn way_out(house: &House, network: &str) -> Result<(), Failure> {
    let request = pb::ListRoutersRequest {};
    let answer = house
        .control
        .call(async |mut api| api.list_routers(request).await)
        .await?;
    let leads =
        |router: &pb::Router| !router.external_network.is_empty() && router.networks.iter().any(|n| n == network);
    if answer.routers.iter().any(leads) {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "ports of network {network} cannot be published: no router leads from it to the external network; vrctl router create NAME --network {network} \
         --external EXTERNAL makes one"
    )))
}

/// `RevokeExternalConnectivity`. If control is away, they go with their endpoint, which dockerd deletes next, or with the next reconciliation.
pub(crate) async fn revoke(house: &House, asked: &network::EndpointOnly) -> Result<Done, Failure> {
    let found = house.endpoints.find(|endpoint| {
        endpoint.is(&asked.endpoint) && endpoint.phase == Phase::Attached && !endpoint.published.is_empty()
    });
    let Some((key, endpoint)) = found else {
        return Ok(Done {});
    };
    house.endpoints.update(&key, |endpoint| {
        endpoint.published.clear();
        endpoint.withdraw = true;
    })?;
    if let Err(failure) = withdraw(house, &key, &endpoint).await {
        tracing::warn!(%failure, endpoint = key, "control hears later that ports are not published any more");
        house.work.notify_one();
    }
    Ok(Done {})
}

/// Takes away all ports of an endpoint.
pub(crate) async fn withdraw(house: &House, key: &str, endpoint: &Endpoint) -> Result<(), Failure> {
    house.control.withdraw(&name(endpoint), &[]).await?;
    house.endpoints.update(key, |endpoint| endpoint.withdraw = false)?;
    Ok(())
}

fn name(endpoint: &Endpoint) -> String {
    format!("{}/{}", endpoint.network, endpoint.name)
}

/// Publishes a port at the node's address of each family that is asked for and that the container has. A family that the external network does not have is
/// left out, unless it is the only one.
async fn publish(house: &House, endpoint: &Endpoint, binding: &Binding) -> Result<Vec<String>, Failure> {
    let protocol = binding.protocol()?;
    let (families, at) = binding.place()?;
    let has = |family: &Family| endpoint.addresses.iter().any(|address| Family::of(*address) == *family);
    let families: Vec<Family> = families.into_iter().filter(has).collect();
    if families.is_empty() {
        return Err(Failure::refused(format!(
            "-p {}: the container has no address of this family",
            binding.host_ip
        )));
    }
    let mut said = None;
    let mut published = Vec::new();
    for family in &families {
        let mine = || {
            house
                .config
                .publish
                .iter()
                .copied()
                .find(|address| Family::of(*address) == *family)
        };
        let number = if *family == Family::V4 { 4 } else { 6 };
        let address = at.or_else(mine);
        // A floating address leads to one node: its name says which. Other plugins of the node call it so, too, and share it.
        let name = match address {
            None => format!("ports-{}-v{number}", house.node),
            Some(address) => format!("ports-{}-{}", house.node, address.to_string().replace(':', "-")),
        };
        let publication = Publication {
            name,
            network: String::new(),
            address,
            family: number,
        };
        match at_first_free(house, &publication, endpoint, protocol, binding).await {
            Ok(ports) => published.extend(ports),
            // Said of one family of two, where no address was named.
            Err(Failure::Attach(Error::Refused { code, message }))
                if families.len() > 1 && publication.address.is_none() && no_address(code) =>
            {
                said = Some(Failure::Attach(Error::Refused { code, message }));
            }
            Err(failure) => return Err(failure),
        }
    }
    match said {
        Some(failure) if published.is_empty() => Err(failure),
        _ => Ok(published),
    }
}

/// Whether a refusal may be that there is no address of the family to be had.
fn no_address(code: tonic::Code) -> bool {
    matches!(
        code,
        tonic::Code::InvalidArgument | tonic::Code::NotFound | tonic::Code::FailedPrecondition
    )
}

/// Publishes at the port that is asked for, or at the first of a range that is free.
async fn at_first_free(
    house: &House,
    at: &Publication,
    endpoint: &Endpoint,
    protocol: &str,
    binding: &Binding,
) -> Result<Vec<String>, Failure> {
    let mut port = binding.host_port;
    loop {
        let answer = house
            .control
            .publish(at, &name(endpoint), &[(protocol, port, binding.port)])
            .await;
        match answer {
            Err(error) if error.is_taken() && port != 0 && port < binding.host_port_end => port += 1,
            answer => {
                let shown = |one: vrouter_control::attach::Published| {
                    let (address, protocol) = (one.address, one.protocol);
                    format!("{address} {protocol}/{} -> {}", one.port, one.target_port)
                };
                return Ok(answer?.into_iter().map(shown).collect());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(value: Value) -> Options {
        [(PORTS.to_owned(), value)].into()
    }

    #[test]
    fn ports_are_read_as_dockers_of_all_ages_write_them() {
        let ports = json!([
            {"Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8090},
            {"Proto": 17, "Port": 53, "HostIP": null},
            {"Proto": 6, "Port": 443, "HostIP": "::", "HostPort": 443},
            {"Proto": 6, "Port": 443, "HostIP": "192.0.2.50", "HostPort": 443},
        ]);
        assert!(wanted(&options(ports.clone())));
        let read = bindings(&options(ports)).unwrap();
        let shown: Vec<_> = read
            .iter()
            .map(|b| (b.protocol().unwrap(), b.host_port, b.port, b.place().unwrap()))
            .collect();
        let both = vec![Family::V4, Family::V6];
        assert_eq!(shown[0], ("tcp", 8080, 80, (both.clone(), None)));
        assert_eq!(shown[1], ("udp", 0, 53, (both, None)));
        assert_eq!(shown[2], ("tcp", 443, 443, (vec![Family::V6], None)));
        let named = "192.0.2.50".parse().ok();
        assert_eq!(shown[3], ("tcp", 443, 443, (vec![Family::V4], named)));
        assert!(!wanted(&options(Value::Null)) && !wanted(&options(json!([]))));
    }

    #[test]
    fn odd_ports_are_refused_in_words() {
        for odd in [json!("x"), json!({}), json!([{"Port": 99999}])] {
            assert!(bindings(&options(odd)).is_err());
        }
        for odd in [json!([{"Proto": 47}]), json!([{}])] {
            assert!(bindings(&options(odd)).unwrap()[0].protocol().is_err());
        }
        let odd = bindings(&options(json!([{"Proto": 6, "HostIP": "eth0"}]))).unwrap();
        assert!(odd[0].place().is_err());
    }
}
