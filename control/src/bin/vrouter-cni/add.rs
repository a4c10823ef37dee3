//! ADD: endpoint, link, addresses, ports, in this order; when one fails, what was made is unmade.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use tokio::time::{Instant, timeout_at};
use vrouter_control::{
    attach::{
        self, Addressing, Client, Netns, addressing,
        links::{self, Pair, Route},
    },
    model::Mac,
};
use vrouter_proto::control as pb;

use super::{
    attachment::{self, Names},
    config::{Config, Create, NewNetwork},
    environment::Environment,
    failure::Failure,
    outcome::{Interface, Ip, Outcome, RouteEntry},
    ports,
};

/// How long unmaking may take on top.
const UNDO: std::time::Duration = std::time::Duration::from_secs(1);

/// Attaches a container. Doing it again for a container that is attached gives the same result; what is attached by half is attached anew.
pub(crate) async fn add(config: &Config, environment: &Environment) -> Result<Outcome, Failure> {
    let deadline = Instant::now() + config.timeout();
    let path = environment.netns.as_deref().unwrap_or(Path::new(""));
    let netns = Netns::open(path)?;
    let names = Names::of(config, environment);
    let client = attachment::client(config)?;
    let mut made = Made::default();
    let work = attach(config, environment, &netns, &names, &client, &mut made, deadline);
    let outcome = match timeout_at(deadline, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::later(format!(
            "not done within {} s",
            config.timeout().as_secs_f64()
        ))),
    };
    if outcome.is_err() {
        made.undo(&client, config, &names).await;
    }
    outcome.map(|outcome| outcome.after(config.prev_result.as_ref()))
}

/// What this run made, and has to unmake when it fails.
#[derive(Debug, Default)]
struct Made {
    endpoint: bool,
    link: bool,
}

impl Made {
    async fn undo(&self, client: &Client, config: &Config, names: &Names) {
        // What cannot be unmade now, a DEL will: engines send one for an ADD that failed.
        if self.link {
            let _ = links::remove_link(&names.host).await;
        }
        if self.endpoint {
            let client = client.with_patience(UNDO);
            let _ = client.delete_endpoint(config.network(), &names.endpoint).await;
        }
    }
}

async fn attach(
    config: &Config,
    environment: &Environment,
    netns: &Netns,
    names: &Names,
    client: &Client,
    made: &mut Made,
    deadline: Instant,
) -> Result<Outcome, Failure> {
    let mut wish = attachment::wish(config, environment, names);
    let profile = match config.bandwidth() {
        Some(limits) => limits.profile(&names.endpoint)?,
        None => None,
    };
    if let Some(profile) = &profile {
        wish.qos.clone_from(&profile.name);
    }
    // From here on there may be an endpoint, whatever becomes of the answer.
    made.endpoint = true;
    let endpoint = match create(config, client, &wish, profile).await {
        Ok(endpoint) => endpoint,
        Err(error) => {
            // A refusal made nothing, and what is taken is somebody's.
            made.endpoint = !matches!(error, attach::Error::Refused { .. });
            return Err(error.into());
        }
    };
    let placed = endpoint.interface == names.host;
    made.endpoint = !placed;
    let plan = Plan::new(&endpoint, environment)?;
    made.link = true;
    let present = link(netns, names, &plan).await?;
    made.link = !present;
    let leads = links::configure(netns, &plan.interface, &plan.addresses, &plan.routes).await?;
    ports::publish(client, config, &endpoint).await?;
    let left = deadline.saturating_duration_since(Instant::now());
    if !(placed && present) {
        if placed {
            // Its link is a new one: the dataplane has to look for it anew.
            client
                .place(config.network(), &names.endpoint, config.node(), "")
                .await?;
        }
        client
            .place(config.network(), &names.endpoint, config.node(), &names.host)
            .await?;
    }
    client.wait_programmed(config.network(), &names.endpoint, left).await?;
    Ok(plan.outcome(netns, names, &leads, config))
}

async fn create(
    config: &Config,
    client: &Client,
    wish: &pb::Endpoint,
    profile: Option<pb::QosProfile>,
) -> Result<pb::Endpoint, attach::Error> {
    let create = async || client.create_endpoint(wish.clone(), profile.clone()).await;
    let new = match &config.create {
        Create::Never | Create::Plain(false) => return create().await,
        Create::Plain(true) => &NewNetwork::default(),
        Create::With(new) => new,
    };
    let subnet = |(index, cidr): (usize, &String)| pb::Subnet {
        name: format!("v{}-{index}", if cidr.contains(':') { 6 } else { 4 }),
        cidr: cidr.clone(),
        ..Default::default()
    };
    let subnets: Vec<_> = new.subnets.iter().enumerate().map(subnet).collect();
    match create().await {
        Err(error) if error.is_not_found() || no_subnet(&error) => {}
        Ok(endpoint) if lacks_a_family(&endpoint, wish, new) && in_the_making(client, wish, &subnets).await? => {
            client.delete_endpoint(&wish.network, &wish.name).await?;
        }
        answer => return answer,
    }
    let network = pb::Network {
        name: wish.network.clone(),
        bridged: new.bridged,
        mtu: new.mtu,
        ..Default::default()
    };
    client.create_network(network, subnets).await?;
    create().await
}

/// An endpoint that is nowhere yet has no address of a family that the new network is to have, though none was asked for.
fn lacks_a_family(endpoint: &pb::Endpoint, wish: &pb::Endpoint, new: &NewNetwork) -> bool {
    let is_v6 = |text: &String| text.contains(':');
    let lacks = |cidr: &String| !endpoint.addresses.iter().any(|a| is_v6(a) == is_v6(cidr));
    endpoint.interface.is_empty() && wish.addresses.is_empty() && new.subnets.iter().any(lacks)
}

/// Another run is making the network just now, and has made some of its subnets.
async fn in_the_making(client: &Client, wish: &pb::Endpoint, subnets: &[pb::Subnet]) -> Result<bool, attach::Error> {
    let present = client.subnets(&wish.network).await?;
    Ok(subnets
        .iter()
        .any(|ours| present.iter().any(|s| s.name == ours.name && s.cidr == ours.cidr)))
}

/// Another run has made the network just now, and not its subnets yet.
fn no_subnet(error: &attach::Error) -> bool {
    matches!(error, attach::Error::Refused { message, .. } if message.contains("has no subnet yet"))
}

/// What the interface inside is to be.
struct Plan {
    interface: String,
    mac: Mac,
    mtu: u32,
    addresses: Vec<Addressing>,
    routes: Vec<Route>,
}

impl Plan {
    fn new(endpoint: &pb::Endpoint, environment: &Environment) -> Result<Self, Failure> {
        let addresses = addressing(endpoint)?;
        let mac = Mac::new(&endpoint.mac).map_err(|error| Failure::refused(format!("endpoint.mac: {error}")))?;
        let mut routes: Vec<Route> = Vec::new();
        for one in &addresses {
            let to = match one.gateway {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            // One way out of each family.
            if one.gateway != one.address && !routes.iter().any(|route| route.to == to) {
                routes.push(Route {
                    to,
                    length: 0,
                    gateway: one.gateway,
                });
            }
        }
        Ok(Self {
            interface: environment.interface.clone(),
            mac,
            mtu: endpoint.mtu,
            addresses,
            routes,
        })
    }

    fn outcome(&self, netns: &Netns, names: &Names, leads: &[bool], config: &Config) -> Outcome {
        let host = Interface {
            name: names.host.clone(),
            mtu: self.mtu,
            ..Default::default()
        };
        let inside = Interface {
            name: self.interface.clone(),
            mac: self.mac.to_string(),
            mtu: self.mtu,
            sandbox: netns.path().display().to_string(),
            ..Default::default()
        };
        let ip = |one: &Addressing| Ip {
            address: format!("{}/{}", one.address, one.length),
            gateway: Some(one.gateway.to_string()),
            interface: Some(1),
        };
        let routes = self.routes.iter().zip(leads).filter(|(_, leads)| **leads);
        Outcome {
            interfaces: vec![host, inside],
            ips: self.addresses.iter().map(ip).collect(),
            routes: routes
                .map(|(route, _)| RouteEntry {
                    dst: format!("{}/{}", route.to, route.length),
                    gw: Some(route.gateway.to_string()),
                    ..Default::default()
                })
                .collect(),
            dns: config.dns(),
        }
    }
}

/// Makes the link, unless it is there already, whole and as it should be; whether it was.
async fn link(netns: &Netns, names: &Names, plan: &Plan) -> Result<bool, Failure> {
    let host = links::link(&names.host, None).await?;
    if let Some(host) = host {
        let inside = links::link(&plan.interface, Some(netns)).await?;
        let whole = inside.is_some_and(|inside| {
            inside.mac == plan.mac.octets()
                && inside.mtu == plan.mtu
                && host.mtu == plan.mtu
                && host.peer == Some(inside.index)
        });
        if whole && host.up {
            return Ok(true);
        }
        links::remove_link(&names.host).await?;
    }
    let pair = Pair {
        host: names.host.clone(),
        peer: plan.interface.clone(),
        mac: plan.mac.octets(),
        mtu: plan.mtu,
        alias: names.alias.clone(),
    };
    links::create_pair(&pair, Some(netns)).await?;
    Ok(false)
}
