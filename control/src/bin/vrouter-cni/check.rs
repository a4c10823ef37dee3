//! CHECK: whether an attachment is as ADD left it, from the namespace to the dataplane.

use std::path::Path;

use vrouter_control::{
    attach::{self, Netns, addressing, links},
    model::Mac,
};

use super::{
    attachment::{self, Names},
    config::Config,
    environment::Environment,
    failure::Failure,
    outcome::Outcome,
};

pub(crate) async fn check(config: &Config, environment: &Environment) -> Result<(), Failure> {
    let Some(before) = &config.prev_result else {
        return Err(Failure::config("prevResult is missing; CHECK compares with it"));
    };
    let names = Names::of(config, environment);
    let client = attachment::client(config)?;
    // It may come right after ADD, or while control programs something else: a moment is granted.
    let waited = client.wait_programmed(config.network(), &names.endpoint, config.timeout());
    let endpoint = match waited.await {
        Ok(endpoint) => endpoint,
        Err(error) if error.is_not_found() => {
            return Err(Failure::unknown_container(error.to_string()));
        }
        Err(error @ attach::Error::NotProgrammed { .. }) => return Err(Failure::broken(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    same("node of the endpoint", config.node(), &endpoint.node)?;
    same("interface of the endpoint", &names.host, &endpoint.interface)?;

    let netns = Netns::open(environment.netns.as_deref().unwrap_or(Path::new("")))?;
    let host = links::link(&names.host, None).await?;
    let host = host.ok_or_else(|| Failure::broken(format!("the link {} is gone", names.host)))?;
    let found = links::configured(&netns, &environment.interface).await?;
    let inside = found.ok_or_else(|| Failure::broken(format!("the interface {} is gone", environment.interface)))?;
    if host.peer != Some(inside.link.index) {
        let message = format!("{} is not the other end of {}", environment.interface, names.host);
        return Err(Failure::broken(message));
    }
    for link in [&host, &inside.link] {
        if !link.up {
            return Err(Failure::broken(format!("{} is down", link.name)));
        }
        if link.mtu != endpoint.mtu {
            let message = format!("the MTU of {} is {}, not {}", link.name, link.mtu, endpoint.mtu);
            return Err(Failure::broken(message));
        }
    }
    let mac = Mac::new(&endpoint.mac).map_err(|error| Failure::refused(format!("endpoint.mac: {error}")))?;
    if inside.link.mac != mac.octets() {
        return Err(Failure::broken(format!(
            "the MAC address of {} is not {mac}",
            environment.interface
        )));
    }
    let addresses = addressing(&endpoint)?;
    for one in &addresses {
        if !inside.addresses.contains(&(one.address, one.length)) {
            let message = format!(
                "{} has no address {}/{}",
                environment.interface, one.address, one.length
            );
            return Err(Failure::broken(message));
        }
    }
    compare(before, environment, &mac, &inside, &addresses)
}

/// Compares what ADD said with what is. Other plugins' interfaces, addresses and routes are theirs to check.
fn compare(
    before: &Outcome,
    environment: &Environment,
    mac: &Mac,
    inside: &links::Configured,
    addresses: &[attach::Addressing],
) -> Result<(), Failure> {
    let ours = |interface: &super::outcome::Interface| {
        interface.name == environment.interface && !interface.sandbox.is_empty()
    };
    let Some(place) = before.interfaces.iter().position(ours) else {
        return Err(Failure::broken(format!(
            "prevResult has no interface {}",
            environment.interface
        )));
    };
    let said = before
        .interfaces
        .get(place)
        .map(|interface| interface.mac.to_lowercase());
    same("MAC address in prevResult", &mac.to_string(), &said.unwrap_or_default())?;
    for ip in before.ips.iter().filter(|ip| ip.interface == Some(place)) {
        let known = addresses
            .iter()
            .any(|one| format!("{}/{}", one.address, one.length) == ip.address);
        if !known {
            return Err(Failure::broken(format!(
                "prevResult has the address {}, the endpoint has not",
                ip.address
            )));
        }
    }
    for one in addresses {
        let text = format!("{}/{}", one.address, one.length);
        if !before.ips.iter().any(|ip| ip.address == text) {
            return Err(Failure::broken(format!(
                "the endpoint has the address {text}, prevResult has not"
            )));
        }
    }
    for route in &before.routes {
        // Ours are those by our gateways.
        let by = |one: &attach::Addressing| route.gw.as_deref() == Some(one.gateway.to_string().as_str());
        if !addresses.iter().any(by) {
            continue;
        }
        let there = inside.routes.iter().any(|r| {
            format!("{}/{}", r.to, r.length) == route.dst && route.gw.as_deref() == Some(r.gateway.to_string().as_str())
        });
        if !there {
            let gateway = route.gw.as_deref().unwrap_or_default();
            return Err(Failure::broken(format!(
                "the route to {} by {gateway} is gone",
                route.dst
            )));
        }
    }
    Ok(())
}

fn same(what: &str, right: &str, found: &str) -> Result<(), Failure> {
    if right == found {
        Ok(())
    } else {
        Err(Failure::broken(format!("{what}: {found:?}, not {right:?}")))
    }
}
