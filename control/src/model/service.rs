//! Services: a stable address and port for many backends.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{
    cidr::parse_address,
    endpoint::AddressWish,
    error::{InField, Invalid},
    labels::{self, Labels},
    name::Name,
    object::{Object, Spec, Wish, fields},
    reference::{EndpointRef, Target, optional},
    traffic::{self, Protocol},
};

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePort {
    /// Unique within the service; `None` where it is the only one.
    pub name: Option<Name>,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// What clients ask for.
    pub port: u16,
    /// What backends listen at.
    pub target_port: u16,
}

/// Who serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendName {
    /// An endpoint.
    Endpoint(EndpointRef),
    /// An address.
    Address(IpAddr),
}

impl std::fmt::Display for BackendName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Endpoint(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// One of those who serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceBackend {
    /// Who.
    pub name: BackendName,
    /// Its share of new connections against the others', 1..=255.
    pub weight: u8,
    /// It gets no new connections.
    pub draining: bool,
}

/// What a backend is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthKind {
    /// It accepts a connection.
    Tcp,
    /// GET answers with a status of 200..=399.
    Http,
    /// grpc.health.v1 answers SERVING.
    Grpc,
}

/// How backends are asked whether they are well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: HealthKind,
    /// At which port; `None`: the target port of the service's first port.
    pub port: Option<u16>,
    /// HTTP: path; gRPC: service name.
    pub target: String,
    /// Milliseconds between questions.
    pub interval_ms: u32,
    /// Milliseconds until no answer counts as failure; not longer than the interval.
    pub timeout_ms: u32,
    /// Successes until well.
    pub rise: u32,
    /// Failures until unwell.
    pub fall: u32,
}

/// What a client chooses of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// The network whose endpoints use it.
    pub network: Name,
    /// The addresses asked for; those it has are [`Object::given`].
    pub addresses: Vec<AddressWish>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Members of this group serve...
    pub group: Option<Name>,
    /// ... and these.
    pub backends: Vec<ServiceBackend>,
    /// Seconds that a client keeps its backend after its last flow; 0: no affinity.
    pub affinity_seconds: u32,
    /// Nodes with a healthy backend of their own use only those.
    pub prefer_local: bool,
    /// `None`: every backend counts as healthy.
    pub health_check: Option<HealthCheck>,
    /// Notes.
    pub labels: Labels,
}

/// A service, as stored. Given are its addresses, in the order of the wish.
pub type Service = Object<ServiceSpec>;

impl ServiceSpec {
    /// Most ports of a service.
    pub const MAX_PORTS: usize = 256;
    /// Most backends that are named one by one.
    pub const MAX_BACKENDS: usize = 4096;
    /// Most addresses of a service.
    pub const MAX_ADDRESSES: usize = 64;
    /// Longest affinity: a day.
    pub const MAX_AFFINITY_SECONDS: u32 = 86_400;

    /// The port at which backends are asked whether they are well.
    #[must_use]
    pub fn health_port(&self) -> Option<u16> {
        let check = self.health_check.as_ref()?;
        check.port.or_else(|| self.ports.first().map(|p| p.target_port))
    }
}

fn read_ports(ports: &[pb::ServicePort]) -> Result<Vec<ServicePort>, Invalid> {
    let mut read: Vec<ServicePort> = Vec::with_capacity(ports.len());
    for (index, port) in ports.iter().enumerate() {
        let at = |name: &str| format!("service.ports[{index}].{name}");
        let number = traffic::port(port.port).in_field(&at("port"))?;
        let one = ServicePort {
            name: optional(&port.name, Name::new).in_field(&at("name"))?,
            protocol: optional(&port.protocol, Protocol::with_ports)
                .in_field(&at("protocol"))?
                .unwrap_or(Protocol::TCP),
            port: number,
            target_port: match port.target_port {
                0 => number,
                target => traffic::port(target).in_field(&at("target_port"))?,
            },
        };
        if one.name.is_none() && ports.len() > 1 {
            return Err(Invalid::new(at("name"), "is empty; with several ports each has a name"));
        }
        if let Some((other, name)) = read.iter().position(|p| p.name == one.name).zip(one.name.as_ref()) {
            let message = format!("{name} is the name of ports[{other}], too; names are unique within a service");
            return Err(Invalid::new(at("name"), message));
        }
        if let Some(other) = read
            .iter()
            .position(|p| (p.protocol, p.port) == (one.protocol, one.port))
        {
            let message = format!("{} port {} is ports[{other}] already", one.protocol, one.port);
            return Err(Invalid::new(at("port"), message));
        }
        read.push(one);
    }
    Ok(read)
}

fn read_backends(backends: &[pb::ServiceBackend]) -> Result<Vec<ServiceBackend>, Invalid> {
    let mut read = Vec::with_capacity(backends.len());
    let mut known = std::collections::HashMap::new();
    for (index, backend) in backends.iter().enumerate() {
        let at = |name: &str| format!("service.backends[{index}].{name}");
        let (field, name) = match &backend.backend {
            Some(pb::service_backend::Backend::Endpoint(text)) => {
                let endpoint = EndpointRef::new(text).in_field(&at("endpoint"))?;
                ("endpoint", BackendName::Endpoint(endpoint))
            }
            Some(pb::service_backend::Backend::Address(text)) => {
                let address = parse_address(text).in_field(&at("address"))?;
                ("address", BackendName::Address(address))
            }
            None => {
                let message = "names nobody; an endpoint or an address would be right";
                return Err(Invalid::new(format!("service.backends[{index}]"), message));
            }
        };
        if let Some(other) = known.insert(name.clone(), index) {
            return Err(Invalid::new(at(field), format!("{name} is backends[{other}] already")));
        }
        let weight = u8::try_from(backend.weight).map_err(|_| {
            let message = format!("{}; 1 to 255, or 0 for 1, would be right", backend.weight);
            Invalid::new(at("weight"), message)
        })?;
        read.push(ServiceBackend {
            name,
            weight: weight.max(1),
            draining: backend.draining,
        });
    }
    Ok(read)
}

impl HealthCheck {
    /// Milliseconds between questions unless asked otherwise.
    pub const DEFAULT_INTERVAL_MS: u32 = 5000;
    /// Milliseconds to wait for an answer unless asked otherwise, and the interval is not shorter.
    pub const DEFAULT_TIMEOUT_MS: u32 = 1000;

    fn from_proto(check: pb::ServiceHealthCheck) -> Result<Self, Invalid> {
        let at = |name: &str| format!("service.health_check.{name}");
        let kind = match check.kind.as_str() {
            "tcp" => HealthKind::Tcp,
            "http" => HealthKind::Http,
            "grpc" => HealthKind::Grpc,
            other => {
                let message = format!("{other:?} is no kind of check; tcp, http or grpc would be right");
                return Err(Invalid::new(at("kind"), message));
            }
        };
        if check.target.len() > 1024 || check.target.chars().any(|c| !c.is_ascii_graphic()) {
            let message = "is to be up to 1024 letters, digits and signs of ASCII, without white space";
            return Err(Invalid::new(at("target"), message));
        }
        match kind {
            HealthKind::Tcp if !check.target.is_empty() => {
                return Err(Invalid::new(at("target"), "a TCP check has none"));
            }
            HealthKind::Http if !check.target.is_empty() && !check.target.starts_with('/') => {
                let message = format!("{:?} is no path; /{} would be right", check.target, check.target);
                return Err(Invalid::new(at("target"), message));
            }
            _ => {}
        }
        let within = |name: &str, value: u32, default: u32, first: u32, last: u32| match value {
            0 => Ok(default),
            value if (first..=last).contains(&value) => Ok(value),
            value => Err(Invalid::new(
                at(name),
                format!("{value}; {first} to {last}, or 0 for {default}, would be right"),
            )),
        };
        let interval_ms = within(
            "interval_ms",
            check.interval_ms,
            Self::DEFAULT_INTERVAL_MS,
            100,
            3_600_000,
        )?;
        let timeout = Self::DEFAULT_TIMEOUT_MS.min(interval_ms);
        Ok(Self {
            kind,
            port: match check.port {
                0 => None,
                port => Some(traffic::port(port).in_field(&at("port"))?),
            },
            target: check.target,
            interval_ms,
            timeout_ms: within("timeout_ms", check.timeout_ms, timeout, 10, interval_ms)?,
            rise: within("rise", check.rise, 1, 1, 100)?,
            fall: within("fall", check.fall, 3, 1, 100)?,
        })
    }
}

impl Wish<ServiceSpec> {
    /// Checks a request's service.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(service: Option<pb::Service>) -> Result<Self, Invalid> {
        let service = service.ok_or_else(|| Invalid::new("service", "is missing"))?;
        for (field, count, most) in [
            ("service.addresses", service.addresses.len(), ServiceSpec::MAX_ADDRESSES),
            ("service.ports", service.ports.len(), ServiceSpec::MAX_PORTS),
            ("service.backends", service.backends.len(), ServiceSpec::MAX_BACKENDS),
        ] {
            if count > most {
                return Err(Invalid::new(field, format!("{count} of them; at most {most}")));
            }
        }
        if service.affinity_seconds > ServiceSpec::MAX_AFFINITY_SECONDS {
            let message = format!(
                "{}; 0 to {} would be right",
                service.affinity_seconds,
                ServiceSpec::MAX_AFFINITY_SECONDS
            );
            return Err(Invalid::new("service.affinity_seconds", message));
        }
        let spec = ServiceSpec {
            network: Name::new(&service.network).in_field("service.network")?,
            addresses: AddressWish::list("service.addresses", &service.addresses)?,
            ports: read_ports(&service.ports)?,
            group: optional(&service.group, Name::new).in_field("service.group")?,
            backends: read_backends(&service.backends)?,
            affinity_seconds: service.affinity_seconds,
            prefer_local: service.prefer_local,
            health_check: service.health_check.map(HealthCheck::from_proto).transpose()?,
            labels: labels::check("service", service.labels)?,
        };
        Self::new(&service.name, service.revision, spec)
    }
}

impl Spec for ServiceSpec {
    type Given = Vec<IpAddr>;
    const KIND: &'static str = "service";
    fields! {
        addresses: "addresses",
        ports: "ports",
        group: "group",
        backends: "backends",
        affinity_seconds: "affinity_seconds",
        prefer_local: "prefer_local",
        health_check: "health_check",
        labels: "labels",
    }

    fn settle(&mut self, existing: &Object<Self>) {
        if AddressWish::name_exactly(&self.addresses, &existing.given) {
            self.addresses.clone_from(&existing.spec.addresses);
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        if self.ports.is_empty() {
            return Err(Invalid::new(
                "service.ports",
                "is empty; a service has at least one port",
            ));
        }
        Ok(())
    }

    fn references(&self) -> Vec<(String, Target)> {
        let group = |name: &Name| ("group".to_owned(), Target::Group(name.clone()));
        let mut all = vec![("network".to_owned(), Target::Network(self.network.clone()))];
        all.extend(self.group.iter().map(group));
        for (index, backend) in self.backends.iter().enumerate() {
            if let BackendName::Endpoint(name) = &backend.name {
                let field = format!("backends[{index}].endpoint");
                all.push((field, Target::Endpoint(name.clone())));
            }
        }
        all
    }

    fn scope(&self) -> Option<&Name> {
        Some(&self.network)
    }
}
