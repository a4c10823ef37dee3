//! From the numbers of a dataplane's objects to their names, and to words for what a next hop does.

use std::collections::HashMap;

use vrouter_proto::dataplane::{self as api, next_hop};

use super::Tables;

/// Names by number, of the kinds that were dumped.
pub(crate) struct Names {
    ports: HashMap<u32, String>,
    vrfs: HashMap<u32, String>,
    bridges: HashMap<u32, String>,
    next_hops: HashMap<u64, String>,
    actions: HashMap<u64, String>,
}

impl Names {
    pub(super) fn new(tables: &Tables) -> Self {
        let mut names = Self {
            ports: tables.ports.iter().map(|it| (it.id, it.name.clone())).collect(),
            vrfs: tables.vrfs.iter().map(|it| (it.id, it.name.clone())).collect(),
            bridges: tables.bridges.iter().map(|it| (it.id, it.name.clone())).collect(),
            next_hops: tables.next_hops.iter().map(|it| (it.id, it.name.clone())).collect(),
            actions: HashMap::new(),
        };
        names.actions = tables.next_hops.iter().map(|it| (it.id, names.describe(it))).collect();
        names
    }

    /// Name of a port, if it has one.
    pub(crate) fn port(&self, id: u32) -> Option<String> {
        known(self.ports.get(&id))
    }

    /// Number of the only port that is named or numbered `wanted`.
    pub(crate) fn only_port(&self, wanted: &str) -> Option<u32> {
        let number = wanted.parse().ok();
        let mut found = self
            .ports
            .iter()
            .filter(|(id, name)| Some(**id) == number || name.eq_ignore_ascii_case(wanted));
        match (found.next(), found.next()) {
            (Some((id, _)), None) => Some(*id),
            _ => None,
        }
    }

    /// Name of a VRF, if it has one.
    pub(crate) fn vrf(&self, id: u32) -> Option<String> {
        known(self.vrfs.get(&id))
    }

    /// Name of a bridge, if it has one.
    pub(crate) fn bridge(&self, id: u32) -> Option<String> {
        known(self.bridges.get(&id))
    }

    /// Name of a next hop, if it has one.
    pub(crate) fn next_hop(&self, id: u64) -> Option<String> {
        known(self.next_hops.get(&id))
    }

    /// What a next hop does, in words.
    pub(crate) fn action(&self, id: u64) -> Option<String> {
        known(self.actions.get(&id))
    }

    /// What `next_hop` does, in words: "vxlan to 192.0.2.2 vni 100".
    pub(crate) fn describe(&self, next_hop: &api::NextHop) -> String {
        match &next_hop.action {
            None => String::new(),
            Some(next_hop::Action::Drop(_)) => "drop".to_owned(),
            Some(next_hop::Action::Unreachable(_)) => "unreachable".to_owned(),
            Some(next_hop::Action::Local(_)) => "local".to_owned(),
            Some(next_hop::Action::Port(to)) => {
                let port = label(self.port(to.port).as_deref(), to.port.into());
                match to.mac.as_str() {
                    "" => format!("port {port}"),
                    mac => format!("port {port} to {mac}"),
                }
            }
            Some(next_hop::Action::Tunnel(tunnel)) => match tunnel.encapsulation() {
                next_hop::Encapsulation::MplsUdp => format!("mpls-udp to {} label {}", tunnel.remote, tunnel.label),
                next_hop::Encapsulation::Vxlan => format!("vxlan to {} vni {}", tunnel.remote, tunnel.vni),
                next_hop::Encapsulation::Erspan => format!("erspan to {} session {}", tunnel.remote, tunnel.vni),
                next_hop::Encapsulation::Unspecified => format!("tunnel to {}", tunnel.remote),
            },
            Some(next_hop::Action::Vrf(to)) => format!("vrf {}", to.vrf),
            Some(next_hop::Action::Underlay(to)) => match to.gateway.as_str() {
                "" => "underlay".to_owned(),
                gateway => format!("underlay via {gateway}"),
            },
            Some(next_hop::Action::Group(group)) => {
                let members: Vec<_> = group
                    .members
                    .iter()
                    .map(|member| format!("{} x{}", self.member(member.next_hop), member.weight))
                    .collect();
                format!("group of {}", members.join(", "))
            }
            Some(next_hop::Action::Flood(flood)) => {
                let copies: Vec<_> = flood.next_hops.iter().map(|id| self.member(*id)).collect();
                match copies.as_slice() {
                    [] => "flood to none".to_owned(),
                    copies => format!("flood to {}", copies.join(", ")),
                }
            }
        }
    }

    fn member(&self, id: u64) -> String {
        label(self.next_hop(id).as_deref(), id)
    }
}

fn known(name: Option<&String>) -> Option<String> {
    name.filter(|name| !name.is_empty()).cloned()
}

/// A name with its number: "blue (7)"; the number alone where there is no name; nothing where there is no object.
pub(crate) fn label(name: Option<&str>, id: u64) -> String {
    match (name, id) {
        (Some(name), id) => format!("{name} ({id})"),
        (None, 0) => String::new(),
        (None, id) => id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Tables {
            ports: vec![api::Port {
                id: 3,
                name: "web-1".to_owned(),
                ..Default::default()
            }],
            next_hops: vec![api::NextHop {
                id: 9,
                name: "to-node2".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        }
        .names()
    }

    fn describe(action: next_hop::Action) -> String {
        names().describe(&api::NextHop {
            action: Some(action),
            ..Default::default()
        })
    }

    #[test]
    fn names_stand_before_numbers() {
        assert_eq!(label(Some("blue"), 7), "blue (7)");
        assert_eq!(label(None, 7), "7");
        assert_eq!(label(None, 0), "");
        assert_eq!(names().port(3).as_deref(), Some("web-1"));
        assert_eq!(names().port(4), None);
    }

    #[test]
    fn next_hops_say_what_they_do() {
        let port = next_hop::ToPort {
            port: 3,
            mac: String::new(),
        };
        assert_eq!(describe(next_hop::Action::Port(port)), "port web-1 (3)");
        let tunnel = next_hop::Tunnel {
            encapsulation: next_hop::Encapsulation::MplsUdp.into(),
            remote: "2001:db8::2".to_owned(),
            label: 17,
            ..Default::default()
        };
        assert_eq!(
            describe(next_hop::Action::Tunnel(tunnel)),
            "mpls-udp to 2001:db8::2 label 17"
        );
        let members = vec![
            next_hop::Member { next_hop: 9, weight: 2 },
            next_hop::Member {
                next_hop: 10,
                weight: 1,
            },
        ];
        let group = next_hop::Group { members };
        assert_eq!(
            describe(next_hop::Action::Group(group)),
            "group of to-node2 (9) x2, 10 x1"
        );
        let flood = next_hop::Flood { next_hops: Vec::new() };
        assert_eq!(describe(next_hop::Action::Flood(flood)), "flood to none");
    }
}
