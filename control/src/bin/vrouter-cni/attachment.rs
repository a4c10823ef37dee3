//! One attachment: what it is called everywhere, and what control is asked for it.

use std::collections::HashMap;

use vrouter_control::attach::{Client, names};
use vrouter_proto::control as pb;

use super::{config::Config, environment::Environment, failure::Failure};

/// Labels that find an attachment's endpoint again.
pub(crate) const CONTAINER: &str = "cni.container";
pub(crate) const INTERFACE: &str = "cni.interface";
pub(crate) const NETWORK: &str = "cni.network";

/// What an attachment is called.
#[derive(Debug)]
pub(crate) struct Names {
    /// The host's end of the link.
    pub(crate) host: String,
    /// The endpoint.
    pub(crate) endpoint: String,
    /// The note at the host's end.
    pub(crate) alias: String,
}

impl Names {
    pub(crate) fn new(config: &Config, container: &str, interface: &str) -> Self {
        Self {
            host: names::host_interface(container, interface),
            endpoint: names::endpoint(container, interface),
            // The kernel takes 255 bytes.
            alias: format!("{}{container} {interface}", alias_prefix(&config.name))
                .chars()
                .take(200)
                .collect(),
        }
    }

    pub(crate) fn of(config: &Config, environment: &Environment) -> Self {
        Self::new(config, &environment.container, &environment.interface)
    }
}

/// What the notes of all links of a configuration begin with.
pub(crate) fn alias_prefix(name: &str) -> String {
    format!("vrouter-cni {name} ")
}

/// A client whose every call is over when the command has to be.
pub(crate) fn client(config: &Config) -> Result<Client, Failure> {
    Ok(Client::new(config.control()?, config.timeout())?)
}

/// Labels of an endpoint by which it is found, whatever its network is called by now.
pub(crate) fn selector(environment: &Environment) -> HashMap<String, String> {
    HashMap::from([
        (CONTAINER.to_owned(), environment.container.clone()),
        (INTERFACE.to_owned(), environment.interface.clone()),
    ])
}

/// The endpoint as wished for, not placed yet.
pub(crate) fn wish(config: &Config, environment: &Environment, names: &Names) -> pb::Endpoint {
    let mut labels: HashMap<String, String> = config.labels.clone().into_iter().collect();
    let given = config
        .given_labels()
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    labels.extend(given);
    labels.extend(environment.arguments.labels.clone());
    labels.extend(selector(environment));
    labels.insert(NETWORK.to_owned(), config.name.clone());
    let ips = if config.ips().is_empty() {
        &environment.arguments.ips[..]
    } else {
        config.ips()
    };
    let plain = |ip: &String| ip.split('/').next().unwrap_or_default().to_owned();
    pb::Endpoint {
        network: config.network().to_owned(),
        name: names.endpoint.clone(),
        node: config.node().to_owned(),
        mac: config
            .mac()
            .or(environment.arguments.mac.as_deref())
            .unwrap_or_default()
            .to_owned(),
        addresses: ips.iter().map(plain).collect(),
        labels,
        ..Default::default()
    }
}
