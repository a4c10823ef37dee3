//! What small worlds are compiled into, and what holds for all of them.

pub(crate) mod laws;
mod oracle;
mod rules;
pub(crate) mod steps;
mod wishes;
mod worlds;

use vrouter_proto::{
    control as intent_pb,
    dataplane::{self as pb, next_hop::Action, object::Object},
};

use super::{Health, ObjectKey, Plan, references};
use crate::{
    intent::{self, Refusal},
    model::{EndpointWish, Invalid, Mask, Name, NetworkWish, NodeWish, SubnetWish, Wish},
    state::{State, Transaction},
};

/// A state made by the same rules as in production.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) health: Health,
}

impl World {
    pub(crate) fn apply<T>(&mut self, work: impl FnOnce(&mut Transaction) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut transaction = Transaction::new(self.state.clone());
        let made = work(&mut transaction)?;
        if let Some((_, state)) = transaction.finish() {
            self.state = state;
        }
        Ok(made)
    }

    /// Creates an object of the kinds that are made of one mould, or changes it as a whole.
    pub(crate) fn put<K: intent::Rules>(&mut self, wish: Result<Wish<K>, Invalid>) -> Result<(), Refusal> {
        let wish = wish?;
        let there = self.state.object::<K>(&K::id(&wish.name, &wish.spec)).is_some();
        self.apply(|t| match there {
            true => intent::update(t, wish, &Mask::Whole),
            false => intent::create(t, wish),
        })
        .map(drop)
    }

    pub(crate) fn group(&mut self, group: intent_pb::Group) {
        self.put(Wish::<crate::model::GroupSpec>::from_proto(Some(group)))
            .unwrap();
    }

    pub(crate) fn policy(&mut self, policy: intent_pb::Policy) {
        self.put(Wish::<crate::model::PolicySpec>::from_proto(Some(policy)))
            .unwrap();
    }

    pub(crate) fn router(&mut self, router: intent_pb::Router) {
        self.put(Wish::<crate::model::RouterSpec>::from_proto(Some(router)))
            .unwrap();
    }

    pub(crate) fn service(&mut self, service: intent_pb::Service) {
        self.put(Wish::<crate::model::ServiceSpec>::from_proto(Some(service)))
            .unwrap();
    }

    pub(crate) fn floating(&mut self, floating: intent_pb::FloatingIp) {
        self.put(Wish::<crate::model::FloatingIpSpec>::from_proto(Some(floating)))
            .unwrap();
    }

    pub(crate) fn mirror(&mut self, mirror: intent_pb::Mirror) {
        self.put(Wish::<crate::model::MirrorSpec>::from_proto(Some(mirror)))
            .unwrap();
    }

    pub(crate) fn qos(&mut self, profile: intent_pb::QosProfile) {
        self.put(Wish::<crate::model::QosProfileSpec>::from_proto(Some(profile)))
            .unwrap();
    }

    /// Changes some fields of an endpoint.
    pub(crate) fn change(&mut self, endpoint: intent_pb::Endpoint, fields: &[&str]) -> Result<(), Refusal> {
        let mask = Mask::Fields(fields.iter().map(ToString::to_string).collect());
        self.apply(|t| intent::update_endpoint(t, EndpointWish::from_proto(Some(endpoint))?, &mask))
            .map(drop)
    }

    pub(crate) fn label(&mut self, network: &str, name: &str, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let endpoint = intent_pb::Endpoint {
            network: network.into(),
            name: name.into(),
            labels,
            ..Default::default()
        };
        self.change(endpoint, &["labels"]).unwrap();
    }

    pub(crate) fn node(&mut self, name: &str, vteps: &[&str], external: bool) {
        let vtep_addresses = vteps.iter().map(ToString::to_string).collect();
        let node = intent_pb::Node {
            name: name.into(),
            vtep_addresses,
            external,
            ..Default::default()
        };
        self.apply(|t| intent::create_node(t, NodeWish::from_proto(Some(node))?))
            .unwrap();
    }

    pub(crate) fn network(&mut self, network: intent_pb::Network) {
        self.apply(|t| intent::create_network(t, NetworkWish::from_proto(Some(network))?))
            .unwrap();
    }

    pub(crate) fn subnet(&mut self, network: &str, name: &str, cidr: &str) {
        let subnet = intent_pb::Subnet {
            network: network.into(),
            name: name.into(),
            cidr: cidr.into(),
            ..Default::default()
        };
        self.apply(|t| intent::create_subnet(t, SubnetWish::from_proto(Some(subnet))?))
            .unwrap();
    }

    pub(crate) fn endpoint(&mut self, network: &str, name: &str, node: &str, interface: &str) {
        self.try_endpoint(network, name, node, interface).unwrap();
    }

    pub(crate) fn try_endpoint(
        &mut self,
        network: &str,
        name: &str,
        node: &str,
        interface: &str,
    ) -> Result<(), Refusal> {
        let endpoint = intent_pb::Endpoint {
            network: network.into(),
            name: name.into(),
            node: node.into(),
            interface: interface.into(),
            ..Default::default()
        };
        self.apply(|t| intent::create_endpoint(t, EndpointWish::from_proto(Some(endpoint))?))
            .map(drop)
    }

    pub(crate) fn place(&mut self, network: &str, name: &str, node: &str, interface: &str) -> Result<(), Refusal> {
        let endpoint = intent_pb::Endpoint {
            network: network.into(),
            name: name.into(),
            node: node.into(),
            interface: interface.into(),
            ..Default::default()
        };
        let mask = Mask::Fields(vec!["node".into(), "interface".into()]);
        self.apply(|t| intent::update_endpoint(t, EndpointWish::from_proto(Some(endpoint))?, &mask))
            .map(drop)
    }

    pub(crate) fn remove_endpoint(&mut self, network: &str, name: &str) {
        let (network, name) = (Name::new(network).unwrap(), Name::new(name).unwrap());
        self.apply(|t| intent::delete_endpoint(t, &network, &name)).unwrap();
    }

    /// "blue" with one IPv4 and one IPv6 subnet, an endpoint on each of node-a, node-b and node-c.
    pub(crate) fn blue(network: intent_pb::Network) -> Self {
        let mut world = Self::default();
        world.node("node-a", &["192.0.2.1", "2001:db8::1"], false);
        world.node("node-b", &["192.0.2.2", "2001:db8::2"], false);
        world.node("node-c", &["2001:db8::3"], false);
        world.network(intent_pb::Network {
            name: "blue".into(),
            ..network
        });
        world.subnet("blue", "v4", "10.1.0.0/24");
        world.subnet("blue", "v6", "fd00:1::/64");
        for (name, node) in [("web", "node-a"), ("db", "node-b"), ("cache", "node-c")] {
            world.endpoint("blue", name, node, &format!("veth-{name}"));
        }
        world
    }
}

/// One line for each object, in the order of keys.
fn describe(plan: &Plan) -> String {
    let lines: Vec<String> = plan.values().map(|planned| line(&planned.object)).collect();
    lines.join("\n")
}

fn line(object: &pb::Object) -> String {
    match object.object.as_ref().unwrap() {
        Object::Vrf(o) => format!("vrf {} {}{}", o.id, o.name, if o.underlay { " underlay" } else { "" }),
        Object::Bridge(o) => format!(
            "bridge {} {}: vrf {} gateway {} {:?} learn {} aging {} flood {}",
            o.id, o.name, o.vrf, o.gateway_mac, o.gateways, o.learn, o.aging_seconds, o.flood
        ),
        Object::Port(o) => format!(
            "port {} {}: {} vrf {} bridge {} mac {} gateways {:?} mtu {}{}",
            o.id,
            o.name,
            o.interface,
            o.vrf,
            o.bridge,
            o.mac,
            o.gateways,
            o.mtu,
            extras(o)
        ),
        Object::NextHop(o) => format!("next hop {} {:?}: {}", o.id, o.name, action(o.action.as_ref().unwrap())),
        Object::Route(o) => {
            let preference = match o.preference {
                0 => String::new(),
                worse => format!(" preference {worse}"),
            };
            format!("route vrf {} {} -> {}{preference}", o.vrf, o.prefix, o.next_hop)
        }
        Object::Mac(o) => format!("mac bridge {} {} -> {}", o.bridge, o.mac, o.next_hop),
        Object::Neighbor(o) => format!("neighbor bridge {} {} = {}", o.bridge, o.address, o.mac),
        Object::Vni(o) => format!("vni {} -> {:?}", o.vni, o.target.unwrap()),
        Object::Label(o) => format!("label {} {} -> {:?}", o.label, o.name, o.target.unwrap()),
        Object::Identity(o) => format!("identity vrf {} {} {:?}", o.vrf, o.prefix, o.groups),
        Object::Policy(o) => {
            let side = |name: &str, rules: &[pb::Rule], default: pb::Verdict| {
                let rules: String = rules.iter().map(rule).collect();
                format!("\n  {name}, else {}{rules}", default.as_str_name())
            };
            let egress = side("egress", &o.egress, o.egress_default());
            let ingress = side("ingress", &o.ingress, o.ingress_default());
            format!("policy {:?}{egress}{ingress}", o.name)
        }
        Object::SourceNat(o) => format!(
            "source nat {:?}: {} -> {} {} as {:?} ports {}-{} blocks {} x {}",
            o.name,
            o.inside,
            o.outside,
            o.prefix,
            o.addresses,
            o.first_port,
            o.last_port,
            o.blocks_per_source,
            o.block_size
        ),
        Object::Service(o) => {
            let backend = |b: &pb::Backend| {
                let draining = if b.draining { " draining" } else { "" };
                format!(
                    "\n  {} {}:{} vrf {} weight {}{draining}",
                    b.name, b.address, b.port, b.vrf, b.weight
                )
            };
            let backends: String = o.backends.iter().map(backend).collect();
            format!(
                "service {:?}: vrf {} {} protocol {} port {}{backends}",
                o.name, o.vrf, o.address, o.protocol, o.port
            )
        }
        Object::Mirror(o) => format!(
            "mirror {} {} -> {} from {} to {} filter {} prefixes {:?} bytes {}",
            o.id,
            o.name,
            o.next_hop,
            o.from_workload,
            o.to_workload,
            o.filter.len(),
            o.prefixes,
            o.snap_length
        ),
        Object::HealthCheck(o) => format!(
            "health check {:?}: vrf {} {}:{} {} every {} ms",
            o.name,
            o.vrf,
            o.address,
            o.port,
            o.kind().as_str_name(),
            o.interval_ms
        ),
    }
}

/// Numbers that are made of names are left out: they say nothing to a reader.
fn extras(port: &pb::Port) -> String {
    let mut text = String::new();
    if let Some(guard) = &port.guard {
        text += &format!("\n  may use {:?} {:?}", guard.addresses, guard.macs);
    }
    if port.policy != 0 {
        text += "\n  with a policy";
    }
    if let Some(qos) = &port.qos {
        text += &format!("\n  {qos:?}");
    }
    if !port.mirrors.is_empty() {
        text += &format!("\n  mirrors {:?}", port.mirrors);
    }
    text
}

fn rule(rule: &pb::Rule) -> String {
    let traffic = |t: &pb::Traffic| {
        let icmp = t.icmp_type.map(|t| format!(" type {t}")).unwrap_or_default();
        format!(" {}:{}-{}{icmp}", t.protocol, t.first_port, t.last_port)
    };
    let traffic: String = rule.traffic.iter().map(traffic).collect();
    let log = if rule.log { " log" } else { "" };
    format!(
        "\n    {} {} {:?}{traffic}{log}",
        rule.verdict().as_str_name(),
        rule.name,
        rule.groups
    )
}

fn action(action: &Action) -> String {
    match action {
        Action::Local(_) => "local".into(),
        Action::Drop(_) => "drop".into(),
        Action::Unreachable(_) => "unreachable".into(),
        Action::Port(p) => format!("port {} mac {}", p.port, p.mac),
        Action::Tunnel(t) => format!(
            "{} {} vni {} label {} mac {:?}",
            t.encapsulation().as_str_name(),
            t.remote,
            t.vni,
            t.label,
            t.inner_mac
        ),
        Action::Flood(f) => format!("flood {:?}", f.next_hops),
        Action::Group(g) => format!("group {:?}", g.members),
        Action::Vrf(v) => format!("vrf {} untranslated {}", v.vrf, v.untranslated),
        Action::Underlay(u) => format!("underlay {:?}", u.gateway),
    }
}
