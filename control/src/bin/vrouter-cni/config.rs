//! The network configuration: fields of the specification and our own. What is not known is refused, with what may have been meant.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value};
use vrouter_control::{intent::nearest, transport::Address};

use super::{
    failure::Failure,
    outcome::{Dns, Outcome},
    ports::{Bandwidth, PortMapping},
};

/// Fields that mean something here. Others, of the specification, are taken and mean nothing to a plugin.
const KNOWN: [&str; 24] = [
    "cniVersion",
    "cniVersions",
    "name",
    "type",
    "args",
    "capabilities",
    "runtimeConfig",
    "prevResult",
    "dns",
    "ipam",
    "ipMasq",
    "disableCheck",
    "disableGC",
    "cni.dev/valid-attachments",
    "cni.dev/attachments",
    "network",
    "control",
    "node",
    "labels",
    "publish",
    "bandwidth",
    "create",
    "timeout",
    "log",
];

/// What an engine may say of one container, if the configuration declares it among its `capabilities`.
const CAPABILITIES: [&str; 5] = ["portMappings", "bandwidth", "ips", "mac", "dns"];

/// How long an ADD may take unless the configuration says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long DEL waits for control where the configuration does not say: engines try again, and hold up others meanwhile.
const DELETE_PATIENCE: Duration = Duration::from_millis(1500);

/// A network configuration.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Config {
    /// The configuration's name; of the network in control, too, unless `network` says otherwise.
    pub(crate) name: String,
    /// The network in control.
    #[serde(default)]
    network: Option<String>,
    /// Where control is.
    #[serde(default)]
    control: Option<String>,
    /// This node, as control knows it. Absent: the name of this machine.
    #[serde(default)]
    node: Option<String>,
    /// Labels of every endpoint.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Where ports are published.
    #[serde(default)]
    pub(crate) publish: Publish,
    /// Limits of every container, unless the engine gives others.
    #[serde(default)]
    bandwidth: Option<Bandwidth>,
    /// The network is made when it is absent, with these subnets.
    #[serde(default)]
    pub(crate) create: Create,
    /// Seconds that a command may take; absent: 10, and 1.5 for DEL.
    #[serde(default)]
    timeout: Option<f64>,
    /// A file that a line is appended to for every command.
    #[serde(default)]
    pub(crate) log: Option<String>,
    #[serde(default)]
    pub(crate) dns: Dns,
    #[serde(default)]
    runtime_config: Runtime,
    #[serde(default)]
    args: Args,
    #[serde(default)]
    pub(crate) prev_result: Option<Outcome>,
    #[serde(default, rename = "cni.dev/valid-attachments")]
    valid: Option<Vec<Attachment>>,
    /// The same, as the first engines with GC call it.
    #[serde(default, rename = "cni.dev/attachments")]
    attachments: Option<Vec<Attachment>>,
    #[serde(skip)]
    address: Option<Address>,
}

/// Where host ports are: floating addresses of the external network.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publish {
    /// The external network. Empty: the one there is.
    #[serde(default)]
    pub(crate) network: String,
    /// This node's addresses for ports. None: control chooses one of each family.
    #[serde(default)]
    pub(crate) addresses: Vec<IpAddr>,
}

/// Whether and how the network is made.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub(crate) enum Create {
    #[default]
    Never,
    Plain(bool),
    With(NewNetwork),
}

/// The network that is made.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewNetwork {
    /// "10.1.0.0/24", "fd00:1::/64".
    pub(crate) subnets: Vec<String>,
    #[serde(default)]
    pub(crate) bridged: bool,
    #[serde(default)]
    pub(crate) mtu: u32,
}

/// An attachment that GC leaves alone.
#[derive(Debug, Deserialize)]
pub(crate) struct Attachment {
    #[serde(rename = "containerID")]
    pub(crate) container: String,
    #[serde(rename = "ifname")]
    pub(crate) interface: String,
}

/// What the engine says of one container, by capability.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Runtime {
    port_mappings: Option<Vec<PortMapping>>,
    bandwidth: Option<Bandwidth>,
    ips: Option<Vec<String>>,
    mac: Option<String>,
    dns: Option<RuntimeDns>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuntimeDns {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Args {
    cni: CniArgs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CniArgs {
    ips: Vec<String>,
    mac: Option<String>,
    labels: Vec<Label>,
}

#[derive(Debug, Deserialize)]
struct Label {
    key: String,
    value: String,
}

/// Reads standard input as a JSON object.
pub(crate) fn parse(text: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::undecodable(format!("the network configuration is no JSON object: {error}")))
}

impl Config {
    pub(crate) fn read(mut input: Map<String, Value>) -> Result<Self, Failure> {
        for (key, value) in &input {
            if !KNOWN.contains(&key.as_str()) {
                let message = format!(
                    "{key:?} is not supported, its value is {value}{}",
                    nearest::hint(key, KNOWN)
                );
                return Err(Failure::unsupported(message));
            }
        }
        let runtime = input.get("runtimeConfig").and_then(Value::as_object);
        for (key, value) in runtime.into_iter().flatten() {
            if !CAPABILITIES.contains(&key.as_str()) {
                let message = format!("capability {key:?} is not supported, its value is {value}");
                let details = format!("supported are {}", CAPABILITIES.join(", "));
                return Err(Failure::unsupported(message).with_details(details));
            }
        }
        // An empty section is as good as none.
        let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
        if let Some(ipam) = input.get("ipam").filter(|ipam| !empty(ipam)) {
            let message =
                format!("\"ipam\" is not supported, its value is {ipam}; addresses are given by vrouter-control");
            return Err(Failure::unsupported(message));
        }
        if input.get("ipMasq").and_then(Value::as_bool) == Some(true) {
            let message =
                "\"ipMasq\" is not supported, its value is true; a router with translated sources is the way out";
            return Err(Failure::unsupported(message).with_details("vrctl router create ... --external ... --snat"));
        }
        input.retain(|_, value| !value.is_null());
        let mut config: Self = serde_json::from_value(Value::Object(input))
            .map_err(|error| Failure::undecodable(format!("the network configuration: {error}")))?;
        if config.name.is_empty() {
            return Err(Failure::config("name is missing"));
        }
        let address = config.control.as_deref().unwrap_or("unix:/run/vrouter/control.sock");
        let address = address
            .parse()
            .map_err(|error| Failure::config(format!("control: {error}")))?;
        config.address = Some(address);
        if let Some(seconds) = config.timeout.filter(|seconds| !(0.1..=600.0).contains(seconds)) {
            return Err(Failure::config(format!(
                "timeout: {seconds} is out of range; 0.1 to 600 seconds would be right"
            )));
        }
        if config.node.is_none() {
            config.node = std::fs::read_to_string("/proc/sys/kernel/hostname")
                .ok()
                .map(|name| name.trim().to_owned());
        }
        Ok(config)
    }

    /// The network in control.
    pub(crate) fn network(&self) -> &str {
        self.network.as_deref().unwrap_or(&self.name)
    }

    /// This node.
    pub(crate) fn node(&self) -> &str {
        self.node.as_deref().unwrap_or_default()
    }

    /// What GC leaves alone; `None`: the engine does not say.
    pub(crate) fn valid(&self) -> Option<&[Attachment]> {
        self.valid.as_deref().or(self.attachments.as_deref())
    }

    /// Where control is.
    pub(crate) fn control(&self) -> Result<Address, Failure> {
        self.address
            .clone()
            .ok_or_else(|| Failure::internal("control has no address"))
    }

    /// How long a command may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.map_or(TIMEOUT, Duration::from_secs_f64)
    }

    /// How long DEL waits for control.
    pub(crate) fn delete_patience(&self) -> Duration {
        self.timeout.map_or(DELETE_PATIENCE, Duration::from_secs_f64)
    }

    /// Ports to be published.
    pub(crate) fn port_mappings(&self) -> &[PortMapping] {
        self.runtime_config.port_mappings.as_deref().unwrap_or_default()
    }

    /// Limits.
    pub(crate) fn bandwidth(&self) -> Option<&Bandwidth> {
        self.runtime_config.bandwidth.as_ref().or(self.bandwidth.as_ref())
    }

    /// Addresses that the configuration or the engine asks for.
    pub(crate) fn ips(&self) -> &[String] {
        self.runtime_config.ips.as_deref().unwrap_or(&self.args.cni.ips)
    }

    /// The MAC address that the configuration or the engine asks for.
    pub(crate) fn mac(&self) -> Option<&str> {
        self.runtime_config.mac.as_deref().or(self.args.cni.mac.as_deref())
    }

    /// Labels that the engine gives.
    pub(crate) fn given_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.args
            .cni
            .labels
            .iter()
            .map(|label| (label.key.as_str(), label.value.as_str()))
    }

    /// Name servers: the engine's, where it says any.
    pub(crate) fn dns(&self) -> Dns {
        match &self.runtime_config.dns {
            None => self.dns.clone(),
            Some(dns) => Dns {
                nameservers: dns.servers.clone(),
                domain: self.dns.domain.clone(),
                search: dns.searches.clone(),
                options: dns.options.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first field of [`KNOWN`] that is ours.
    const FIRST_OF_OURS: &str = "network";

    #[test]
    fn a_time_that_is_said_holds_for_every_command() {
        let read = |text: &str| Config::read(parse(text).unwrap()).unwrap();
        let unsaid = read(r#"{"name": "blue"}"#);
        assert_eq!((unsaid.timeout(), unsaid.delete_patience()), (TIMEOUT, DELETE_PATIENCE));
        let said = read(r#"{"name": "blue", "timeout": 60}"#);
        let minute = Duration::from_secs(60);
        assert_eq!((said.timeout(), said.delete_patience()), (minute, minute));
    }

    #[test]
    fn the_manual_tells_of_every_field() {
        let page = include_str!("../../../../deploy/man/vrouter-cni.8");
        let mut ours = KNOWN.iter().skip_while(|field| **field != FIRST_OF_OURS).peekable();
        assert!(ours.peek().is_some());
        for field in ours {
            assert!(page.contains(&format!("\n.TP\n.B {field}\n")), "{field}");
        }
        let (all, deletion) = (TIMEOUT.as_secs_f64(), DELETE_PATIENCE.as_secs_f64());
        assert!(
            page.contains(&format!("Default: {all}, and {deletion} for DEL")),
            "{page}"
        );
    }
}
